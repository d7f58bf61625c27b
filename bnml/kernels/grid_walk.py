"""Combinations whose exits depend on the path of prices and of the position: each is walked bar by bar while it holds.

For a stop that moves in steps, a time stop that looks at profit and loss, dust. Entries are those of the
tables, so bars without a position cost nothing; a bar that can change nothing costs two comparisons. The
integers are those of the loop over all bars, by the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit, part
from bnml.kernels.exit_tables import NEVER
from bnml.kernels.exits import initial_stop
from bnml.kernels.fills import notional_e8
from bnml.kernels.grid_held import (
    enter,
    leave_by_scan,
    meet,
    open_lots,
    trails_through,
    walk_bar,
)
from bnml.kernels.grid_row import count_position, judge_days
from bnml.kernels.grid_trade import approved_lots, end_days, is_broke, mark_flat, wished_lots
from bnml.kernels.passage import first_bar_at, size_entry
from bnml.kernels.sizing import is_sellable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market
    from bnml.kernels.grid_trade import Account


@part
def _follow(
    held: np.void,
    pieces: NDArray[np.void],
    day: int,
    sell_scan: int,
    frame_ns: int,
    bars: NDArray[np.void],
    highs: NDArray[np.int64],
    lows: NDArray[np.int64],
    day_bars: NDArray[np.int64],
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> int:
    """From the fill to the last sale or the end of the data; returns the next day to be marked."""
    entered, count, has_dust, due = held["entered"], len(bars), rules["dust_ppm"] > 0, NEVER
    if rules["time_stop_ns"] > 0:
        due = first_bar_at(bars, bars[entered - 1]["ts_open_ns"] + rules["time_stop_ns"], entered, frame_ns)
    bar = entered
    while bar < count and held["settled"] == NEVER:
        # From this bar on, the scan of the bar before may do something.
        watch = min(day_bars[day], sell_scan, due) + 1
        if has_dust and held["sold"] == 1:
            watch = bar
        end, stop, ceiling = min(count, max(watch, bar)), held["stop"], held["ceiling"]
        while bar < end and lows[bar] > stop and highs[bar] < ceiling:
            bar += 1
        if bar == count:
            break
        may_trail = entered < bar < watch and lows[bar] > stop and highs[bar] < held["target"]
        if may_trail and trails_through(held, bars[bar], rules):
            bar += 1
            continue
        if bar > entered:
            opened, ts_ns = bars[bar]["open"], bars[bar]["ts_open_ns"]
            is_met = not held["stop"] < opened < held["ceiling"]
            if is_met and meet(held, pieces, opened, ts_ns, True, bars[bar - 2], rules, costs, instrument):
                held["settled"] = bar - 1
            while day_bars[day] < bar:
                value = notional_e8(bars[bar - 1]["close"], open_lots(pieces), instrument)
                marks[day] = held["cash_e8"] + value
                day += 1
            if held["settled"] != NEVER:
                break
            is_asked = bar >= watch or (has_dust and held["sold"] == 1)
            is_sell = sell_scan == bar - 1
            if is_asked and leave_by_scan(held, pieces, bar, is_sell, bars, rules, limits, costs, instrument):
                held["settled"] = bar
                break
        walk_bar(held, pieces, bar, frame_ns, bars, rules, costs, instrument)
        bar += 1
    while held["settled"] == NEVER and day < len(marks):
        marks[day] = held["cash_e8"] + notional_e8(bars[count - 1]["close"], open_lots(pieces), instrument)
        day += 1
    return day


@part
def _approved(
    cash_e8: int,
    entry: np.void,
    atr: int,
    size: np.void,
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> tuple[int, int]:
    """(lots, 0 where they are refused for their size; price at which they must be sellable)."""
    stop, _ = initial_stop(entry["close"], atr, rules)
    least_price = stop if stop > 0 else entry["close"]
    lots = wished_lots(cash_e8, entry, stop, limits, instrument)
    if is_sellable(lots, least_price, costs["taker_ppm"], instrument):
        return lots, least_price
    if instrument["notional_den"] == 1:  # below the least, and so is its notional
        return 0, least_price
    size_entry(size, entry, atr, rules, costs["taker_ppm"], instrument)
    return approved_lots(cash_e8, entry, size, limits, instrument), least_price


@part
def run_walked(
    rules: np.void,
    limits: np.void,
    market: Market,
    account: Account,
    entries: NDArray[np.void],
    origins: NDArray[np.void],
    next_entry: NDArray[np.int64],
    size: np.void,
    held: np.void,
    pieces: NDArray[np.void],
    marks: NDArray[np.int64],
    row: np.void,
) -> None:
    """Trade all entries; fills `row` but for its daily figures, and `marks` by day."""
    bars, highs, lows, frame_ns = market.bars, market.highs, market.lows, market.frame_ns
    instrument, costs = market.instrument[0], market.costs[0]
    taking, day_bars = account.taking, account.day_bars
    day, i = 0, 0
    held["cash_e8"] = account.initial_e8
    while i < len(entries):
        entry, origin = entries[i], origins[i]
        day = mark_flat(day, entry["bar"], held["cash_e8"], day_bars, marks)
        lots, least_price = _approved(
            held["cash_e8"], entry, origin["atr"], size, rules, limits, costs, instrument
        )
        if lots == 0 or not enter(
            held, pieces, lots, entry, origin, taking, least_price, bars, rules, costs, instrument
        ):
            if is_broke(held["cash_e8"], instrument["min_notional_e8"], limits):
                break
            i += 1
            continue
        day = _follow(
            held,
            pieces,
            day,
            origin["sell_scan"],
            frame_ns,
            bars,
            highs,
            lows,
            day_bars,
            marks,
            rules,
            limits,
            costs,
            instrument,
        )
        row["commission_e8"] += held["commission_e8"]
        is_open = held["settled"] == NEVER
        left_ns = bars[len(bars) - 1]["ts_open_ns"] + frame_ns if is_open else held["ts_ns"]
        count_position(row, held["result_e8"], left_ns - entry["ts_ns"], is_open)
        if is_open:
            break
        i = next_entry[held["settled"]]
    end_days(day, held["cash_e8"], marks, row)


@njit
def run_all_walked(
    numbers: NDArray[np.int64],
    sizes: NDArray[np.int64],
    rules: NDArray[np.void],
    limits: NDArray[np.void],
    market: Market,
    account: Account,
    entries: NDArray[np.void],
    origins: NDArray[np.void],
    next_entry: NDArray[np.int64],
    size: NDArray[np.void],
    held: NDArray[np.void],
    pieces: NDArray[np.void],
    marks: NDArray[np.int64],
    returns: NDArray[np.float64],
    rows: NDArray[np.void],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """A row and the block sums of each combination, by `rules[k]` and `limits[sizes[k]]`; the rest is scratch."""
    for k in range(len(numbers)):
        sized, row = limits[sizes[k]], rows[k]
        run_walked(
            rules[k],
            sized,
            market,
            account,
            entries,
            origins,
            next_entry,
            size[0],
            held[0],
            pieces,
            marks,
            row,
        )
        row["combination"] = numbers[k]
        judge_days(marks, account.initial_e8, returns, row, sums[k], squares[k])
