"""Bundles for research: the ones in use, or the very ones that a session used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.config import Settings
from bnml.core.clock import format_utc
from bnml.core.errors import Misconfigured
from bnml.core.events import ModelPublished
from bnml.kernels.features import FeatureLayout
from bnml.kernels.records import DecisionRule
from bnml.learn.bundle import current_version, read_metadata
from bnml.learn.predictors import BundlePredictor, GateClosed, ModelStore, PolicyChoice
from bnml.trading.settings import DecisionSettings


class Models(msgspec.Struct, frozen=True):
    """Loaded bundles by id, and which of them each symbol starts with."""

    store: ModelStore
    current: dict[str, str]
    refused: tuple[str, ...] = ()  # symbols that hold, because their bundle does not pass the gate

    def published(self) -> list[ModelPublished]:
        """The events that tell an engine of them."""
        return [ModelPublished(symbol, bundle_id, 0) for symbol, bundle_id in sorted(self.current.items())]

    def predictor(self, symbol: str) -> BundlePredictor | None:
        bundle_id = self.current.get(symbol)
        return None if bundle_id is None else self.store.predictor(bundle_id)


def policy_choice(decision: DecisionSettings) -> PolicyChoice:
    """What the operator says of deciding, as the bundles' policies take it."""
    return PolicyChoice(
        rule=int(DecisionRule.EXPECTED_EDGE if decision.rule == "expected_edge" else DecisionRule.ABSOLUTE),
        min_buy=decision.min_buy,
        min_sell=decision.min_sell,
        min_margin=decision.min_margin,
        hold_bias=decision.hold_bias,
    )


def load_models(
    settings: Settings, layout: FeatureLayout, symbols: Iterable[str], used: Mapping[str, str] | None = None
) -> Models:
    """Load the current bundles of `symbols`, or those named by `used` (symbol -> bundle id).

    A symbol without a bundle has none, nor has one whose current bundle does not pass the gate; Misconfigured
    or GateClosed if that leaves nothing to decide with.
    """
    learning = settings.learning
    store = ModelStore(
        learning.models_dir, layout.version, policy_choice(settings.decision), gate=learning.gate
    )
    current = {}
    refused: dict[str, GateClosed] = {}
    for symbol in symbols:
        if used is not None and symbol in used:
            current[symbol] = store.load(symbol, used[symbol].partition("/")[2])
        elif used is None and current_version(learning.models_dir, symbol) is not None:
            try:
                current[symbol] = store.load(symbol)
            except GateClosed as error:
                refused[symbol] = error
    if refused and not current:
        raise next(iter(refused.values()))
    if not current and settings.decision.without_model == "hold":
        raise Misconfigured(
            f"{learning.models_dir} holds no model of these symbols; make them with `bnml train`, "
            "or set decision.without_model to rule"
        )
    return Models(store, current, tuple(refused))


def held_back(models: Models) -> str:
    """A sentence when symbols hold for the gate's sake, else nothing."""
    if not models.refused:
        return ""
    return (
        f"no entries in {', '.join(models.refused)}: what was trained did not earn money out of fold "
        "(learning.gate); train on more data, or set learning.gate to false"
    )


def looking_ahead(settings: Settings, models: Models, first_ns: int) -> str:
    """A sentence when bundles have learned from bars that are traded, else nothing."""
    folder = settings.learning.models_dir
    last_ns: dict[str, int] = {}
    for symbol, bundle_id in sorted(models.current.items()):
        current = current_version(folder, symbol)
        if current is not None and bundle_id == f"{symbol}/{current.version}":
            learned = read_metadata(folder, symbol, current.version, current.metadata_sha256)
            if learned.trained_to_ns > first_ns:
                last_ns[symbol] = learned.trained_to_ns
    if not last_ns:
        return ""
    return (
        f"{len(last_ns)} of {len(models.current)} models have learned from traded bars, the latest up to "
        f"{format_utc(max(last_ns.values()))}: until then the result flatters; choose a later --from, "
        f"or `bnml train --to {format_utc(first_ns)}`"
    )


def probabilities(predictor: BundlePredictor, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(SELL), P(HOLD), P(BUY) of each row; NaN where a column that the bundle declares is NaN."""
    out = np.full((len(rows), 3), np.nan)
    complete = ~np.isnan(rows[:, predictor.columns]).any(axis=1)
    out[complete] = predictor.batch(np.ascontiguousarray(rows[complete]))
    return out
