"""How models are made and kept: labels, folds, the two estimators, the bundle folder."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from bnml.schema import Settings, section, setting


class ForestSettings(Settings):
    """The random forest (scikit-learn)."""

    trees: int = setting(100, "trees", "size of the forest", ge=10, le=5000)
    depth: int = setting(8, "levels", "deepest tree", ge=1, le=30)
    leaf: int = setting(50, "rows", "smallest leaf", ge=1, le=100_000)
    max_features: Literal["sqrt", "log2", "all"] = setting("sqrt", "", "columns tried at each split")


class BoostSettings(Settings):
    """The gradient boosting (xgboost)."""

    rounds: int = setting(100, "rounds", "boosting rounds", ge=10, le=10_000)
    depth: int = setting(4, "levels", "deepest tree", ge=1, le=16)
    learning_rate: float = setting(0.03, "factor", "step of one round", gt=0, le=1)
    subsample: float = setting(0.9, "share of rows", "drawn for a round", gt=0, le=1)
    colsample: float = setting(0.8, "share of columns", "drawn for a tree", gt=0, le=1)
    alpha: float = setting(0.01, "penalty", "on absolute leaf weights (L1)", ge=0, le=1000)
    reg_lambda: float = setting(1.0, "penalty", "on squared leaf weights (L2)", ge=0, le=1000)


class LearningSettings(Settings):
    """From bars to bundles."""

    horizon_bars: int = setting(
        4, "base bars", "length of the forward return that is predicted", ge=1, le=500
    )
    volatility_window: int = setting(
        96, "base bars", "length of the volatility in the label's edge", ge=8, le=5000
    )
    volatility_multiplier: float = setting(
        0.60, "factor", "share of that volatility in the edge", ge=0, le=10
    )
    atr_multiplier: float = setting(0.35, "factor", "share of the ATR ratio in the edge", ge=0, le=10)
    min_move_pct: float = setting(0.15, "%", "the edge is at least this", ge=0, le=100)
    max_move_pct: float = setting(2.0, "%", "the edge is at most this", gt=0, le=100)
    round_trip_cost_multiplier: float = setting(2.0, "factor", "sides of a round trip", ge=0, le=10)
    cost_safety_multiplier: float = setting(1.35, "factor", "reserve on top of the costs", ge=0, le=10)
    max_rows: int = setting(20_000, "rows", "newest rows used of a symbol", ge=500, le=2_000_000)
    folds: int = setting(3, "folds", "purged walk-forward folds", ge=2, le=20)
    fold_trees: int = setting(40, "trees and rounds", "size of both models in the folds", ge=10, le=5000)
    rf: ForestSettings = section(ForestSettings, "random forest")
    xgb: BoostSettings = section(BoostSettings, "gradient boosting")
    seed: int = setting(42, "", "of both models", ge=0, le=2**31 - 1)
    models_dir: Path = setting(Path("models"), "folder", "where bundles live, one folder per symbol")
    gate: bool = setting(
        default=True,
        unit="",
        meaning="refuse bundles that did not earn money out of fold; off only in sim and backtest",
    )
    max_age_h: float = setting(
        24.0, "h, market time", "a bundle older than this is trained again", gt=0, le=87_600
    )

    @model_validator(mode="after")
    def _moves_are_ordered(self) -> Self:
        if self.max_move_pct <= self.min_move_pct:
            raise ValueError("max_move_pct must lie above min_move_pct")
        return self
