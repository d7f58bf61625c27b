import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["sh", "cmp", "dirname", "mkdir", "rm", "cp"]


@pytest.fixture
def bare_machine(tmp_path):
    """Run a script on a machine that has a shell, a few tools and nothing else."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool))

    def run(*arguments):
        environment = {"PATH": str(tools), "BNML_VENV": str(tmp_path / "venv")}
        return subprocess.run(
            [str(ROOT / "scripts" / "bootstrap"), *arguments],
            env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip

    return run


def give_python(tmp_path, *, has_venv):
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit {0 if has_venv else 1} ;; esac\nexit 0\n')
    python.chmod(0o755)


def test_a_machine_without_python_is_told_what_to_install(bare_machine):
    done = bare_machine("run")
    assert done.returncode == 2
    assert "Python 3.11 or newer" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_a_python_without_venv_is_told_what_to_install(bare_machine, tmp_path):
    give_python(tmp_path, has_venv=False)
    done = bare_machine("run")
    assert done.returncode == 2
    assert "apt-get install python3-venv" in done.stderr


@pytest.mark.parametrize("kind", ["run", "dev"])
def test_the_second_call_does_nothing(bare_machine, tmp_path, kind):
    """Without a Python in reach the call could only fail if it tried to do any work."""
    lock = {"run": "requirements.lock", "dev": "requirements-dev.lock"}[kind]
    venv = tmp_path / "venv"
    venv.mkdir()
    for name in (lock, "pyproject.toml"):
        shutil.copy(ROOT / name, venv / f"installed-{name}")
    done = bare_machine(kind)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_development_environment_serves_the_daemon_too(bare_machine, tmp_path):
    (tmp_path / "venv").mkdir()
    for name in ("requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "venv" / f"installed-{name}")
    assert bare_machine("run").returncode == 0


def test_no_client_of_the_exchange_is_in_the_development_environment():
    names = {pin.split("==")[0] for pin in pins("requirements-dev.lock")}
    assert not names & {"ccxt", "python-binance", "binance-sdk-spot", "freqtrade"}


def test_a_changed_lock_is_noticed(bare_machine, tmp_path):
    (tmp_path / "venv").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "venv" / "installed-pyproject.toml")
    (tmp_path / "venv" / "installed-requirements.lock").write_text("another lock")
    assert bare_machine("run").returncode == 2


def pins(lock):
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    return {line.split(" ")[0] for line in lines if "==" in line and not line.startswith((" ", "#"))}


def test_both_locks_agree_and_pin_every_package_by_hash():
    assert pins("requirements.lock") < pins("requirements-dev.lock")
    clients = sorted((ROOT / "tests" / "conformance" / "locks").glob("*.lock"))
    assert clients
    for lock in ("requirements.lock", "requirements-dev.lock", *clients):
        text = (ROOT / lock).read_text("utf-8")
        entries = text.split("\n")
        heads = [
            index for index, line in enumerate(entries) if "==" in line and not line.startswith((" ", "#"))
        ]
        assert all("--hash=sha256:" in entries[index + 1] for index in heads)


def test_the_daemon_runs_without_the_breadth_adapter_and_without_pandas():
    names = {pin.split("==")[0] for pin in pins("requirements.lock")}
    assert not names & {"ccxt", "pandas", "pyarrow", "pytest"}


@pytest.mark.parametrize("script", ["bootstrap", "run", "test", "long", "lock", "clients"])
def test_scripts_are_small_and_executable(script):
    path = ROOT / "scripts" / script
    assert os.access(path, os.X_OK)
    assert len(path.read_text("utf-8").splitlines()) <= 60
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0


def test_ci_refuses_to_prove_nothing(tmp_path):
    done = subprocess.run(
        [str(ROOT / ".ci" / "run")],
        env={**os.environ, "BNML_DATA": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "market data is missing" in done.stderr
