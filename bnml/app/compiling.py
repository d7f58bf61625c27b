"""The command `compile`: every kernel that trading and training need, compiled into the cache at installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.training import training_spec
from bnml.app.training_history import GeneratedHistory
from bnml.app.warm_kernels import warm_kernels
from bnml.core.clock import LiveClock
from bnml.learn.train import train_symbol
from bnml.options import TrainOptions

if TYPE_CHECKING:
    from bnml.config import Settings

SMALL_TREES = 10
SMALL_ROWS = 1_000


def compile_kernels(settings: Settings) -> int:
    """Trade a small market in memory, then fit a small model on the generated one; nothing of either is kept."""
    warm_kernels(settings)
    learning = settings.learning
    small = learning.model_copy(
        update={
            "max_rows": SMALL_ROWS,
            "folds": 2,
            "fold_trees": SMALL_TREES,
            "rf": learning.rf.model_copy(update={"trees": SMALL_TREES}),
            "xgb": learning.xgb.model_copy(update={"rounds": SMALL_TREES}),
        }
    )
    history = GeneratedHistory(settings, TrainOptions())
    spec = training_spec(settings.model_copy(update={"learning": small}), LiveClock().now_ns())
    train_symbol(history.load(history.symbols[0]), spec, lambda _: None)
    return 0
