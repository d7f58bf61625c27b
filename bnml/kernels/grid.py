"""A combination of exit rules walked over its trades: look up the exit, book it, go to the next entry.

Costs O(trades + days) and gives the integers of the loop over all bars, because sizes, fills, commissions
and the order of things are those of `backtest`. An exit takes effect, for marks and for the next decision,
with the first scan after it: that of the bar before for one at an open, that of its own bar else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.fills import (
    PPM,
    SLOT_OPEN,
    commission_quote_e8,
    mul_ppm,
    notional_e8,
    pending_lots,
    print_ts_ns,
    taker_fill,
)
from bnml.kernels.passage import NEVER
from bnml.kernels.records import FillTier, Taking
from bnml.kernels.sizing import active_capital_e8, size_lots, split_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.kernels.passage import Market, Tables

BLOCKS = 16
"""Equal slices of the days, as cross-validation of a search recombines them."""
_FOK = int(Taking.FOK)
_TRANCHES = 3
_MARKET = int(Taking.MARKET)
_F1 = int(FillTier.F1)

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
COMBINATION = np.dtype(
    [
        ("combination", np.int64),
        ("stop", np.int64),  # variants
        ("target1", np.int64),
        ("target2", np.int64),
        ("trail", np.int64),
        ("hold", np.int64),
        ("rules", np.int64),  # index of the shares
        ("limits", np.int64),  # index of the sizes
    ]
)
PIECE = np.dtype(
    [
        ("lots", np.int64),  # held until it is sold
        ("credit_e8", np.int64),  # what its sale brings
        ("settled", np.int64),  # first bar whose scan finds it sold
    ]
)
POSITION = np.dtype(
    [
        ("bought", np.int64),  # tranches
        ("paid_e8", np.int64),
        ("credit_e8", np.int64),
        ("result_e8", np.int64),
        ("commission_e8", np.int64),
        ("last_code", np.int64),  # of its last sale
        ("settled", np.int64),  # first bar whose scan may enter again
    ]
)
PIECES = 4
"""The tranches, and what a scan sells of them in one order."""


class Account(NamedTuple):
    """What all combinations share beside market and tables."""

    initial_e8: int
    taking: int  # of entries
    next_entry: NDArray[np.int64]  # by bar: the first entry decided on it or later
    day_bars: NDArray[np.int64]  # bar whose scan marks each UTC day; one more that never comes


class Memory(NamedTuple):
    """Working memory of one thread."""

    pieces: NDArray[np.void]
    position: NDArray[np.void]
    marks_e8: NDArray[np.int64]  # by day
    returns: NDArray[np.float64]  # by day


def new_memory(days: int) -> Memory:
    """Working memory for runs of so many days."""
    return Memory(np.zeros(PIECES, PIECE), np.zeros(1, POSITION), np.empty(days, np.int64), np.empty(days))


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
        while day < days and day * BLOCKS // days == block:
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


@njit
def _approved_lots(
    cash_e8: int, entry: np.void, stop: np.void, limits: np.void, instrument: np.void
) -> int:
    """Lots of an entry from an account without positions; 0: refused for its size, see `limits`."""
    wanted, lots = size_lots(
        cash_e8, cash_e8, 0, entry["close"], stop["level"], entry["cap"], limits, instrument
    )
    least = stop["least_lots"]
    if lots < least and notional_e8(entry["cap"], lots, instrument) < stop["least_e8"]:
        return 0  # not enough wanted, or not enough to pay it with
    exposure_e8 = mul_ppm(active_capital_e8(cash_e8, limits), limits["max_exposure_ppm"])
    return 0 if stop["least_e8"] > exposure_e8 else lots


@njit
def _leave(entry: np.void, stop: np.void, trail: np.void, hold: np.void) -> tuple[int, int, bool]:
    """(number, market, by a scan) of the end of a position whatever its targets; prints come before scans."""
    code, market = stop["code"], stop["market"]
    if trail["code"] < code or (trail["code"] == code and trail["market"] > market):
        code, market = trail["code"], trail["market"]
    scan_code, scan_market = hold["code"], hold["market"]
    if entry["sell_code"] < scan_code:
        scan_code, scan_market = entry["sell_code"], entry["sell_market"]
    if scan_code < code:
        return scan_code, scan_market, True
    return code, market, False


@njit
def _settled(code: int, is_scan: bool, entered: int) -> int:
    """First bar whose scan finds the sale done."""
    if code == NEVER:
        return NEVER
    if is_scan or code == entered * 4:
        return code // 4
    return (code + 3) // 4 - 1


@njit
def _price(lots: int, market_ticks: int, code: int, is_scan: bool, entered: int, market: Market) -> int:
    """What a sale at market gets."""
    costs = market.costs[0]
    if costs["tier"] != _F1:
        return market_ticks
    before = 2 if code % 4 == SLOT_OPEN and not is_scan and code != entered * 4 else 1
    return taker_fill(_MARKET, False, lots, 0, market_ticks, market.bars[code // 4 - before], costs)[1]


@njit
def _mark_held(
    day: int, until: int, cash_e8: int, pieces: NDArray[np.void], market: Market, account: Account,
    marks_e8: NDArray[np.int64],
) -> int:
    """Mark the days before the scan of bar `until`, at which a position is held; returns the next day."""
    while account.day_bars[day] < until:
        bar, lots, equity = account.day_bars[day], 0, cash_e8
        for piece in pieces:
            if piece["settled"] > bar:
                lots += piece["lots"]
            else:
                equity += piece["credit_e8"]
        marks_e8[day] = equity + notional_e8(market.bars[bar]["close"], lots, market.instrument[0])
        day += 1
    return day


@njit
def _sell(
    lots: int,
    cost_e8: int,
    price: int,
    ppm: int,
    settled: int,
    piece: np.void,
    position: np.void,
    instrument: np.void,
) -> None:
    """Book a sale; its credit is the piece's from the scan of bar `settled` on."""
    proceeds = notional_e8(price, lots, instrument)
    commission = commission_quote_e8(proceeds, ppm)
    credit = proceeds - commission
    piece["credit_e8"], piece["settled"] = credit, settled
    position["credit_e8"] += credit
    position["commission_e8"] += commission
    position["result_e8"] += credit - cost_e8


@njit
def _hold(
    lots: int,
    i: int,
    chosen: np.void,
    rules: np.void,
    market: Market,
    account: Account,
    tables: Tables,
    memory: Memory,
) -> None:
    """One position from entry to end, written to `memory`; nothing is bought if no fill is possible."""
    position, entry, instrument, costs = (
        memory.position[0],
        tables.entries[i],
        market.instrument[0],
        market.costs[0],
    )
    stop, taker_ppm, entered = tables.stops[chosen["stop"], i], costs["taker_ppm"], entry["bar"] + 1
    code, at, is_scan = _leave(entry, stop, tables.trails[chosen["trail"], i], tables.holds[chosen["hold"], i])
    settled = _settled(code, is_scan, entered)
    position["bought"], position["paid_e8"], position["credit_e8"] = 0, 0, 0
    position["commission_e8"], position["result_e8"] = 0, 0
    position["last_code"], position["settled"] = entered * 4, entered
    scan_lots = scan_cost = 0
    parts = (lots, 0, 0)
    if rules["share1_ppm"] != PPM:
        parts = split_lots(lots, stop["level"], taker_ppm, rules, instrument)
    for k in range(_TRANCHES):
        piece, part = memory.pieces[k], parts[k]
        piece["lots"], piece["credit_e8"], piece["settled"] = 0, 0, 0
        filled = min(part, entry["most_lots"])
        if filled == 0 or (filled < part and account.taking == _FOK):
            continue
        cost = notional_e8(entry["price"], filled, instrument)
        kept = pending_lots(filled, taker_ppm, instrument["lot_e8"])
        position["bought"] += 1
        position["paid_e8"] += cost
        position["commission_e8"] += mul_ppm(cost, taker_ppm)
        if kept == 0:
            continue
        piece["lots"] = kept
        target = tables.targets[chosen["target1"] if k == 0 else chosen["target2"], i]
        target_code = target["code"] if k < 2 else NEVER
        if target_code < code or (is_scan and target_code == code):
            then = _settled(target_code, False, entered)
            _sell(kept, cost, target["level"], costs["maker_ppm"], then, piece, position, instrument)
            position["last_code"] = max(position["last_code"], target_code)
            position["settled"] = max(position["settled"], then)
            continue
        piece["settled"] = settled
        position["last_code"], position["settled"] = code, settled
        if is_scan:
            scan_lots, scan_cost = scan_lots + kept, scan_cost + cost
        elif code < NEVER:
            price = _price(kept, at, code, False, entered, market)
            _sell(kept, cost, price, taker_ppm, settled, piece, position, instrument)
    together = memory.pieces[_TRANCHES]
    together["lots"], together["settled"], together["credit_e8"] = 0, 0, 0
    if scan_lots > 0:
        price = _price(scan_lots, at, code, True, entered, market)
        _sell(scan_lots, scan_cost, price, taker_ppm, settled, together, position, instrument)


@njit
def _count(row: np.void, position: np.void, entry: np.void, market: Market) -> None:
    """Add a position to the row."""
    bars, code = market.bars, position["last_code"]
    row["commission_e8"] += position["commission_e8"]
    if code == NEVER:
        row["open_at_end"] = 1
        held_ns = bars[len(bars) - 1]["ts_open_ns"] + market.frame_ns - entry["ts_ns"]
    else:
        result = position["result_e8"]
        row["trades"] += 1
        row["wins"] += result > 0
        row["gross_profit_e8"] += max(result, 0)
        row["gross_loss_e8"] -= min(result, 0)
        left_ns = print_ts_ns(bars[code // 4]["ts_open_ns"], market.frame_ns, code % 4)
        held_ns = left_ns - entry["ts_ns"]
    row["exposure_ns"] += held_ns
    row["max_hold_ns"] = max(row["max_hold_ns"], held_ns)


@njit
def run_combination(
    chosen: np.void,
    rules: np.void,
    limits: np.void,
    market: Market,
    account: Account,
    tables: Tables,
    memory: Memory,
    row: np.void,
) -> None:
    """Trade all entries; fills `row` but for its daily figures, and the daily marks in `memory`."""
    entries, stops, position = tables.entries, tables.stops[chosen["stop"]], memory.position[0]
    marks, instrument = memory.marks_e8, market.instrument[0]
    cash, day, i = account.initial_e8, 0, 0
    while i < len(entries):
        entry = entries[i]
        while account.day_bars[day] <= entry["bar"]:
            marks[day] = cash
            day += 1
        lots = _approved_lots(cash, entry, stops[i], limits, instrument)
        if lots > 0:
            _hold(lots, i, chosen, rules, market, account, tables, memory)
        if lots == 0 or position["bought"] == 0:
            i += 1
            continue
        cash -= position["paid_e8"]
        _count(row, position, entry, market)
        day = _mark_held(day, position["settled"], cash, memory.pieces, market, account, marks)
        cash += position["credit_e8"]
        if position["last_code"] == NEVER:
            break
        i = account.next_entry[position["settled"]]
    while day < len(marks):
        marks[day] = cash
        day += 1
    row["final_equity_e8"] = marks[len(marks) - 1]


@njit
def run_combinations(
    chosen: NDArray[np.void],
    rules: NDArray[np.void],
    limits: NDArray[np.void],
    market: Market,
    account: Account,
    tables: Tables,
    memory: Memory,
    rows: NDArray[np.void],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """A row and the block sums of each combination; threads share all but `memory` and the output."""
    for k in range(len(chosen)):
        one, row = chosen[k], rows[k]
        run_combination(one, rules[one["rules"]], limits[one["limits"]], market, account, tables, memory, row)
        row["combination"] = one["combination"]
        judge_days(memory.marks_e8, account.initial_e8, memory.returns, row, sums[k], squares[k])
