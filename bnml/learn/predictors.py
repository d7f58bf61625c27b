"""Loaded bundles as predictors: one kernel call from a feature row to probabilities.

Needs neither scikit-learn nor xgboost: the trees were flattened when they were trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.core.errors import Rejected
from bnml.kernels import policy
from bnml.kernels.forest import CLASSES, forest_batch, forest_row, work_for
from bnml.learn import bundle as bundles

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bnml.core.ports import FloatArray
    from bnml.learn.bundle import Bundle, Metadata

GOLDEN_TOLERANCE = 2.4e-7
"""Two units in the last place of a float32 near one: how far exp may differ between machines."""


class PolicyChoice(msgspec.Struct, frozen=True):
    """What the operator says of deciding, as opposed to what the bundle measured; see `records.POLICY`."""

    rule: int
    min_buy: float
    min_sell: float
    min_margin: float
    hold_bias: float


class BundlePredictor:
    """`core.ports.Predictor` over the arrays of one bundle; not to be used by two threads at once."""

    def __init__(self, bundle: Bundle, choice: PolicyChoice) -> None:
        self._bundle_id = bundle.bundle_id
        self._metadata = bundle.metadata
        self._model = bundle.arrays.model
        self._work = work_for(self._model)
        self._policy = bundle.arrays.policy.copy()
        for name in choice.__struct_fields__:
            self._policy[name] = getattr(choice, name)

    @property
    def bundle_id(self) -> str:
        return self._bundle_id

    @property
    def metadata(self) -> Metadata:
        """What the bundle says of itself."""
        return self._metadata

    @property
    def features_version(self) -> str:
        return self._metadata.features_version

    @property
    def columns(self) -> NDArray[np.int64]:
        return self._model.columns

    @property
    def policy(self) -> NDArray[np.void]:
        return self._policy

    def probabilities(self, row: FloatArray, out: FloatArray) -> None:
        """Fill `out` with P(SELL), P(HOLD), P(BUY) of a full feature row; no allocation."""
        forest_row(self._model, self._work, row, out)

    def batch(self, rows: FloatArray) -> FloatArray:
        """The same of many full rows, into a new array [rows, 3]."""
        out = np.zeros((len(rows), CLASSES))
        forest_batch(self._model, self._work, rows, out)
        return out


class ModelStore:
    """The predictors of a process, by bundle id; a refused bundle leaves what was loaded in use."""

    def __init__(
        self, models_dir: Path, features_version: str, choice: PolicyChoice, *, gate: bool = False
    ) -> None:
        self._models_dir = models_dir
        self._features_version = features_version
        self._choice = choice
        self._gate = gate
        self._loaded: dict[str, BundlePredictor] = {}

    def predictor(self, bundle_id: str) -> BundlePredictor:
        """A bundle that `load` returned the id of (`core.ports.PredictorSource`)."""
        found = self._loaded.get(bundle_id)
        if found is None:
            raise Rejected(f"bundle {bundle_id} is not loaded; publish it through the store first")
        return found

    def load(self, symbol: str, version: str | None = None) -> str:
        """Verify and load a version (None: the current one); returns its bundle id, raises Rejected.

        Reads, hashes and compares a golden batch, which takes a while: not for the event loop.
        """
        bundle = bundles.load(self._models_dir, symbol, self._features_version, version)
        if bundle.bundle_id in self._loaded:
            return bundle.bundle_id
        if self._gate:
            _pass_gate(bundle)
        predictor = BundlePredictor(bundle, self._choice)
        _repeat_golden_batch(bundle, predictor)
        _rehearse(bundle, predictor)
        self._loaded[bundle.bundle_id] = predictor
        return bundle.bundle_id

    def forget(self, bundle_id: str) -> None:
        """Release the arrays of a bundle that nothing decides with any more."""
        self._loaded.pop(bundle_id, None)


class GateClosed(Rejected):
    """The bundle is sound, but it did not earn money out of fold."""


def _pass_gate(bundle: Bundle) -> None:
    metrics = bundle.metadata.metrics
    if metrics.net_expectation_ppm <= 0:
        raise GateClosed(
            f"bundle {bundle.bundle_id} is refused by learning.gate: its {metrics.entries} out-of-fold entries "
            f"earned {metrics.net_expectation_ppm / 1e4:+.3f} % each after costs; train on more data, or set "
            "learning.gate to false in sim and backtest"
        )


def _repeat_golden_batch(bundle: Bundle, predictor: BundlePredictor) -> None:
    expected = bundle.arrays.golden_probabilities
    measured = predictor.batch(bundle.arrays.golden_rows)
    worst = float(np.abs(measured - expected).max(initial=0.0))
    if not worst <= GOLDEN_TOLERANCE:
        raise Rejected(
            f"bundle {bundle.bundle_id} does not repeat its recorded predictions here "
            f"(a probability differs by {worst:.1e}); train it again on this machine"
        )


def _rehearse(bundle: Bundle, predictor: BundlePredictor) -> None:
    """Decide once as an engine does, so that what must be compiled for that is compiled here, off the event loop."""
    out = np.zeros(CLASSES)
    record = predictor.policy[0]
    for row in bundle.arrays.golden_rows[:1]:
        predictor.probabilities(row, out)
        policy.decide(record, out)
        policy.confidence(record, policy.directional_score(out))
        policy.hold_measure(record, out)
