"""How far the price ran for and against a position while it was held, exact over the path of prints.

The path is that of `fills.bar_path`: open, low, high, close at `fills.print_ts_ns`. A position sees the
print it was entered at, every print before its exit, and the price of its exit; of the print it was sold
at it sees no more than that price, because it was gone before the rest of the move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit
from bnml.kernels.fills import SLOT_CLOSE, SLOT_HIGH, SLOT_LOW, SLOT_OPEN, print_ts_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD = np.dtype(
    [
        ("entry_ns", np.int64),
        ("exit_ns", np.int64),
        ("exit_ticks", np.int64),  # price of the last sale
        ("high_ticks", np.int64),  # written
        ("low_ticks", np.int64),  # written
    ]
)
"""One position: from when to when, and the extremes it saw."""


@njit
def bar_at(bars: NDArray[np.void], ts_ns: int) -> int:
    """Index of the last bar that opened at or before `ts_ns`, 0 if none did."""
    low, high = 0, len(bars)
    while low < high:
        middle = (low + high) // 2
        if bars[middle]["ts_open_ns"] <= ts_ns:
            low = middle + 1
        else:
            high = middle
    return max(low - 1, 0)


@njit
def excursion_row(bars: NDArray[np.void], frame_ns: int, held: np.void) -> None:
    """Write highest and lowest price of one position; `bars` (records.BAR, ascending) of any frame."""
    entry_ns, exit_ns = held["entry_ns"], held["exit_ns"]
    high = low = held["exit_ticks"]
    for i in range(bar_at(bars, entry_ns), len(bars)):
        bar, ts_ns = bars[i], bars[i]["ts_open_ns"]
        if ts_ns > exit_ns:
            break
        for slot in range(SLOT_OPEN, SLOT_CLOSE + 1):
            at_ns = print_ts_ns(ts_ns, frame_ns, slot)
            if at_ns < entry_ns or (at_ns >= exit_ns and at_ns != entry_ns):
                continue
            ticks = bar["open"]
            if slot == SLOT_LOW:
                ticks = bar["low"]
            elif slot == SLOT_HIGH:
                ticks = bar["high"]
            elif slot == SLOT_CLOSE:
                ticks = bar["close"]
            high, low = max(high, ticks), min(low, ticks)
    held["high_ticks"], held["low_ticks"] = high, low


@njit
def excursion_batch(bars: NDArray[np.void], frame_ns: int, held: NDArray[np.void]) -> None:
    """`excursion_row` for every position of one symbol."""
    for i in range(len(held)):
        excursion_row(bars, frame_ns, held[i])
