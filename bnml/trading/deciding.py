"""What the model (or the rule without one) thinks of one symbol's closed bar, before any limit is asked."""

from __future__ import annotations

import msgspec
import numpy as np

from bnml.core.ports import PredictorSource
from bnml.kernels import opinions
from bnml.kernels.opinions import OPINION, SCORE_COLUMNS, Mind
from bnml.kernels.records import POLICY, Action, Reason, record
from bnml.trading.compile import EngineConfig
from bnml.trading.state import SymbolState

_NOTHING = int(Mind.NOTHING)
_BUNDLE = int(Mind.BUNDLE)
_RULE = int(Mind.RULE)
_HOLD = int(Action.HOLD)
_NO_MODEL = int(Reason.NO_MODEL)


class Opinion(msgspec.Struct, frozen=True, gc=False):
    """One `kernels.opinions.OPINION` of a symbol, and of which bundle: `reason` is NONE for a BUY, else why there is none."""

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
        self._weights = np.array(config.weights)
        self._without_model = _RULE if config.has_rule_strategy else _NOTHING
        self._columns = np.array([config.layout.column(name) for name in SCORE_COLUMNS])
        self._no_columns = np.zeros(0, np.int64)
        self._no_policy = record(POLICY)
        self._probabilities = np.zeros(3)
        self._out = np.zeros(1, OPINION)[0]

    def opine(self, symbol: str, state: SymbolState, bundle_id: str) -> Opinion:
        """The opinion on the symbol's last bar; `bundle_id` is empty for a symbol without a model."""
        ts_close_ns = 0 if state.bar is None else state.bar.ts_close_ns
        mind, columns, policy = self._without_model, self._no_columns, self._no_policy
        if bundle_id:
            predictor = self._predictors.predictor(bundle_id)
            mind, columns, policy = _BUNDLE, predictor.columns, predictor.policy
            if opinions.is_complete(state.row, columns):
                predictor.probabilities(state.row, self._probabilities)
        elif mind == _NOTHING:
            return Opinion(symbol, ts_close_ns, bundle_id, _HOLD, _NO_MODEL)
        opinions.opinion_row(
            mind, state.row, self._columns, columns, policy, self._probabilities, self._weights, self._out
        )
        return Opinion(symbol, ts_close_ns, bundle_id, *self._out.item())
