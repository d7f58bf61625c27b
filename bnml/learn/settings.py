"""How models are made and kept: labels, training, the two estimators, the bundle folder."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from bnml.schema import Settings, section, setting


class LabelSettings(Settings):
    """The edge that a forward return must exceed to be called BUY or SELL."""

    horizon_bars: int = setting(4, "base bars", "length of the forward return", ge=1, le=500)
    volatility_window_bars: int = setting(96, "base bars", "length of the return's volatility", ge=8, le=5000)
    volatility_multiplier: float = setting(
        0.60, "factor", "share of that volatility in the edge", ge=0, le=10
    )
    atr_multiplier: float = setting(0.35, "factor", "share of the ATR ratio in the edge", ge=0, le=10)
    min_move_pct: float = setting(0.15, "%", "the edge is at least this", ge=0, le=100)
    max_move_pct: float = setting(2.0, "%", "the edge is at most this", gt=0, le=100)
    fee_pct: float = setting(0.10, "% per side", "commission assumed in the edge", ge=0, le=5)
    slippage_pct: float = setting(0.05, "% per side", "slippage assumed in the edge", ge=0, le=5)
    round_trip_multiplier: float = setting(2.0, "factor", "sides of a round trip", ge=0, le=10)
    cost_safety_multiplier: float = setting(1.35, "factor", "reserve on top of the costs", ge=0, le=10)

    @model_validator(mode="after")
    def _moves_are_ordered(self) -> Self:
        if self.max_move_pct <= self.min_move_pct:
            raise ValueError("max_move_pct must lie above min_move_pct")
        return self


class ForestSettings(Settings):
    """The random forest."""

    trees: int = setting(300, "trees", "size of the forest", ge=10, le=5000)
    fold_trees: int = setting(100, "trees", "its size in the walk-forward folds", ge=10, le=5000)
    max_depth: int = setting(8, "levels", "deepest tree", ge=1, le=30)
    min_samples_leaf: int = setting(50, "rows", "smallest leaf", ge=1, le=100_000)
    max_features: Literal["sqrt", "log2", "all"] = setting("sqrt", "", "columns tried at each split")


class BoostSettings(Settings):
    """The gradient boosting."""

    rounds: int = setting(500, "rounds", "most boosting rounds", ge=10, le=10_000)
    fold_rounds: int = setting(200, "rounds", "most rounds in the walk-forward folds", ge=10, le=10_000)
    early_stopping_rounds: int = setting(40, "rounds", "rounds without gain that end the fit", ge=1, le=1000)
    max_depth: int = setting(6, "levels", "deepest tree", ge=1, le=16)
    learning_rate: float = setting(0.03, "factor", "step of one round", gt=0, le=1)
    subsample: float = setting(0.9, "share of rows", "rows drawn for a round", gt=0, le=1)
    colsample_bytree: float = setting(0.8, "share of columns", "columns drawn for a tree", gt=0, le=1)
    reg_alpha: float = setting(0.01, "", "L1 penalty", ge=0, le=1000)
    reg_lambda: float = setting(1.0, "", "L2 penalty", ge=0, le=1000)


class TrainingSettings(Settings):
    """What a fit reads and what it may cost."""

    max_rows: int = setting(20_000, "rows", "newest rows used of a symbol", ge=500, le=2_000_000)
    min_rows: int = setting(1000, "rows", "a symbol with fewer rows gets no model", ge=200, le=1_000_000)
    folds: int = setting(3, "folds", "purged walk-forward folds", ge=2, le=20)
    embargo_bars: int = setting(
        4, "base bars", "rows left out after each training block, beside the horizon", ge=0, le=5000
    )
    seed: int = setting(42, "", "of both estimators", ge=0, le=2**31 - 1)
    workers: int = setting(0, "processes, 0 = one per core", "symbols fitted at the same time", ge=0, le=256)
    threads_per_worker: int = setting(1, "threads", "threads of one fit", ge=1, le=256)
    timeout_s: int = setting(1800, "s, wall time", "a fit that takes longer is stopped", ge=10, le=86_400)


class LearnSettings(Settings):
    """Making models."""

    labels: LabelSettings = section(LabelSettings, "what is predicted")
    training: TrainingSettings = section(TrainingSettings, "what a fit reads and costs")
    forest: ForestSettings = section(ForestSettings, "random forest")
    boost: BoostSettings = section(BoostSettings, "gradient boosting")


class ModelSettings(Settings):
    """Keeping and using models."""

    directory: Path = setting(Path("models"), "folder", "where bundles live, one folder per symbol")
    train_missing: bool = setting(
        default=True, unit="", meaning="train symbols without a bundle when the daemon starts"
    )
    max_age_h: float = setting(
        24.0, "h, market time", "a bundle older than this is trained again", gt=0, le=87_600
    )
    keep_versions: int = setting(5, "versions", "bundles kept of each symbol", ge=1, le=1000)
    gate: bool = setting(
        default=False,
        unit="",
        meaning="refuse bundles whose out-of-fold result is not positive; must be on for testnet and live",
    )
