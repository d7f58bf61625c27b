"""Stretches of one symbol's bars in which nothing happens, passed in a tight loop with the same result.

Without a position nothing happens until the next BUY. With one, nothing happens while the bars stay above
the stop and below the lowest target, no exit of a scan is due, and no SELL closes; a stop that only trails
is moved here too. Equity is marked all the same, where it is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import lean
from bnml.kernels.account import Kit, lowest_target, note_change, open_cost_e8, open_lots
from bnml.kernels.exits import NEVER, trail_stop, trail_trigger
from bnml.kernels.fast_path import seek
from bnml.kernels.fills import mul_ppm, notional_e8
from bnml.kernels.prefetch import prefetch
from bnml.kernels.records import Action, ExitReason, Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUY = int(Action.BUY)
_SELL = int(Action.SELL)
_ALREADY_HELD = int(Reason.ALREADY_HELD)
_NONE = int(ExitReason.NONE)
_TRAILING = int(ExitReason.TRAILING)


SOON, AHEAD = 16, 96
"""Bars of a coming position that are asked of memory before it is entered; and how far ahead of a held one."""


class Track(NamedTuple):
    """One symbol's bars, opinions and outputs."""

    bars: NDArray[np.void]
    fast: NDArray[np.void]
    opinions: NDArray[np.void]
    lane: np.void
    answers: NDArray[np.void]
    equity_e8: NDArray[np.int64]
    changes: NDArray[np.void]
    frame_ns: int
    fast_frame_ns: int  # 0: the bars are themselves the path of prices
    latency_bars: int
    latency_ns: int


@lean
def _next_sell(track: Track, from_bar: int) -> int:
    """Bar of the first SELL from `from_bar` on; NEVER without one."""
    lane, opinions = track.lane, track.opinions
    at = lane["sell"]
    while at < lane["opinions_end"] and (opinions[at]["action"] != _SELL or opinions[at]["bar"] < from_bar):
        at += 1
    lane["sell"] = at
    return opinions[at]["bar"] if at < lane["opinions_end"] else NEVER


@lean
def _first_due(track: Track, start: int, end: int, due_ns: int) -> int:
    """The first bar of `start` to `end` that closes at `due_ns` or later; `end` without one."""
    due_ns -= track.frame_ns
    if due_ns <= track.bars[start]["ts_open_ns"]:
        return start
    if track.lane["is_regular"] == 1:
        return min(end, start + (due_ns - track.bars[start]["ts_open_ns"] - 1) // track.frame_ns + 1)
    return seek(track.bars, start, end, due_ns)


@lean
def _quiet_until(bars: NDArray[np.void], start: int, end: int, stop: int, ceiling: int) -> int:
    """The first bar from `start` on, or `end`, that reaches the stop or the ceiling."""
    ahead = bars[start:end]
    for i in range(len(ahead)):
        if ahead[i]["low"] <= stop or ahead[i]["high"] >= ceiling:
            return start + i
        prefetch(ahead, i + AHEAD)
    return start + len(ahead)


@lean
def _mark_held(kit: Kit, track: Track, start: int, end: int) -> None:
    """Equity at the closes of bars `start` to before `end`."""
    lots, den, num = open_lots(kit.slot), kit.instrument["notional_den"], kit.instrument["notional_num"]
    whole, rest, cash = (lots // den) * num, (lots % den) * num, kit.book["cash_e8"]
    bars, marks = track.bars[start:end], track.equity_e8[start - track.lane["first"] :]
    for i in range(len(bars)):
        marks[i] = cash + bars[i]["close"] * whole
    if rest > 0:
        for i in range(len(bars)):
            marks[i] += bars[i]["close"] * rest // den


@lean
def _glide_held(kit: Kit, track: Track, end: int, due_ns: int) -> int:
    """Pass quiet bars of a position; returns the last bar passed, whose scan is the next to be made.

    From the closing time `due_ns` on, the time stop is asked at every scan. No print up to the highest that
    has moved the stop can move it again, so that the print which can is looked for only at the end.
    """
    slot, bars = kit.slot, track.bars
    stop, ceiling, target = slot["stop"], slot["ceiling"], lowest_target(slot, NEVER)
    activation, atr, t = slot["activation"], slot["atr"], track.lane["bar"]
    due = _first_due(track, t, end, due_ns)
    while t < end:
        until = due
        if t >= due:
            if _is_in_band(kit, bars[t]["close"]):
                break
            until = t + 1
        loud = _quiet_until(bars, t + 1, until + 1, stop, ceiling)
        t = loud - 1
        if loud > until:
            continue
        bar = bars[loud]
        low, high = bar["low"], bar["high"]
        if low <= stop or high >= target or track.fast_frame_ns > 0:
            break
        raised = stop
        if bar["open"] >= ceiling:
            raised = trail_stop(stop, bar["open"], activation, atr, kit.rules)
            if low <= raised:
                break
        raised = trail_stop(raised, high, activation, atr, kit.rules)
        if bar["close"] <= raised:
            break
        stop, ceiling, t = raised, min(target, high + 1), loud
    if len(track.equity_e8) > 0:
        _mark_held(kit, track, track.lane["bar"], t)
    if stop > slot["stop"]:
        slot["stop"] = stop
        slot["stop_kind"] = _TRAILING
        slot["ceiling"] = min(target, trail_trigger(stop, activation, atr, kit.rules))
    return t


@lean
def _is_in_band(kit: Kit, close: int) -> bool:
    """Whether the result at this close is small enough for the time stop."""
    value, cost = notional_e8(close, open_lots(kit.slot), kit.instrument), open_cost_e8(kit.slot)
    return abs(value - cost) < mul_ppm(cost, kit.rules["time_stop_band_ppm"])


@lean
def _refuse_held(track: Track, until_bar: int) -> None:
    """Opinions on bars before `until_bar` were passed: a BUY of what is held is refused."""
    lane = track.lane
    while lane["opinion_bar"] < until_bar:
        at = lane["opinion"]
        if track.opinions[at]["action"] == _BUY and lane["opinion_bar"] >= lane["first"]:
            track.answers[at]["reason"] = _ALREADY_HELD
            track.answers[at]["measured"] = 1.0
        lane["opinion"] = at + 1
        lane["opinion_bar"] = track.opinions[at + 1]["bar"] if at + 1 < lane["opinions_end"] else NEVER


@lean
def glide(kit: Kit, track: Track) -> None:
    """Pass as many bars as nothing happens on; the next boundary is the first at which something may."""
    slot, lane, book = kit.slot, track.lane, kit.book
    last = lane["end"] - 1  # the last bar is never scanned
    lane["bar"] = max(lane["bar"], lane["first"])
    before = lane["bar"]
    if slot["entering"] == 1 or slot["leaving"] != _NONE or before >= last:
        return
    if slot["is_open"] == 0:
        _glide_idle(kit, track, last)
    elif slot["sold"] == 0 or kit.rules["dust_ppm"] == 0:
        end, due_ns = last, NEVER
        if kit.rules["exit_on_sell"] == 1:
            end = min(end, _next_sell(track, before))
        if kit.rules["time_stop_ns"] > 0:
            due_ns = slot["decided_ns"] + kit.rules["time_stop_ns"]
        note_change(book, track.changes, before - lane["first"])
        lane["bar"] = _glide_held(kit, track, end, due_ns)
        _refuse_held(track, lane["bar"])
    book["scans"] = lane["bar"] - lane["first"]


@lean
def _glide_idle(kit: Kit, track: Track, last: int) -> None:
    lane, book = track.lane, kit.book
    note_change(book, track.changes, lane["bar"] - lane["first"])
    while lane["opinion"] < lane["opinions_end"]:
        opinion = track.opinions[lane["opinion"]]
        if opinion["action"] == _BUY and opinion["bar"] >= lane["bar"]:
            break
        lane["opinion"] += 1
    at = lane["opinion"]
    lane["opinion_bar"] = track.opinions[at]["bar"] if at < lane["opinions_end"] else NEVER
    until = min(last, lane["opinion_bar"])
    for k in range(until, min(until + SOON, lane["end"])):
        prefetch(track.bars, k)
    if len(track.equity_e8) > 0:
        marks, cash = track.equity_e8[lane["bar"] - lane["first"] : until - lane["first"]], book["cash_e8"]
        for i in range(len(marks)):
            marks[i] = cash
    lane["bar"] = until
