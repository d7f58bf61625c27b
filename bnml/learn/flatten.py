"""Fitted estimators to the flat arrays of `kernels.forest`; runs at training time only."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.errors import Rejected
from bnml.kernels.forest import BLOCK, CLASSES, HIGHEST, LEAF, SHARES_WIDTH, SIGN, SLOTS

LEVELS = 3  # of a tree in one block
MAX_COLUMNS = 32_767


class FlatForest(msgspec.Struct, frozen=True):
    """One ensemble as `kernels.forest` walks it: its words, and how many trees and blocks they hold."""

    words: NDArray[np.uint32]
    shape: NDArray[np.int64]


class _Tree(msgspec.Struct, frozen=True):
    """A tree as the libraries store it; `left` is -1 in leaves."""

    left: list[int]
    right: list[int]
    place: list[int]  # in the buffer of `kernels.forest.load_row`
    limit: list[int]
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
                left=tree.children_left.tolist(),
                right=tree.children_right.tolist(),
                place=_places(tree.feature, tree.missing_go_to_left),
                limit=ordered(_round_down(tree.threshold)).tolist(),
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
                left=tree["left_children"],
                right=tree["right_children"],
                place=_places(tree["split_indices"], tree["default_left"]),
                limit=ordered(np.nextafter(condition, np.float32(-np.inf))).tolist(),
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


def ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Integers that order as these floats do: what `kernels.forest.load_row` makes of a row."""
    bits = (values + np.float32(0.0)).view(np.uint32)  # -0.0 becomes 0.0
    return bits ^ np.where(bits & SIGN, HIGHEST, SIGN)


def _places(columns: Any, missing_left: Any) -> list[int]:
    found: list[int] = (2 * np.asarray(columns, np.int64) + 1 - np.asarray(missing_left, np.int64)).tolist()
    return found


def _lay_out(trees: list[_Tree], column_count: int) -> FlatForest:
    """Top blocks first, every other block behind its parent (see `kernels.forest`)."""
    if column_count > MAX_COLUMNS:
        raise Rejected(f"a model of {column_count} columns cannot be laid out, {MAX_COLUMNS} is the most")
    deepest = max(_depth(tree) for tree in trees)
    start = SLOTS >> ((max(deepest, 1) - 1) % LEVELS + 1)
    width = SHARES_WIDTH if trees[0].values.ndim > 1 else 1
    blocks: list[list[int]] = [[] for _ in trees]
    values: list[Any] = []
    for number, tree in enumerate(trees):
        queue = deque([(number, 0, start)])
        while queue:
            place, top, slot = queue.popleft()
            slots, children, leaves = _fill(tree, top, slot, width, 2 * column_count)
            blocks[place] = [BLOCK * len(blocks), width * len(values), *slots]
            queue.extend((len(blocks) + index, child, 1) for index, child in enumerate(children))
            blocks.extend([] for _ in children)
            values.extend(tree.values[leaf] for leaf in leaves)
    grid = np.array(blocks, dtype=np.int64)
    grid[:, 1] += grid.size
    return FlatForest(
        words=np.concatenate([grid.astype(np.uint32).ravel(), _leaf_words(np.asarray(values))]),
        shape=np.array([len(trees), start, len(blocks)], dtype=np.int64),
    )


def _depth(tree: _Tree) -> int:
    level, depth = [0], -1
    while level:
        inner = [node for node in level if tree.left[node] != -1]
        level = [child for node in inner for child in (tree.left[node], tree.right[node])]
        depth += 1
    return depth


def _fill(
    tree: _Tree, top: int, start: int, width: int, unused: int
) -> tuple[list[int], list[int], list[int]]:
    """Slots 1 to 7 of the block that begins with node `top`, and the nodes and leaves below it.

    A leaf above the last level leads to itself on both sides; slots that nothing leads to get exits all the
    same, so that a loader can hold every exit to the rules.
    """
    held = {start: top}
    slots = [int(HIGHEST), unused] * (SLOTS - 1)
    children: list[int] = []
    leaves: list[int] = []
    codes: dict[int, int] = {}
    for slot in range(start, SLOTS):
        if slot not in held:
            continue
        node = held[slot]
        below = (node, node)
        if tree.left[node] != -1:
            below = (tree.left[node], tree.right[node])
            slots[2 * slot - 2 : 2 * slot] = (tree.limit[node], tree.place[node])
        if 2 * slot < SLOTS:
            held[2 * slot], held[2 * slot + 1] = below
            continue
        for child in below:
            if child in codes:
                continue
            found, bit, step = (leaves, LEAF, width) if tree.left[child] == -1 else (children, 0, BLOCK)
            codes[child] = bit | step * len(found)
            found.append(child)
        slots[2 * slot - 1] |= codes[below[0]] << 16 | codes[below[1]] << 24
    some = next(iter(codes.values()))
    for slot in range(SLOTS // 2, SLOTS):
        if slot not in held:
            slots[2 * slot - 1] |= some << 16 | some << 24
    return slots, children, leaves


def _leaf_words(values: NDArray[Any]) -> NDArray[np.uint32]:
    if values.ndim == 1:
        return values.astype(np.float32).view(np.uint32)
    padded = np.zeros((len(values), SHARES_WIDTH // 2))
    padded[:, :CLASSES] = values
    return padded.view(np.uint32).ravel()
