"""One scan of the backtest: mark, breakers, mood, market exits, then every BUY by rank; as `trading.scan` live.

Nothing meets the market here: orders are sent, and wait for their print.
"""

from __future__ import annotations

import numpy as np

from bnml.kernels import part
from bnml.kernels.account import is_held, note_change, open_cost_e8, open_lots
from bnml.kernels.asking import ask, ask_to_leave, begin_scan, is_refused_alone, send
from bnml.kernels.candidates import Money, Risk
from bnml.kernels.exits import NEVER
from bnml.kernels.fills import notional_e8
from bnml.kernels.in_step import catch_up
from bnml.kernels.mood import BLOCK, SUMS, add_voices, hear, place_of
from bnml.kernels.prefetch import prefetch
from bnml.kernels.records import Action
from bnml.kernels.world import World, bars_of, hold, kit_of

_BUY = int(Action.BUY)
_SELL = int(Action.SELL)


@part
def _mark(world: World) -> int:
    """What is held at the last published closes; writes the equity point of a scan."""
    book, value = world.book, 0
    for i in range(book["held"]):
        symbol = world.held[i]
        slot = world.slots[symbol]
        if is_held(slot):
            lane = world.lanes[symbol]
            close = bars_of(world, lane)[lane["bar"] - 1]["close"]
            value += notional_e8(close, open_lots(slot), world.instruments[symbol])
    at = book["scans"]
    if len(world.equity_e8) > 0:
        world.equity_e8[at] = book["cash_e8"] + value
    note_change(book, world.changes, at)
    book["scans"] = at + 1
    return value


@part
def _paid(world: World) -> int:
    """What was paid for all that is held."""
    paid = 0
    for i in range(world.book["held"]):
        slot = world.slots[world.held[i]]
        if is_held(slot):
            paid += open_cost_e8(slot)
    return paid


@part
def _read_opinion(world: World, lane: np.void, t: int) -> int:
    """Place of the opinion on bar `t`, -1 for none; opinions on bars before it are passed over."""
    while lane["opinion_bar"] < t:
        _pass_opinion(world, lane)
    if lane["opinion_bar"] != t:
        return -1
    at = lane["opinion"]
    _pass_opinion(world, lane)
    return at


@part
def _pass_opinion(world: World, lane: np.void) -> None:
    at = lane["opinion"] + 1
    lane["opinion"] = at
    if at < lane["opinions_end"]:
        lane["opinion_bar"] = lane["start"] + world.opinions[at]["bar"]
        prefetch(bars_of(world, lane), lane["opinion_bar"])
        prefetch(bars_of(world, lane), lane["opinion_bar"] + 1)
        prefetch(world.opinions, at + 1)
    else:
        lane["opinion_bar"] = NEVER


@part
def _rank(world: World, count: int) -> None:
    """Sort the first `count` places of `order` by (score descending, symbol); they are ascending by symbol."""
    order, opinions, lanes = world.order, world.opinions, world.lanes
    for i in range(1, count):
        symbol = order[i]
        score = opinions[lanes[symbol]["opinion"] - 1]["score"]
        k = i - 1
        while k >= 0 and opinions[lanes[order[k]]["opinion"] - 1]["score"] < score:
            order[k + 1] = order[k]
            k -= 1
        order[k + 1] = symbol


@part
def _buys_of_scan(world: World, ts_close_ns: int) -> int:
    """Put every symbol whose bar of the scan says BUY into `order`; returns how many."""
    count, wake, step = 0, world.wake, world.book["step"]
    for symbol in range(len(world.lanes)):
        if wake[symbol] > step:
            continue
        lane = world.lanes[symbol]
        catch_up(world.book, lane, world.origin[symbol], world.frame_ns)
        if lane["published_ns"] != ts_close_ns or lane["opinion_bar"] >= lane["bar"]:
            continue
        at = _read_opinion(world, lane, lane["bar"] - 1)
        if step > 0:
            wake[symbol] = lane["opinion_bar"] + 1 - world.origin[symbol]
        if at >= 0 and world.opinions[at]["action"] == _BUY:
            world.order[count] = symbol
            count += 1
    return count


@part
def _leave(world: World, ts_close_ns: int, ts_ns: int, active_e8: int) -> None:
    """Market exits of positions whose bar is scanned; their opinions were read before."""
    for i in range(world.book["held"]):
        symbol = world.held[i]
        lane, slot = world.lanes[symbol], world.slots[symbol]
        if lane["published_ns"] != ts_close_ns or not is_held(slot):
            continue
        t, at, is_sell = lane["bar"] - 1, lane["opinion"] - 1, False
        if at >= lane["opinions_start"]:
            opinion = world.opinions[at]
            is_sell = lane["start"] + opinion["bar"] == t and opinion["action"] == _SELL
        if ask_to_leave(
            kit_of(world, symbol), bars_of(world, lane)[t]["close"], ts_close_ns, active_e8, is_sell
        ):
            send(slot, lane["bar"] + world.latency_bars, ts_ns + world.latency_ns)


@part
def _hear(world: World, risk: Risk, ts_close_ns: int, count: int) -> None:
    """The mood of the market, from what is thought of every bar of the scan."""
    at, crowd = (ts_close_ns - risk.base_ns) // world.frame_ns, risk.crowd
    is_framed = risk.base_ns + at * world.frame_ns == ts_close_ns
    if is_framed and world.book["now_ns"] == ts_close_ns:
        hear(risk.crowds, BLOCK, place_of(at), count, risk.breakers, world.limits[0])
        return
    for i in range(SUMS):
        crowd[i] = 0.0
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        catch_up(world.book, lane, world.origin[symbol], world.frame_ns)
        if lane["published_ns"] == ts_close_ns:
            place = np.searchsorted(risk.late_bars, lane["bar"] - 1)
            add_voices(crowd, risk.late_voices[place:], 1)
    hear(crowd, 1, 0, count, risk.breakers, world.limits[0])


@part
def _ask_of(world: World, risk: Risk | None, symbol: int, money: Money) -> bool:
    lane, kit = world.lanes[symbol], kit_of(world, symbol)
    at, t = lane["opinion"] - 1, lane["bar"] - 1
    limits, opinion, answer = world.limits[symbol], world.opinions[at], world.answers[at]
    facts, bars = world.facts, bars_of(world, lane)
    if risk is not None and is_refused_alone(kit, limits, facts, opinion, answer, bars, t):
        return False
    return ask(kit, risk, limits, facts, opinion, answer, bars, t, money)


@part
def scan(world: World, risk: Risk | None, ts_close_ns: int, ts_ns: int, count: int) -> None:
    """Decide on the `count` bars that were published with this closing time; orders wait for their print."""
    book, facts = world.book, world.facts
    world.scan_ns[book["scans"]] = ts_close_ns
    value = _mark(world)
    equity = book["cash_e8"] + value
    if risk is not None and len(risk.crowds) > 0:
        _hear(world, risk, ts_close_ns, count)
    begin_scan(risk, book, facts, world.limits[0], ts_close_ns, equity)
    buys = _buys_of_scan(world, ts_close_ns)
    _leave(world, ts_close_ns, ts_ns, facts["active_e8"])
    _rank(world, buys)
    paid = _paid(world) if buys > 0 else 0
    for i in range(buys):
        symbol, reserved = world.order[i], book["reserved_e8"]
        facts["rank"] = i + 1
        money = Money(equity, book["cash_e8"] - reserved, value + reserved, paid + reserved)
        if _ask_of(world, risk, symbol, money):
            slot = world.slots[symbol]
            slot["decided_ns"] = ts_close_ns
            send(slot, world.lanes[symbol]["bar"] + world.latency_bars, ts_ns + world.latency_ns)
            hold(world, symbol)
            world.queue[book["waiting"]] = symbol
            book["waiting"] += 1
    book["scanned_ns"] = ts_close_ns
