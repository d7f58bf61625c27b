"""What a run has and writes, and how its symbols move through time: opens, publications, late bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import inlined, part
from bnml.kernels.account import Kit
from bnml.kernels.borrowed import borrowed
from bnml.kernels.exits import NEVER
from bnml.kernels.orders import is_quiet_print, on_print

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DONE, MORE_ROOM = 0, 1
ROWS_PER_SYMBOL = 16
"""More trade rows than one symbol can write at one boundary."""


class World(NamedTuple):
    """Inputs of a run, its books and its outputs; `opinions` and `fast` are of all symbols joined.

    Bars are numbered as if they were, too, but stay where they are: `bars_of` a lane.
    """

    bars: NDArray[np.void]  # of the first symbol
    fast: NDArray[np.void]
    opinions: NDArray[np.void]
    lanes: NDArray[np.void]
    slots: NDArray[np.void]
    instruments: NDArray[np.void]
    limits: NDArray[np.void]  # by symbol
    book: np.void
    facts: np.void  # scratch
    costs: np.void
    rules: np.void
    order: NDArray[np.int64]  # scratch: candidates by rank
    held: NDArray[np.int64]  # symbols that may have a position, ascending
    queue: NDArray[np.int64]  # symbols whose entry is under way, oldest first
    answers: NDArray[np.void]
    trades: NDArray[np.void]
    equity_e8: NDArray[np.int64]  # empty: not kept
    scan_ns: NDArray[np.int64]  # closing times; empty for one symbol alone: those of its bars
    changes: NDArray[np.void]
    origin: NDArray[np.int64]  # bar of each lane when it fell into step
    wake: NDArray[np.int64]  # step of its next opinion
    late: NDArray[np.uint8]  # by bar; empty for one symbol alone, where none is late
    frame_ns: int
    fast_frame_ns: int  # 0: exits are looked for in the bars themselves
    latency_bars: int
    latency_ns: int


@inlined
def kit_of(world: World, symbol: int) -> Kit:
    """One symbol's part of the books."""
    return Kit(
        world.slots[symbol],
        world.book,
        world.instruments[symbol],
        world.costs,
        world.rules,
        symbol,
        world.trades,
    )


@inlined
def bars_of(world: World, lane: np.void) -> NDArray[np.void]:
    """One symbol's bars, by their numbers."""
    return borrowed(world.bars, lane["bars_at"])


@part
def has_room(world: World) -> bool:
    """Whether every output surely suffices for one more boundary."""
    book, symbols = world.book, len(world.lanes)
    if len(world.trades) < book["trades"] + ROWS_PER_SYMBOL * symbols:
        return False
    if len(world.changes) < book["changes"] + 2 * symbols:
        return False
    scans = book["scans"] + symbols
    return len(world.scan_ns) >= scans and (len(world.equity_e8) == 0 or len(world.equity_e8) >= scans)


@part
def move_lanes(world: World, ts_ns: int) -> None:
    """Move every lane whose bar opens at a boundary; notes what is published there, and the next boundary."""
    book, frame_ns = world.book, world.frame_ns
    next_ns, earliest_ns, latest_ns, count = NEVER, NEVER, 0, 0
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        published_ns = 0
        if lane["next_ns"] == ts_ns:
            k = lane["bar"] + 1
            lane["bar"] = k
            if k > lane["first"]:
                published_ns = lane["opened_ns"] + frame_ns
                count += 1
                earliest_ns, latest_ns = min(earliest_ns, published_ns), max(latest_ns, published_ns)
            lane["opened_ns"] = ts_ns
            if k + 1 == lane["end"]:
                lane["next_ns"] = NEVER
            elif lane["is_regular"] == 1:
                lane["next_ns"] = ts_ns + frame_ns
            else:
                lane["next_ns"] = bars_of(world, lane)[k + 1]["ts_open_ns"]
        lane["published_ns"] = published_ns
        next_ns = min(next_ns, lane["next_ns"])
    book["now_ns"], book["next_ns"] = ts_ns, next_ns
    book["earliest_ns"], book["latest_ns"], book["published"] = earliest_ns, latest_ns, count


@part
def print_opens(world: World, ts_ns: int) -> None:
    """The opens of a boundary meet resting orders; symbols that have left are taken off the list."""
    held, book, left = world.held, world.book, 0
    for i in range(book["held"]):
        symbol = held[i]
        slot, lane = world.slots[symbol], world.lanes[symbol]
        if slot["is_open"] == 0:
            continue
        held[left] = symbol
        left += 1
        if lane["opened_ns"] == ts_ns and slot["entering"] == 0:
            k, bars = lane["bar"], bars_of(world, lane)
            if not is_quiet_print(slot, bars[k]["open"]):
                on_print(kit_of(world, symbol), bars[k]["open"], ts_ns, True, bars[k - 2])
    book["held"] = left


@part
def hold(world: World, symbol: int) -> None:
    """Put a symbol into its place in the list, if it is not there."""
    held, count = world.held, world.book["held"]
    at = count
    while at > 0 and held[at - 1] > symbol:
        at -= 1
    if at > 0 and held[at - 1] == symbol:
        return
    for i in range(count, at, -1):
        held[i] = held[i - 1]
    held[at] = symbol
    world.book["held"] = count + 1


@part
def publish(world: World) -> tuple[int, int]:
    """(the earliest closing time that waits for its scan, 0 for none; how many symbols delivered it)."""
    earliest, delivered = NEVER, 0
    scanned_ns = world.book["scanned_ns"]
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        published_ns = lane["published_ns"]
        if published_ns == 0:
            continue
        if published_ns <= scanned_ns:
            # An earlier scan of the same boundary has taken it, or it is late.
            continue
        if published_ns < earliest:
            earliest, delivered = published_ns, 0
        delivered += 1 if published_ns == earliest else 0
    return (earliest, delivered) if delivered > 0 else (0, 0)


@part
def drop_late(world: World) -> None:
    """Bars whose closing time was scanned before they were published: seen, and never decided on."""
    scanned_ns = world.book["scanned_ns"]
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        if 0 < lane["published_ns"] <= scanned_ns:
            world.late[lane["bar"] - 1] = 1
            lane["published_ns"] = 0
