"""First-passage tables: for each entry and each level of each exit rule, when and at what price it is left.

An exit that depends on nothing but the entry and its own parameters happens at one print, whatever the
other rules say. So one walk forward from each entry finds the print of every level, and a combination
of rules is left at the first of its levels (`kernels.grid`). Rules are walked one after the other, each
only as far as some combination can still hold the position; what is not reached by then is NEVER.

A print is numbered `bar * 4 + slot` (see `fills`); an exit decided by a scan has the number of the open
that it meets. Bars are walked open (a jump), low, high, close, so a stop is met by an open or a low.
Levels and prices are those of `exits` and `fills`. Loops take their arrays out of the tuples once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit, part
from bnml.kernels.exit_tables import BLOCK, NEVER, note, settled_bar, sold_at
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


@part
def _insert(levels: NDArray[np.int64], at: NDArray[np.int64], count: int, level: int, variant: int) -> None:
    """Keep `levels` ascending; they mostly come so."""
    j = count
    while j > 0 and levels[j - 1] > level:
        levels[j], at[j] = levels[j - 1], at[j - 1]
        j -= 1
    levels[j], at[j] = level, variant


@part
def first_bar_at(bars: NDArray[np.void], ts_ns: int, low: int, frame_ns: int) -> int:
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


@part
def find_scans(first: int, end: int, market: Market, holds: NDArray[np.int64], tables: Tables) -> None:
    """Exits by age and signal of the entries `first` to before `end`."""
    bars, costs, frame_ns, next_entry = market.bars, market.costs[0], market.frame_ns, tables.next_entry
    entries, origins, codes, cells = tables.entries, tables.origins, tables.scans.codes, tables.scans.cells
    for i in range(first, end):
        t, origin, last_code = entries[i]["bar"], origins[i], 0
        for h in range(len(holds)):
            scan = origin["sell_scan"]
            if holds[h] > 0:
                due_ns = bars[t]["ts_open_ns"] + holds[h]
                scan = min(scan, first_bar_at(bars, due_ns, t + 1, frame_ns))
            code = NEVER
            if scan < len(bars) - 1:
                met, code = bars[scan + 1], (scan + 1) * 4
                price = sold_at(met["open"], bars[scan], costs)
                note(cells[h, i], price, met["ts_open_ns"], next_entry[settled_bar(code, True, t + 1)])
            codes[h, i] = code
            last_code = max(last_code, code)
        origin["end"] = min(len(bars), last_code // 4 + 1)


@part
def size_entry(
    size: np.void, entry: np.void, atr: int, rules: np.void, taker_ppm: int, instrument: np.void
) -> None:
    """What an entry is sized by: its stop as decided, and the least that can be sold at it."""
    stop, _ = initial_stop(entry["close"], atr, rules)
    least = minimum_lots(stop if stop > 0 else entry["close"], taker_ppm, instrument)
    size["stop"], size["least_lots"] = stop, least
    size["least_e8"] = notional_e8(entry["cap"], least, instrument)


@part
def find_stops(
    first: int, end: int, market: Market, stops: NDArray[np.void], tables: Tables, scratch: Scratch
) -> None:
    """Sizes and stops of the entries `first` to before `end`."""
    bars, opens, lows, block_lows = market.bars, market.opens, market.lows, market.block_lows
    costs, instrument, frame_ns = market.costs[0], market.instrument[0], market.frame_ns
    entries, origins, sizes, next_entry = tables.entries, tables.origins, tables.sizes, tables.next_entry
    codes, cells, levels, at = tables.stops.codes, tables.stops.cells, scratch.levels, scratch.at
    for i in range(first, end):
        entry, origin, count = entries[i], origins[i], 0
        for s in range(len(stops)):
            size_entry(sizes[s, i], entry, origin["atr"], stops[s], costs["taker_ppm"], instrument)
            codes[s, i] = NEVER
            level, _ = initial_stop(origin["reference"], origin["atr"], stops[s])
            if level > 0:
                _insert(levels, at, count, level, s)
                count += 1
        is_every, entered, until = count == len(stops), entry["bar"] + 1, origin["end"]
        bar = entered
        while bar < until and count > 0:
            if bar % BLOCK == 0 and bar + BLOCK <= until and block_lows[bar // BLOCK] > levels[count - 1]:
                bar += BLOCK
                continue
            while count > 0 and stop_triggered(levels[count - 1], lows[bar]):
                count -= 1
                s, level, opened_ns = at[count], levels[count], bars[bar]["ts_open_ns"]
                if stop_triggered(level, opens[bar]):
                    code = bar * 4 + SLOT_OPEN
                    # At the entry's own print it was passed before it could rest.
                    pricing = bars[bar - 1] if bar == entered else bars[bar - 2]
                    price = sold_at(stop_print(level, opens[bar], True), pricing, costs)
                else:
                    code = bar * 4 + SLOT_LOW
                    price = sold_at(stop_print(level, lows[bar], False), bars[bar - 1], costs)
                codes[s, i] = code
                follower = next_entry[settled_bar(code, False, entered)]
                note(cells[s, i], price, print_ts_ns(opened_ns, frame_ns, code % 4), follower)
            bar += 1
        if is_every and count == 0:
            origin["end"] = bar


@part
def find_targets(
    first: int, end: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch
) -> None:
    """Targets of the entries `first` to before `end`."""
    bars, highs, block_highs, frame_ns = market.bars, market.highs, market.block_highs, market.frame_ns
    costs, key, shared = market.costs[0], market.instrument[0]["symbol_key"], market.rules[0]
    entries, origins, next_entry = tables.entries, tables.origins, tables.next_entry
    codes, cells, levels, at = tables.targets.codes, tables.targets.cells, scratch.levels, scratch.at
    rules, stops = variants.targets, variants.stops
    for i in range(first, end):
        origin, count, nearest = origins[i], 0, 0
        for g in range(len(rules)):
            codes[g, i] = NEVER
            stop, _ = initial_stop(origin["reference"], origin["atr"], stops[rules[g]["stop"]])
            level = target_level(origin["reference"], stop, rules[g]["ppm"], rules[g]["r_ppm"], shared)
            if level > 0:
                _insert(levels, at, count, level, g)
                count += 1
        is_every, entered, until = count == len(rules), entries[i]["bar"] + 1, origin["end"]
        bar = entered
        while bar < until and nearest < count:
            if bar % BLOCK == 0 and bar + BLOCK <= until and block_highs[bar // BLOCK] < levels[nearest]:
                bar += BLOCK
                continue
            if highs[bar] >= levels[nearest]:
                path, opened_ns = bar_path(bars[bar]), bars[bar]["ts_open_ns"]
                for slot in range(SLOT_LOW if bar == entered else SLOT_OPEN, 4):
                    ts_ns = print_ts_ns(opened_ns, frame_ns, slot)
                    follower = next_entry[settled_bar(bar * 4 + slot, False, entered)]
                    while nearest < count and limit_fills(
                        False, levels[nearest], path[slot], key, ts_ns, costs
                    ):
                        codes[at[nearest], i] = bar * 4 + slot
                        note(cells[at[nearest], i], levels[nearest], ts_ns, follower)
                        nearest += 1
            bar += 1
        if is_every and nearest == count and variants.ends_at_target == 1:
            origin["end"] = bar


@part
def _trail_floor(
    peak: int,
    atr: int,
    trails: NDArray[np.void],
    groups: NDArray[np.int64],
    at: NDArray[np.int64],
    activations: NDArray[np.int64],
) -> int:
    """The highest stop, among those still to be met, after prints whose highest is `peak`; 0 without one."""
    floor = 0
    for g in range(len(groups) - 1):
        if at[g] < groups[g + 1] and activations[g] <= peak:
            floor = max(floor, trail_stop(0, peak, 0, atr, trails[at[g]]))
    return floor


@part
def find_trails(
    first: int, end: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch
) -> None:
    """Trailing stops of the entries `first` to before `end`; a print meets those that earlier ones raised."""
    bars, highs, lows, costs, frame_ns = (
        market.bars,
        market.highs,
        market.lows,
        market.costs[0],
        market.frame_ns,
    )
    block_highs, block_lows, trails, groups = (
        market.block_highs,
        market.block_lows,
        variants.trails,
        variants.groups,
    )
    entries, origins, next_entry = tables.entries, tables.origins, tables.next_entry
    codes, cells, at, activations = tables.trails.codes, tables.trails.cells, scratch.at, scratch.activations
    for i in range(first, end):
        atr, bar, entered = origins[i]["atr"], entries[i]["bar"] + 1, entries[i]["bar"] + 1
        peak, floor, left, until = 0, 0, groups[-1], origins[i]["end"]
        for v in range(len(trails)):
            codes[v, i] = NEVER
        for g in range(len(groups) - 1):
            at[g] = groups[g]
            activations[g] = trail_activation(origins[i]["reference"], trails[groups[g]])
        while bar < until and left > 0:
            if bar % BLOCK == 0 and bar + BLOCK <= until:
                block = bar // BLOCK
                if block_highs[block] <= peak and block_lows[block] > floor:
                    bar += BLOCK
                    continue
            low, high = lows[bar], highs[bar]
            raised = floor
            if high > peak:
                raised = _trail_floor(high, atr, trails, groups, at, activations)
            if low > raised:
                peak, floor, bar = max(peak, high), raised, bar + 1
                continue
            path, opened_ns = bar_path(bars[bar]), bars[bar]["ts_open_ns"]
            for slot in range(SLOT_LOW if bar == entered else SLOT_OPEN, 4):
                code, is_jump = bar * 4 + slot, slot == SLOT_OPEN
                for g in range(len(groups) - 1):
                    while at[g] < groups[g + 1] and activations[g] <= peak:
                        level = trail_stop(0, peak, 0, atr, trails[at[g]])
                        if not stop_triggered(level, path[slot]):
                            break
                        pricing = bars[bar - 2] if is_jump else bars[bar - 1]
                        price = sold_at(stop_print(level, path[slot], is_jump), pricing, costs)
                        codes[at[g], i] = code
                        follower = next_entry[settled_bar(code, False, entered)]
                        note(cells[at[g], i], price, print_ts_ns(opened_ns, frame_ns, slot), follower)
                        at[g] += 1
                        left -= 1
                peak = max(peak, path[slot])
            floor = _trail_floor(peak, atr, trails, groups, at, activations)
            bar += 1


@njit
def fill_tables(
    first: int, end: int, market: Market, variants: Variants, tables: Tables, scratch: Scratch
) -> None:
    """Find all exits of the entries `first` to before `end`; threads share all but the scratch."""
    find_scans(first, end, market, variants.holds, tables)
    find_stops(first, end, market, variants.stops, tables, scratch)
    find_targets(first, end, market, variants, tables, scratch)
    find_trails(first, end, market, variants, tables, scratch)
