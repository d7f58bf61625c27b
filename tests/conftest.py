"""What every test shares: where recorded data lies, where compiled kernels are kept, how hypothesis draws."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Before any kernel is imported, also by the processes that tests start: compiled once, kept between runs.
os.environ.setdefault("BNML_NUMBA_CACHE", str(ROOT / ".numba"))

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


@pytest.fixture(autouse=True, scope="session")
def _dumpable() -> Iterator[None]:
    """A command that a test calls here must not take from all later processes what one test needs: the right to a core."""
    with pytest.MonkeyPatch.context() as patch:
        real = resource.setrlimit
        patch.setattr(
            resource, "setrlimit", lambda what, limits: what == resource.RLIMIT_CORE or real(what, limits)
        )
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of recorded market data; its absence fails in CI and skips elsewhere."""
    folder = Path(os.environ.get("BNML_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "MANIFEST.csv").is_file():
        message = f"no recorded data in {folder}; set BNML_DATA to a folder with MANIFEST.csv"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
