"""Protocols that the engine and the daemon use and other packages implement."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Predictor(Protocol):
    """A loaded bundle: probabilities of one feature row and the policy record it was calibrated with."""

    @property
    def bundle_id(self) -> str: ...

    @property
    def features_version(self) -> str: ...

    @property
    def columns(self) -> NDArray[np.int64]:
        """Indices into the full feature row that the models read, in the models' order."""
        ...

    @property
    def policy(self) -> NDArray[np.void]:
        """One-element array of `kernels.records.POLICY`: cut, buckets, quantiles of the score."""
        ...

    def probabilities(self, row: FloatArray, out: FloatArray) -> None:
        """Fill `out` with P(SELL), P(HOLD), P(BUY) of a full feature row; no allocation."""
        ...


class PredictorSource(Protocol):
    """Where the engine finds the bundle that a ModelPublished event names."""

    def predictor(self, bundle_id: str) -> Predictor: ...
