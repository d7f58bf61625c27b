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

Symbols are numbered by name. A missing bar is simply absent. The last bar is never scanned. A symbol
without a position costs a few comparisons per boundary; prints of a bar that can change nothing are
skipped, with the same result as walking them.
"""

from __future__ import annotations

from bnml.kernels import njit
from bnml.kernels.account import open_lots
from bnml.kernels.breakers import note_closed
from bnml.kernels.candidates import Risk
from bnml.kernels.exits import NEVER
from bnml.kernels.fast_path import find_stretch, walk_fast
from bnml.kernels.fills import notional_e8
from bnml.kernels.gliding import Track, glide
from bnml.kernels.orders import enter, is_quiet, leave, walk_bar
from bnml.kernels.records import ExitReason
from bnml.kernels.scanning import scan
from bnml.kernels.world import World, drop_late, has_room, kit_of, next_boundary, open_bars, publish

DONE, MORE_ROOM = 0, 1
BEAT_NS = 3_000_000_000
_NONE = int(ExitReason.NONE)


@njit
def _count_closed(world: World, risk: Risk | None) -> None:
    """Losses in a row follow the positions closed since the last call, by time and symbol."""
    slots = world.slots
    while True:
        first, first_ns = -1, NEVER
        for symbol in range(len(slots)):
            closed_ns = slots[symbol]["closed_ns"]
            if 0 < closed_ns < first_ns:
                first, first_ns = symbol, closed_ns
        if first < 0:
            return
        slots[first]["closed_ns"] = 0
        if risk is not None:
            note_closed(risk.breakers, slots[first]["result_e8"], first_ns, world.limits[0])


@njit
def _is_due(world: World, symbol: int, ts_ns: int) -> bool:
    """Whether the order under way meets the open of this boundary."""
    lane, slot = world.lanes[symbol], world.slots[symbol]
    if lane["opened_ns"] != ts_ns or lane["bar"] < slot["due_bar"]:
        return False
    return world.latency_ns == 0 or slot["due_ns"] <= ts_ns


@njit
def _meet_open(world: World, risk: Risk | None, symbol: int, ts_ns: int) -> None:
    """The order under way meets the open of the symbol's bar."""
    slot, k = world.slots[symbol], world.lanes[symbol]["bar"]
    ticks, published = world.bars[k]["open"], world.bars[k - 1]
    if world.latency_bars + world.latency_ns == 0:
        ts_ns = slot["due_ns"]  # of a scan at the beat
    if slot["entering"] == 1:
        enter(kit_of(world, symbol), ticks, ts_ns, published)
    else:
        leave(kit_of(world, symbol), ticks, ts_ns, published)
    if risk is not None:
        _count_closed(world, risk)


@njit
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
    for symbol in range(len(world.slots)):
        if world.slots[symbol]["leaving"] != _NONE and _is_due(world, symbol, ts_ns):
            _meet_open(world, risk, symbol, ts_ns)


@njit
def _walk(world: World, symbol: int) -> None:
    """The rest of a bar after its open, where it can change something."""
    lane, slot = world.lanes[symbol], world.slots[symbol]
    k = lane["bar"]
    bar, published = world.bars[k], world.bars[k - 1]
    is_waiting = world.latency_ns > 0 and (slot["entering"] == 1 or slot["leaving"] != _NONE)
    if not is_waiting and (slot["entering"] == 1 or is_quiet(slot, bar)):
        return
    kit = kit_of(world, symbol)
    world.book["walked"] += 1
    if world.fast_frame_ns > 0:
        end = find_stretch(world.fast, lane, bar, world.frame_ns)
        if end > lane["fast"]:
            walk_fast(kit, world.fast, lane["fast"], end, world.fast_frame_ns, world.latency_ns, published)
            return
        world.book["fallbacks"] += 1
    if slot["entering"] == 0:
        walk_bar(kit, bar, world.frame_ns, published)


@njit
def _forget_met(world: World) -> None:
    """Entries that met a bar of the fast frame wait no longer."""
    book, queue, left = world.book, world.queue, 0
    for i in range(book["waiting"]):
        if world.slots[queue[i]]["entering"] == 1:
            queue[left] = queue[i]
            left += 1
    book["waiting"] = left


@njit
def _step(world: World, risk: Risk | None, ts_ns: int) -> None:
    """One boundary, with everything up to the next."""
    open_bars(world, ts_ns)
    if risk is not None:
        _count_closed(world, risk)
    if len(world.lanes) > 1:
        drop_late(world)
    while True:
        ts_close_ns, is_whole = publish(world)
        if ts_close_ns == 0:
            break
        scan(world, risk, ts_close_ns, ts_ns if is_whole else ts_ns + BEAT_NS)
    _meet_opens(world, risk, ts_ns)
    for symbol in range(len(world.slots)):
        if world.slots[symbol]["is_open"] == 1 and world.lanes[symbol]["opened_ns"] == ts_ns:
            _walk(world, symbol)
    if world.latency_ns > 0:
        _forget_met(world)
    if risk is not None:
        _count_closed(world, risk)


@njit
def run(world: World, risk: Risk | None) -> int:
    """Go on to the end of the data (DONE), or until an output may not suffice (MORE_ROOM: enlarge, call again)."""
    while has_room(world):
        if risk is None and len(world.lanes) == 1:
            track = Track(
                world.bars,
                world.opinions,
                world.lanes[0],
                world.answers,
                world.equity_e8,
                world.changes,
                world.frame_ns,
                world.fast_frame_ns == 0,
            )
            glide(kit_of(world, 0), track)
        ts_ns = next_boundary(world.lanes)
        if ts_ns == NEVER:
            return DONE
        _step(world, risk, ts_ns)
    return MORE_ROOM


@njit
def final_equity_e8(world: World) -> int:
    """Cash and what is held, each symbol at its last close."""
    total = world.book["cash_e8"]
    for symbol in range(len(world.slots)):
        slot = world.slots[symbol]
        if slot["is_open"] == 1 and slot["entering"] == 0:
            close = world.bars[world.lanes[symbol]["end"] - 1]["close"]
            total += notional_e8(close, open_lots(slot), world.instruments[symbol])
    return total
