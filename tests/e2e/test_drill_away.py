"""`bnml drill` on paper and on the test network: both are a stand-in here, which is reached by its addresses alone."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from bnml.drill.command import DRILLS
from tests.e2e.standin import StandIn

SHORT = ("lost-ack", "ws-drop", "kill")
ALIKE = "equal the venue's to the last unit; no id twice"


def drill(folder, kind, *names):
    """(exit code, verdicts, stderr) of drills at a stand-in of their own."""
    with StandIn(folder, ahead=2_000, speed=60) as standin:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "bnml", "drill", *names, "--venue", kind, "--json"),
                *("--config", str(standin.config()), "--state-dir", str(folder / "state")),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
            env={**os.environ, **({} if kind == "paper" else standin.keys)},
        )
        left = standin.open_orders() if kind == "testnet" else []
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr, left


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The short ones on both venues at the same time."""
    kinds = ("paper", "testnet")
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda kind: drill(tmp_path_factory.mktemp(kind), kind, *SHORT), kinds)
        return dict(zip(kinds, found, strict=True))


@pytest.mark.parametrize("kind", ["paper", "testnet"])
def test_cut_sockets_lost_answers_and_a_kill(played, kind):
    code, verdicts, errors, _ = played[kind]
    assert [(one["drill"], one["evidence"]) for one in verdicts if not one["passed"]] == [], errors
    assert [one["drill"] for one in verdicts] == list(SHORT), errors
    assert all(any(ALIKE in proof["text"] for proof in one["evidence"]) for one in verdicts)
    assert code == 0


def test_the_test_network_is_left_empty(played):
    assert played["testnet"][3] == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["paper", "testnet"])
@pytest.mark.parametrize("name", sorted(one.name for one in DRILLS.values() if "testnet" in one.venues))
def test_each_drill_that_is_possible_there(tmp_path, kind, name):
    code, verdicts, errors, _ = drill(tmp_path, kind, name)
    assert (code, [one["passed"] for one in verdicts]) == (0, [True]), errors


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ("stop-gap", "--venue", "paper"),
            2,
            "stop-gap needs an exchange whose market and rules can be changed",
        ),
        (("kill", "--venue", "live"), 2, "no drill is played with real money"),
        (("kill", "--venue", "testnet"), 3, "needs an API key"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path, words, code, sentence):
    environment = {name: text for name, text in os.environ.items() if not name.startswith("BINANCE_")}
    done = subprocess.run(
        [sys.executable, "-m", "bnml", "drill", *words, "--state-dir", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
