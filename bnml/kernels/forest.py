"""Tree ensembles as blocks of one cache line: probabilities of one row, and the bare loop over rows.

Hundreds of models do not fit into any cache, so what a row costs is the number of cache lines that it
touches. A block is 64 bytes, sixteen words, and holds three levels of a tree; words 2k and 2k + 1 are its
slot k:

    slot 0       where the first child block begins, where the values of the first leaf below begin
    slots 1..7   a node, its children in slots 2k and 2k + 1: its limit, and 16 bits of buffer place below
                 16 bits of exits; in slots 4..7 one exit to each side: its distance from slot 0's place in
                 7 bits, and the bit LEAF

All places are counted in words of the one array of an ensemble: first the top blocks of all trees, tree by
tree, then the other blocks, each behind its parent, then the values of the leaves (three float64 and one of
padding for a random forest, one float32 for boosting). A tree enters its top block at slot `start`, which is
4 or 2 where only one or two levels are left over for it. The place that the next step will read is asked
for as soon as it is known, long before that step.

A row becomes integers that order as its float32 values do (`load_row`), because comparing integers takes less
time. A value above the limit goes right. Limits are chosen so that this equals the library's comparison of
float32 inputs: scikit-learn's `x <= t` with a float64 t is `x <= t rounded down to float32`, xgboost's
`x < t` is `x <= the float32 before t`. A node whose missing values (NaN) go left reads a place where NaN is
the lowest integer, another one a place where it is the highest. A leaf inside a block sends all to the left.

Sources: scikit-learn `_tree.pyx` (apply_dense) and `_forest.py` (mean over trees, in tree order, in float64);
xgboost `cpu_predictor.cc` and `multiclass_obj` (margins in float32, softmax).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit
from bnml.kernels.prefetch import prefetch

CLASSES = 3
BLOCK = 16  # words
SLOTS = 8
LEAF = 0x80
SHARES_WIDTH = 8  # words
SIGN = np.uint32(0x80000000)
HIGHEST = np.uint32(0xFFFFFFFF)
TREES, START, BLOCKS = 0, 1, 2
"""What the three numbers of an ensemble's shape say: its trees, the slot they start in, the blocks it has."""

Words = NDArray[np.uint32]
Shape = NDArray[np.int64]
Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]

_ONE, _TWO = np.uint64(1), np.uint64(2)
_HALF = np.uint64(32)  # bits
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_SLOTS = np.uint64(SLOTS)
_BLOCK = np.uint64(BLOCK)
_COLUMN = np.uint32(0xFFFF)
_EXIT_BYTES = np.uint64(6)  # from the beginning of a slot
_WORD_BYTES = np.uint64(4)
_DISTANCE = np.uint64(LEAF - 1)
_LEAF_BIT = np.uint64(7)


class Model(NamedTuple):
    """The arrays of one bundle: both ensembles, their weights (adding up to one), the columns they read."""

    rf_words: Words
    rf_shape: Shape
    xgb_words: Words
    xgb_shape: Shape
    xgb_base: Floats32  # [3] margins before the first tree
    weights: Floats  # [2] random forest, boosting
    columns: NDArray[np.int64]


class Work(NamedTuple):
    """What `forest_row` writes on its way; one per thread, made by `work_for`."""

    buffer: Words  # [2 * columns + 1]
    cursors: NDArray[np.uint64]  # [trees] that still walk: number in the upper half, block in the lower
    leaves: Words  # [trees] where the values of the reached leaf begin
    shares: Floats  # [2, 3]


def work_for(model: Model) -> Work:
    """Buffers that fit `model`."""
    trees = max(int(model.rf_shape[TREES]), int(model.xgb_shape[TREES]))
    return Work(
        buffer=np.zeros(2 * len(model.columns) + 1, dtype=np.uint32),
        cursors=np.zeros(trees, dtype=np.uint64),
        leaves=np.zeros(trees, dtype=np.uint32),
        shares=np.zeros((2, CLASSES)),
    )


@njit
def descend(words: Words, shape: Shape, buffer: Words, cursors: NDArray[np.uint64], leaves: Words) -> None:
    """Leave in `leaves` the place of the leaf that each tree reaches, all trees one block further at a time."""
    octets = words.view(np.uint8)
    walking = np.uint64(shape[TREES])
    start = np.uint64(shape[START])
    for tree in range(walking):
        cursors[tree] = (np.uint64(tree) << _HALF) | (np.uint64(tree) * _BLOCK)
    while walking > 0:
        last = walking
        walking = np.uint64(0)
        for index in range(last):
            cursor = cursors[index]
            block = cursor & _LOW
            slot = start
            while slot < _SLOTS:
                at = block + slot * _TWO
                right = np.uint64(buffer[np.uint64(words[at + _ONE] & _COLUMN)] > words[at])
                slot = slot * _TWO + right
            way_out = np.uint64(octets[at * _WORD_BYTES + _EXIT_BYTES + right])
            is_leaf = way_out >> _LEAF_BIT
            place = np.uint64(words[block + is_leaf]) + (way_out & _DISTANCE)
            prefetch(words, place)
            leaves[cursor >> _HALF] = place
            cursors[walking] = (cursor & _HIGH) | place
            walking += is_leaf ^ _ONE
        start = _ONE


@njit
def mean_of_leaves(words: Words, shape: Shape, leaves: Words, out: Floats) -> None:
    """Random forest: the mean of the reached leaves' class shares, in tree order."""
    values = words.view(np.float64)
    sell = 0.0
    hold = 0.0
    buy = 0.0
    for tree in range(shape[TREES]):
        first = np.uint64(leaves[tree]) // _TWO
        sell += values[first]
        hold += values[first + _ONE]
        buy += values[first + _TWO]
    out[0] = sell / shape[TREES]
    out[1] = hold / shape[TREES]
    out[2] = buy / shape[TREES]


@njit
def softmax_of_leaves(words: Words, shape: Shape, base: Floats32, leaves: Words, out: Floats) -> None:
    """Boosting: class margins = base + leaves (float32, tree t speaks for class t modulo 3), then softmax."""
    values = words.view(np.float32)
    sell = base[0]
    hold = base[1]
    buy = base[2]
    for first in range(0, shape[TREES], CLASSES):
        sell += values[np.uint64(leaves[first])]
        hold += values[np.uint64(leaves[first + 1])]
        buy += values[np.uint64(leaves[first + 2])]
    top = max(sell, hold, buy)
    sell = np.float32(math.exp(sell - top))
    hold = np.float32(math.exp(hold - top))
    buy = np.float32(math.exp(buy - top))
    total = np.float32(np.float64(sell) + np.float64(hold) + np.float64(buy))
    out[0] = sell / total
    out[1] = hold / total
    out[2] = buy / total


@njit
def load_row(row: Floats, columns: NDArray[np.int64], buffer: Words) -> None:
    """Gather the columns that a model reads, as integers in the order of their float32 values.

    Place 2c is read by nodes whose missing values go left, place 2c + 1 by the others. The extra last place
    is what the unused slots read. A negative float's bits grow as it falls, so they are turned round.
    """
    floats = buffer.view(np.float32)
    for position in range(columns.shape[0]):
        value = np.float32(row[columns[position]]) + np.float32(0.0)  # -0.0 becomes 0.0
        floats[2 * position] = value
        bits = buffer[2 * position]
        left = bits ^ (HIGHEST if bits & SIGN else SIGN)
        right = left
        if value != value:  # noqa: PLR0124 - NaN, the only value that differs from itself
            left = np.uint32(0)
            right = HIGHEST
        buffer[2 * position] = left
        buffer[2 * position + 1] = right
    buffer[2 * columns.shape[0]] = 0


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
    descend(model.rf_words, model.rf_shape, work.buffer, work.cursors, work.leaves)
    mean_of_leaves(model.rf_words, model.rf_shape, work.leaves, work.shares[0])
    descend(model.xgb_words, model.xgb_shape, work.buffer, work.cursors, work.leaves)
    softmax_of_leaves(model.xgb_words, model.xgb_shape, model.xgb_base, work.leaves, work.shares[1])
    blend(model.weights, work.shares[0], work.shares[1], out)


@njit
def forest_batch(model: Model, work: Work, rows: Floats, out: Floats) -> None:
    """`forest_row` for each row of `rows`, into the same row of `out`."""
    for index in range(rows.shape[0]):
        forest_row(model, work, rows[index], out[index])
