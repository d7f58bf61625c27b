"""The tables of exits: what an entry is, what an exit is, and where they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import part
from bnml.kernels.fills import taker_fill
from bnml.kernels.records import FillTier, Taking

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = (1 << 31) - 1
"""Number of no print: there is none in the data, or it comes after every combination has left."""
BLOCK = 64
"""Bars whose extremes are known together."""
_MARKET = int(Taking.MARKET)
_F1 = int(FillTier.F1)

ENTRY = np.dtype(
    [
        ("bar", np.int64),  # the deciding one; it fills at the open of the next
        ("close", np.int64),  # of the deciding bar
        ("cap", np.int64),
        ("price", np.int64),  # of its fill
        ("most_lots", np.int64),  # F1: the most that one order takes
        ("size_ppm", np.int64),  # most of the equity that it may take; 0 = as the limits say
        ("ts_ns", np.int64),  # of its fill
    ]
)
ORIGIN = np.dtype(
    [
        ("reference", np.int64),  # what the levels of an entry are measured from
        ("atr", np.int64),
        ("sell_scan", np.int64),  # bar of its first exit signal; NEVER without one
        ("end", np.int64),  # no combination holds it on this bar or later, as far as is known
    ]
)
SIZE = np.dtype(
    [
        ("stop", np.int64),  # as the deciding close has it; 0 without one
        ("least_lots", np.int64),  # the smallest entry that can be sold at it
        ("least_e8", np.int64),  # its notional at the cap
    ]
)
EXIT = np.dtype(
    [
        ("price", np.int64),  # of a sale at market in tier F1: of the print that it meets
        ("ts_ns", np.int64),
        ("next", np.int64),  # first entry that can follow
    ]
)
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
    groups: NDArray[np.int64]  # first of each group, and the end: one start, one kind of distance, ascending
    holds: NDArray[np.int64]  # ns; 0 = to the exit signal
    ends_at_target: int  # 1: a target closes the whole position


class Exits(NamedTuple):
    """Of one rule, by [variant, entry]: numbers of prints, and what happens there."""

    codes: NDArray[np.int64]
    cells: NDArray[np.void]  # EXIT; set where the code is not NEVER


class Tables(NamedTuple):
    """Entries in time, their sizes by [stop, entry], and their exits."""

    entries: NDArray[np.void]
    origins: NDArray[np.void]
    next_entry: NDArray[np.int64]  # by bar, and one more: the first entry decided on it or later
    sizes: NDArray[np.void]
    least_e8: NDArray[np.int64]  # by stop: the smallest of its sizes, whatever the entry
    stops: Exits
    targets: Exits
    trails: Exits
    scans: Exits  # by age or signal, whichever comes first


class Scratch(NamedTuple):
    """Working memory of one builder: levels in the order in which they are crossed, and whose they are."""

    levels: NDArray[np.int64]
    at: NDArray[np.int64]
    activations: NDArray[np.int64]  # by group


def new_tables(
    entries: NDArray[np.void],
    origins: NDArray[np.void],
    next_entry: NDArray[np.int64],
    variants: Variants,
) -> Tables:
    """Tables to be filled for these entries."""
    count = len(entries)
    axes = (variants.stops, variants.targets, variants.trails, variants.holds)
    exits = (
        Exits(np.full((len(axis), count), NEVER, np.int64), np.zeros((len(axis), count), EXIT))
        for axis in axes
    )
    sizes = np.empty((len(variants.stops), count), SIZE)
    least_e8 = np.zeros(len(variants.stops), np.int64)
    return Tables(entries, origins, next_entry, sizes, least_e8, *exits)


def new_scratch(variants: Variants) -> Scratch:
    """Working memory for these variants."""
    most = max(len(variants.stops), len(variants.targets), len(variants.groups))
    return Scratch(*(np.empty(most, np.int64) for _ in range(3)))


@part
def sold_at(print_ticks: int, pricing: np.void, costs: np.void) -> int:
    """Price of a sale at market in an EXIT: in F0 it does not depend on the quantity."""
    if costs["tier"] == _F1:
        return print_ticks
    return taker_fill(_MARKET, False, 1, 0, print_ticks, pricing, costs)[1]


@part
def settled_bar(code: int, is_scan: bool, entered: int) -> int:
    """First bar whose scan finds done what was sold at a print: it may enter again, and marks without it.

    The scan of a bar follows the open of the next one. A sale by a scan is done with the next scan, as is
    one at the entry's own print; `entered` is the bar of the entry's fill.
    """
    if code == NEVER:
        return NEVER
    if is_scan or code == entered * 4:
        return code // 4
    return (code + 3) // 4 - 1


@part
def note(cell: np.void, price: int, ts_ns: int, next_entry: int) -> None:
    """Write an exit."""
    cell["price"], cell["ts_ns"], cell["next"] = price, ts_ns, next_entry
