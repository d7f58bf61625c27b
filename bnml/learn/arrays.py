"""The arrays of a bundle: what they are called, how they are written, and that they are sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.kernels.forest import CLASSES, NODE, Model
from bnml.kernels.records import POLICY

if TYPE_CHECKING:
    from pathlib import Path


class ModelArrays(msgspec.Struct, frozen=True):
    """Trees, decision policy, and full feature rows with the probabilities that they must give."""

    model: Model
    policy: NDArray[np.void]
    golden_rows: NDArray[np.float64]
    golden_probabilities: NDArray[np.float64]


def write_arrays(path: Path, arrays: ModelArrays) -> None:
    """Write without pickles; equal arrays give equal bytes."""
    named: dict[str, NDArray[Any]] = {
        name: np.asarray(value) for name, value in arrays.model._asdict().items()
    }
    named |= {
        "policy": arrays.policy,
        "golden_rows": arrays.golden_rows,
        "golden_probabilities": arrays.golden_probabilities,
    }
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **named)


_SHAPES: dict[str, tuple[np.dtype[Any], int]] = {
    "rf_nodes": (NODE, 1),
    "rf_roots": (np.dtype(np.int32), 1),
    "rf_depth": (np.dtype(np.int64), 0),
    "rf_values": (np.dtype(np.float64), 2),
    "xgb_nodes": (NODE, 1),
    "xgb_roots": (np.dtype(np.int32), 1),
    "xgb_depth": (np.dtype(np.int64), 0),
    "xgb_values": (np.dtype(np.float32), 1),
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
    for prefix in ("rf", "xgb"):
        _check_links(arrays, prefix, len(columns))
    width = len(feature_names)
    named = tuple(feature_names[i] for i in arrays["columns"] if 0 <= i < width)
    shapes_fit = (
        named == columns
        and arrays["policy"].shape == (1,)
        and arrays["weights"].shape == (2,)
        and arrays["xgb_base"].shape == (CLASSES,)
        and arrays["rf_values"].shape[1] == CLASSES
        and len(arrays["xgb_roots"]) % CLASSES == 0
        and arrays["golden_rows"].shape[1] == width
        and arrays["golden_probabilities"].shape == (len(arrays["golden_rows"]), CLASSES)
    )
    if not shapes_fit:
        raise ValueError("the arrays do not fit each other or the metadata")
    fields: dict[str, Any] = {key: np.ascontiguousarray(arrays[key]) for key in Model._fields}
    fields["rf_depth"] = int(arrays["rf_depth"])
    fields["xgb_depth"] = int(arrays["xgb_depth"])
    return ModelArrays(
        model=Model(**fields),
        policy=arrays["policy"],
        golden_rows=arrays["golden_rows"],
        golden_probabilities=arrays["golden_probabilities"],
    )


def _check_links(arrays: dict[str, NDArray[Any]], prefix: str, column_count: int) -> None:
    nodes, roots = arrays[f"{prefix}_nodes"], arrays[f"{prefix}_roots"]
    if not len(roots) or roots.min() < 0 or roots.max() >= len(nodes):
        raise ValueError(f"a root of {prefix} lies outside its nodes")
    leaf = nodes["left"] == np.arange(len(nodes))
    highest = np.where(leaf, nodes["left"], nodes["left"].astype(np.int64) + 1)
    if nodes["left"].min() < 0 or highest.max() >= len(nodes):
        raise ValueError(f"a link of {prefix} leads outside its nodes")
    if nodes["column"].min() < 0 or nodes["column"].max() > column_count:
        raise ValueError(f"a node of {prefix} reads a column that the model does not have")
    held, inner = nodes["missing"][leaf], nodes["missing"][~leaf]
    if not len(held) or held.min() < 0 or held.max() >= len(arrays[f"{prefix}_values"]):
        raise ValueError(f"a leaf of {prefix} has no values")
    if np.any((inner != 0) & (inner != 1)):
        raise ValueError(f"a node of {prefix} has no direction for missing values")
