"""Boundaries at which one bar of each symbol simply follows the other: lanes are moved only where something looks at them.

Between gaps, beginnings and ends of data all lanes move alike, and at most boundaries nobody looks at most
of them. While they are in step, a lane stays where it was until `catch_up`; who reads one calls that first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import lean, part
from bnml.kernels.exits import NEVER
from bnml.kernels.world import World, bars_of

if TYPE_CHECKING:
    import numpy as np

SHORTEST = 16
"""Fewer boundaries are not worth setting off, nor is looking for them at each."""
_BEHIND = -1


@part
def _following(world: World, lane: np.void) -> int:
    """How many bars follow the last one without a gap, except the last of all."""
    k, most = lane["bar"], lane["end"] - 2 - lane["bar"]
    if lane["is_regular"] == 1:
        return most
    bars, low, high = bars_of(world, lane), 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        if bars[k + middle]["ts_open_ns"] - bars[k]["ts_open_ns"] == middle * world.frame_ns:
            low = middle
        else:
            high = middle
    return low


@part
def set_off(world: World) -> None:
    """After a boundary: be in step from here on, if that lasts long enough."""
    book, now_ns, frame_ns = world.book, world.book["now_ns"], world.frame_ns
    if book["rest"] > 0:
        book["rest"] -= 1
        return
    book["rest"] = SHORTEST
    steps, count = NEVER, 0
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        follows = lane["next_ns"] == now_ns + frame_ns and lane["bar"] >= lane["first"]
        if follows and lane["opened_ns"] == now_ns:
            steps = min(steps, _following(world, lane))
            world.origin[symbol] = lane["bar"]
            count += 1
        else:
            steps = min(steps, (lane["next_ns"] - now_ns - 1) // frame_ns)
            world.origin[symbol] = _BEHIND
        if steps < SHORTEST:
            return
    if count == 0:
        return
    for symbol in range(len(world.lanes)):
        lane, origin = world.lanes[symbol], world.origin[symbol]
        lane["published_ns"] = 0
        world.wake[symbol] = NEVER if origin == _BEHIND else lane["opinion_bar"] + 1 - origin
    book["steps"], book["in_step"], book["rest"] = steps, count, 0


@lean
def catch_up(world: World, symbol: int) -> None:
    """Move a lane that is in step to the boundary."""
    book, origin = world.book, world.origin[symbol]
    if book["step"] > 0 and origin != _BEHIND:
        lane = world.lanes[symbol]
        lane["bar"] = origin + book["step"]
        lane["opened_ns"] = lane["published_ns"] = book["now_ns"]
        lane["next_ns"] = book["now_ns"] + world.frame_ns


@part
def take_step(world: World, ts_ns: int) -> None:
    """Go on to the next boundary in step; lanes of what is held are moved."""
    book = world.book
    book["step"] += 1
    book["now_ns"], book["next_ns"] = ts_ns, ts_ns + world.frame_ns
    book["earliest_ns"], book["latest_ns"], book["published"] = ts_ns, ts_ns, book["in_step"]
    for i in range(book["held"]):
        catch_up(world, world.held[i])


@part
def halt(world: World) -> None:
    """After the last boundary in step: every lane is where it would be, the next boundary that of any."""
    book, next_ns = world.book, NEVER
    for symbol in range(len(world.lanes)):
        catch_up(world, symbol)
        lane = world.lanes[symbol]
        if world.origin[symbol] != _BEHIND and lane["is_regular"] == 0:
            lane["next_ns"] = bars_of(world, lane)[lane["bar"] + 1]["ts_open_ns"]
        world.wake[symbol] = 0
        next_ns = min(next_ns, lane["next_ns"])
    book["next_ns"], book["step"], book["steps"] = next_ns, 0, 0
