"""The folder of journal, ledger and compiled kernels: made, checked, and told to numba before the first kernel."""

import os
from contextlib import suppress
from pathlib import Path

from bnml.core.errors import Misconfigured

PICKLE_BEGINS, PICKLE_ENDS = b"\x80", b"."


def own_folder(folder: Path) -> None:
    """Make the state folder and send the compiled kernels there, before the first kernel is imported."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"the state folder {folder} cannot be made ({error}); choose one with --state-dir"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Misconfigured(
            f"the state folder {folder} cannot be written; change its owner or choose --state-dir"
        )
    os.environ.setdefault("BNML_NUMBA_CACHE", str(folder.resolve() / "numba"))
    drop_damaged(Path(os.environ["BNML_NUMBA_CACHE"]))


def drop_damaged(cache: Path) -> None:
    """Remove compiled kernels that a power cut or a full disk has cut short; they are compiled again.

    Each file is one or two pickles, which begin and end with known bytes. Whole files are put in place by
    renaming, so that writers do not meet here.
    """
    for file in cache.rglob("*.nb[ic]"):
        with suppress(OSError):  # gone meanwhile, or not ours: whoever loads it finds out
            with file.open("rb") as content:
                first = content.read(1)
                content.seek(max(-1, -file.stat().st_size), os.SEEK_END)
                last = content.read(1)
            if (first, last) != (PICKLE_BEGINS, PICKLE_ENDS):
                file.unlink()
