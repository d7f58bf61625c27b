"""One symbol's model: folds for honest scores, weights and policy from them, the final fit, the bundle.

Nested in time: a fold is fitted on what lies before it; its weights come from the folds before it;
only then is it scored. The policy (cut, expectations) sees nothing but those scores, and the exit
rules run on the bars that followed. The final fit uses all rows and is scored by nobody.
"""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING, Any

import joblib
import msgspec
import numpy as np
import sklearn
import xgboost
from numpy.typing import NDArray

from bnml.kernels import KERNEL_HASH
from bnml.kernels.features import FeatureLayout
from bnml.kernels.forest import CLASSES, Model, forest_batch, work_for
from bnml.kernels.outcomes import entry_outcomes
from bnml.learn.arrays import ModelArrays, together, write_arrays
from bnml.learn.bundle import ARRAYS_FILE, FORMAT, Metadata, Metrics
from bnml.learn.dataset import Dataset, SymbolBars, feature_rows, make_dataset, walk_forward
from bnml.learn.estimators import Pair, best_weight, fit_pair, log_loss
from bnml.learn.flatten import flatten_boosting, flatten_random_forest
from bnml.learn.labels import described
from bnml.learn.publish import publish, staging_dir
from bnml.learn.scores import directional_scores, fit_policy
from bnml.learn.settings import LearningSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    Floats = NDArray[np.float64]
    Progress = Callable[[str], None]

GOLDEN_ROWS = 32
GOLDEN_NAN_ROWS = 8


class TrainingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a training needs beside the bars; records are one-element arrays of `kernels.records`."""

    learning: LearningSettings
    labelling: NDArray[np.void]  # kernels.labels.LABELLING
    layout: FeatureLayout
    history_bars: int  # fed by the daemon before it decides
    rules: NDArray[np.void]
    costs: NDArray[np.void]
    cut_quantile: float
    threads: int
    created_ns: int


class OutOfFold(msgspec.Struct, frozen=True):
    """Scored rows: positions in the dataset, probabilities of both models, and of the nested blend."""

    position: NDArray[np.int64]
    random_forest: Floats
    boosting: Floats
    blended: Floats


class Trained(msgspec.Struct, frozen=True):
    """A finished model before it is published."""

    arrays: ModelArrays
    metadata: Metadata
    pair: Pair


def train_symbol(history: SymbolBars, spec: TrainingSpec, progress: Progress) -> Trained:
    """Fit one symbol on its bars; raises Rejected when they are too few."""
    features = feature_rows(history, spec.layout)
    atr_ratio = np.ascontiguousarray(features[:, spec.layout.column("atr_ratio_14")])
    dataset = make_dataset(
        history,
        features,
        atr_ratio,
        spec.labelling,
        history_bars=spec.history_bars,
        max_rows=spec.learning.max_rows,
    )
    scored = out_of_fold(dataset, spec, progress)
    labels = dataset.labels[scored.position]
    weight = best_weight(scored.random_forest, scored.boosting, labels)
    outcomes = outcomes_of(history, atr_ratio, dataset.bar[scored.position], spec)
    scores = directional_scores(scored.blended)
    policy = fit_policy(scores, outcomes, spec.cut_quantile)
    progress("final fit")
    learning = spec.learning
    pair = fit_pair(
        dataset.rows,
        dataset.labels,
        learning.rf,
        learning.xgb,
        trees=learning.rf.trees,
        rounds=learning.xgb.rounds,
        seed=learning.seed,
        threads=spec.threads,
    )
    model = flat_model(pair, dataset.columns, weight)
    golden = golden_rows(dataset)
    expected = np.zeros((len(golden), CLASSES))
    forest_batch(model, work_for(model), golden, expected)
    metrics = measure(scored.blended, labels, scores, outcomes, float(policy["cut"][0]))
    metadata = describe(history, dataset, spec, weight, metrics)
    return Trained(ModelArrays(model, policy, golden, expected), metadata, pair)


def out_of_fold(dataset: Dataset, spec: TrainingSpec, progress: Progress) -> OutOfFold:
    """Score each block by models of the blocks before it, blended by the weight that those had earned."""
    rows, learning = dataset.rows, spec.learning
    parts: list[tuple[NDArray[np.int64], Floats, Floats, Floats]] = []
    folds = walk_forward(dataset, learning.folds)
    for number, fold in enumerate(folds, start=1):
        progress(f"fold {number} of {len(folds)}")
        pair = fit_pair(
            rows[: fold.fit_end],
            dataset.labels[: fold.fit_end],
            learning.rf,
            learning.xgb,
            trees=min(learning.fold_trees, learning.rf.trees),
            rounds=min(learning.fold_trees, learning.xgb.rounds),
            seed=learning.seed,
            threads=spec.threads,
        )
        position = np.arange(fold.judge_start, fold.judge_end)
        first, second = pair.probabilities(rows[position])
        weight = 0.5
        if parts:
            earlier = np.concatenate([part[0] for part in parts])
            weight = best_weight(
                np.concatenate([part[1] for part in parts]),
                np.concatenate([part[2] for part in parts]),
                dataset.labels[earlier],
            )
        parts.append((position, first, second, weight * first + (1.0 - weight) * second))
    return OutOfFold(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def outcomes_of(
    history: SymbolBars, atr_ratio: Floats, rows: NDArray[np.int64], spec: TrainingSpec
) -> Floats:
    """What an entry decided at each of these bars earned: [n, 2] of net ppm and bars held."""
    out = np.zeros((len(rows), 2))
    entry_outcomes(
        history.bars,
        rows,
        atr_ratio[rows],
        spec.layout.base_frame_ns,
        history.record[0],
        spec.rules[0],
        spec.costs[0],
        out,
    )
    return out


def flat_model(pair: Pair, columns: NDArray[np.int64], weight: float) -> Model:
    """Both estimators as kernel arrays; `weight` is the random forest's."""
    first = flatten_random_forest(pair.random_forest, len(columns))
    second, base = flatten_boosting(pair.boosting, len(columns))
    return together(
        Model(
            rf_words=first.words,
            rf_shape=first.shape,
            xgb_words=second.words,
            xgb_shape=second.shape,
            xgb_base=base,
            weights=np.array([weight, 1.0 - weight]),
            columns=columns.astype(np.int64),
        )
    )


def golden_rows(dataset: Dataset) -> Floats:
    """Full rows spread over the data, the last few with holes, whose predictions a loader must repeat."""
    chosen = np.linspace(0, len(dataset.bar) - 1, GOLDEN_ROWS).astype(np.int64)
    golden = dataset.features[chosen].copy()
    for index in range(GOLDEN_NAN_ROWS):
        golden[-1 - index, dataset.columns[index::GOLDEN_NAN_ROWS]] = np.nan
    return golden


def measure(
    blended: Floats, labels: NDArray[np.int64], scores: Floats, outcomes: Floats, cut: float
) -> Metrics:
    """Out-of-fold quality; entries are the rows above the cut whose order would have filled."""
    shares = np.bincount(labels, minlength=CLASSES) / len(labels)
    filled = np.isfinite(outcomes[:, 0])
    entered = outcomes[filled & (scores > cut), 0]
    return Metrics(
        rows=len(labels),
        log_loss=log_loss(blended, labels),
        base_rate_log_loss=log_loss(np.tile(shares, (len(labels), 1)), labels),
        accuracy=float((blended.argmax(axis=1) == labels).mean()),
        entries=len(entered),
        net_expectation_ppm=float(entered.mean()) if len(entered) else 0.0,
        net_expectation_all_ppm=float(outcomes[filled, 0].mean()) if filled.any() else 0.0,
        win_rate=float((entered > 0).mean()) if len(entered) else 0.0,
    )


def describe(
    history: SymbolBars,
    dataset: Dataset,
    spec: TrainingSpec,
    weight: float,
    metrics: Metrics,
) -> Metadata:
    """The metadata of the bundle; file checksums are added when it is published."""
    names, bars = spec.layout.names, history.bars
    parameters: dict[str, Any] = spec.learning.model_dump(mode="json")
    counts = np.bincount(dataset.labels, minlength=CLASSES)
    return Metadata(
        format=FORMAT,
        symbol=history.instrument.symbol,
        created_ns=spec.created_ns,
        trained_to_ns=int(bars[-1]["ts_open_ns"]) + spec.layout.base_frame_ns,
        data_from_ns=int(bars[dataset.bar[0]]["ts_open_ns"]),
        anchor_ns=int(bars[0]["ts_open_ns"]),
        base_frame_ns=spec.layout.base_frame_ns,
        higher_frames_ns=spec.layout.higher_frames_ns,
        features_version=spec.layout.version,
        feature_names=names,
        columns=tuple(names[column] for column in dataset.columns),
        rows=len(dataset.labels),
        label_counts=(int(counts[0]), int(counts[1]), int(counts[2])),
        labelling=described(spec.labelling),
        parameters=parameters,
        ensemble_weights=(weight, 1.0 - weight),
        cut_quantile=spec.cut_quantile,
        metrics=metrics,
        libraries={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "xgboost": xgboost.__version__,
            "kernels": KERNEL_HASH,
        },
        files={},
    )


def publish_trained(trained: Trained, spec: TrainingSpec) -> str:
    """Write the bundle and make it current; returns its id. The joblib files are for people, not for the daemon."""
    models_dir = spec.learning.models_dir
    staging = staging_dir(models_dir, trained.metadata.symbol)
    try:
        write_arrays(staging / ARRAYS_FILE, trained.arrays)
        trained.pair.boosting.save_model(staging / "xgb.ubj")
        joblib.dump(trained.pair.random_forest, staging / "rf.joblib")
        joblib.dump(trained.pair.boosting, staging / "xgb.joblib")
        return publish(models_dir, trained.metadata, staging)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)  # what a full disk took of it would keep it full
        raise
