"""Tree ensembles as flat arrays: probabilities of one row, and the bare loop over rows.

A node sends x to `left` when x <= threshold, else to `left + 1`; a missing x (NaN) to `left + missing`.
Thresholds are float32 chosen so that this one comparison equals the library's on float32 inputs:
scikit-learn's `x <= t` with a float64 t is `x <= t rounded down to float32`, xgboost's `x < t` is
`x <= the float32 before t`. A leaf is a node that leads to itself: its threshold is infinite, its column
is the extra last entry of the row buffer, which is always zero, and `missing` holds the row of its values.
So all trees take the same number of steps, level by level, and their memory accesses overlap.

Buffers belong to the caller: `buffer` is float32[columns + 1] with a zero at the end, `cursors` is
int32[trees]. Sources: scikit-learn `_tree.pyx` (apply_dense) and `_forest.py` (mean over trees, in tree
order, in float64); xgboost `cpu_predictor.cc` and `multiclass_obj` (margins in float32, softmax).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit

CLASSES = 3
NODE = np.dtype([("threshold", np.float32), ("column", np.int32), ("left", np.int32), ("missing", np.int32)])
"""16 bytes; the two children of a node are neighbours."""

Nodes = NDArray[np.void]
Ints = NDArray[np.int32]
Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]


class Model(NamedTuple):
    """The arrays of one bundle: both ensembles, their weights (adding up to one), the columns they read."""

    rf_nodes: Nodes
    rf_roots: Ints
    rf_depth: int
    rf_values: Floats  # [leaves, 3] class shares
    xgb_nodes: Nodes
    xgb_roots: Ints
    xgb_depth: int
    xgb_values: Floats32  # [leaves] margins
    xgb_base: Floats32  # [3] margins before the first tree
    weights: Floats  # [2] random forest, boosting
    columns: NDArray[np.int64]


class Work(NamedTuple):
    """What `forest_row` writes on its way; one per thread, made by `work_for`."""

    buffer: Floats32  # [columns + 1]
    rf_cursors: Ints  # [trees]
    xgb_cursors: Ints  # [trees]
    shares: Floats  # [2, 3]


def work_for(model: Model) -> Work:
    """Buffers that fit `model`."""
    return Work(
        buffer=np.zeros(len(model.columns) + 1, dtype=np.float32),
        rf_cursors=np.zeros(len(model.rf_roots), dtype=np.int32),
        xgb_cursors=np.zeros(len(model.xgb_roots), dtype=np.int32),
        shares=np.zeros((2, CLASSES)),
    )


@njit
def descend(nodes: Nodes, roots: Ints, depth: int, buffer: Floats32, cursors: Ints) -> None:
    """Leave in `cursors` the leaf node that each tree reaches; `depth` is that of the deepest tree."""
    for tree in range(roots.shape[0]):
        cursors[tree] = roots[tree]
    for _ in range(depth):
        for tree in range(roots.shape[0]):
            node = nodes[cursors[tree]]
            value = buffer[node.column]
            step = np.int32(0)
            if not value <= node.threshold:
                step = np.int32(1)
            if value != value:  # noqa: PLR0124 - NaN, the only value that differs from itself
                step = node.missing
            cursors[tree] = node.left + step


@njit
def mean_of_leaves(nodes: Nodes, values: Floats, cursors: Ints, out: Floats) -> None:
    """Random forest: the mean of the reached leaves' class shares (float64[leaves, 3]), in tree order."""
    for label in range(CLASSES):
        out[label] = 0.0
    for tree in range(cursors.shape[0]):
        leaf = nodes[cursors[tree]].missing
        for label in range(CLASSES):
            out[label] += values[leaf, label]
    for label in range(CLASSES):
        out[label] /= cursors.shape[0]


@njit
def softmax_of_leaves(nodes: Nodes, values: Floats32, base: Floats32, cursors: Ints, out: Floats) -> None:
    """Boosting: class margins = base + leaves (float32, tree t speaks for class t modulo 3), then softmax."""
    sell = base[0]
    hold = base[1]
    buy = base[2]
    for first in range(0, cursors.shape[0], CLASSES):
        sell += values[nodes[cursors[first]].missing]
        hold += values[nodes[cursors[first + 1]].missing]
        buy += values[nodes[cursors[first + 2]].missing]
    top = max(sell, hold, buy)
    sell = np.float32(math.exp(sell - top))
    hold = np.float32(math.exp(hold - top))
    buy = np.float32(math.exp(buy - top))
    total = np.float32(np.float64(sell) + np.float64(hold) + np.float64(buy))
    out[0] = sell / total
    out[1] = hold / total
    out[2] = buy / total


@njit
def load_row(row: Floats, columns: NDArray[np.int64], buffer: Floats32) -> None:
    """Gather the columns that a model reads, as float32; the buffer's extra last entry stays zero."""
    for position in range(columns.shape[0]):
        buffer[position] = np.float32(row[columns[position]])
    buffer[columns.shape[0]] = np.float32(0.0)


@njit
def blend(weights: Floats, first: Floats, second: Floats, out: Floats) -> None:
    """Weighted mean of two probability rows; the weights add up to one."""
    for label in range(CLASSES):
        out[label] = weights[0] * first[label] + weights[1] * second[label]


@njit
def forest_row(model: Model, work: Work, row: Floats, out: Floats) -> None:
    """Fill `out` with P(SELL), P(HOLD), P(BUY) of a full feature row; allocates nothing.

    The forest's part equals scikit-learn's `predict_proba` in every bit, the boosting's part xgboost's
    up to the rounding of exp. NaN in a read column follows each node's own direction; whether such a
    row may be decided upon is the caller's question.
    """
    load_row(row, model.columns, work.buffer)
    descend(model.rf_nodes, model.rf_roots, model.rf_depth, work.buffer, work.rf_cursors)
    mean_of_leaves(model.rf_nodes, model.rf_values, work.rf_cursors, work.shares[0])
    descend(model.xgb_nodes, model.xgb_roots, model.xgb_depth, work.buffer, work.xgb_cursors)
    softmax_of_leaves(model.xgb_nodes, model.xgb_values, model.xgb_base, work.xgb_cursors, work.shares[1])
    blend(model.weights, work.shares[0], work.shares[1], out)


@njit
def forest_batch(model: Model, work: Work, rows: Floats, out: Floats) -> None:
    """`forest_row` for each row of `rows`, into the same row of `out`."""
    for index in range(rows.shape[0]):
        forest_row(model, work, rows[index], out[index])
