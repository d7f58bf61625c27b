"""First-passage tables: for each entry and each level of each exit rule, when and at what price it is left.

An exit that depends on nothing but the entry and its own parameters happens at one print, whatever the
other rules say. So one walk forward from each entry finds the print of every level, and a combination
of rules is left at the first of its levels (`kernels.grid`). Walks end as soon as no combination can
still hold the position; what they have not reached by then is NEVER.

A print is numbered `bar * 4 + slot` (see `fills`); an exit decided by a scan has the number of the open
that it meets. Bars are walked open (a jump), low, high, close, so a stop is met by an open or a low.
Levels and prices are those of `exits` and `fills`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.exits import initial_stop, target_level, trail_activation, trail_stop
from bnml.kernels.fills import (
    SLOT_LOW,
    SLOT_OPEN,
    limit_fills,
    notional_e8,
    print_ts_ns,
    stop_print,
    stop_triggered,
    taker_fill,
)
from bnml.kernels.records import FillTier, Taking
from bnml.kernels.sizing import minimum_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = 1 << 62
"""No such print in the data, or one that comes after every combination has left."""
CHUNK = 256
"""Bars that one rule is walked before the next, at first, so that none walks far beyond the end of the others."""
BLOCK = 64
"""Bars whose extremes are known together."""
_MARKET = int(Taking.MARKET)
_F1 = int(FillTier.F1)

ENTRY = np.dtype(
    [
        ("bar", np.int64),  # the deciding one; it fills at the open of the next
        ("close", np.int64),  # of the deciding bar
        ("reference", np.int64),  # what its levels are measured from
        ("cap", np.int64),
        ("price", np.int64),  # of its fill
        ("most_lots", np.int64),  # F1: the most that one order takes
        ("atr", np.int64),
        ("ts_ns", np.int64),  # of its fill
        ("sell_code", np.int64),  # of the first exit signal
        ("sell_market", np.int64),
    ]
)
STOP_CELL = np.dtype(
    [
        ("code", np.int64),
        ("market", np.int64),  # tier F0: the price it is sold at; F1: the print it meets
        ("level", np.int64),  # 0: no stop
        ("least_lots", np.int64),  # the smallest entry that can be sold at this stop
        ("least_e8", np.int64),  # its notional at the cap
    ]
)
TARGET_CELL = np.dtype([("code", np.int64), ("level", np.int64)])  # level 0: no target
MARKET_CELL = np.dtype([("code", np.int64), ("market", np.int64)])
TARGET_RULE = np.dtype([("ppm", np.int64), ("r_ppm", np.int64), ("stop", np.int64)])
"""A target; `stop` is the variant whose distance it is a multiple of, if `r_ppm` says so."""


class Market(NamedTuple):
    """What the prints are matched with; records are one-element arrays of `kernels.records`."""

    bars: NDArray[np.void]
    opens: NDArray[np.int64]
    highs: NDArray[np.int64]
    lows: NDArray[np.int64]
    block_highs: NDArray[np.int64]  # of BLOCK bars each
    block_lows: NDArray[np.int64]
    instrument: NDArray[np.void]
    costs: NDArray[np.void]
    rules: NDArray[np.void]  # what all levels share
    frame_ns: int


class Variants(NamedTuple):
    """The levels of each rule. A rule that is off is one of its variants and never reached."""

    stops: NDArray[np.void]  # RULES
    targets: NDArray[np.void]  # TARGET_RULE
    trails: NDArray[np.void]  # RULES, in groups; those beyond the last group are off
    groups: NDArray[np.int64]  # first trail of each group, and the end: one start, one kind of distance, ascending
    holds: NDArray[np.int64]  # ns; the exit signal ends each
    ends_at_target: int  # 1: a target closes the whole position


class Tables(NamedTuple):
    """Entries in time, and cells by [variant, entry]."""

    entries: NDArray[np.void]
    stops: NDArray[np.void]
    targets: NDArray[np.void]
    trails: NDArray[np.void]
    holds: NDArray[np.void]


class Scratch(NamedTuple):
    """Working memory of one builder: levels in the order in which they are crossed, and whose they are."""

    stop_levels: NDArray[np.int64]
    stop_at: NDArray[np.int64]
    target_levels: NDArray[np.int64]
    target_at: NDArray[np.int64]
    trail_at: NDArray[np.int64]  # by group: the next trail
    activations: NDArray[np.int64]  # by group


def new_tables(entries: NDArray[np.void], variants: Variants) -> Tables:
    """Tables to be filled for these entries."""
    axes = (variants.stops, variants.targets, variants.trails, variants.holds)
    dtypes = (STOP_CELL, TARGET_CELL, MARKET_CELL, MARKET_CELL)
    cells = (np.empty((len(axis), len(entries)), dtype) for axis, dtype in zip(axes, dtypes, strict=True))
    return Tables(entries, *cells)


def new_scratch(variants: Variants) -> Scratch:
    """Working memory for these variants."""
    stops, targets, groups = len(variants.stops), len(variants.targets), len(variants.groups) - 1
    return Scratch(*(np.empty(size, np.int64) for size in (stops, stops, targets, targets, groups, groups)))


@njit
def sold_at(print_ticks: int, pricing: np.void, costs: np.void) -> int:
    """The `market` of a cell: in F0 no price depends on the quantity, so it is the price."""
    if costs["tier"] == _F1:
        return print_ticks
    return taker_fill(_MARKET, False, 1, 0, print_ticks, pricing, costs)[1]


@njit
def _insert(levels: NDArray[np.int64], at: NDArray[np.int64], count: int, level: int, variant: int) -> None:
    """Keep `levels` ascending; they mostly come so."""
    j = count
    while j > 0 and levels[j - 1] > level:
        levels[j], at[j] = levels[j - 1], at[j - 1]
        j -= 1
    levels[j], at[j] = level, variant


@njit
def _open_stops(
    entry: np.void, cells: NDArray[np.void], market: Market, variants: Variants, scratch: Scratch
) -> int:
    """Levels of the stops, ascending in the scratch; returns how many there are."""
    instrument, costs, count = market.instrument[0], market.costs[0], 0
    for s in range(len(cells)):
        cell = cells[s]
        level, _ = initial_stop(entry["reference"], entry["atr"], variants.stops[s])
        least = minimum_lots(level, costs["taker_ppm"], instrument)
        cell["code"], cell["market"], cell["level"] = NEVER, 0, level
        cell["least_lots"], cell["least_e8"] = least, notional_e8(entry["cap"], least, instrument)
        if level > 0:
            _insert(scratch.stop_levels, scratch.stop_at, count, level, s)
            count += 1
    return count


@njit
def _open_targets(
    entry: np.void,
    cells: NDArray[np.void],
    rules: np.void,
    variants: Variants,
    scratch: Scratch,
) -> int:
    """Levels of the targets, ascending in the scratch; returns how many there are."""
    count = 0
    for g in range(len(cells)):
        cell, rule = cells[g], variants.targets[g]
        level = target_level(entry["reference"], rule["ppm"], rules) if rule["ppm"] > 0 else 0
        cell["code"], cell["level"] = NEVER, level
        if level > 0:
            _insert(scratch.target_levels, scratch.target_at, count, level, g)
            count += 1
    return count


@njit
def _open_trails(
    entry: np.void, cells: NDArray[np.void], variants: Variants, scratch: Scratch
) -> None:
    for v in range(len(cells)):
        cells[v]["code"], cells[v]["market"] = NEVER, 0
    for g in range(len(scratch.trail_at)):
        scratch.trail_at[g] = variants.groups[g]
        rules = variants.trails[variants.groups[g]]
        scratch.activations[g] = trail_activation(entry["reference"], rules)


@njit
def _first_bar_at(bars: NDArray[np.void], ts_ns: int, low: int, frame_ns: int) -> int:
    """First bar from `low` on that opens at `ts_ns` or later; the number of bars if none does."""
    high = len(bars)
    guess = low + (ts_ns - bars[low]["ts_open_ns"]) // frame_ns  # right unless bars are missing
    if low <= guess < high and bars[guess]["ts_open_ns"] == ts_ns:
        return guess
    while low < high:
        middle = (low + high) // 2
        if bars[middle]["ts_open_ns"] >= ts_ns:
            high = middle
        else:
            low = middle + 1
    return low


@njit
def _close_by_scan(entry: np.void, cells: NDArray[np.void], market: Market, holds: NDArray[np.int64]) -> int:
    """Exits by age; returns the number of the last print that a combination can see."""
    bars, t, last = market.bars, entry["bar"], 0
    for h in range(len(cells)):
        cell = cells[h]
        cell["code"], cell["market"] = NEVER, 0
        scan = _first_bar_at(bars, bars[t]["ts_open_ns"] + holds[h], t + 1, market.frame_ns)
        if scan < len(bars) - 1:
            cell["code"] = (scan + 1) * 4
            cell["market"] = sold_at(market.opens[scan + 1], bars[scan], market.costs[0])
        last = max(last, cell["code"])
    return min(last, entry["sell_code"])


@njit
def _walk_stops(
    k: int, end: int, entered: int, count: int, cells: NDArray[np.void], market: Market, scratch: Scratch
) -> int:
    """Bars `k` to before `end`; the `count` lowest levels are still to be met. Returns the new count."""
    lows, opens, levels = market.lows, market.opens, scratch.stop_levels
    bar = k
    while bar < end and count > 0:
        if bar % BLOCK == 0 and bar + BLOCK <= end and market.block_lows[bar // BLOCK] > levels[count - 1]:
            bar += BLOCK
            continue
        while count > 0 and lows[bar] <= levels[count - 1]:
            count -= 1
            cell, level = cells[scratch.stop_at[count]], levels[count]
            if opens[bar] <= level:  # at the entry's own print the stop was passed before it could rest
                cell["code"] = bar * 4 + SLOT_OPEN
                pricing = market.bars[bar - 1] if bar == entered else market.bars[bar - 2]
                cell["market"] = sold_at(opens[bar], pricing, market.costs[0])
            else:
                cell["code"] = bar * 4 + SLOT_LOW
                met = stop_print(level, lows[bar], False)
                cell["market"] = sold_at(met, market.bars[bar - 1], market.costs[0])
        bar += 1
    return count


@njit
def _walk_targets(
    k: int,
    end: int,
    entered: int,
    first: int,
    count: int,
    cells: NDArray[np.void],
    market: Market,
    scratch: Scratch,
) -> int:
    """Bars `k` to before `end`, targets from the one at `first` on; returns where the next one is."""
    highs, levels = market.highs, scratch.target_levels
    bar = k
    while bar < end and first < count:
        if bar % BLOCK == 0 and bar + BLOCK <= end and market.block_highs[bar // BLOCK] < levels[first]:
            bar += BLOCK
            continue
        if highs[bar] >= levels[first]:
            met = market.bars[bar]
            prints = (met["open"], met["low"], met["high"], met["close"])
            for slot in range(SLOT_LOW if bar == entered else SLOT_OPEN, 4):
                ts_ns = print_ts_ns(met["ts_open_ns"], market.frame_ns, slot)
                key, costs = market.instrument[0]["symbol_key"], market.costs[0]
                while first < count and limit_fills(False, levels[first], prints[slot], key, ts_ns, costs):
                    cells[scratch.target_at[first]]["code"] = bar * 4 + slot
                    first += 1
        bar += 1
    return first


@njit
def _trail_floor(peak: int, atr: int, variants: Variants, scratch: Scratch) -> int:
    """The highest stop, among those still to be met, after prints whose highest is `peak`; 0 without one."""
    floor = 0
    for g in range(len(scratch.trail_at)):
        at = scratch.trail_at[g]
        if at < variants.groups[g + 1] and scratch.activations[g] <= peak:
            floor = max(floor, trail_stop(0, peak, 0, atr, variants.trails[at]))
    return floor


@njit
def _meet_trails(
    code: int,
    print_ticks: int,
    peak: int,
    entry: np.void,
    cells: NDArray[np.void],
    market: Market,
    variants: Variants,
    scratch: Scratch,
) -> int:
    """A print against the stops trailed to by those before it; returns how many it meets."""
    met, bar, is_jump = 0, code // 4, code % 4 == SLOT_OPEN
    pricing = market.bars[bar - 2] if is_jump else market.bars[bar - 1]
    for g in range(len(scratch.trail_at)):
        at = scratch.trail_at[g]
        while at < variants.groups[g + 1] and scratch.activations[g] <= peak:
            level = trail_stop(0, peak, 0, entry["atr"], variants.trails[at])
            if not stop_triggered(level, print_ticks):
                break
            cells[at]["code"] = code
            cells[at]["market"] = sold_at(stop_print(level, print_ticks, is_jump), pricing, market.costs[0])
            at += 1
            met += 1
        scratch.trail_at[g] = at
    return met


@njit
def _walk_trails(
    k: int,
    end: int,
    peak: int,
    left: int,
    entry: np.void,
    cells: NDArray[np.void],
    market: Market,
    variants: Variants,
    scratch: Scratch,
) -> tuple[int, int]:
    """Bars `k` to before `end` after prints up to `peak`, `left` trails to be met; both for the next bars."""
    atr, floor = entry["atr"], _trail_floor(peak, entry["atr"], variants, scratch)
    bar = k
    while bar < end and left > 0:
        low, high = market.lows[bar], market.highs[bar]
        if bar % BLOCK == 0 and bar + BLOCK <= end:
            block = bar // BLOCK
            if market.block_highs[block] <= peak and market.block_lows[block] > floor:
                bar += BLOCK
                continue
        if high > peak:
            raised = _trail_floor(high, atr, variants, scratch)
            if low > raised:
                peak, floor = high, raised
                bar += 1
                continue
        elif low > floor:
            bar += 1
            continue
        met = market.bars[bar]
        prints = (met["open"], met["low"], met["high"], met["close"])
        for slot in range(SLOT_LOW if bar == entry["bar"] + 1 else SLOT_OPEN, 4):
            left -= _meet_trails(bar * 4 + slot, prints[slot], peak, entry, cells, market, variants, scratch)
            peak = max(peak, prints[slot])
        floor = _trail_floor(peak, atr, variants, scratch)
        bar += 1
    return peak, left


@njit
def fill_entry(i: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch) -> None:
    """Fill the cells of entry `i`."""
    entry = tables.entries[i]
    stops, targets, trails = tables.stops[:, i], tables.targets[:, i], tables.trails[:, i]
    open_stops = _open_stops(entry, stops, market, variants, scratch)
    target, open_targets = 0, _open_targets(entry, targets, market.rules[0], variants, scratch)
    _open_trails(entry, trails, variants, scratch)
    peak, open_trails = 0, variants.groups[-1]
    last_code = _close_by_scan(entry, tables.holds[:, i], market, variants.holds)
    ends = (
        open_stops == len(stops),
        variants.ends_at_target == 1 and open_targets == len(targets),
        open_trails == len(trails),
    )
    entered = entry["bar"] + 1
    k, end, width = entered, min(len(market.bars), last_code // 4 + 1), CHUNK
    while k < end:
        until = min(end, k + width)
        open_stops = _walk_stops(k, until, entered, open_stops, stops, market, scratch)
        if ends[0] and open_stops == 0:  # the lowest stop ends the position
            end = until = min(end, stops[scratch.stop_at[0]]["code"] // 4 + 1)
        target = _walk_targets(k, until, entered, target, open_targets, targets, market, scratch)
        if ends[1] and target == open_targets:
            end = until = min(end, targets[scratch.target_at[target - 1]]["code"] // 4 + 1)
        peak, open_trails = _walk_trails(
            k, until, peak, open_trails, entry, trails, market, variants, scratch
        )
        if ends[2] and open_trails == 0:
            return
        k, width = until, width * 2


@njit
def fill_tables(
    first: int, end: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch
) -> None:
    """Fill the cells of the entries `first` to before `end`; threads share tables, not scratch."""
    for i in range(first, end):
        fill_entry(i, market, variants, tables, scratch)
