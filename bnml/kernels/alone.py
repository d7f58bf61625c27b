"""The backtest loop for one symbol: the same steps as `kernels.portfolio`, without what only several need.

Nothing is ranked or late, every bar but the last is scanned at the next open, and where no limit of risk
is asked, stretches in which nothing happens are passed at once (`kernels.gliding`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import lean, part
from bnml.kernels.account import Kit, is_held, note_change, open_cost_e8, open_lots
from bnml.kernels.asking import ask, ask_to_leave, begin_scan, count_closed, is_refused_alone, send
from bnml.kernels.candidates import Money, Risk
from bnml.kernels.exits import NEVER
from bnml.kernels.fast_path import walk
from bnml.kernels.fills import notional_e8
from bnml.kernels.gliding import Track, glide
from bnml.kernels.orders import is_quiet_print, meet, on_print
from bnml.kernels.records import Action
from bnml.kernels.world import DONE, MORE_ROOM, ROWS_PER_SYMBOL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUY = int(Action.BUY)
_SELL = int(Action.SELL)


@lean
def _scan(kit: Kit, track: Track, risk: Risk | None, limits: np.void, facts: np.void) -> None:
    """Decide on the close of the bar before the last that opened."""
    lane, slot, book, t = track.lane, kit.slot, kit.book, track.lane["bar"] - 1
    ts_close_ns, close = track.bars[t]["ts_open_ns"] + track.frame_ns, track.bars[t]["close"]
    value = notional_e8(close, open_lots(slot), kit.instrument) if is_held(slot) else 0
    equity, at = book["cash_e8"] + value, book["scans"]
    if len(track.equity_e8) > 0:
        track.equity_e8[at] = equity
    note_change(book, track.changes, at)
    book["scans"] = at + 1
    begin_scan(risk, book, facts, limits, ts_close_ns, equity)
    place, action = -1, -1
    if lane["opinion_bar"] == t:
        place = lane["opinion"]
        action = track.opinions[place]["action"]
        lane["opinion"] = place + 1
        lane["opinion_bar"] = track.opinions[place + 1]["bar"] if place + 1 < lane["opinions_end"] else NEVER
    if ask_to_leave(kit, close, ts_close_ns, facts["active_e8"], action == _SELL):
        send(slot, lane["bar"] + track.latency_bars, lane["opened_ns"] + track.latency_ns)
    if action == _BUY:
        reserved = book["reserved_e8"]
        money = Money(equity, book["cash_e8"] - reserved, value + reserved, open_cost_e8(slot) + reserved)
        facts["rank"] = 1
        opinion, answer = track.opinions[place], track.answers[place]
        if risk is not None and is_refused_alone(kit, limits, facts, opinion, answer, track.bars, t):
            return
        if ask(kit, risk, limits, facts, opinion, answer, track.bars, t, money):
            slot["decided_ns"] = ts_close_ns
            send(slot, lane["bar"] + track.latency_bars, lane["opened_ns"] + track.latency_ns)


@lean
def _step(kit: Kit, track: Track, risk: Risk | None, limits: np.void, facts: np.void) -> None:
    """One boundary, with everything up to the next."""
    lane, slot, bars = track.lane, kit.slot, track.bars
    k = lane["bar"] + 1
    lane["bar"] = k
    ts_ns = bars[k]["ts_open_ns"]
    lane["opened_ns"] = ts_ns
    if is_held(slot) and not is_quiet_print(slot, bars[k]["open"]):
        on_print(kit, bars[k]["open"], ts_ns, True, bars[k - 2])
    if risk is not None:
        count_closed(risk, kit.book, limits)
    if k > lane["first"]:
        _scan(kit, track, risk, limits, facts)
        is_due = k >= slot["due_bar"] and (track.latency_ns == 0 or slot["due_ns"] <= ts_ns)
        if slot["is_open"] == 1 and is_due:
            meet(kit, bars[k]["open"], ts_ns, bars[k - 1])
    if risk is not None:
        count_closed(risk, kit.book, limits)
    if slot["is_open"] == 1:
        walk(kit, lane, bars, track.fast, track.frame_ns, track.fast_frame_ns, track.latency_ns)
    if risk is not None:
        count_closed(risk, kit.book, limits)


class Alone(NamedTuple):
    """A run of one symbol as Python hands it over: records in arrays of one, which is far quicker than records."""

    slots: NDArray[np.void]
    book: NDArray[np.void]
    instruments: NDArray[np.void]
    costs: NDArray[np.void]
    rules: NDArray[np.void]
    limits: NDArray[np.void]
    facts: NDArray[np.void]  # scratch
    lanes: NDArray[np.void]
    trades: NDArray[np.void]
    bars: NDArray[np.void]
    fast: NDArray[np.void]
    opinions: NDArray[np.void]
    answers: NDArray[np.void]
    equity_e8: NDArray[np.int64]
    changes: NDArray[np.void]
    frame_ns: int
    fast_frame_ns: int
    latency_bars: int
    latency_ns: int


@part
def run_alone(one: Alone, risk: Risk | None) -> int:
    """Go on to the end of the data (DONE), or until an output may not suffice (MORE_ROOM: enlarge, call again)."""
    lane, book, limits, facts = one.lanes[0], one.book[0], one.limits[0], one.facts[0]
    kit = Kit(one.slots[0], book, one.instruments[0], one.costs[0], one.rules[0], 0, one.trades)
    track = Track(
        one.bars,
        one.fast,
        one.opinions,
        lane,
        one.answers,
        one.equity_e8,
        one.changes,
        one.frame_ns,
        one.fast_frame_ns,
        one.latency_bars,
        one.latency_ns,
    )
    trades, changes = len(kit.trades) - ROWS_PER_SYMBOL, len(track.changes) - ROWS_PER_SYMBOL
    while book["trades"] <= trades and book["changes"] <= changes:
        if risk is None:
            glide(kit, track)
        if lane["bar"] + 1 >= lane["end"]:
            return DONE
        _step(kit, track, risk, limits, facts)
    return MORE_ROOM
