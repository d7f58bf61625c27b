"""One row of a grid: what a combination traded, and the figures of its days; from look-ups or from any run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit, part
from bnml.kernels.fills import PPM, mul_ppm, notional_e8

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS = 16
"""Equal slices of the days, as cross-validation of a search recombines them."""

GRID_ROW = np.dtype(
    [
        ("combination", np.int64),
        ("trades", np.int64),  # positions closed
        ("wins", np.int64),  # of them with a result above 0
        ("final_equity_e8", np.int64),  # what is open marked at the last close
        ("gross_profit_e8", np.int64),  # sum of the results above 0
        ("gross_loss_e8", np.int64),  # sum of the others, not below 0
        ("commission_e8", np.int64),  # in quote; one taken in base at the price it was bought for
        ("exposure_ns", np.int64),  # time with a position
        ("max_hold_ns", np.int64),
        ("open_at_end", np.int64),  # 1: a position is marked, not sold
        ("days", np.int64),
        ("daily_mean", np.float64),  # of daily marked returns
        ("daily_m2", np.float64),  # their summed squares of deviations from the mean
        ("daily_max_drawdown_ppm", np.int64),  # of the daily marks
    ]
)
OPENED = np.dtype(
    [
        ("bought", np.int64),  # 1: a position is not counted yet
        ("entered_ns", np.int64),
        ("ts_ns", np.int64),  # of its last sale
        ("result_e8", np.int64),
    ]
)


@njit
def judge_days(
    marks_e8: NDArray[np.int64],
    initial_e8: int,
    returns: NDArray[np.float64],
    row: np.void,
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Daily figures of a row from the equity at the end of each day; `returns` is scratch of the same length."""
    days, before, peak, worst, total = len(marks_e8), initial_e8, initial_e8, 0.0, 0.0
    day = 0
    for block in range(BLOCKS):
        in_block, of_squares = 0.0, 0.0
        end = ((block + 1) * days + BLOCKS - 1) // BLOCKS
        while day < end:
            mark = marks_e8[day]
            change = mark / before - 1.0 if before > 0 else 0.0
            if mark >= peak:
                peak = mark
            else:
                worst = max(worst, (peak - mark) / peak)
            returns[day] = change
            total += change
            in_block += change
            of_squares += change * change
            before, day = mark, day + 1
        sums[block], squares[block] = in_block, of_squares
    mean, second = total / days, 0.0
    for change in returns:
        second += (change - mean) * (change - mean)
    row["days"], row["daily_mean"], row["daily_m2"] = days, mean, second
    row["daily_max_drawdown_ppm"] = int(worst * PPM)


@part
def count_position(row: np.void, result_e8: int, held_ns: int, is_open: bool) -> None:
    """Add a position to the row; what is open at the end is counted, its result is not."""
    row["exposure_ns"] += held_ns
    row["max_hold_ns"] = max(row["max_hold_ns"], held_ns)
    if is_open:
        row["open_at_end"] = 1
        return
    row["trades"] += 1
    row["wins"] += result_e8 > 0
    row["gross_profit_e8"] += max(result_e8, 0)
    row["gross_loss_e8"] -= min(result_e8, 0)


@part
def _close(row: np.void, opened: np.void, is_open: bool, end_ns: int) -> None:
    if opened["bought"] == 1:
        held_ns = (end_ns if is_open else opened["ts_ns"]) - opened["entered_ns"]
        count_position(row, opened["result_e8"], held_ns, is_open)
        opened["bought"] = 0


@njit
def count_trades(
    trades: NDArray[np.void],
    instruments: NDArray[np.void],
    costs: NDArray[np.void],
    is_open: NDArray[np.int64],
    last_ns: NDArray[np.int64],
    opened: NDArray[np.void],
    row: np.void,
) -> None:
    """Counts of a row from the TRADE_ROWs of any run; the arrays are by symbol, `opened` is scratch (OPENED).

    Tranches bought at one time are one position; it is closed when the next is bought, or at the end.
    """
    for symbol in range(len(opened)):
        opened[symbol]["bought"] = 0
    for trade in trades:
        one = opened[trade["symbol"]]
        if trade["is_buy"] == 0:
            row["commission_e8"] += trade["commission_e8"]
            one["result_e8"] += trade["pnl_e8"]
            one["ts_ns"] = trade["ts_ns"]
            continue
        if one["bought"] == 1 and one["entered_ns"] != trade["ts_ns"]:
            _close(row, one, False, 0)
        if one["bought"] == 0:
            one["bought"], one["entered_ns"], one["result_e8"] = 1, trade["ts_ns"], 0
            one["ts_ns"] = trade["ts_ns"]
        cost = notional_e8(trade["price_ticks"], trade["quantity_lots"], instruments[trade["symbol"]])
        row["commission_e8"] += mul_ppm(cost, costs[0]["taker_ppm"])
    for symbol in range(len(opened)):
        _close(row, opened[symbol], is_open[symbol] == 1, last_ns[symbol])
