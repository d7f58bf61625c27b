"""What the model (or the rule without one) thinks of one symbol's closed bar, before any limit is asked."""

from __future__ import annotations

import msgspec
import numpy as np

from bnml.core.ports import PredictorSource
from bnml.kernels import opinions
from bnml.kernels.opinions import SCORE_COLUMNS, VIEW, Model
from bnml.kernels.records import POLICY, Action, Reason, record
from bnml.trading.compile import EngineConfig
from bnml.trading.state import SymbolState

_NO_BUNDLE = int(Model.NONE)
_BUNDLE = int(Model.BUNDLE)
_RULE = int(Model.RULE)
_HOLD = int(Action.HOLD)
_NO_MODEL = int(Reason.NO_MODEL)


class Opinion(msgspec.Struct, frozen=True, gc=False):
    """One `kernels.opinions.VIEW` of a symbol, and of which bundle: `reason` is NONE for a BUY, else why there is none."""

    symbol: str
    ts_close_ns: int
    bundle_id: str
    action: int
    reason: int
    expected_edge_ppm: float = 0.0
    confidence: float = 0.0
    score: float = 0.0
    momentum: float = 0.0
    measured: float = 0.0
    limit: float = 0.0
    p_sell: float = 0.0
    p_hold: float = 0.0
    p_buy: float = 0.0


class Decider:
    """Turns a feature row into an opinion; holds nothing that a snapshot would need."""

    prepares = True  # whether an opinion is work that is better done before the scan

    def __init__(self, config: EngineConfig, predictors: PredictorSource) -> None:
        self._predictors = predictors
        self._weights = config.weights
        self._without_model = _RULE if config.has_rule_strategy else _NO_BUNDLE
        self._columns = np.array([config.layout.column(name) for name in SCORE_COLUMNS])
        self._no_columns = np.zeros(0, np.int64)
        self._no_policy = record(POLICY)
        self._probabilities = np.zeros(3)
        self._out = np.zeros(1, VIEW)[0]

    def opine(self, symbol: str, state: SymbolState, bundle_id: str) -> Opinion:
        """The opinion on the symbol's last bar; `bundle_id` is empty for a symbol without a model."""
        ts_close_ns = 0 if state.bar is None else state.bar.ts_close_ns
        model, columns, policy = self._without_model, self._no_columns, self._no_policy
        if bundle_id:
            predictor = self._predictors.predictor(bundle_id)
            model, columns, policy = _BUNDLE, predictor.columns, predictor.policy
            if opinions.is_complete(state.row, columns):
                predictor.probabilities(state.row, self._probabilities)
        elif model == _NO_BUNDLE:
            return Opinion(symbol, ts_close_ns, bundle_id, _HOLD, _NO_MODEL)
        opinions.opinion_row(
            model, state.row, self._columns, columns, policy, self._probabilities, self._weights, self._out
        )
        return Opinion(symbol, ts_close_ns, bundle_id, *self._out.item())
