"""One scan of the backtest: mark, breakers, mood, market exits, then every BUY by rank; as `trading.scan` live.

Nothing meets the market here: orders are sent, and wait for their print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit
from bnml.kernels.account import note_change, open_cost_e8, open_lots
from bnml.kernels.breakers import roll
from bnml.kernels.candidates import (
    Money,
    Risk,
    judge,
    judge_by_rules,
    size_entry,
    write_candidate,
    write_sizes,
)
from bnml.kernels.exits import NEVER, scan_exit
from bnml.kernels.fills import notional_e8
from bnml.kernels.mood import hear
from bnml.kernels.orders import place_entry
from bnml.kernels.records import Action, ExitReason, Reason
from bnml.kernels.sizing import active_capital_e8
from bnml.kernels.world import World, kit_of

if TYPE_CHECKING:
    import numpy as np

_BUY = int(Action.BUY)
_SELL = int(Action.SELL)
_NO_REFUSAL = int(Reason.NONE)
_NONE = int(ExitReason.NONE)


@njit
def _mark(world: World) -> int:
    """What is held at the last published closes; writes the equity point of a scan."""
    book, value = world.book, 0
    for symbol in range(len(world.slots)):
        slot = world.slots[symbol]
        if slot["is_open"] == 1 and slot["entering"] == 0:
            close = world.bars[world.lanes[symbol]["bar"] - 1]["close"]
            value += notional_e8(close, open_lots(slot), world.instruments[symbol])
    at = book["scans"]
    if len(world.equity_e8) > 0:
        world.equity_e8[at] = book["cash_e8"] + value
    note_change(book, world.changes, at)
    book["scans"] = at + 1
    return value


@njit
def _read_opinion(world: World, lane: np.void, t: int) -> int:
    """Place of the opinion on bar `t`, -1 for none; opinions on bars before it are passed over."""
    while lane["opinion_bar"] < t:
        _pass_opinion(world, lane)
    if lane["opinion_bar"] != t:
        return -1
    at = lane["opinion"]
    _pass_opinion(world, lane)
    return at


@njit
def _pass_opinion(world: World, lane: np.void) -> None:
    at = lane["opinion"] + 1
    lane["opinion"] = at
    lane["opinion_bar"] = lane["start"] + world.opinions[at]["bar"] if at < lane["opinions_end"] else NEVER


@njit
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


@njit
def _ask(world: World, risk: Risk | None, symbol: int, rank: int, money: Money) -> bool:
    """Ask the limits for one BUY; an approved entry takes its place, its money is reserved."""
    lane, limits, facts, kit = world.lanes[symbol], world.limits[symbol], world.facts, kit_of(world, symbol)
    at, t = lane["opinion"] - 1, lane["bar"] - 1
    opinion, answer, bar = world.opinions[at], world.answers[at], world.bars[t]
    wish = size_entry(kit, limits, opinion, bar["close"], money)
    write_sizes(facts, kit, limits, wish, money)
    if risk is None:
        judge_by_rules(facts, limits, answer)
    else:
        write_candidate(facts, kit, risk, opinion, rank, bar, world.bars[t + 1]["open"])
        judge(facts, limits, risk, world.lanes, world.slots, symbol, answer)
    if answer["reason"] != _NO_REFUSAL:
        return False
    answer["quantity_lots"] = wish.lots
    place_entry(kit, wish.lots, wish.reference, wish.stop, wish.cap, wish.atr)
    return True


@njit
def _send(world: World, symbol: int, ts_ns: int) -> None:
    """When the order of a scan meets the market."""
    slot = world.slots[symbol]
    slot["due_bar"] = world.lanes[symbol]["bar"] + world.latency_bars
    slot["due_ns"] = ts_ns + world.latency_ns


@njit
def _ask_to_leave(world: World, symbol: int, is_sell: bool, active_e8: int, ts_close_ns: int) -> int:
    """ExitReason with which the scan sells a held position; NONE where it stays or is being sold already."""
    slot = world.slots[symbol]
    if slot["is_open"] == 0 or slot["entering"] == 1 or slot["leaving"] != _NONE:
        return _NONE
    close = world.bars[world.lanes[symbol]["bar"] - 1]["close"]
    value = notional_e8(close, open_lots(slot), world.instruments[symbol])
    age_ns = ts_close_ns - slot["decided_ns"]
    return scan_exit(age_ns, value, open_cost_e8(slot), active_e8, slot["sold"] == 1, is_sell, world.rules)


@njit
def _roll(world: World, risk: Risk, ts_close_ns: int, equity_e8: int) -> None:
    at = world.book["day_at"]
    while at + 1 < len(risk.day_from_ns) and risk.day_from_ns[at + 1] <= ts_close_ns:
        at += 1
    world.book["day_at"] = at
    roll(risk.breakers, ts_close_ns, risk.day_numbers[at], equity_e8, world.limits[0])


@njit
def _opinions_of_scan(world: World, ts_close_ns: int, ts_ns: int, active_e8: int) -> int:
    """Read what is thought of each bar of the scan: market exits are sent, BUYs put into `order` and counted."""
    count = 0
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        if lane["published_ns"] != ts_close_ns:
            continue
        at = _read_opinion(world, lane, lane["bar"] - 1)
        action = world.opinions[at]["action"] if at >= 0 else -1
        if action == _BUY:
            world.order[count] = symbol
            count += 1
        reason = _ask_to_leave(world, symbol, action == _SELL, active_e8, ts_close_ns)
        if reason != _NONE:
            world.slots[symbol]["leaving"] = reason
            _send(world, symbol, ts_ns)
    return count


@njit
def _hear(world: World, risk: Risk, ts_close_ns: int) -> None:
    """The mood of the market, from what is thought of every bar of the scan."""
    count = 0
    for symbol in range(len(world.lanes)):
        lane = world.lanes[symbol]
        if lane["published_ns"] == ts_close_ns:
            risk.choir[count] = risk.voices[lane["bar"] - 1]
            count += 1
    hear(risk.choir, count, risk.breakers, world.limits[0])


@njit
def scan(world: World, risk: Risk | None, ts_close_ns: int, ts_ns: int) -> None:
    """Decide on every bar that was published with this closing time; orders wait for their print."""
    book = world.book
    if len(world.scan_ns) > 0:
        world.scan_ns[book["scans"]] = ts_close_ns
    value = _mark(world)
    equity = book["cash_e8"] + value
    if risk is not None:
        _roll(world, risk, ts_close_ns, equity)
        if len(risk.voices) > 0:
            _hear(world, risk, ts_close_ns)
    count = _opinions_of_scan(world, ts_close_ns, ts_ns, active_capital_e8(equity, world.limits[0]))
    _rank(world, count)
    world.facts["ts_ns"] = ts_close_ns
    for i in range(count):
        symbol, reserved = world.order[i], book["reserved_e8"]
        money = Money(equity, book["cash_e8"] - reserved, value + reserved)
        if _ask(world, risk, symbol, i + 1, money):
            world.slots[symbol]["decided_ns"] = ts_close_ns
            _send(world, symbol, ts_ns)
            world.queue[book["waiting"]] = symbol
            book["waiting"] += 1
    book["scanned_ns"] = ts_close_ns
