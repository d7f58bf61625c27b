"""Bundles by the hundred: one training, then per symbol arrays of its own, published like any other."""

from pathlib import Path

import msgspec
import numpy as np

from bnml.kernels.forest import (
    BLOCK,
    BLOCKS,
    CLASSES,
    HIGHEST,
    SHARES_WIDTH,
    SIGN,
    Model,
    forest_batch,
    work_for,
)
from bnml.learn.arrays import ModelArrays, write_arrays
from bnml.learn.bundle import ARRAYS_FILE, Bundle, load
from bnml.learn.flatten import ordered
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
    changed = model._replace(
        rf_words=_moved(model.rf_words, model.rf_shape, random),
        xgb_words=_moved(model.xgb_words, model.xgb_shape, random),
    )
    _, shares = _parts(changed.rf_words, changed.rf_shape)
    shares = shares.view(np.float64).reshape(-1, SHARES_WIDTH // 2)
    shares *= np.exp(LEAF_NOISE * random.standard_normal(shares.shape))
    shares /= shares.sum(axis=1, keepdims=True)
    _, margins = _parts(changed.xgb_words, changed.xgb_shape)
    margins = margins.view(np.float32)
    margins *= (1 + LEAF_NOISE * random.standard_normal(len(margins))).astype(np.float32)
    return msgspec.structs.replace(
        trained.arrays, model=changed, golden_probabilities=_said(changed, trained)
    )


def _parts(words, shape):
    """Views of the blocks (one row each) and of the words of the leaves."""
    behind = BLOCK * int(shape[BLOCKS])
    return words[:behind].reshape(-1, BLOCK), words[behind:]


def _moved(words, shape, random: np.random.Generator):
    moved = words.copy()
    blocks, _ = _parts(moved, shape)
    limits = blocks[:, 2::2]
    nodes = limits != HIGHEST
    floats = (limits[nodes] ^ np.where(limits[nodes] & SIGN, SIGN, HIGHEST)).view(np.float32)
    noise = 1 + THRESHOLD_NOISE * random.standard_normal(len(floats))
    limits[nodes] = ordered((floats * noise).astype(np.float32))
    return moved


def _said(model: Model, trained: Bundle):
    rows = trained.arrays.golden_rows
    out = np.zeros((len(rows), CLASSES))
    forest_batch(model, work_for(model), rows, out)
    return out
