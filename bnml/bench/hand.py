"""Yardsticks: the least code that does the same work, written by hand for this one purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEE = 0.001
SLIPPAGE = 0.0005
STOP, TARGET, TRAIL, HOLD = 0.006, 0.02, 0.012, 240


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hand_backtest(  # noqa: PLR0917 - compiled functions are called by position
    o: NDArray[np.float64],
    h: NDArray[np.float64],
    l: NDArray[np.float64],  # noqa: E741 - the letters of the field
    c: NDArray[np.float64],
    entry: NDArray[np.bool_],
    leave: NDArray[np.bool_],
    levels: tuple[float, float, float, int],
    trades: NDArray[np.float64],
    equity: NDArray[np.float64],
) -> int:
    """One symbol, one position: stop, target, trailing and time stop within the bar; returns the trades.

    `trades` is [rows, 6]: entry, exit, profit, best and worst price, bars held; `equity` one value per bar.
    """
    stop_share, target_share, trail_share, hold = levels
    cash, units, price, stop, target, top, bottom, since, count = 1e4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0
    for i in range(1, len(c)):
        if units > 0.0:
            out = 0.0
            if leave[i - 1] or i - since >= hold or o[i] <= stop:
                out = o[i]
            elif l[i] <= stop:
                out = stop
            elif h[i] >= target:
                out = max(target, o[i])
            top, bottom = max(top, h[i]), min(bottom, l[i])
            if out > 0.0:
                out *= 1.0 - SLIPPAGE
                got = units * out * (1.0 - FEE)
                trades[count, 0], trades[count, 1], trades[count, 2] = price, out, got - units * price
                trades[count, 3], trades[count, 4], trades[count, 5] = top, bottom, i - since
                count += 1
                cash, units = cash + got, 0.0
            else:
                stop = max(stop, h[i] * (1.0 - trail_share))
        elif entry[i - 1]:
            price = o[i] * (1.0 + SLIPPAGE)
            units = cash * (1.0 - FEE) / price
            cash -= units * price * (1.0 + FEE)
            stop, target = (
                max(price * (1.0 - stop_share), h[i] * (1.0 - trail_share)),
                price * (1.0 + target_share),
            )
            top, bottom, since = h[i], l[i], i
        equity[i] = cash + units * c[i]
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hand_metrics(
    equity: NDArray[np.float64], trades: NDArray[np.float64], count: int, out: NDArray[np.float64]
) -> None:
    """Eight figures in one pass each: return, drawdown, mean, deviation, profit factor, wins, expectancy, exposure."""
    peak = drop = total = squares = 0.0
    for i in range(2, len(equity)):
        peak = max(peak, equity[i])
        drop = max(drop, 1.0 - equity[i] / peak)
        change = equity[i] / equity[i - 1] - 1.0
        total, squares = total + change, squares + change * change
    gain = loss = wins = held = 0.0
    for k in range(count):
        profit = trades[k, 2]
        held += trades[k, 5]
        if profit > 0.0:
            gain, wins = gain + profit, wins + 1.0
        else:
            loss -= profit
    bars = len(equity)
    out[0], out[1], out[2] = equity[-1] / equity[1] - 1.0, drop, total / bars
    out[3] = np.sqrt(squares / bars - (total / bars) ** 2)
    out[4], out[5], out[6], out[7] = gain / loss, wins / count, (gain - loss) / count, held / bars


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hand_final(
    o: NDArray[np.float64],
    h: NDArray[np.float64],
    l: NDArray[np.float64],  # noqa: E741 - the letters of the field
    entry: NDArray[np.bool_],
    levels: tuple[float, float, float, int],
) -> float:
    """`hand_backtest` without rows: what a combination of a grid costs when every bar is walked."""
    stop_share, target_share, trail_share, hold = levels
    cash, units, stop, target, since = 1e4, 0.0, 0.0, 0.0, 0
    for i in range(1, len(o)):
        if units > 0.0:
            out = 0.0
            if i - since >= hold or o[i] <= stop:
                out = o[i]
            elif l[i] <= stop:
                out = stop
            elif h[i] >= target:
                out = max(target, o[i])
            if out > 0.0:
                cash, units = cash + units * out * (1.0 - SLIPPAGE) * (1.0 - FEE), 0.0
            else:
                stop = max(stop, h[i] * (1.0 - trail_share))
        elif entry[i - 1]:
            price = o[i] * (1.0 + SLIPPAGE)
            units = cash * (1.0 - FEE) / price
            cash -= units * price * (1.0 + FEE)
            stop, target, since = (
                max(price * (1.0 - stop_share), h[i] * (1.0 - trail_share)),
                price * (1.0 + target_share),
                i,
            )
    return cash
