"""One candidate of one scan: how much it would buy, and the facts that the limits judge it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import lean, part
from bnml.kernels.account import Kit
from bnml.kernels.borrowed import borrowed
from bnml.kernels.breakers import copy_to_facts
from bnml.kernels.exits import NEVER, atr_ticks, entry_cap, initial_stop
from bnml.kernels.fills import book_of_bar, lots_for, mul_ppm, notional_e8, spread_ppm
from bnml.kernels.limits import first_refusal
from bnml.kernels.looking_back import Past, correlation, look_at_regime
from bnml.kernels.records import Reason
from bnml.kernels.sizing import minimum_lots, size_lots

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NONE = int(Reason.NONE)
_CONFIDENCE = int(Reason.CONFIDENCE)
_LOSS_STREAK = int(Reason.LOSS_STREAK)
_CORRELATION = int(Reason.CORRELATION)
_CAPITAL = int(Reason.CAPITAL)


class Risk(NamedTuple):
    """What limits of account and market look at, beside the books; None where no such limit is asked.

    The calendar says from when on each day number holds. `crowds` (kernels.mood; empty where nobody listens)
    stand by closing time in frames since `base_ns`; voices of bars published later than that apart, by bar.
    """

    breakers: np.void
    lanes: NDArray[np.void]
    slots: NDArray[np.void]
    benchmark: int
    past: Past
    crowds: NDArray[np.float64]
    base_ns: int
    late_bars: NDArray[np.int64]
    late_voices: NDArray[np.void]
    crowd: NDArray[np.float64]  # scratch for one
    day_from_ns: NDArray[np.int64]
    day_numbers: NDArray[np.int64]


class Money(NamedTuple):
    """The account as a candidate meets it; 1e-8 of the quote asset."""

    equity_e8: int
    free_e8: int
    exposure_e8: int
    cost_e8: int


class Wish(NamedTuple):
    """A sized entry; `lots` is what may be bought, `wanted` before the free balance."""

    wanted: int
    lots: int
    least: int  # lots that filters and protection need
    reference: int
    stop: int
    cap: int
    atr: int


@part
def size_entry(kit: Kit, limits: np.void, opinion: np.void, close: int, money: Money) -> Wish:
    """Size an entry decided at a close."""
    atr = atr_ticks(opinion["atr_ratio"], close)
    stop, _ = initial_stop(close, atr, kit.rules)
    cap = entry_cap(close, kit.rules)
    wanted, lots = size_lots(
        money.equity_e8,
        money.free_e8,
        money.exposure_e8,
        money.cost_e8,
        close,
        stop,
        cap,
        limits,
        kit.instrument,
    )
    if opinion["size_ppm"] > 0:
        most = lots_for(mul_ppm(max(0, money.equity_e8), opinion["size_ppm"]), cap, kit.instrument)
        wanted, lots = min(wanted, most), min(lots, most)
    least = minimum_lots(stop if stop > 0 else close, kit.costs["taker_ppm"], kit.instrument)
    return Wish(wanted, lots, least, close, stop, cap, atr)


@lean
def write_sizes(facts: np.void, kit: Kit, wish: Wish, money: Money) -> None:
    """Facts of what the entry would take."""
    facts["exposure_e8"] = money.exposure_e8
    facts["wanted_e8"] = notional_e8(wish.cap, wish.wanted, kit.instrument)
    facts["size_e8"] = notional_e8(wish.cap, wish.lots, kit.instrument)
    facts["minimum_e8"] = notional_e8(wish.cap, wish.least, kit.instrument)
    facts["risk_e8"] = notional_e8(wish.reference - wish.stop, wish.lots, kit.instrument)


@part
def write_scan(facts: np.void, breakers: np.void) -> None:
    """Facts of the account's memory, the same for every candidate of a scan."""
    facts["active"] = 1
    copy_to_facts(breakers, facts)


@part
def _write_opinion(facts: np.void, opinion: np.void) -> None:
    """Facts of the opinion; all that is dearer is neutral until it is asked for."""
    facts["global_score"] = opinion["score"]
    facts["confidence"] = opinion["confidence"]
    facts["expected_edge_ppm"] = opinion["expected_edge_ppm"]
    facts["spread_ppm"] = 0
    facts["depth_e8"] = NEVER
    facts["volatility_ratio"] = 1.0
    facts["ks"] = 0.0
    facts["ks_p"] = 1.0
    facts["drift_volatility_ratio"] = 1.0
    facts["correlation"] = 0.0


@part
def _measure_regime(facts: np.void, limits: np.void, risk: Risk, bars: NDArray[np.void]) -> None:
    """Facts of the benchmark, up to its last published bar."""
    lane, regime = risk.lanes[risk.benchmark], risk.past.regime
    end, bars = max(lane["bar"], lane["first"]), borrowed(bars, lane["bars_at"])
    look_at_regime(risk.past, bars, lane["start"], end, limits)
    facts["volatility_ratio"] = regime["volatility_ratio"]
    facts["ks"] = regime["ks"]
    facts["ks_p"] = regime["ks_p"]
    facts["drift_volatility_ratio"] = regime["drift_ratio"]


@part
def _correlation(risk: Risk, symbol: int, bars: NDArray[np.void]) -> float:
    """The largest with any other symbol that has a position; 0 without one."""
    lanes, slots, largest = risk.lanes, risk.slots, 0.0
    is_alone = True
    own = lanes[symbol]
    for other in range(slots.shape[0]):
        if other == symbol or slots[other]["is_open"] == 0:
            continue
        lane = lanes[other]
        found = correlation(risk.past, bars, own, borrowed(bars, lane["bars_at"]), lane)
        largest = found if is_alone else max(largest, found)
        is_alone = False
    return largest


@part
def judge_alone(
    facts: np.void, limits: np.void, kit: Kit, opinion: np.void, bars: NDArray[np.void], t: int
) -> tuple[int, float, float]:
    """The refusal of a candidate on bar `t` by a rule that comes before those of the market; else NONE.

    What is dear is measured only when it decides: here the book. Sizes in `facts` are those of another candidate;
    rules that look at them come after all others.
    """
    _write_opinion(facts, opinion)
    reason, measured, limit = first_refusal(facts, limits)
    if _NONE < reason <= _CONFIDENCE:
        return reason, measured, limit
    bid, ask, _, _, depth = book_of_bar(bars[t + 1]["open"], bars[t], kit.instrument, kit.costs)
    facts["spread_ppm"] = spread_ppm(bid, ask)
    facts["depth_e8"] = depth
    reason, measured, limit = first_refusal(facts, limits)
    return (reason, measured, limit) if _NONE < reason <= _LOSS_STREAK else (_NONE, 0.0, 0.0)


@part
def judge(
    facts: np.void, limits: np.void, risk: Risk, symbol: int, bars: NDArray[np.void]
) -> tuple[int, float, float]:
    """After `judge_alone`: the first refusal by a rule that does not look at its size; else (NONE or later).

    Measured here: the regime, and then the correlation.
    """
    _measure_regime(facts, limits, risk, bars)
    reason, measured, limit = first_refusal(facts, limits)
    if reason == _NONE or _CORRELATION <= reason <= _CAPITAL:
        facts["correlation"] = _correlation(risk, symbol, bars)
        reason, measured, limit = first_refusal(facts, limits)
    return reason, measured, limit


@lean
def looks_at_size(reason: int) -> bool:
    """Whether a refusal, or none, was made without knowing the sizes of the candidate."""
    return reason == _NONE or _CORRELATION < reason <= _CAPITAL
