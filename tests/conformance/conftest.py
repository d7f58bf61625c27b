"""Environments of third-party clients: made when needed, kept while their lock stays the same."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ROOT / os.environ.get("BNML_CLIENT_VENVS", ".venv-conformance")


@pytest.fixture(scope="session")
def python_of():
    """The interpreter of a client's environment; one that cannot be made fails in CI and skips elsewhere."""

    def make(name):
        PLACES.mkdir(parents=True, exist_ok=True)
        with (PLACES / f"{name}.making").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = subprocess.run(
                [ROOT / "scripts" / "clients", name],
                env={**os.environ, "BNML_PYTHON": sys.executable},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if made.returncode:
            message = f"the environment of {name} could not be made: {made.stderr[-2000:]}"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        return PLACES / name / "bin" / "python"

    return make
