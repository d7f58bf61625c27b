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

from typing import TYPE_CHECKING

from bnml.kernels import njit
from bnml.kernels.exit_tables import BLOCK, NEVER, note, sold_at
from bnml.kernels.exits import initial_stop, target_level, trail_activation, trail_stop
from bnml.kernels.fills import (
    SLOT_LOW,
    SLOT_OPEN,
    bar_path,
    limit_fills,
    notional_e8,
    print_ts_ns,
    stop_print,
    stop_triggered,
)
from bnml.kernels.sizing import minimum_lots

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market, Scratch, Tables, Variants

CHUNK = 256
"""Bars that one rule is walked before the next, at first, so that none walks far beyond the end of the others."""


@njit
def _insert(levels: NDArray[np.int64], at: NDArray[np.int64], count: int, level: int, variant: int) -> None:
    """Keep `levels` ascending; they mostly come so."""
    j = count
    while j > 0 and levels[j - 1] > level:
        levels[j], at[j] = levels[j - 1], at[j - 1]
        j -= 1
    levels[j], at[j] = level, variant


@njit
def _open_stops(i: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch) -> int:
    """Levels of the stops, ascending in the scratch; returns how many there are."""
    entry, origin, count = tables.entries[i], tables.origins[i], 0
    instrument, taker_ppm, close = market.instrument[0], market.costs[0]["taker_ppm"], entry["close"]
    for s in range(len(variants.stops)):
        size, rules = tables.sizes[s, i], variants.stops[s]
        decided, _ = initial_stop(close, origin["atr"], rules)
        least = minimum_lots(decided if decided > 0 else close, taker_ppm, instrument)
        size["stop"], size["least_lots"] = decided, least
        size["least_e8"] = notional_e8(entry["cap"], least, instrument)
        level, _ = initial_stop(origin["reference"], origin["atr"], rules)
        scratch.stops[s] = level
        tables.stops.codes[s, i] = NEVER
        if level > 0:
            _insert(scratch.stop_levels, scratch.stop_at, count, level, s)
            count += 1
    return count


@njit
def _open_targets(i: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch) -> int:
    """Levels of the targets, ascending in the scratch; returns how many there are."""
    count = 0
    for g in range(len(variants.targets)):
        rule, reference = variants.targets[g], tables.origins[i]["reference"]
        stop = scratch.stops[rule["stop"]]
        level = target_level(reference, stop, rule["ppm"], rule["r_ppm"], market.rules[0])
        tables.targets.codes[g, i] = NEVER
        if level > 0:
            _insert(scratch.target_levels, scratch.target_at, count, level, g)
            count += 1
    return count


@njit
def _open_trails(i: int, variants: Variants, tables: Tables, scratch: Scratch) -> None:
    for v in range(len(variants.trails)):
        tables.trails.codes[v, i] = NEVER
    for g in range(len(scratch.trail_at)):
        scratch.trail_at[g] = variants.groups[g]
        rules = variants.trails[variants.groups[g]]
        scratch.activations[g] = trail_activation(tables.origins[i]["reference"], rules)


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
def _close_by_scan(i: int, market: Market, variants: Variants, tables: Tables) -> int:
    """Exits by age and signal; returns the number of the last print that a combination can see."""
    bars, t, last_code = market.bars, tables.entries[i]["bar"], 0
    for h in range(len(variants.holds)):
        tables.scans.codes[h, i] = NEVER
        scan = tables.origins[i]["sell_scan"]
        if variants.holds[h] > 0:
            due_ns = bars[t]["ts_open_ns"] + variants.holds[h]
            scan = min(scan, _first_bar_at(bars, due_ns, t + 1, market.frame_ns))
        if scan < len(bars) - 1:
            price = sold_at(market.opens[scan + 1], bars[scan], market.costs[0])
            note(i, h, (scan + 1) * 4, price, True, market, tables, tables.scans)
        last_code = max(last_code, tables.scans.codes[h, i])
    return last_code


@njit
def _walk_stops(
    i: int, k: int, end: int, count: int, market: Market, tables: Tables, scratch: Scratch
) -> int:
    """Bars `k` to before `end`; the `count` lowest levels are still to be met. Returns the new count."""
    lows, opens, levels, bar = market.lows, market.opens, scratch.stop_levels, k
    while bar < end and count > 0:
        if bar % BLOCK == 0 and bar + BLOCK <= end and market.block_lows[bar // BLOCK] > levels[count - 1]:
            bar += BLOCK
            continue
        while count > 0 and stop_triggered(levels[count - 1], lows[bar]):
            count -= 1
            s, level = scratch.stop_at[count], levels[count]
            if stop_triggered(level, opens[bar]):
                # At the entry's own print it was passed before it could rest.
                is_entry = bar == tables.entries[i]["bar"] + 1
                pricing = market.bars[bar - 1] if is_entry else market.bars[bar - 2]
                price = sold_at(stop_print(level, opens[bar], True), pricing, market.costs[0])
                note(i, s, bar * 4 + SLOT_OPEN, price, False, market, tables, tables.stops)
            else:
                price = sold_at(stop_print(level, lows[bar], False), market.bars[bar - 1], market.costs[0])
                note(i, s, bar * 4 + SLOT_LOW, price, False, market, tables, tables.stops)
        bar += 1
    return count


@njit
def _walk_targets(
    i: int, k: int, end: int, first: int, count: int, market: Market, tables: Tables, scratch: Scratch
) -> int:
    """Bars `k` to before `end`, targets from the one at `first` on; returns where the next one is."""
    highs, levels, bar = market.highs, scratch.target_levels, k
    while bar < end and first < count:
        if bar % BLOCK == 0 and bar + BLOCK <= end and market.block_highs[bar // BLOCK] < levels[first]:
            bar += BLOCK
            continue
        if highs[bar] >= levels[first]:
            prints, opened_ns = bar_path(market.bars[bar]), market.bars[bar]["ts_open_ns"]
            key, costs = market.instrument[0]["symbol_key"], market.costs[0]
            is_entry = bar == tables.entries[i]["bar"] + 1
            for slot in range(SLOT_LOW if is_entry else SLOT_OPEN, 4):
                ts_ns = print_ts_ns(opened_ns, market.frame_ns, slot)
                while first < count and limit_fills(False, levels[first], prints[slot], key, ts_ns, costs):
                    g, level = scratch.target_at[first], levels[first]
                    note(i, g, bar * 4 + slot, level, False, market, tables, tables.targets)
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
    i: int,
    code: int,
    print_ticks: int,
    peak: int,
    market: Market,
    variants: Variants,
    tables: Tables,
    scratch: Scratch,
) -> int:
    """A print against the stops trailed to by those before it; returns how many it meets."""
    met, bar, is_jump = 0, code // 4, code % 4 == SLOT_OPEN
    pricing, atr = market.bars[bar - 2] if is_jump else market.bars[bar - 1], tables.origins[i]["atr"]
    for g in range(len(scratch.trail_at)):
        at = scratch.trail_at[g]
        while at < variants.groups[g + 1] and scratch.activations[g] <= peak:
            level = trail_stop(0, peak, 0, atr, variants.trails[at])
            if not stop_triggered(level, print_ticks):
                break
            price = sold_at(stop_print(level, print_ticks, is_jump), pricing, market.costs[0])
            note(i, at, code, price, False, market, tables, tables.trails)
            at += 1
            met += 1
        scratch.trail_at[g] = at
    return met


@njit
def _walk_trails(
    i: int,
    k: int,
    end: int,
    peak: int,
    left: int,
    market: Market,
    variants: Variants,
    tables: Tables,
    scratch: Scratch,
) -> tuple[int, int]:
    """Bars `k` to before `end` after prints up to `peak`, `left` trails to be met; both for the next bars."""
    atr, bar = tables.origins[i]["atr"], k
    floor = _trail_floor(peak, atr, variants, scratch)
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
                peak, floor, bar = high, raised, bar + 1
                continue
        elif low > floor:
            bar += 1
            continue
        prints, is_entry = bar_path(market.bars[bar]), bar == tables.entries[i]["bar"] + 1
        for slot in range(SLOT_LOW if is_entry else SLOT_OPEN, 4):
            left -= _meet_trails(i, bar * 4 + slot, prints[slot], peak, market, variants, tables, scratch)
            peak = max(peak, prints[slot])
        floor = _trail_floor(peak, atr, variants, scratch)
        bar += 1
    return peak, left


@njit
def fill_entry(i: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch) -> None:
    """Find the exits of entry `i`."""
    stops, targets = len(variants.stops), len(variants.targets)
    open_stops = _open_stops(i, market, variants, tables, scratch)
    target, open_targets = 0, _open_targets(i, market, variants, tables, scratch)
    _open_trails(i, variants, tables, scratch)
    peak, open_trails = 0, variants.groups[-1]
    stops_end, trails_end = open_stops == stops, open_trails == len(variants.trails)
    targets_end = variants.ends_at_target == 1 and open_targets == targets
    k, width = tables.entries[i]["bar"] + 1, CHUNK
    end = min(len(market.bars), _close_by_scan(i, market, variants, tables) // 4 + 1)
    while k < end:
        until = min(end, k + width)
        open_stops = _walk_stops(i, k, until, open_stops, market, tables, scratch)
        if stops_end and open_stops == 0:  # the lowest stop ends the position
            end = until = min(end, tables.stops.codes[scratch.stop_at[0], i] // 4 + 1)
        target = _walk_targets(i, k, until, target, open_targets, market, tables, scratch)
        if targets_end and target == open_targets:
            end = until = min(end, tables.targets.codes[scratch.target_at[target - 1], i] // 4 + 1)
        peak, open_trails = _walk_trails(i, k, until, peak, open_trails, market, variants, tables, scratch)
        if trails_end and open_trails == 0:
            return
        k, width = until, width * 2


@njit
def fill_tables(
    first: int, end: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch
) -> None:
    """Find the exits of entries `first` to before `end`; threads share all but the scratch."""
    for i in range(first, end):
        fill_entry(i, market, variants, tables, scratch)
