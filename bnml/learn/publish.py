"""Putting a trained model in place: staged beside its home, synced, renamed, then pointed at."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import msgspec

from bnml.core.clock import NS_PER_S, format_utc
from bnml.core.errors import Misconfigured
from bnml.learn.bundle import CURRENT_FILE, METADATA_FILE, Current, Metadata, sha256_of


def staging_dir(models_dir: Path, symbol: str) -> Path:
    """A fresh folder on the file system of the models, to be filled and handed to `publish`."""
    home = models_dir / symbol
    try:
        home.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".new-", dir=home))
    except OSError as error:
        raise Misconfigured(
            f"cannot write to the models folder {home} ({error.strerror}); "
            "make it writable or name another with learning.models_dir"
        ) from error


def publish(models_dir: Path, metadata: Metadata, files: Path) -> str:
    """Make the files in the folder `files` the current version of the symbol; returns the bundle id.

    The folder is moved, complete and synced, to its place first; then one rename switches `current.json`,
    so a reader sees the old version or the new one, never a mixture. Older versions stay.
    """
    names = sorted(path.name for path in files.iterdir())
    metadata = msgspec.structs.replace(metadata, files={name: sha256_of(files / name) for name in names})
    encoded = msgspec.json.format(msgspec.json.encode(metadata, order="sorted"), indent=1)
    (files / METADATA_FILE).write_bytes(encoded)
    digest = hashlib.sha256(encoded).hexdigest()
    home = models_dir / metadata.symbol
    version = f"{_stamp(metadata.trained_to_ns)}-{digest[:8]}"
    for name in (*names, METADATA_FILE):
        _sync(files / name)
    _sync(files)
    target = home / version
    if target.exists():  # the same bytes were published before, or left by a publisher that died
        shutil.rmtree(files)
    else:
        files.rename(target)
    pointer = msgspec.json.encode(Current(version=version, metadata_sha256=digest))
    temporary = home / f".{CURRENT_FILE}.{os.getpid()}"
    temporary.write_bytes(pointer)
    _sync(temporary)
    temporary.replace(home / CURRENT_FILE)
    _sync(home)
    return f"{metadata.symbol}/{version}"


def _stamp(ts_ns: int) -> str:
    return format_utc(ts_ns - ts_ns % NS_PER_S).replace("-", "").replace(":", "")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
