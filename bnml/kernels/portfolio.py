"""THE backtest loop: many symbols through time on one capital, in the order in which exchange and engine have it.

At each boundary (a time at which a bar of any symbol opens):

1. opens are printed, as jumps, to resting orders (priced with the bar published before the last one);
2. the bar before of each symbol that opened is published. Bars of one closing time are scanned together,
   at once if every symbol delivered, else at the beat 3 s later; closing times in ascending order. A bar
   whose closing time was scanned already is late: nothing is decided on it. A scan marks equity, moves the
   breakers, decides market exits, then asks the limits for every BUY by (score descending, symbol); each
   approval reserves its money before the next;
3. orders of the scan meet the open's print (or, with latency, that of a later bar): entries in their
   rank, then exits by symbol;
4. low, high and close are printed, each continuous from the print before; with a fast frame, its bars.

One symbol alone goes through `kernels.alone`, by the same steps.

Symbols are numbered by name. A missing bar is simply absent. The last bar is never scanned. A symbol
without a position costs a comparison per boundary (`kernels.in_step`); prints of a bar that can change nothing are
skipped, with the same result as walking them.
"""

from __future__ import annotations

from bnml.kernels import njit, part
from bnml.kernels.asking import count_closed
from bnml.kernels.candidates import Risk
from bnml.kernels.exits import NEVER
from bnml.kernels.fast_path import walk
from bnml.kernels.in_step import catch_up, halt, set_off, take_step
from bnml.kernels.orders import meet
from bnml.kernels.records import ExitReason
from bnml.kernels.scanning import scan
from bnml.kernels.world import (
    DONE,
    MORE_ROOM,
    World,
    bars_of,
    drop_late,
    has_room,
    kit_of,
    move_lanes,
    print_opens,
    publish,
)

BEAT_NS = 3_000_000_000
_NONE = int(ExitReason.NONE)


@part
def _is_due(world: World, symbol: int, ts_ns: int) -> bool:
    """Whether the order under way meets the open of this boundary."""
    lane, slot = world.lanes[symbol], world.slots[symbol]
    if lane["opened_ns"] != ts_ns or lane["bar"] < slot["due_bar"]:
        return False
    return world.latency_ns == 0 or slot["due_ns"] <= ts_ns


@part
def _meet_open(world: World, risk: Risk | None, symbol: int, ts_ns: int) -> None:
    """The order under way meets the open of the symbol's bar."""
    k, bars = world.lanes[symbol]["bar"], bars_of(world, world.lanes[symbol])
    if world.latency_bars + world.latency_ns == 0:
        ts_ns = world.slots[symbol]["due_ns"]  # of a scan at the beat
    meet(kit_of(world, symbol), bars[k]["open"], ts_ns, bars[k - 1])
    if risk is not None:
        count_closed(risk, world.book, world.limits[0])


@part
def _meet_opens(world: World, risk: Risk | None, ts_ns: int) -> None:
    """Orders under way that are due: entries in their rank, then exits by symbol."""
    book, queue, left = world.book, world.queue, 0
    for i in range(book["waiting"]):
        symbol = queue[i]
        if _is_due(world, symbol, ts_ns):
            _meet_open(world, risk, symbol, ts_ns)
        else:
            queue[left] = symbol
            left += 1
    book["waiting"] = left
    for i in range(book["held"]):
        symbol = world.held[i]
        if world.slots[symbol]["leaving"] != _NONE and _is_due(world, symbol, ts_ns):
            _meet_open(world, risk, symbol, ts_ns)


@part
def _walk_bars(world: World, ts_ns: int) -> None:
    """What follows the opens of a boundary, of every symbol that holds or waits for something."""
    for i in range(world.book["held"]):
        symbol = world.held[i]
        lane = world.lanes[symbol]
        if world.slots[symbol]["is_open"] == 1 and lane["opened_ns"] == ts_ns:
            walk(
                kit_of(world, symbol),
                lane,
                bars_of(world, lane),
                world.fast,
                world.frame_ns,
                world.fast_frame_ns,
                world.latency_ns,
            )


@part
def _forget_met(world: World) -> None:
    """Entries that met a bar of the fast frame wait no longer."""
    book, queue, left = world.book, world.queue, 0
    for i in range(book["waiting"]):
        if world.slots[queue[i]]["entering"] == 1:
            queue[left] = queue[i]
            left += 1
    book["waiting"] = left


@part
def _scans(world: World, risk: Risk | None, ts_ns: int) -> None:
    """Scan what was published at a boundary: mostly one closing time, of every symbol."""
    book, symbols = world.book, len(world.lanes)
    ts_close_ns, count = book["earliest_ns"], book["published"]
    if count == 0:
        return
    is_one = ts_close_ns == book["latest_ns"] and ts_close_ns > book["scanned_ns"]
    if not is_one:
        drop_late(world)
        ts_close_ns, count = publish(world)
    while count > 0:
        scan(world, risk, ts_close_ns, ts_ns if count == symbols else ts_ns + BEAT_NS, count)
        if is_one:
            return
        ts_close_ns, count = publish(world)


@part
def _step(world: World, risk: Risk | None, ts_ns: int) -> None:
    """One boundary, with everything up to the next."""
    book, lanes, frame_ns = world.book, world.lanes, world.frame_ns
    origin, wake, bars = world.origin, world.wake, world.bars
    if book["step"] < book["steps"]:
        take_step(book, ts_ns, frame_ns)
        for i in range(book["held"]):
            catch_up(book, lanes[world.held[i]], origin[world.held[i]], frame_ns)
        if risk is not None:
            catch_up(book, lanes[risk.benchmark], origin[risk.benchmark], frame_ns)
    else:
        move_lanes(world, ts_ns)
    if book["held"] > 0:
        print_opens(world, ts_ns)
        if risk is not None:
            count_closed(risk, book, world.limits[0])
    _scans(world, risk, ts_ns)
    if book["held"] > 0:
        _meet_opens(world, risk, ts_ns)
        _walk_bars(world, ts_ns)
        if world.latency_ns > 0:
            _forget_met(world)
        if risk is not None:
            count_closed(risk, book, world.limits[0])
    if book["step"] == book["steps"]:
        if book["step"] > 0:
            halt(book, lanes, bars, origin, wake, frame_ns)
        set_off(book, lanes, bars, origin, wake, frame_ns)


@njit
def run(world: World, risk: Risk | None) -> int:
    """Go on to the end of the data (DONE), or until an output may not suffice (MORE_ROOM: enlarge, call again)."""
    while has_room(world):
        if world.book["next_ns"] == NEVER:
            return DONE
        _step(world, risk, world.book["next_ns"])
    return MORE_ROOM
