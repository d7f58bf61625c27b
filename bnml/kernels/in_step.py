"""Boundaries at which one bar of each symbol simply follows the other: lanes are moved only where something looks at them.

Between gaps, beginnings and ends of data all lanes move alike, and at most boundaries nobody looks at most
of them. While they are in step, a lane stays where it was until `catch_up`; who reads one calls that first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import lean, part
from bnml.kernels.borrowed import borrowed
from bnml.kernels.exits import NEVER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST = 16
"""Fewer boundaries are not worth setting off, nor is looking for them at each."""
BEHIND = -1
"""Origin of a lane that is not in step."""


@lean
def _following(bars: NDArray[np.void], lane: np.void, frame_ns: int) -> int:
    """How many bars follow the last one without a gap, except the last of all."""
    k, most = lane["bar"], lane["end"] - 2 - lane["bar"]
    if lane["is_regular"] == 1:
        return most
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        if bars[k + middle]["ts_open_ns"] - bars[k]["ts_open_ns"] == middle * frame_ns:
            low = middle
        else:
            high = middle
    return low


@part
def set_off(
    book: np.void,
    lanes: NDArray[np.void],
    bars: NDArray[np.void],
    origin: NDArray[np.int64],
    wake: NDArray[np.int64],
    frame_ns: int,
) -> None:
    """After a boundary: be in step from here on, if that lasts long enough.

    `origin` is the bar of each lane then, `wake` the step of its next opinion; `bars` are those of any symbol.
    """
    now_ns, steps, count = book["now_ns"], NEVER, 0
    if book["rest"] > 0:
        book["rest"] -= 1
        return
    book["rest"] = SHORTEST
    for symbol in range(len(lanes)):
        lane = lanes[symbol]
        follows = lane["next_ns"] == now_ns + frame_ns and lane["bar"] >= lane["first"]
        if follows and lane["opened_ns"] == now_ns:
            steps = min(steps, _following(borrowed(bars, lane["bars_at"]), lane, frame_ns))
            origin[symbol] = lane["bar"]
            wake[symbol] = lane["opinion_bar"] + 1 - lane["bar"]
            count += 1
        else:
            steps = min(steps, (lane["next_ns"] - now_ns - 1) // frame_ns)
            origin[symbol], wake[symbol] = BEHIND, NEVER
        lane["published_ns"] = 0
        if steps < SHORTEST:
            break
    if count == 0 or steps < SHORTEST:
        for symbol in range(len(lanes)):
            wake[symbol] = 0
        return
    book["steps"], book["in_step"], book["rest"] = steps, count, 0


@lean
def catch_up(book: np.void, lane: np.void, origin: int, frame_ns: int) -> None:
    """Move a lane that is in step to the boundary."""
    if book["step"] > 0 and origin != BEHIND:
        lane["bar"] = origin + book["step"]
        lane["opened_ns"] = lane["published_ns"] = book["now_ns"]
        lane["next_ns"] = book["now_ns"] + frame_ns


@lean
def take_step(book: np.void, ts_ns: int, frame_ns: int) -> None:
    """Go on to the next boundary in step."""
    book["step"] += 1
    book["now_ns"], book["next_ns"] = ts_ns, ts_ns + frame_ns
    book["earliest_ns"], book["latest_ns"], book["published"] = ts_ns, ts_ns, book["in_step"]


@part
def halt(
    book: np.void,
    lanes: NDArray[np.void],
    bars: NDArray[np.void],
    origin: NDArray[np.int64],
    wake: NDArray[np.int64],
    frame_ns: int,
) -> None:
    """After the last boundary in step: every lane is where it would be, the next boundary that of any."""
    next_ns = NEVER
    for symbol in range(len(lanes)):
        lane = lanes[symbol]
        catch_up(book, lane, origin[symbol], frame_ns)
        if origin[symbol] != BEHIND and lane["is_regular"] == 0:
            lane["next_ns"] = borrowed(bars, lane["bars_at"])[lane["bar"] + 1]["ts_open_ns"]
        wake[symbol] = 0
        next_ns = min(next_ns, lane["next_ns"])
    book["next_ns"], book["step"], book["steps"] = next_ns, 0, 0
