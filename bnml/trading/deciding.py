"""What the model (or the rule without one) thinks of one symbol's closed bar, before any limit is asked."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.ports import PredictorSource
from bnml.kernels import policy
from bnml.kernels.records import Action, Reason
from bnml.trading.compile import EngineConfig
from bnml.trading.state import SymbolState

SCORE_COLUMNS = (
    "rsi_14",
    "macd_histogram",
    "bollinger_b",
    "roc_4",
    "roc_16",
    "volume_ratio_20",
    "atr_ratio_14",
)
"""Columns that scores, stops and the rule strategy read, besides what a bundle declares."""


class Opinion(msgspec.Struct, frozen=True):
    """`reason` is NONE for a BUY, else why there is none; scores and confidence are 0..100."""

    symbol: str
    ts_close_ns: int
    action: int
    reason: int
    bundle_id: str = ""
    expected_edge_ppm: float = 0.0
    confidence: float = 0.0
    score: float = 0.0
    momentum: float = 0.0
    measured: float = 0.0  # for a POLICY reason: what the decision rule saw, and what it wanted
    limit: float = 0.0
    p_sell: float = 0.0
    p_hold: float = 0.0
    p_buy: float = 0.0


class Decider:
    """Turns a feature row into an opinion; holds nothing that a snapshot would need."""

    def __init__(self, config: EngineConfig, predictors: PredictorSource) -> None:
        self._predictors = predictors
        self._weights = config.weights
        self._has_rule_strategy = config.has_rule_strategy
        self._columns = np.array([config.layout.column(name) for name in SCORE_COLUMNS])
        self._probabilities = np.zeros(3)

    def opine(self, symbol: str, state: SymbolState, bundle_id: str) -> Opinion:
        """The opinion on the symbol's last bar; `bundle_id` is empty for a symbol without a model."""
        ts_close_ns = 0 if state.bar is None else state.bar.ts_close_ns
        inputs = state.row[self._columns]
        if not bundle_id and not self._has_rule_strategy:
            return Opinion(symbol, ts_close_ns, int(Action.HOLD), int(Reason.NO_MODEL))
        incomplete = Opinion(
            symbol, ts_close_ns, int(Action.HOLD), int(Reason.FEATURES_INCOMPLETE), bundle_id
        )
        if np.isnan(inputs).any():
            return incomplete
        if not bundle_id:
            action, confidence = policy.rule_decision(inputs[0], inputs[1])
            made = self._opinion(symbol, ts_close_ns, inputs, action, confidence)
            return _with(made, math.nan, 0.0, 0.0)  # a rule of two conditions has no one value
        predictor = self._predictors.predictor(bundle_id)
        if np.isnan(state.row[predictor.columns]).any():
            return incomplete
        predictor.probabilities(state.row, self._probabilities)
        record = predictor.policy[0]
        action, edge_ppm = policy.decide(record, self._probabilities)
        confidence = policy.confidence(record, policy.directional_score(self._probabilities))
        made = self._opinion(symbol, ts_close_ns, inputs, action, confidence)
        measured, limit = policy.hold_measure(record, self._probabilities)
        p_sell, p_hold, p_buy = (float(value) for value in self._probabilities)
        made = msgspec.structs.replace(made, bundle_id=bundle_id, p_sell=p_sell, p_hold=p_hold, p_buy=p_buy)
        return _with(made, float(edge_ppm), float(measured), float(limit))

    def _opinion(
        self, symbol: str, ts_close_ns: int, inputs: NDArray[np.float64], action: int, confidence: float
    ) -> Opinion:
        technical = policy.technical_score(inputs[0], inputs[1], inputs[2])
        momentum = policy.momentum_score(inputs[3], inputs[4], inputs[5])
        score = policy.global_score(confidence, technical, momentum, *self._weights)
        reason = Reason.NONE if action == Action.BUY else Reason.POLICY
        return Opinion(
            symbol,
            ts_close_ns,
            int(action),
            int(reason),
            confidence=float(confidence),
            score=float(score),
            momentum=float(momentum),
        )


def _with(opinion: Opinion, edge_ppm: float, measured: float, limit: float) -> Opinion:
    if opinion.reason == Reason.NONE:
        measured = limit = 0.0
    return msgspec.structs.replace(opinion, expected_edge_ppm=edge_ppm, measured=measured, limit=limit)
