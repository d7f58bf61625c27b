"""The arrays of a bundle: what they are called, how they are written, and that they are sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.kernels.forest import BLOCK, BLOCKS, CLASSES, LEAF, SHARES_WIDTH, SLOTS, START, TREES, Model
from bnml.kernels.records import POLICY

if TYPE_CHECKING:
    from pathlib import Path


CACHE_LINE = 64
HUGE_PAGE = 1 << 21
LARGE = 1 << 22
"""From here on numpy asks the system for huge pages."""


class ModelArrays(msgspec.Struct, frozen=True):
    """Trees, decision policy, and full feature rows with the probabilities that they must give."""

    model: Model
    policy: NDArray[np.void]
    golden_rows: NDArray[np.float64]
    golden_probabilities: NDArray[np.float64]


def write_arrays(path: Path, arrays: ModelArrays) -> None:
    """Write without pickles; equal arrays give equal bytes."""
    named: dict[str, NDArray[Any]] = dict(arrays.model._asdict())
    named |= {
        "policy": arrays.policy,
        "golden_rows": arrays.golden_rows,
        "golden_probabilities": arrays.golden_probabilities,
    }
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **named)


def together(model: Model) -> Model:
    """The same model in memory of its own: one piece, so that it may get huge pages, blocks on cache lines."""
    arrays: tuple[NDArray[Any], ...] = model
    sizes = [-(-array.nbytes // CACHE_LINE) * CACHE_LINE for array in arrays]
    total = sum(sizes)
    boundary = CACHE_LINE if total < LARGE else HUGE_PAGE
    memory = np.empty(total + boundary, dtype=np.uint8)
    place = -memory.ctypes.data % boundary
    parts: list[Any] = []
    for array, size in zip(arrays, sizes, strict=True):
        part = memory[place : place + array.nbytes].view(array.dtype)
        part[:] = array
        parts.append(part)
        place += size
    return Model(*parts)


_SHAPES: dict[str, tuple[np.dtype[Any], int]] = {
    "rf_words": (np.dtype(np.uint32), 1),
    "rf_shape": (np.dtype(np.int64), 1),
    "xgb_words": (np.dtype(np.uint32), 1),
    "xgb_shape": (np.dtype(np.int64), 1),
    "xgb_base": (np.dtype(np.float32), 1),
    "weights": (np.dtype(np.float64), 1),
    "columns": (np.dtype(np.int64), 1),
    "policy": (POLICY, 1),
    "golden_rows": (np.dtype(np.float64), 2),
    "golden_probabilities": (np.dtype(np.float64), 2),
}


def check_arrays(
    arrays: dict[str, NDArray[Any]], feature_names: tuple[str, ...], columns: tuple[str, ...]
) -> ModelArrays:
    """Types, shapes, links and columns; afterwards no kernel can leave these arrays. Raises ValueError."""
    for key, (dtype, dimensions) in _SHAPES.items():
        if key not in arrays:
            raise ValueError(f"the file lacks the array {key}")
        if arrays[key].dtype != dtype or arrays[key].ndim != dimensions:
            raise ValueError(
                f"array {key} has type {arrays[key].dtype} in {arrays[key].ndim} dimensions, "
                f"expected {dtype} in {dimensions}"
            )
    for prefix, width in (("rf", SHARES_WIDTH), ("xgb", 1)):
        _check_links(arrays, prefix, width, len(columns))
    width = len(feature_names)
    named = tuple(feature_names[i] for i in arrays["columns"] if 0 <= i < width)
    shapes_fit = (
        named == columns
        and arrays["policy"].shape == (1,)
        and arrays["weights"].shape == (2,)
        and arrays["xgb_base"].shape == (CLASSES,)
        and arrays["xgb_shape"][TREES] % CLASSES == 0
        and arrays["golden_rows"].shape[1] == width
        and arrays["golden_probabilities"].shape == (len(arrays["golden_rows"]), CLASSES)
    )
    if not shapes_fit:
        raise ValueError("the arrays do not fit each other or the metadata")
    return ModelArrays(
        model=together(Model(*(arrays[key] for key in Model._fields))),
        policy=arrays["policy"],
        golden_rows=arrays["golden_rows"],
        golden_probabilities=arrays["golden_probabilities"],
    )


def _check_links(arrays: dict[str, NDArray[Any]], prefix: str, width: int, column_count: int) -> None:
    """Every exit of every block leads to a later block, or to `width` words behind all blocks."""
    words, shape = arrays[f"{prefix}_words"], arrays[f"{prefix}_shape"]
    trees, start, blocks = shape if len(shape) == len((TREES, START, BLOCKS)) else (0, 0, 0)
    behind = BLOCK * blocks
    if not (0 < trees <= blocks and start in {1, 2, 4} and behind < len(words) <= 1 << 32):
        raise ValueError(f"{prefix} does not have the trees and blocks that it claims")
    grid = words[:behind].reshape(-1, BLOCK)
    nodes = grid[:, 3::2]
    if (nodes & 0xFFFF).max() > 2 * column_count:
        raise ValueError(f"a node of {prefix} reads a column that the model does not have")
    lowest = nodes[:, SLOTS // 2 - 1 :]
    exits = np.concatenate([(lowest >> 16) & 0xFF, lowest >> 24], axis=1).astype(np.int64)
    first = grid[:, :2].astype(np.int64)
    place = np.where(exits & LEAF, first[:, 1:], first[:, :1]) + (exits & (LEAF - 1))
    own = BLOCK * np.arange(blocks)[:, None]
    inward = (place > own) & (place < behind) & (place % BLOCK == 0)
    outward = (place >= behind) & (place <= len(words) - width) & ((place - behind) % width == 0)
    if not np.where(exits & LEAF, outward, inward).all():
        raise ValueError(f"a link of {prefix} leads outside its blocks and leaves")
