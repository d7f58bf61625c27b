"""Tables of exits for the rules that a grid has, made once for everything that they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import numpy as np
from numpy.typing import NDArray

from bnml.kernels.entries import collect_entries
from bnml.kernels.exit_tables import (
    BLOCK,
    ENTRY,
    ORIGIN,
    TARGET_RULE,
    Market,
    Tables,
    Variants,
    new_scratch,
    new_tables,
)
from bnml.kernels.passage import fill_tables
from bnml.kernels.records import RULES
from bnml.kernels.stretches import SPAN, STRETCH, find_stretches
from bnml.research.sweep import SweepConfig, SweepInput

STOP_FIELDS = ("stop_atr_ppm", "hard_stop_ppm")
TRAIL_FIELDS = ("trail_start_ppm", "trail_ppm", "trail_atr_ppm")
CELL_BYTES = 32
ENTRIES_TOGETHER = 512
"""Entries that a thread takes at once."""


def make_market(data: SweepInput, config: SweepConfig) -> Market:
    """What prints of these bars are matched with."""
    bars = np.require(data.bars, data.bars.dtype, ["C", "W"])
    highs, lows = np.ascontiguousarray(bars["high"]), np.ascontiguousarray(bars["low"])
    whole = len(bars) // BLOCK * BLOCK
    return Market(
        bars,
        np.ascontiguousarray(bars["open"]),
        highs,
        lows,
        highs[:whole].reshape(-1, BLOCK).max(axis=1),
        lows[:whole].reshape(-1, BLOCK).min(axis=1),
        data.instrument_record.copy(),
        config.costs.copy(),
        config.rules.copy(),
        data.frame_ns,
    )


def make_stretches(market: Market) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """STRETCHes of all bars, and their `span_lows`."""
    stretches = np.empty(len(market.bars), STRETCH)
    find_stretches(market.highs, market.lows, stretches)
    return stretches, span_lows(market.lows)


def span_lows(lows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest low of each SPAN of bars; the last may be short."""
    return np.minimum.reduceat(lows, np.arange(0, len(lows), SPAN))


def make_variants(
    stops: Sequence[tuple[int, ...]],
    targets: Sequence[tuple[int, int, int]],
    trails: Sequence[tuple[int, ...]],
    holds: Sequence[int],
    *,
    ends_at_target: bool,
) -> tuple[Variants, NDArray[np.int64]]:
    """Variants of these values (STOP_FIELDS, TARGET_RULE, TRAIL_FIELDS, ns), and where each of `trails` is in them."""
    order, groups = _grouped(trails)
    variants = Variants(
        _rules(STOP_FIELDS, stops),
        np.array([tuple(target) for target in targets], dtype=TARGET_RULE),
        _rules(TRAIL_FIELDS, [trails[k] for k in order]),
        np.array(groups, dtype=np.int64),
        np.array(holds, dtype=np.int64),
        int(ends_at_target),
    )
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return variants, place


def find_entries(
    data: SweepInput, market: Market
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """What becomes an entry of the opinions: ENTRYs, their ORIGINs, and by bar the first that can follow."""
    opinions = np.require(data.opinions, requirements=["C", "W"])
    entries, origins = np.zeros(len(opinions), ENTRY), np.zeros(len(opinions), ORIGIN)
    next_entry = np.empty(len(data.bars) + 1, dtype=np.int64)
    count = collect_entries(market, opinions, data.first, entries, origins, next_entry)
    return entries[:count].copy(), origins[:count].copy(), next_entry


def make_tables(data: SweepInput, market: Market, variants: Variants) -> Tables:
    """All entries and their exits, by all processors."""
    tables = new_tables(*find_entries(data, market), variants)
    count = len(tables.entries)

    def fill(first: int) -> None:
        end = min(count, first + ENTRIES_TOGETHER)
        fill_tables(first, end, market, variants, tables, new_scratch(variants))

    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        list(pool.map(fill, range(0, count, ENTRIES_TOGETHER)))
    if count:
        tables.least_e8[:] = tables.sizes["least_e8"].min(axis=1)
    return tables


def _rules(names: Sequence[str], values: Sequence[tuple[int, ...]]) -> NDArray[np.void]:
    rules = np.zeros(len(values), dtype=RULES)
    for column, name in enumerate(names):
        rules[name] = [value[column] for value in values]
    return rules


def _grouped(trails: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """Order of the trails in their groups, those that are off last; and where groups begin and end."""

    def key(k: int) -> tuple[bool, bool, int, int]:
        start, share, atr = trails[k]
        return share == atr == 0, share > 0, start, share or atr

    order = sorted(range(len(trails)), key=key)
    on = [k for k in order if not key(k)[0]]
    starts = [i for i, k in enumerate(on) if i == 0 or key(k)[1:3] != key(on[i - 1])[1:3]]
    return order, [*starts, len(on)]
