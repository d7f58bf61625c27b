"""A model on disk: its folder, its metadata, and checked loading (`learn.publish` writes it).

    models/BTCUSDT/20230701T000000Z-1f0c5a9b/forest.npz      arrays: trees, policy, golden batch
                                             xgb.ubj         the boosting model in its library's format
                                             metadata.json   what it is, and the SHA-256 of every file
                                             *.joblib        left by the trainer, never opened here
                  current.json                               names the version in use, replaced atomically

Only data is read: arrays without pickles and JSON. A checksum shows damage, not an attacker.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bnml.core.errors import Rejected
from bnml.learn.arrays import ModelArrays, check_arrays

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 2
ARRAYS_FILE = "forest.npz"
METADATA_FILE = "metadata.json"
CURRENT_FILE = "current.json"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured out of fold; rates in ppm of the cost of a position, commissions and spread paid."""

    rows: int
    log_loss: float
    base_rate_log_loss: float
    accuracy: float
    entries: int  # out-of-fold rows above the cut
    net_expectation_ppm: float  # of these, under the exit rules
    net_expectation_all_ppm: float  # of all out-of-fold rows
    win_rate: float


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a bundle that is not an array."""

    format: int
    symbol: str
    created_ns: int
    trained_to_ns: int  # close of the last bar that was used: the age of the model counts from here
    data_from_ns: int
    anchor_ns: int  # opening of the bar at which the running values of the features began
    base_frame_ns: int
    higher_frames_ns: tuple[int, ...]
    features_version: str
    feature_names: tuple[str, ...]  # of the full row
    columns: tuple[str, ...]  # those that the models read
    rows: int
    label_counts: tuple[int, int, int]  # SELL, HOLD, BUY
    labelling: dict[str, float]
    parameters: dict[str, Any]
    ensemble_weights: tuple[float, float]  # random forest, boosting
    cut_quantile: float
    metrics: Metrics
    libraries: dict[str, str]
    files: dict[str, str]  # name -> SHA-256, all but the metadata itself


class Bundle(msgspec.Struct, frozen=True):
    """A verified bundle in memory."""

    bundle_id: str
    metadata: Metadata
    arrays: ModelArrays


class Current(msgspec.Struct, frozen=True):
    """Content of `current.json`."""

    version: str
    metadata_sha256: str


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def current_version(models_dir: Path, symbol: str) -> Current | None:
    """What `current.json` names, None if the symbol has no model yet."""
    path = models_dir / symbol / CURRENT_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Current)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Rejected(f"{path} is damaged ({error}); train {symbol} again") from error


def other_versions(models_dir: Path, symbol: str, version: str) -> list[str]:
    """Versions on disk beside `version`, those of the newest data first; nothing is checked."""
    folders = (path for path in (models_dir / symbol).iterdir() if path.is_dir())
    return sorted(
        (path.name for path in folders if path.name[0] != "." and path.name != version), reverse=True
    )


def read_metadata(models_dir: Path, symbol: str, version: str, digest: str) -> Metadata:
    """Metadata of a version, checked against its SHA-256 or the beginning of it; raises Rejected."""
    path = models_dir / symbol / version / METADATA_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Rejected(f"bundle {symbol}/{version} has no {METADATA_FILE}; train it again") from error
    if not digest or not hashlib.sha256(content).hexdigest().startswith(digest):
        raise Rejected(f"bundle {symbol}/{version}: {METADATA_FILE} was changed or cut short")
    try:
        return msgspec.json.decode(content, type=Metadata)
    except ValueError as error:
        raise Rejected(
            f"bundle {symbol}/{version} was written by another version of bnml ({error})"
        ) from error


def load(models_dir: Path, symbol: str, features_version: str, version: str | None = None) -> Bundle:
    """Read and check a bundle (None: the current version); every refusal is a Rejected with one sentence.

    Checked: files present with their checksums, format, symbol, feature version, names, types and shapes
    of the arrays, and that node links stay inside the arrays. The golden batch is the predictor's part.
    """
    if version is None:
        current = current_version(models_dir, symbol)
        if current is None:
            raise Rejected(f"{symbol} has no model in {models_dir}; bnml train makes one")
        chosen, digest = current.version, current.metadata_sha256
    else:
        chosen, digest = version, version.rpartition("-")[2]
    name = f"bundle {symbol}/{chosen}"
    metadata = read_metadata(models_dir, symbol, chosen, digest)
    if metadata.format != FORMAT:
        raise Rejected(f"{name} has format {metadata.format}, this program reads {FORMAT}; train it again")
    if metadata.symbol != symbol:
        raise Rejected(f"{name} was trained for {metadata.symbol}, not for {symbol}")
    if metadata.features_version != features_version:
        raise Rejected(
            f"{name} was trained on feature version {metadata.features_version}, "
            f"this configuration computes {features_version}; train it again"
        )
    path = models_dir / symbol / chosen / ARRAYS_FILE
    try:
        measured = sha256_of(path)
    except OSError as error:
        raise Rejected(f"{name}: {ARRAYS_FILE} cannot be read ({error.strerror})") from error
    if measured != metadata.files.get(ARRAYS_FILE):
        raise Rejected(f"{name}: {ARRAYS_FILE} is cut short or damaged, its checksum differs")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise Rejected(f"{name}: {ARRAYS_FILE} does not hold plain arrays ({error})") from error
    try:
        checked = check_arrays(arrays, metadata.feature_names, metadata.columns)
    except ValueError as error:
        raise Rejected(f"{name}: {error}") from error
    return Bundle(bundle_id=f"{symbol}/{chosen}", metadata=metadata, arrays=checked)
