"""A state folder of the previous release with a position under way: upgraded, traded on, rolled back."""

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

FIXTURE = Path(__file__).parent.parent / "fixtures" / "previous_release"
HERE = Path(__file__).parent.parent.parent
SYMBOLS = "ADAUSDT,BTCUSDT,DOGEUSDT"
EQUITY = "9985.80"
"""Of the previous release 25 bars after the fixture, without any upgrade: the position has met two stops and a target."""


@pytest.fixture
def state(tmp_path):
    with tarfile.open(FIXTURE / "state.tar.xz") as archive:
        archive.extractall(tmp_path / "state", filter="data")
    return tmp_path / "state"


def bnml(home, *words):
    command = [sys.executable, "-m", "bnml", *words]
    return subprocess.run(
        command,
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def trade(home, state, bars):
    """`bars` further bars of the stepped market; the summary."""
    words = ["--venue", "sim", "--no-retrain", "--stepped", "--json", "--symbols", SYMBOLS]
    words += ["--config", str(FIXTURE / "config.yaml"), "--state-dir", str(state), "--stop-after", str(bars)]
    return json.loads(bnml(home, "run", *words).splitlines()[-1])


def test_a_position_of_the_previous_release_is_traded_on(state):
    journal = (state / "journal.db").read_bytes()
    look = ["recover", "--dry-run", "--config", str(FIXTURE / "config.yaml"), "--state-dir", str(state)]
    said = bnml(HERE, *look)
    assert "the next start restores ledger and orders" in said
    assert "1 positions, 5 orders that are not over" in said
    assert (state / "journal.db").read_bytes() == journal
    summary = trade(HERE, state, 25)
    assert summary["session"] == 2
    assert (summary["equity_end"], summary["realised"]) == (EQUITY, "7.00")
    assert (summary["positions"], summary["open_orders"]) == (0, 0)


@pytest.fixture(scope="module")
def previous(tmp_path_factory):
    """The previous release, whose kernels are compiled once."""
    commit = (FIXTURE / "commit").read_text().strip()
    packed = subprocess.run(["git", "archive", commit, "bnml"], cwd=HERE, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip("this checkout does not hold the previous release")
    home = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(home, filter="data")
    return home


def forget_the_end(state, before):
    """As if the last process had been killed: what it wrote in its orderly end is not there."""
    with contextlib.closing(sqlite3.connect(state / "journal.db")) as journal, journal:
        assert journal.execute("DELETE FROM snapshot WHERE seq > ?", [before]).rowcount


@pytest.mark.parametrize("killed", [False, True])
def test_an_upgrade_can_be_taken_back_with_the_position_open(state, previous, killed):
    with contextlib.closing(sqlite3.connect(state / "journal.db")) as journal:
        (before,) = journal.execute("SELECT max(seq) FROM snapshot").fetchone()
    assert trade(HERE, state, 2)["positions"] == 1
    if killed:
        forget_the_end(state, before)
    summary = trade(previous, state, 23)
    assert (summary["equity_end"], summary["positions"], summary["open_orders"]) == (EQUITY, 0, 0)
