"""Fitted estimators to the flat arrays of `kernels.forest`; runs at training time only."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.errors import Rejected
from bnml.kernels.forest import CLASSES, NODE


class FlatForest(msgspec.Struct, frozen=True):
    """One ensemble: nodes, the root and the common depth of its trees, and what its leaves hold.

    `values` is float64[leaves, 3] of class shares for a random forest, float32[leaves] of margins for boosting.
    """

    nodes: NDArray[np.void]
    roots: NDArray[np.int32]
    depth: int
    values: NDArray[Any]


class _Tree(msgspec.Struct, frozen=True):
    """A tree as the libraries store it; `left` is -1 in leaves, `threshold` is already that of `x <= t`."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    column: NDArray[np.int64]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    values: NDArray[Any]


def flatten_random_forest(model: Any, column_count: int) -> FlatForest:
    """A fitted scikit-learn RandomForestClassifier over classes out of 0, 1, 2."""
    labels = [int(label) for label in model.classes_]
    trees = []
    for estimator in model.estimators_:
        tree = estimator.tree_
        shares = np.zeros((tree.node_count, CLASSES))
        shares[:, labels] = tree.value[:, 0, :]
        trees.append(
            _Tree(
                left=tree.children_left,
                right=tree.children_right,
                column=tree.feature,
                threshold=_round_down(tree.threshold),
                missing_left=np.asarray(tree.missing_go_to_left, dtype=np.bool_),
                values=shares,
            )
        )
    return _lay_out(trees, column_count)


def flatten_boosting(model: Any, column_count: int) -> tuple[FlatForest, NDArray[np.float32]]:
    """An xgboost Booster (multi:softprob, three classes); with it the base margins of the classes."""
    learner = json.loads(bytes(model.save_raw("json")))["learner"]
    stored = learner["gradient_booster"]["model"]
    groups = stored["tree_info"]
    if groups != [index % CLASSES for index in range(len(groups))]:
        raise Rejected("the boosting model does not hold one tree for each of the three classes and round")
    trees = []
    for tree in stored["trees"]:
        condition = np.asarray(tree["split_conditions"], dtype=np.float32)
        trees.append(
            _Tree(
                left=np.asarray(tree["left_children"], dtype=np.int64),
                right=np.asarray(tree["right_children"], dtype=np.int64),
                column=np.asarray(tree["split_indices"], dtype=np.int64),
                threshold=np.nextafter(condition, np.float32(-np.inf)),
                missing_left=np.asarray(tree["default_left"], dtype=np.bool_),
                values=condition,
            )
        )
    return _lay_out(trees, column_count), _base_margins(learner["learner_model_param"]["base_score"])


def _base_margins(text: str) -> NDArray[np.float32]:
    """Read `base_score`; xgboost 3 writes one number per class as a JSON list, older ones a single number."""
    scores = np.atleast_1d(np.asarray(json.loads(text), dtype=np.float32))
    return np.ascontiguousarray(np.broadcast_to(scores, (CLASSES,)))


def _round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    rounded = threshold.astype(np.float32)
    above = rounded.astype(np.float64) > threshold
    return np.where(above, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _lay_out(trees: list[_Tree], column_count: int) -> FlatForest:
    """Breadth-first, children side by side, leaves leading to themselves (see `kernels.forest`)."""
    nodes = np.zeros(sum(len(tree.left) for tree in trees), dtype=NODE)
    roots = np.zeros(len(trees), dtype=np.int32)
    values: list[Any] = []
    used = deepest = 0
    for number, tree in enumerate(trees):
        roots[number] = used
        queue = deque([(0, used, 0)])
        used += 1
        while queue:
            source, place, depth = queue.popleft()
            deepest = max(deepest, depth)
            if tree.left[source] == -1:
                nodes[place] = (np.inf, column_count, place, len(values))
                values.append(tree.values[source])
                continue
            missing = 0 if tree.missing_left[source] else 1
            nodes[place] = (tree.threshold[source], tree.column[source], used, missing)
            queue.append((tree.left[source], used, depth + 1))
            queue.append((tree.right[source], used + 1, depth + 1))
            used += 2
    return FlatForest(nodes=nodes[:used], roots=roots, depth=deepest, values=np.asarray(values))
