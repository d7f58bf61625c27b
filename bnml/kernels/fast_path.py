"""Exits looked for in bars of a shorter frame: their paths, one after another, are the path of the slow bar.

The open of each fast bar is a jump, its low, high and close are continuous. Spread and depth stay those
of the last slow bar published. A slow bar whose fast bars are missing, or do not have its open, high, low
and close between them, lacks a stretch: its own path is walked instead, and counted. The cursor only ever
moves forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit
from bnml.kernels.account import Kit
from bnml.kernels.orders import enter, is_quiet, leave, on_print, walk_bar
from bnml.kernels.records import ExitReason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NONE = int(ExitReason.NONE)


@njit
def _seek(fast: NDArray[np.void], start: int, end: int, ts_ns: int) -> int:
    """First place from `start` on whose bar opens at `ts_ns` or later: steps that double, then halves."""
    if start >= end or fast[start]["ts_open_ns"] >= ts_ns:
        return start
    low, step = start, 1
    while low + step < end and fast[low + step]["ts_open_ns"] < ts_ns:
        low += step
        step *= 2
    high = min(low + step, end)
    while high - low > 1:
        middle = (low + high) // 2
        if fast[middle]["ts_open_ns"] < ts_ns:
            low = middle
        else:
            high = middle
    return high


@njit
def find_stretch(fast: NDArray[np.void], lane: np.void, bar: np.void, frame_ns: int) -> int:
    """Move the lane's cursor to the fast bars of `bar`; returns their end, or the cursor itself for none."""
    begin = _seek(fast, lane["fast"], lane["fast_end"], bar["ts_open_ns"])
    lane["fast"] = begin
    until_ns = bar["ts_open_ns"] + frame_ns
    low, high, at = bar["high"], bar["low"], begin
    while at < lane["fast_end"] and fast[at]["ts_open_ns"] < until_ns:
        low, high = min(low, fast[at]["low"]), max(high, fast[at]["high"])
        at += 1
    if at == begin or low != bar["low"] or high != bar["high"]:
        return begin
    if fast[begin]["open"] != bar["open"] or fast[at - 1]["close"] != bar["close"]:
        return begin
    return at


@njit
def walk_fast(
    kit: Kit,
    fast: NDArray[np.void],
    begin: int,
    end: int,
    fast_frame_ns: int,
    late_ns: int,
    published: np.void,
) -> None:
    """Print the fast bars of one slow bar but for their first open, which was printed as the slow bar's.

    With `late_ns` > 0 an order under way meets the first open that is not before its time.
    """
    slot = kit.slot
    for at in range(begin, end):
        bar, ts_ns = fast[at], fast[at]["ts_open_ns"]
        is_held = slot["is_open"] == 1 and slot["entering"] == 0
        if is_held and at > begin and not is_quiet(slot, bar):
            on_print(kit, bar["open"], ts_ns, True, published)
        if late_ns > 0 and at > begin and slot["is_open"] == 1 and slot["due_ns"] <= ts_ns:
            if slot["entering"] == 1:
                enter(kit, bar["open"], ts_ns, published)
            elif slot["leaving"] != _NONE:
                leave(kit, bar["open"], ts_ns, published)
        if slot["is_open"] == 0:
            return
        if slot["entering"] == 0 and not is_quiet(slot, bar):
            walk_bar(kit, bar, fast_frame_ns, published)
