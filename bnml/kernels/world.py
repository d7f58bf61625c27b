"""What a run has and writes, and how its symbols move through time: opens, publications, late bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import inlined, part
from bnml.kernels.account import Kit, is_held
from bnml.kernels.exits import NEVER
from bnml.kernels.orders import is_quiet, on_print

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DONE, MORE_ROOM = 0, 1
ROWS_PER_SYMBOL = 16
"""More trade rows than one symbol can write at one boundary."""


class World(NamedTuple):
    """Inputs of a run, its books and its outputs; `bars`, `opinions`, `fast` are of all symbols joined."""

    bars: NDArray[np.void]
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
    queue: NDArray[np.int64]  # symbols whose entry is under way, oldest first
    answers: NDArray[np.void]
    trades: NDArray[np.void]
    equity_e8: NDArray[np.int64]  # empty: not kept
    scan_ns: NDArray[np.int64]  # closing times; empty for one symbol alone: those of its bars
    changes: NDArray[np.void]
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
def next_boundary(lanes: NDArray[np.void]) -> int:
    """The next time at which a bar opens; NEVER after the last."""
    ts_ns = NEVER
    for symbol in range(len(lanes)):
        ts_ns = min(ts_ns, lanes[symbol]["next_ns"])
    return ts_ns


@part
def open_bars(world: World, ts_ns: int) -> None:
    """Print the opens of a boundary; move every lane whose bar opens to it."""
    bars = world.bars
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        lane["published_ns"] = 0
        if lane["next_ns"] != ts_ns:
            continue
        k = lane["bar"] + 1
        lane["bar"] = k
        if k > lane["first"]:
            lane["published_ns"] = lane["opened_ns"] + world.frame_ns
        lane["opened_ns"] = ts_ns
        lane["next_ns"] = bars[k + 1]["ts_open_ns"] if k + 1 < lane["end"] else NEVER
        slot = world.slots[symbol]
        if is_held(slot) and not is_quiet(slot, bars[k]):
            on_print(kit_of(world, symbol), bars[k]["open"], ts_ns, True, bars[k - 2])


@part
def publish(world: World) -> tuple[int, bool]:
    """(the earliest closing time that waits for its scan, 0 for none; whether every symbol delivered it)."""
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
    if delivered == 0:
        return 0, False
    return earliest, delivered == len(world.lanes)


@part
def drop_late(world: World) -> None:
    """Bars whose closing time was scanned before they were published: seen, and never decided on."""
    scanned_ns = world.book["scanned_ns"]
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        if 0 < lane["published_ns"] <= scanned_ns:
            world.late[lane["bar"] - 1] = 1
            lane["published_ns"] = 0
