"""One candidate of one scan: how much it would buy, and the facts that the limits judge it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import lean, part
from bnml.kernels.account import Kit
from bnml.kernels.breakers import copy_to_facts
from bnml.kernels.exits import atr_ticks, entry_cap, initial_stop
from bnml.kernels.fills import book_of_bar, lots_for, mul_ppm, notional_e8, spread_ppm
from bnml.kernels.limits import first_refusal, first_refusal_of_rules
from bnml.kernels.records import Reason
from bnml.kernels.regime import aligned_correlation, drift, volatility_ratio
from bnml.kernels.sizing import active_capital_e8, minimum_lots, size_lots

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HISTORY = 400
"""Closes that are kept of each symbol; correlation looks at no more."""
_NONE = int(Reason.NONE)
_LOSS_STREAK = int(Reason.LOSS_STREAK)
_CORRELATION = int(Reason.CORRELATION)
_CAPITAL = int(Reason.CAPITAL)


class Risk(NamedTuple):
    """What limits of account and market look at, beside the books; None where no such limit is asked.

    `opens_ns`, `closes` and `voices` (kernels.mood; empty: nobody listens) are of all symbols joined,
    `atr_ratios` of the benchmark alone. The calendar says from when on each day number holds.
    """

    breakers: np.void
    lanes: NDArray[np.void]
    slots: NDArray[np.void]
    opens_ns: NDArray[np.int64]
    closes: NDArray[np.int64]
    voices: NDArray[np.void]
    choir: NDArray[np.void]  # scratch: the voices of one scan
    benchmark: int
    atr_ratios: NDArray[np.float64]
    day_from_ns: NDArray[np.int64]
    day_numbers: NDArray[np.int64]
    volatility_scratch: NDArray[np.float64]
    recent_scratch: NDArray[np.float64]
    baseline_scratch: NDArray[np.float64]


class Money(NamedTuple):
    """The account as a candidate meets it; 1e-8 of the quote asset."""

    equity_e8: int
    free_e8: int
    exposure_e8: int


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
        money.equity_e8, money.free_e8, money.exposure_e8, close, stop, cap, limits, kit.instrument
    )
    if opinion["size_ppm"] > 0:
        most = lots_for(mul_ppm(max(0, money.equity_e8), opinion["size_ppm"]), cap, kit.instrument)
        wanted, lots = min(wanted, most), min(lots, most)
    least = minimum_lots(stop if stop > 0 else close, kit.costs["taker_ppm"], kit.instrument)
    return Wish(wanted, lots, least, close, stop, cap, atr)


@lean
def write_sizes(facts: np.void, kit: Kit, limits: np.void, wish: Wish, money: Money) -> None:
    """Facts of the account and of what the entry would take."""
    facts["held"] = kit.slot["is_open"]
    facts["open_positions"] = kit.book["positions"]
    facts["equity_e8"] = money.equity_e8
    facts["active_e8"] = active_capital_e8(money.equity_e8, limits)
    facts["exposure_e8"] = money.exposure_e8
    facts["wanted_e8"] = notional_e8(wish.cap, wish.wanted, kit.instrument)
    facts["size_e8"] = notional_e8(wish.cap, wish.lots, kit.instrument)
    facts["minimum_e8"] = notional_e8(wish.cap, wish.least, kit.instrument)
    facts["risk_e8"] = notional_e8(wish.reference - wish.stop, wish.lots, kit.instrument)


@lean
def judge_by_rules(facts: np.void, limits: np.void, answer: np.void) -> None:
    """Write the first refusal of a candidate whose sizes are written; sizing, positions and exposure only."""
    answer["reason"], answer["measured"], answer["limit"] = first_refusal_of_rules(facts, limits)


@part
def write_candidate(
    facts: np.void, kit: Kit, risk: Risk, opinion: np.void, bar: np.void, next_open: int
) -> None:
    """Facts of the opinion, of the book around the next open and of the account's memory; regime neutral."""
    bid, ask, _, _, depth = book_of_bar(next_open, bar, kit.instrument, kit.costs)
    facts["active"] = 1
    facts["global_score"] = opinion["score"]
    facts["confidence"] = opinion["confidence"]
    facts["expected_edge_ppm"] = opinion["expected_edge_ppm"]
    facts["spread_ppm"] = spread_ppm(bid, ask)
    facts["depth_e8"] = depth
    copy_to_facts(risk.breakers, facts)
    facts["volatility_ratio"] = 1.0
    facts["ks"] = 0.0
    facts["ks_p"] = 1.0
    facts["drift_volatility_ratio"] = 1.0
    facts["correlation"] = 0.0


@part
def _measure_regime(facts: np.void, risk: Risk) -> None:
    """Facts of the benchmark, up to its last published bar."""
    lane = risk.lanes[risk.benchmark]
    start, end = lane["start"], max(lane["bar"], lane["first"])
    known = min(end - start, len(risk.atr_ratios))
    facts["volatility_ratio"] = volatility_ratio(risk.atr_ratios, known, risk.volatility_scratch)
    ks, p_value, ratio = drift(
        risk.closes[start:end], end - start, risk.recent_scratch, risk.baseline_scratch
    )
    facts["ks"], facts["ks_p"], facts["drift_volatility_ratio"] = ks, p_value, ratio


@part
def _correlation(risk: Risk, symbol: int) -> float:
    """The largest with any other symbol that has a position; 0 without one."""
    lanes, slots, largest = risk.lanes, risk.slots, 0.0
    is_alone = True
    end1 = lanes[symbol]["bar"]
    start1 = max(lanes[symbol]["start"], end1 - HISTORY)
    for other in range(slots.shape[0]):
        if other == symbol or slots[other]["is_open"] == 0:
            continue
        end2 = lanes[other]["bar"]
        start2 = max(lanes[other]["start"], end2 - HISTORY)
        found = aligned_correlation(
            risk.opens_ns[start1:end1],
            risk.closes[start1:end1],
            end1 - start1,
            risk.opens_ns[start2:end2],
            risk.closes[start2:end2],
            end2 - start2,
        )
        largest = found if is_alone else max(largest, found)
        is_alone = False
    return largest


@part
def judge(facts: np.void, limits: np.void, risk: Risk, symbol: int, answer: np.void) -> None:
    """Write the first refusal of a candidate into `answer`; what is dear is measured only when it decides."""
    reason, measured, limit = first_refusal(facts, limits)
    if reason == _NONE or reason > _LOSS_STREAK:
        _measure_regime(facts, risk)
        reason, measured, limit = first_refusal(facts, limits)
    if reason == _NONE or _CORRELATION <= reason <= _CAPITAL:
        facts["correlation"] = _correlation(risk, symbol)
        reason, measured, limit = first_refusal(facts, limits)
    answer["reason"], answer["measured"], answer["limit"] = reason, measured, limit
