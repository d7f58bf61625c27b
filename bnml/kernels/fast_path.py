"""Exits looked for in bars of a shorter frame: their paths, one after another, are the path of the slow bar.

The open of each fast bar is a jump, its low, high and close are continuous. Spread and depth stay those
of the last slow bar published. A slow bar whose fast bars are missing, or do not have its open, high, low
and close between them, lacks a stretch: its own path is walked instead, and counted. The cursor only ever
moves forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import part
from bnml.kernels.account import Kit, is_held
from bnml.kernels.orders import is_quiet, is_quiet_print, meet, on_print, walk_bar
from bnml.kernels.records import ExitReason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NONE = int(ExitReason.NONE)


@part
def seek(fast: NDArray[np.void], start: int, end: int, ts_ns: int) -> int:
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


@part
def find_stretch(fast: NDArray[np.void], lane: np.void, bar: np.void, frame_ns: int) -> int:
    """Move the lane's cursor to the fast bars of `bar`; returns their end, or the cursor itself for none."""
    begin = seek(fast, lane["fast"], lane["fast_end"], bar["ts_open_ns"])
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


@part
def _walk_fast(
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
        if is_held(slot) and at > begin and not is_quiet_print(slot, bar["open"]):
            on_print(kit, bar["open"], ts_ns, True, published)
        if late_ns > 0 and at > begin and slot["is_open"] == 1 and slot["due_ns"] <= ts_ns:
            meet(kit, bar["open"], ts_ns, published)
        if slot["is_open"] == 0:
            return
        if slot["entering"] == 0 and not is_quiet(slot, bar):
            walk_bar(kit, bar, fast_frame_ns, published)


@part
def walk(
    kit: Kit,
    lane: np.void,
    bars: NDArray[np.void],
    fast: NDArray[np.void],
    frame_ns: int,
    fast_frame_ns: int,
    late_ns: int,
) -> None:
    """The rest of the lane's bar after its open, where it can change something."""
    slot, k = kit.slot, lane["bar"]
    bar, published = bars[k], bars[k - 1]
    is_waiting = late_ns > 0 and (slot["entering"] == 1 or slot["leaving"] != _NONE)
    if not is_waiting and (slot["entering"] == 1 or is_quiet(slot, bar)):
        return
    kit.book["walked"] += 1
    if fast_frame_ns > 0:
        end = find_stretch(fast, lane, bar, frame_ns)
        if end > lane["fast"]:
            _walk_fast(kit, fast, lane["fast"], end, fast_frame_ns, late_ns, published)
            return
        kit.book["fallbacks"] += 1
    if slot["entering"] == 0:
        walk_bar(kit, bar, frame_ns, published)
