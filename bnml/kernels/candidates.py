"""One candidate of one scan: what the model says of a bar, and the facts that the limits judge it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.account import Kit
from bnml.kernels.breakers import copy_to_facts
from bnml.kernels.exits import atr_ticks, entry_cap, initial_stop
from bnml.kernels.fills import book_of_bar, notional_e8, spread_ppm
from bnml.kernels.limits import first_refusal
from bnml.kernels.policy import (
    confidence,
    decide,
    directional_score,
    global_score,
    hold_measure,
    momentum_score,
    rule_decision,
    technical_score,
)
from bnml.kernels.records import Action, Reason
from bnml.kernels.regime import DRIFT_BASELINE, DRIFT_RECENT, VOLATILITY_BARS, drift, volatility_ratio
from bnml.kernels.sizing import active_capital_e8, minimum_lots, size_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_NONE, MODEL_BUNDLE, MODEL_RULE = 0, 1, 2
_HOLD = int(Action.HOLD)
_BUY = int(Action.BUY)
_NONE = int(Reason.NONE)
_POLICY = int(Reason.POLICY)
_NO_MODEL = int(Reason.NO_MODEL)
_LOSS_STREAK = int(Reason.LOSS_STREAK)
_FEATURES_INCOMPLETE = int(Reason.FEATURES_INCOMPLETE)

SIGNAL = np.dtype(
    [
        ("day", np.int64),  # calendar day number of the closing time, in the zone of the day roll
        ("probabilities", np.float64, (3,)),  # P(SELL), P(HOLD), P(BUY); read with a bundle only
        ("rsi_14", np.float64),
        ("macd_histogram", np.float64),
        ("bollinger_b", np.float64),
        ("roc_4", np.float64),
        ("roc_16", np.float64),
        ("volume_ratio_20", np.float64),
        ("atr_ratio_14", np.float64),
    ]
)
"""What is known at the close of one bar; a NaN means that the features are not complete."""


class Tape(NamedTuple):
    """Inputs of a run, one element per bar (also those before its start, as history), and scratch."""

    bars: NDArray[np.void]
    signals: NDArray[np.void]
    closes: NDArray[np.int64]
    atr_ratios: NDArray[np.float64]
    volatility_scratch: NDArray[np.float64]
    recent_scratch: NDArray[np.float64]
    baseline_scratch: NDArray[np.float64]


def new_tape(bars: NDArray[np.void], signals: NDArray[np.void]) -> Tape:
    """A tape over BAR and SIGNAL arrays of one length."""
    return Tape(
        np.ascontiguousarray(bars),
        signals,
        np.ascontiguousarray(bars["close"]),
        np.ascontiguousarray(signals["atr_ratio_14"]),
        np.empty(VOLATILITY_BARS),
        np.empty(DRIFT_RECENT),
        np.empty(DRIFT_BASELINE),
    )


@njit
def _is_incomplete(signal: np.void, model: int) -> bool:
    total = signal["rsi_14"] + signal["macd_histogram"] + signal["bollinger_b"] + signal["roc_4"]
    total += signal["roc_16"] + signal["volume_ratio_20"] + signal["atr_ratio_14"]
    if model == MODEL_BUNDLE:
        p = signal["probabilities"]
        total += p[0] + p[1] + p[2]
    return np.isnan(total)


@njit
def predict(kit: Kit, signal: np.void, row: np.void) -> float:
    """Write action, reason, score and confidence of a bar into `row`; returns the expected edge (ppm)."""
    row["action"], row["reason"] = _HOLD, _NONE
    row["measured"], row["limit"], row["score"], row["confidence"] = 0.0, 0.0, 0.0, 0.0
    if kit.model == MODEL_NONE:
        row["reason"] = _NO_MODEL
        return 0.0
    if _is_incomplete(signal, kit.model):
        row["reason"] = _FEATURES_INCOMPLETE
        return 0.0
    rsi, macd = signal["rsi_14"], signal["macd_histogram"]
    if kit.model == MODEL_RULE:
        action, confident = rule_decision(rsi, macd)
        edge, measured, limit = np.nan, 0.0, 0.0
    else:
        p = signal["probabilities"]
        action, edge = decide(kit.policy, p)
        confident = confidence(kit.policy, directional_score(p))
        measured, limit = hold_measure(kit.policy, p)
    technical = technical_score(rsi, macd, signal["bollinger_b"])
    momentum = momentum_score(signal["roc_4"], signal["roc_16"], signal["volume_ratio_20"])
    row["action"], row["confidence"] = action, confident
    row["score"] = global_score(
        confident, technical, momentum, kit.weight_ml, kit.weight_technical, kit.weight_momentum
    )
    if action != _BUY:
        row["reason"], row["measured"], row["limit"] = _POLICY, measured, limit
    return edge


@njit
def measure(
    kit: Kit, tape: Tape, t: int, value_e8: int, equity_e8: int, edge_ppm: float, row: np.void
) -> int:
    """Fill the facts of a candidate on bar `t`, sized; returns the lots that an entry would buy.

    The regime is left neutral, for `measure_regime` to fill in. `value_e8` is what open lots are worth at the bar's close; the book is the one around the next open.
    """
    facts, limits, instrument, bar = kit.facts, kit.limits, kit.instrument, tape.bars[t]
    close = bar["close"]
    bid, ask, _, _, depth = book_of_bar(tape.bars[t + 1]["open"], bar, instrument, kit.costs)
    stop, _ = initial_stop(close, atr_ticks(tape.atr_ratios[t], close), kit.rules)
    cap = entry_cap(close, kit.rules)
    wanted, lots = size_lots(equity_e8, kit.state["cash_e8"], value_e8, close, stop, cap, limits, instrument)
    facts["ts_ns"] = bar["ts_open_ns"] + kit.frame_ns
    facts["held"] = kit.state["is_open"]
    facts["active"] = 1
    facts["global_score"] = row["score"]
    facts["rank"] = 1
    facts["confidence"] = row["confidence"]
    facts["spread_ppm"] = spread_ppm(bid, ask)
    facts["depth_e8"] = depth
    facts["expected_edge_ppm"] = edge_ppm
    facts["open_positions"] = kit.state["is_open"]
    facts["equity_e8"] = equity_e8
    copy_to_facts(kit.breakers, facts)
    facts["volatility_ratio"], facts["ks"], facts["ks_p"], facts["drift_volatility_ratio"] = (
        1.0,
        0.0,
        1.0,
        1.0,
    )
    facts["correlation"] = 0.0
    facts["active_e8"] = active_capital_e8(equity_e8, limits)
    facts["exposure_e8"] = value_e8
    facts["wanted_e8"] = notional_e8(cap, wanted, instrument)
    facts["size_e8"] = notional_e8(cap, lots, instrument)
    least = minimum_lots(stop, kit.costs["taker_ppm"], instrument)
    facts["minimum_e8"] = notional_e8(cap, least, instrument)
    facts["risk_e8"] = notional_e8(close - stop, lots, instrument)
    return lots


@njit
def measure_regime(kit: Kit, tape: Tape, t: int) -> None:
    """Fill the facts of the benchmark on bar `t`: the symbol itself; dear, so asked only when they decide."""
    facts = kit.facts
    facts["volatility_ratio"] = volatility_ratio(tape.atr_ratios, t + 1, tape.volatility_scratch)
    ks, p_value, ratio = drift(tape.closes, t + 1, tape.recent_scratch, tape.baseline_scratch)
    facts["ks"], facts["ks_p"], facts["drift_volatility_ratio"] = ks, p_value, ratio


@njit
def judge(kit: Kit, tape: Tape, t: int, row: np.void) -> None:
    """Write the first refusal of a measured candidate into `row`; rules before the regime's need none of it."""
    reason, measured, limit = first_refusal(kit.facts, kit.limits)
    if reason == _NONE or reason > _LOSS_STREAK:
        measure_regime(kit, tape, t)
        reason, measured, limit = first_refusal(kit.facts, kit.limits)
    row["reason"], row["measured"], row["limit"] = reason, measured, limit
