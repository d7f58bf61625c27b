"""One candidate of one scan: what the model says of a bar, and the facts that the limits judge it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.account import Account, open_lots
from bnml.kernels.breakers import copy_to_facts
from bnml.kernels.exits import atr_ticks, entry_cap, initial_stop
from bnml.kernels.fills import book_of_bar, notional_e8, spread_ppm
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
_FEATURES_INCOMPLETE = int(Reason.FEATURES_INCOMPLETE)


class Tape(NamedTuple):
    """Inputs, one row per bar (also those before `first`, as history); NaN rows are incomplete features."""

    bars: NDArray[np.void]
    closes: NDArray[np.int64]
    days: NDArray[np.int64]  # calendar day number of each closing time, in the zone of the day roll
    probabilities: NDArray[np.float64]  # (bars, 3); not read unless `model` is MODEL_BUNDLE
    rsi_14: NDArray[np.float64]
    macd_histogram: NDArray[np.float64]
    bollinger_b: NDArray[np.float64]
    roc_4: NDArray[np.float64]
    roc_16: NDArray[np.float64]
    volume_ratio_20: NDArray[np.float64]
    atr_ratio_14: NDArray[np.float64]


class Setup(NamedTuple):
    """One-element records of `kernels.records`, the scanner's weights (ML, technical, momentum), frame and model."""

    instrument: NDArray[np.void]
    costs: NDArray[np.void]
    rules: NDArray[np.void]
    limits: NDArray[np.void]
    policy: NDArray[np.void]
    facts: NDArray[np.void]  # scratch
    weights: NDArray[np.float64]
    volatility_scratch: NDArray[np.float64]
    recent_scratch: NDArray[np.float64]
    baseline_scratch: NDArray[np.float64]
    frame_ns: int
    model: int


def scratch() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The three scratch arrays of a Setup."""
    return np.empty(VOLATILITY_BARS), np.empty(DRIFT_RECENT), np.empty(DRIFT_BASELINE)


@njit
def _is_incomplete(tape: Tape, t: int, model: int) -> bool:
    total = tape.rsi_14[t] + tape.macd_histogram[t] + tape.bollinger_b[t] + tape.roc_4[t]
    total += tape.roc_16[t] + tape.volume_ratio_20[t] + tape.atr_ratio_14[t]
    if model == MODEL_BUNDLE:
        total += tape.probabilities[t, 0] + tape.probabilities[t, 1] + tape.probabilities[t, 2]
    return np.isnan(total)


@njit
def predict(tape: Tape, setup: Setup, t: int, row: np.void) -> float:
    """Write action, reason, score and confidence of bar `t` into `row`; returns the expected edge (ppm)."""
    row["action"], row["reason"] = _HOLD, _NONE
    row["measured"], row["limit"], row["score"], row["confidence"] = 0.0, 0.0, 0.0, 0.0
    if setup.model == MODEL_NONE:
        row["reason"] = _NO_MODEL
        return 0.0
    if _is_incomplete(tape, t, setup.model):
        row["reason"] = _FEATURES_INCOMPLETE
        return 0.0
    rsi, macd = tape.rsi_14[t], tape.macd_histogram[t]
    if setup.model == MODEL_RULE:
        action, confident = rule_decision(rsi, macd)
        edge, measured, limit = np.nan, rsi, 35.0
    else:
        policy, p = setup.policy[0], tape.probabilities[t]
        action, edge = decide(policy, p)
        confident = confidence(policy, directional_score(p))
        measured, limit = hold_measure(policy, p)
    technical = technical_score(rsi, macd, tape.bollinger_b[t])
    momentum = momentum_score(tape.roc_4[t], tape.roc_16[t], tape.volume_ratio_20[t])
    w = setup.weights
    row["action"], row["confidence"] = action, confident
    row["score"] = global_score(confident, technical, momentum, w[0], w[1], w[2])
    if action != _BUY:
        row["reason"], row["measured"], row["limit"] = _POLICY, measured, limit
    return edge


@njit
def measure(
    account: Account,
    tape: Tape,
    setup: Setup,
    t: int,
    next_open: int,
    equity_e8: int,
    edge_ppm: float,
    row: np.void,
) -> int:
    """Fill the facts of a candidate on bar `t`, sized; returns the lots that an entry would buy."""
    state, limits, instrument, facts = account.state[0], setup.limits[0], setup.instrument[0], setup.facts[0]
    bar, costs, rules = tape.bars[t], setup.costs[0], setup.rules[0]
    close = bar["close"]
    bid, ask, _, _, depth = book_of_bar(next_open, bar, instrument, costs)
    ks, p_value, ratio = drift(tape.closes, t + 1, setup.recent_scratch, setup.baseline_scratch)
    exposure = notional_e8(close, open_lots(account), instrument)
    stop, _ = initial_stop(close, atr_ticks(tape.atr_ratio_14[t], close), rules)
    cap = entry_cap(close, rules)
    wanted, lots = size_lots(equity_e8, state["cash_e8"], exposure, close, stop, cap, limits, instrument)
    facts["ts_ns"] = bar["ts_open_ns"] + setup.frame_ns
    facts["held"] = state["is_open"]
    facts["active"] = 1
    facts["global_score"] = row["score"]
    facts["rank"] = 1
    facts["confidence"] = row["confidence"]
    facts["spread_ppm"] = spread_ppm(bid, ask)
    facts["depth_e8"] = depth
    facts["expected_edge_ppm"] = edge_ppm
    facts["open_positions"] = state["is_open"]
    facts["equity_e8"] = equity_e8
    copy_to_facts(account.breakers[0], facts)
    facts["volatility_ratio"] = volatility_ratio(tape.atr_ratio_14, t + 1, setup.volatility_scratch)
    facts["ks"], facts["ks_p"], facts["drift_volatility_ratio"] = ks, p_value, ratio
    facts["correlation"] = 0.0
    facts["active_e8"] = active_capital_e8(equity_e8, limits)
    facts["exposure_e8"] = exposure
    facts["wanted_e8"] = notional_e8(cap, wanted, instrument)
    facts["size_e8"] = notional_e8(cap, lots, instrument)
    least = minimum_lots(stop, costs["taker_ppm"], instrument)
    facts["minimum_e8"] = notional_e8(cap, least, instrument)
    facts["risk_e8"] = notional_e8(close - stop, lots, instrument)
    return lots
