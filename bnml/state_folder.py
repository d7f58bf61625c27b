"""The folder of journal, ledger and compiled kernels: made, checked, and told to numba before the first kernel."""

import os
from pathlib import Path

from bnml.core.errors import Misconfigured


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
