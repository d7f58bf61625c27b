"""Stretches of one symbol's bars in which nothing happens, passed in a tight loop with the same result.

Without a position nothing happens until the next BUY. With one, nothing happens while the bars stay above
the stop and below the lowest target, no exit of a scan is due, and no SELL closes; a stop that only trails
is moved here too. Equity is marked all the same, where it is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import part
from bnml.kernels.account import Kit, lowest_target, note_change, open_cost_e8, open_lots
from bnml.kernels.exits import NEVER, trail_stop, trail_trigger
from bnml.kernels.fills import mul_ppm
from bnml.kernels.records import Action, ExitReason, Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUY = int(Action.BUY)
_SELL = int(Action.SELL)
_ALREADY_HELD = int(Reason.ALREADY_HELD)
_NONE = int(ExitReason.NONE)
_TRAILING = int(ExitReason.TRAILING)


STRIDE = 4


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


@part
def _next_sell(track: Track, from_bar: int) -> int:
    """Bar of the first SELL from `from_bar` on; NEVER without one."""
    lane, opinions = track.lane, track.opinions
    at = lane["sell"]
    while at < lane["opinions_end"] and (opinions[at]["action"] != _SELL or opinions[at]["bar"] < from_bar):
        at += 1
    lane["sell"] = at
    return opinions[at]["bar"] if at < lane["opinions_end"] else NEVER


@part
def _glide_held(kit: Kit, track: Track, end: int, due_ns: int) -> int:
    """Pass quiet bars of a position; returns the last bar passed, whose scan is the next to be made.

    From the closing time `due_ns` on, the time stop is asked at every scan.
    """
    slot, bars, equity, first = kit.slot, track.bars, track.equity_e8, track.lane["first"]
    lots, den, num = open_lots(slot), kit.instrument["notional_den"], kit.instrument["notional_num"]
    whole, rest, cash, cost = (lots // den) * num, (lots % den) * num, kit.book["cash_e8"], open_cost_e8(slot)
    band = mul_ppm(cost, kit.rules["time_stop_band_ppm"])
    stop, ceiling, target = slot["stop"], slot["ceiling"], lowest_target(slot, NEVER)
    activation, atr, keeps = slot["activation"], slot["atr"], len(equity) > 0
    t, due_ns = track.lane["bar"], due_ns - track.frame_ns
    close, ts_ns = bars[t]["close"], bars[t]["ts_open_ns"]
    while t < end:
        bar = bars[t + 1]
        low, high = bar["low"], bar["high"]
        if low <= stop:
            break
        if keeps or ts_ns >= due_ns:
            value = close * whole
            if rest > 0:
                value += close * rest // den
            if ts_ns >= due_ns and abs(value - cost) < band:
                break
            if keeps:
                equity[t - first] = cash + value
        close, ts_ns = bar["close"], bar["ts_open_ns"]
        if high >= ceiling:
            if high >= target or track.fast_frame_ns > 0:
                break
            raised = trail_stop(stop, bar["open"], activation, atr, kit.rules)
            if low <= raised:
                break
            raised = trail_stop(raised, high, activation, atr, kit.rules)
            if close <= raised:
                break
            stop = raised
            ceiling = min(target, trail_trigger(stop, activation, atr, kit.rules))
        t += 1
    if stop > slot["stop"]:
        slot["stop"] = stop
        slot["stop_kind"] = _TRAILING
        slot["ceiling"] = ceiling
    return t


@part
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


@part
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


@part
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
    # Nothing is asked of these bars. Read in passing, they bring the next position's with them from memory,
    # which costs less than to wait for those.
    seen = 0
    for t in range(lane["bar"], until, STRIDE):
        seen ^= track.bars[t]["low"]
    book["passed"] = seen
    if len(track.equity_e8) > 0:
        track.equity_e8[lane["bar"] - lane["first"] : until - lane["first"]] = book["cash_e8"]
    lane["bar"] = until
