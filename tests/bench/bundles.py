"""Bundles by the hundred: one training, then per symbol arrays of its own, published like any other."""

from pathlib import Path

import msgspec
import numpy as np

from bnml.kernels.forest import CLASSES, Model, forest_batch, work_for
from bnml.learn.arrays import ModelArrays, write_arrays
from bnml.learn.bundle import ARRAYS_FILE, Bundle, load
from bnml.learn.publish import publish, staging_dir

THRESHOLD_NOISE = 0.02
LEAF_NOISE = 0.1


def publish_variants(models_dir: Path, features_version: str, template: str, symbols) -> int:
    """Give every symbol a variant of the current bundle of `template`; returns the bytes of one model's arrays."""
    trained = load(models_dir, template, features_version)
    for seed, symbol in enumerate(symbols):
        if symbol == template:
            continue
        arrays = _variant(trained, np.random.default_rng(seed))
        metadata = msgspec.structs.replace(trained.metadata, symbol=symbol, files={})
        staging = staging_dir(models_dir, symbol)
        write_arrays(staging / ARRAYS_FILE, arrays)
        publish(models_dir, metadata, staging)
    return sum(part.nbytes for part in trained.arrays.model if isinstance(part, np.ndarray))


def _variant(trained: Bundle, random: np.random.Generator) -> ModelArrays:
    """Other thresholds and leaves in trees of the same shape; the golden batch is what these arrays say."""
    model = trained.arrays.model
    shares = model.rf_values * np.exp(LEAF_NOISE * random.standard_normal(model.rf_values.shape))
    changed = model._replace(
        rf_nodes=_moved(model.rf_nodes, random),
        rf_values=shares / shares.sum(axis=1, keepdims=True),
        xgb_nodes=_moved(model.xgb_nodes, random),
        xgb_values=(
            model.xgb_values * (1 + LEAF_NOISE * random.standard_normal(len(model.xgb_values)))
        ).astype(np.float32),
    )
    return msgspec.structs.replace(
        trained.arrays, model=changed, golden_probabilities=_said(changed, trained)
    )


def _moved(nodes, random: np.random.Generator):
    moved = nodes.copy()
    noise = 1 + THRESHOLD_NOISE * random.standard_normal(len(nodes))
    moved["threshold"] = np.where(
        np.isfinite(nodes["threshold"]), nodes["threshold"] * noise, nodes["threshold"]
    )
    return moved


def _said(model: Model, trained: Bundle):
    rows = trained.arrays.golden_rows
    out = np.zeros((len(rows), CLASSES))
    forest_batch(model, work_for(model), rows, out)
    return out
