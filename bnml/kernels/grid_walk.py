"""Combinations whose exits depend on the path of prices and of the position: each is walked bar by bar while it holds.

For a stop that moves in steps, a time stop that looks at profit and loss, dust. Entries are those of the
tables, so bars without a position cost nothing. Nor do most with one: nothing happens before a high that
is new since the entry, a low at the stop, or a scan that may sell, and these are found without looking at
the bars between. Combinations go through the bars side by side, so that all find the same bars in the
cache. The integers are those of the loop over all bars, by the same functions.
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
from bnml.kernels.stretches import first_low

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market
    from bnml.kernels.grid_trade import Account

CHUNK = 4096
"""Bars that all combinations go through before any goes on."""


@part
def _mark_held(
    held: np.void,
    pieces: NDArray[np.void],
    before: int,
    bars: NDArray[np.void],
    day_bars: NDArray[np.int64],
    marks: NDArray[np.int64],
    instrument: np.void,
) -> None:
    """Mark the days that end with the scan of a bar before `before`."""
    day = held["day"]
    if day_bars[day] >= before:
        return
    lots = open_lots(pieces)
    while day_bars[day] < before:
        marks[day] = held["cash_e8"] + notional_e8(bars[day_bars[day]]["close"], lots, instrument)
        day += 1
    held["day"] = day


@part
def _handle(
    held: np.void,
    pieces: NDArray[np.void],
    is_asked: bool,
    is_sell: bool,
    frame_ns: int,
    bars: NDArray[np.void],
    day_bars: NDArray[np.int64],
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> None:
    """Everything that a bar and the scan before it do, print by print."""
    bar = held["bar"]
    if bar > held["entered"]:
        opened, ts_ns = bars[bar]["open"], bars[bar]["ts_open_ns"]
        if not held["stop"] < opened < held["ceiling"]:
            _mark_held(held, pieces, bar - 1, bars, day_bars, marks, instrument)
            if meet(held, pieces, opened, ts_ns, True, bars[bar - 2], rules, costs, instrument):
                held["settled"] = bar - 1
        _mark_held(held, pieces, bar, bars, day_bars, marks, instrument)
        if held["settled"] != NEVER:
            return
        is_asked = is_asked or (rules["dust_ppm"] > 0 and held["sold"] == 1)
        if is_asked and leave_by_scan(held, pieces, bar, is_sell, bars, rules, limits, costs, instrument):
            held["settled"] = bar
            return
    walk_bar(held, pieces, bar, frame_ns, bars, rules, costs, instrument)


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
def _follow(
    held: np.void,
    pieces: NDArray[np.void],
    until: int,
    sell_scan: int,
    frame_ns: int,
    bars: NDArray[np.void],
    lows: NDArray[np.int64],
    span_lows: NDArray[np.int64],
    stretches: NDArray[np.void],
    day_bars: NDArray[np.int64],
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> None:
    """From `bar` to the last sale, or to a bar not before `until`."""
    has_dust, bar, record = rules["dust_ppm"] > 0, held["bar"], held["record"]
    while bar < until and held["settled"] == NEVER:
        # From this bar on, the scan of the bar before may do something.
        watch = min(sell_scan, held["due"]) + 1
        if has_dust and held["sold"] == 1:
            watch = bar
        watch = max(watch, bar)
        stop, ceiling, following = held["stop"], held["ceiling"], bar
        if bar > held["entered"]:
            stretch = stretches[record]
            following, low = stretch["next"], stretch["low"]
            while low > stop and following < watch and following < len(bars) and stretches[following]["high"] < ceiling:
                record = following
                stretch = stretches[record]
                following, low = stretch["next"], stretch["low"]
            end = min(following, watch)
            bar = end if low > stop else first_low(stop, bar, end, lows, span_lows)
            if bar >= len(bars):
                break
            may_trail = bar < watch and lows[bar] > stop and stretches[bar]["high"] < held["target"]
            if may_trail and trails_through(held, bars[bar], rules):
                record, bar = bar, bar + 1
                continue
        held["bar"] = bar
        if bar > held["entered"] or not (lows[bar] > stop and stretches[bar]["high"] < ceiling):
            _handle(
                held,
                pieces,
                bar >= watch,
                sell_scan == bar - 1,
                frame_ns,
                bars,
                day_bars,
                marks,
                rules,
                limits,
                costs,
                instrument,
            )
        if bar == following:
            record = bar
        bar += 1
    held["bar"], held["record"] = bar, record


@part
def _begin(
    held: np.void,
    pieces: NDArray[np.void],
    size: np.void,
    account: Account,
    entry: np.void,
    origin: np.void,
    bars: NDArray[np.void],
    frame_ns: int,
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> bool:
    """Take the next entry; whether it bought."""
    held["day"] = mark_flat(held["day"], entry["bar"], held["cash_e8"], account.day_bars, marks)
    lots, least_price = _approved(held["cash_e8"], entry, origin["atr"], size, rules, limits, costs, instrument)
    if lots == 0 or not enter(
        held, pieces, lots, entry, origin, account.taking, least_price, bars, rules, costs, instrument
    ):
        held["settled"] = entry["bar"]
        return False
    held["bar"], held["due"] = held["entered"], NEVER
    if rules["time_stop_ns"] > 0:
        due_ns = bars[entry["bar"]]["ts_open_ns"] + rules["time_stop_ns"]
        held["due"] = first_bar_at(bars, due_ns, held["entered"], frame_ns)
    return True


@part
def _advance(
    held: np.void,
    pieces: NDArray[np.void],
    until: int,
    market: Market,
    account: Account,
    entries: NDArray[np.void],
    origins: NDArray[np.void],
    next_entry: NDArray[np.int64],
    stretches: NDArray[np.void],
    span_lows: NDArray[np.int64],
    size: np.void,
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    row: np.void,
) -> None:
    """Trade all entries before bar `until`, which is not behind the last."""
    bars, lows, frame_ns, day_bars = market.bars, market.lows, market.frame_ns, account.day_bars
    instrument, costs = market.instrument[0], market.costs[0]
    while held["bar"] < until:
        i = held["entry"]
        if held["settled"] != NEVER and not _begin(
            held, pieces, size, account, entries[i], origins[i], bars, frame_ns, marks, rules, limits, costs, instrument
        ):
            held["entry"] = i + 1
            if is_broke(held["cash_e8"], instrument["min_notional_e8"], limits):
                held["entry"] = len(entries)
        else:
            _follow(
                held,
                pieces,
                until,
                origins[i]["sell_scan"],
                frame_ns,
                bars,
                lows,
                span_lows,
                stretches,
                day_bars,
                marks,
                rules,
                limits,
                costs,
                instrument,
            )
            if held["settled"] == NEVER:
                return
            row["commission_e8"] += held["commission_e8"]
            count_position(row, held["result_e8"], held["ts_ns"] - entries[i]["ts_ns"], False)
            held["entry"] = next_entry[held["settled"]]
        held["bar"] = entries[held["entry"]]["bar"] if held["entry"] < len(entries) else NEVER


@part
def _end(
    held: np.void,
    pieces: NDArray[np.void],
    market: Market,
    account: Account,
    entries: NDArray[np.void],
    marks: NDArray[np.int64],
    row: np.void,
) -> None:
    """At the end of the data: what is still held is counted and marked."""
    bars = market.bars
    if held["settled"] == NEVER:
        left_ns = bars[len(bars) - 1]["ts_open_ns"] + market.frame_ns
        row["commission_e8"] += held["commission_e8"]
        count_position(row, held["result_e8"], left_ns - entries[held["entry"]]["ts_ns"], True)
        _mark_held(held, pieces, len(bars), bars, account.day_bars, marks, market.instrument[0])
    end_days(held["day"], held["cash_e8"], marks, row)


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
    stretches: NDArray[np.void],
    span_lows: NDArray[np.int64],
    size: NDArray[np.void],
    held: NDArray[np.void],
    pieces: NDArray[np.void],
    marks: NDArray[np.int64],
    returns: NDArray[np.float64],
    rows: NDArray[np.void],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """A row and the block sums of each combination, by `rules[k]` and `limits[sizes[k]]`; the rest is scratch.

    As many go side by side as there are rows in `held`, `pieces` and `marks`.
    """
    count, together = len(market.bars), len(held)
    for first in range(0, len(numbers), together):
        mine = min(together, len(numbers) - first)
        for k in range(mine):
            held[k]["cash_e8"], held[k]["settled"] = account.initial_e8, 0
            held[k]["day"], held[k]["entry"], held[k]["bar"] = 0, 0, NEVER
            if len(entries) > 0:
                held[k]["bar"] = entries[0]["bar"]
        for start in range(0, count, CHUNK):
            until = min(start + CHUNK, count)
            for k in range(mine):
                _advance(
                    held[k],
                    pieces[k],
                    until,
                    market,
                    account,
                    entries,
                    origins,
                    next_entry,
                    stretches,
                    span_lows,
                    size[0],
                    marks[k],
                    rules[first + k],
                    limits[sizes[first + k]],
                    rows[first + k],
                )
        for k in range(mine):
            at = first + k
            _end(held[k], pieces[k], market, account, entries, marks[k], rows[at])
            rows[at]["combination"] = numbers[at]
            judge_days(marks[k], account.initial_e8, returns, rows[at], sums[at], squares[at])
