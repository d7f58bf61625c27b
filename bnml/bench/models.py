"""Models: one row of each ensemble against the library it was trained with, and hundreds of models at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnml.bench.case import Effort, Figure, at_most, cpu_s, ratio_at_least
from bnml.kernels import njit
from bnml.kernels.forest import (
    CLASSES,
    Model,
    Work,
    descend,
    forest_row,
    load_row,
    mean_of_leaves,
    softmax_of_leaves,
    work_for,
)
from bnml.learn.arrays import together
from bnml.learn.flatten import flatten_boosting, flatten_random_forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = 60
SYMBOLS = 400
ROWS_COMPARED = 2_000


class _Trained(NamedTuple):
    rows: NDArray[np.float32]
    forest: Any  # RandomForestClassifier
    boosting: Any  # XGBClassifier


def one_row(effort: Effort) -> list[Figure]:
    """300 trees of depth 10 and 300 rounds of depth 6: one row, and the largest difference over many."""
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - heavy, and only here
    from xgboost import XGBClassifier  # noqa: PLC0415 - as above

    random = np.random.default_rng(3)
    count = effort.size(20_000, 2_000)
    rows = random.standard_normal((count, COLUMNS)).astype(np.float32)
    rows[random.random(rows.shape) < 0.01] = np.nan
    signal = (
        np.nan_to_num(rows[:, 0]) + np.nan_to_num(rows[:, 1] * rows[:, 2]) + random.standard_normal(count)
    )
    labels = np.digitize(signal, [-0.7, 0.7])
    forest = RandomForestClassifier(300, max_depth=10, random_state=1, n_jobs=1).fit(rows, labels)
    boosting = XGBClassifier(n_estimators=300, max_depth=6, learning_rate=0.05, n_jobs=1, tree_method="hist")
    boosting.fit(rows, labels)
    trained = _Trained(rows, forest, boosting)
    return [*_forest(effort, trained), *_boosting(effort, trained), _many(effort, trained)]


def _forest(effort: Effort, trained: _Trained) -> list[Figure]:
    model = _model(trained, 1.0)
    bnml_s, sklearn_s = _one(effort, trained, model, _forest_row, trained.forest.predict_proba)
    worst, _ = _difference(trained, model, trained.forest.predict_proba)
    shared = {"name": "random forest, one row", "unit": "us", "against": "scikit-learn, one thread"}
    return [
        ratio_at_least(1000, bnml=bnml_s * 1e6, yardstick=sklearn_s * 1e6, **shared),
        at_most(
            0.0,
            name="random forest, largest difference",
            bnml=worst,
            yardstick=None,
            unit="probability",
            against="scikit-learn's predict_proba",
        ),
    ]


def _boosting(effort: Effort, trained: _Trained) -> list[Figure]:
    model = _model(trained, 0.0)
    bnml_s, xgboost_s = _one(effort, trained, model, _boosting_row, trained.boosting.predict_proba)
    worst, classes = _difference(trained, model, trained.boosting.predict_proba)
    return [
        ratio_at_least(
            25,
            name="boosting, one row",
            bnml=bnml_s * 1e6,
            yardstick=xgboost_s * 1e6,
            unit="us",
            against="xgboost's scikit-learn API, one thread",
        ),
        at_most(
            2.4e-7,
            name="boosting, largest difference",
            bnml=worst,
            yardstick=None,
            unit="probability",
            against="xgboost's predict_proba",
        ),
        at_most(
            0.0,
            name="boosting, other class",
            bnml=float(classes),
            yardstick=None,
            unit="rows",
            against="xgboost's predict_proba",
        ),
    ]


def _many(effort: Effort, trained: _Trained) -> Figure:
    model = _model(trained, 0.5)
    models = [together(model) for _ in range(effort.size(SYMBOLS, 40))]  # no cache is shared
    works = [work_for(one) for one in models]
    rows = np.nan_to_num(trained.rows[: len(models)].astype(np.float64))
    out = np.zeros(CLASSES)

    def every_symbol() -> None:
        for one, work, row in zip(models, works, rows, strict=True):
            forest_row(one, work, row, out)

    def every_library() -> None:
        trained.forest.predict_proba(trained.rows[:1])
        trained.boosting.predict_proba(trained.rows[:1])

    bnml_s, library_s = cpu_s(effort, every_symbol, every_library)
    scale = SYMBOLS / len(models) * 1e3
    return at_most(
        15,
        name="400 symbols, both models of each, one row each",
        bnml=bnml_s * scale,
        yardstick=library_s * SYMBOLS * 1e3,
        unit="ms",
        against="scikit-learn and xgboost, one by one",
    )


def _model(trained: _Trained, forest_weight: float) -> Model:
    forest = flatten_random_forest(trained.forest, COLUMNS)
    boosting, base = flatten_boosting(trained.boosting.get_booster(), COLUMNS)
    return together(
        Model(
            forest.words,
            forest.shape,
            boosting.words,
            boosting.shape,
            base,
            np.array([forest_weight, 1.0 - forest_weight]),
            np.arange(COLUMNS, dtype=np.int64),
        )
    )


@njit
def _forest_row(model: Model, work: Work, row: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """The forest's part of `kernels.forest.forest_row`."""
    load_row(row, model.columns, work.buffer)
    descend(model.rf_words, model.rf_shape, work.buffer, work.cursors, work.leaves)
    mean_of_leaves(model.rf_words, model.rf_shape, work.leaves, out)


@njit
def _boosting_row(model: Model, work: Work, row: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """The boosting's part of `kernels.forest.forest_row`."""
    load_row(row, model.columns, work.buffer)
    descend(model.xgb_words, model.xgb_shape, work.buffer, work.cursors, work.leaves)
    softmax_of_leaves(model.xgb_words, model.xgb_shape, model.xgb_base, work.leaves, out)


def _one(
    effort: Effort, trained: _Trained, model: Model, part: Callable[..., Any], library: Callable[..., Any]
) -> list[float]:
    work, out = work_for(model), np.zeros(CLASSES)
    rows, single = list(trained.rows[:64].astype(np.float64)), trained.rows[:1]

    def product() -> None:
        for row in rows:
            part(model, work, row, out)

    product_s, library_s = cpu_s(effort, product, lambda: library(single))
    return [product_s / len(rows), library_s]


def _difference(trained: _Trained, model: Model, library: Callable[..., Any]) -> tuple[float, int]:
    rows = trained.rows[:ROWS_COMPARED]
    expected = library(rows)
    work, made = work_for(model), np.zeros((len(rows), CLASSES))
    for row, out in zip(rows.astype(np.float64), made, strict=True):
        forest_row(model, work, row, out)
    return float(np.abs(made - expected).max()), int((made.argmax(1) != expected.argmax(1)).sum())
