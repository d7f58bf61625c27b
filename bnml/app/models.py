"""Bundles for the engine: loaded ahead by the trainer, or on demand when a journal names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.core.errors import Rejected
from bnml.kernels.records import DecisionRule
from bnml.learn.predictors import ModelStore, PolicyChoice
from bnml.trading.compile import compile_layout

if TYPE_CHECKING:
    from bnml.config import Settings
    from bnml.core.ports import Predictor


class Bundles:
    """`core.ports.PredictorSource` over the model store; reads a bundle from disk if a restart needs it."""

    def __init__(self, store: ModelStore) -> None:
        self.store = store

    def predictor(self, bundle_id: str) -> Predictor:
        """Loads at most once; only a recovering daemon ever waits for the disk here."""
        try:
            return self.store.predictor(bundle_id)
        except Rejected:
            symbol, _, version = bundle_id.partition("/")
            logger().info("bundle_loaded_again", bundle=bundle_id)
            self.store.load(symbol, version)
            return self.store.predictor(bundle_id)


def make_bundles(settings: Settings) -> Bundles:
    """The store of this run's models folder, with the operator's decision rule."""
    decision = settings.decision
    rule = DecisionRule.EXPECTED_EDGE if decision.rule == "expected_edge" else DecisionRule.ABSOLUTE
    choice = PolicyChoice(
        int(rule), decision.min_buy, decision.min_sell, decision.min_margin, decision.hold_bias
    )
    layout = compile_layout(settings.features)
    return Bundles(
        ModelStore(settings.learning.models_dir, layout.version, choice, gate=settings.learning.gate)
    )
