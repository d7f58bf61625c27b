"""Labels of all bars of a symbol: the settings as the kernel's record, and one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels.labels import LABELLING, edge_labels
from bnml.kernels.records import record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.learn.settings import LearningSettings


def compile_labelling(learning: LearningSettings, side_cost: float) -> NDArray[np.void]:
    """Settings (percent) as a record (fractions); `side_cost` is commission plus slippage of one side."""
    made = record(LABELLING)
    made["horizon_bars"] = learning.horizon_bars
    made["volatility_window"] = learning.volatility_window
    made["volatility_multiplier"] = learning.volatility_multiplier
    made["atr_multiplier"] = learning.atr_multiplier
    made["min_move"] = learning.min_move_pct / 100.0
    made["max_move"] = learning.max_move_pct / 100.0
    made["side_cost"] = side_cost
    made["round_trip_cost_multiplier"] = learning.round_trip_cost_multiplier
    made["cost_safety_multiplier"] = learning.cost_safety_multiplier
    return made


def label_bars(
    close: NDArray[np.float64], atr_ratio: NDArray[np.float64], labelling: NDArray[np.void]
) -> NDArray[np.int64]:
    """0 SELL, 1 HOLD, 2 BUY for each bar; `kernels.labels.UNKNOWN` where the horizon has not passed."""
    labels, _ = edge_labels(close, atr_ratio, labelling)
    return labels


def described(labelling: NDArray[np.void]) -> dict[str, float]:
    """The record as plain numbers, for metadata."""
    return {name: float(labelling[0][name]) for name in LABELLING.names or ()}
