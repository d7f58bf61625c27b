"""The two estimators: seeded, bounded to a number of threads, with one way to fit and to predict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier

from bnml.kernels.forest import CLASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.learn.settings import BoostSettings, ForestSettings

    Floats = NDArray[np.float32]
    Labels = NDArray[np.int64]


class Pair(msgspec.Struct, frozen=True):
    """Both models fitted to the same rows."""

    random_forest: RandomForestClassifier
    boosting: xgboost.Booster

    def probabilities(self, rows: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Class probabilities [rows, 3] of the random forest and of boosting, by the libraries themselves."""
        shares = np.zeros((len(rows), CLASSES))
        shares[:, self.random_forest.classes_] = self.random_forest.predict_proba(rows)
        margins = self.boosting.inplace_predict(rows)
        return shares, np.asarray(margins, dtype=np.float64)


def fit_pair(
    rows: Floats,
    labels: Labels,
    forest: ForestSettings,
    boost: BoostSettings,
    *,
    trees: int,
    rounds: int,
    seed: int,
    threads: int,
) -> Pair:
    """Fit both models with `trees` and `rounds`; equal arguments give equal models.

    With two threads the models are fitted side by side, each on one: boosting with several threads waits
    at a barrier after every step, and on a machine with other work a fit took twenty times as long.
    Fewer rounds than `boost.rounds` learn with a step that is larger in proportion, so that the scores
    of a fold are spread like those of the final model.
    """
    with ThreadPoolExecutor(max_workers=min(threads, 2)) as pool:
        first = pool.submit(_fit_forest, rows, labels, forest, trees, seed, max(1, threads - 1))
        second = pool.submit(_fit_boosting, rows, labels, boost, rounds, seed)
        return Pair(first.result(), second.result())


def _fit_forest(
    rows: Floats, labels: Labels, settings: ForestSettings, trees: int, seed: int, threads: int
) -> RandomForestClassifier:
    model = RandomForestClassifier(
        n_estimators=trees,
        max_depth=settings.depth,
        min_samples_leaf=settings.leaf,
        max_features=None if settings.max_features == "all" else settings.max_features,
        random_state=seed,
        n_jobs=threads,
    ).fit(rows, labels)
    # One thread predicts: the sum over the trees is then in tree order, as in the kernel.
    model.n_jobs = 1
    return model


def _fit_boosting(
    rows: Floats, labels: Labels, settings: BoostSettings, rounds: int, seed: int
) -> xgboost.Booster:
    parameters = {
        "objective": "multi:softprob",
        "num_class": CLASSES,
        "tree_method": "hist",
        "max_depth": settings.depth,
        "learning_rate": min(1.0, settings.learning_rate * settings.rounds / rounds),
        "subsample": settings.subsample,
        "colsample_bytree": settings.colsample,
        "alpha": settings.alpha,
        "lambda": settings.reg_lambda,
        "seed": seed,
        "nthread": 1,
        "verbosity": 0,
    }
    return xgboost.train(parameters, xgboost.DMatrix(rows, label=labels, nthread=1), num_boost_round=rounds)


def log_loss(probabilities: NDArray[np.float64], labels: Labels) -> float:
    """Mean negative log probability of what happened; a probability below 1e-6 counts as 1e-6."""
    happened = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(happened, 1e-6)).mean())


def best_weight(first: NDArray[np.float64], second: NDArray[np.float64], labels: Labels) -> float:
    """Weight of `first` in the mean of both that gives the least log loss, in steps of 5 % within 5..95 %."""
    candidates = np.linspace(0.05, 0.95, 19)
    losses = [log_loss(weight * first + (1.0 - weight) * second, labels) for weight in candidates]
    return float(candidates[int(np.argmin(losses))])
