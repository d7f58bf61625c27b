"""Combinations whose exits depend on the path of prices and of the position: each is walked while it holds.

For a stop that moves in steps, a time stop that looks at profit and loss, dust. Entries are those of the
tables, so bars without a position cost nothing. Combinations go through the bars side by side, so that all
find the same bars in the cache. The integers are those of the loop over all bars, by the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit, part
from bnml.kernels.exit_tables import NEVER
from bnml.kernels.exits import initial_stop
from bnml.kernels.grid_follow import follow, mark_held
from bnml.kernels.grid_held import enter
from bnml.kernels.grid_row import count_position, judge_days
from bnml.kernels.grid_trade import approved_lots, end_days, is_broke, mark_flat, wished_lots
from bnml.kernels.passage import first_bar_at, size_entry
from bnml.kernels.sizing import is_sellable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market
    from bnml.kernels.grid_follow import Course
    from bnml.kernels.grid_trade import Account

CHUNK = 4096
"""Bars that all combinations go through before any goes on."""


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
def _begin(
    held: np.void,
    pieces: NDArray[np.void],
    size: np.void,
    market: Market,
    account: Account,
    course: Course,
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
) -> bool:
    """Take the next entry; whether it bought."""
    bars, instrument, costs = market.bars, market.instrument[0], market.costs[0]
    entry, origin, cash = course.entries[held["entry"]], course.origins[held["entry"]], held["cash_e8"]
    held["day"] = mark_flat(held["day"], entry["bar"], cash, account.day_bars, marks)
    lots, least_price = _approved(cash, entry, origin["atr"], size, rules, limits, costs, instrument)
    if lots == 0 or not enter(
        held, pieces, lots, entry, origin, account.taking, least_price, bars, rules, costs, instrument
    ):
        held["settled"] = entry["bar"]
        return False
    held["bar"], held["due"] = held["entered"], NEVER
    if rules["time_stop_ns"] > 0:
        due_ns = bars[entry["bar"]]["ts_open_ns"] + rules["time_stop_ns"]
        held["due"] = first_bar_at(bars, due_ns, held["entered"], market.frame_ns)
    return True


@part
def _advance(
    held: np.void,
    pieces: NDArray[np.void],
    until: int,
    market: Market,
    account: Account,
    course: Course,
    size: np.void,
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    row: np.void,
) -> None:
    """Trade all entries before bar `until`, which is not behind the last."""
    entries = course.entries
    while held["bar"] < until:
        i = held["entry"]
        if held["settled"] != NEVER and not _begin(
            held, pieces, size, market, account, course, marks, rules, limits
        ):
            held["entry"] = i + 1
            if is_broke(held["cash_e8"], market.instrument[0]["min_notional_e8"], limits):
                held["entry"] = len(entries)
        else:
            follow(held, pieces, until, market, account, course, marks, rules, limits)
            if held["settled"] == NEVER:
                return
            row["commission_e8"] += held["commission_e8"]
            count_position(row, held["result_e8"], held["ts_ns"] - entries[i]["ts_ns"], False)
            held["entry"] = course.next_entry[held["settled"]]
        held["bar"] = entries[held["entry"]]["bar"] if held["entry"] < len(entries) else NEVER


@part
def _end(
    held: np.void,
    pieces: NDArray[np.void],
    market: Market,
    account: Account,
    course: Course,
    marks: NDArray[np.int64],
    row: np.void,
) -> None:
    """At the end of the data: what is still held is counted and marked."""
    bars = market.bars
    if held["settled"] == NEVER:
        left_ns = bars[len(bars) - 1]["ts_open_ns"] + market.frame_ns
        row["commission_e8"] += held["commission_e8"]
        count_position(row, held["result_e8"], left_ns - course.entries[held["entry"]]["ts_ns"], True)
        mark_held(held, pieces, len(bars), bars, account.day_bars, marks, market.instrument[0])
    end_days(held["day"], held["cash_e8"], marks, row)


@njit
def run_all_walked(
    numbers: NDArray[np.int64],
    sizes: NDArray[np.int64],
    rules: NDArray[np.void],
    limits: NDArray[np.void],
    market: Market,
    account: Account,
    course: Course,
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
    count, together, entries = len(market.bars), len(held), course.entries
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
                chosen, sized, row = rules[first + k], limits[sizes[first + k]], rows[first + k]
                _advance(
                    held[k], pieces[k], until, market, account, course, size[0], marks[k], chosen, sized, row
                )
        for k in range(mine):
            at = first + k
            _end(held[k], pieces[k], market, account, course, marks[k], rows[at])
            rows[at]["combination"] = numbers[at]
            judge_days(marks[k], account.initial_e8, returns, rows[at], sums[at], squares[at])
