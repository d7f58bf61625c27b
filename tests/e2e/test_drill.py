"""`bnml drill` as its user runs it, and that a drill can fail."""

import asyncio
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bnml.drill.books import compare
from bnml.drill.command import DRILLS, _play
from bnml.drill.common import ready, settle
from bnml.drill.proof import Drill, Proof
from bnml.drill.stage import STILL, Stage
from bnml.trading.protection import Protection
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer


def drill(*words, timeout_s=400):
    done = subprocess.run(
        [sys.executable, "-m", "bnml", "drill", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    return done.returncode, done.stdout, done.stderr


def verdicts(*words):
    code, out, err = drill("--json", *words)
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["drill"] for one in found] == list(words), err
    assert [(one["drill"], one["evidence"]) for one in found if not one["passed"]] == []
    assert code == 0


def test_without_a_name_it_lists_what_there_is():
    code, out, _ = drill()
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(DRILLS)


def test_an_unknown_drill_is_refused_with_those_that_there_are():
    code, _, err = drill("fire")
    assert code == 2
    assert "no drill fire" in err
    assert "lost-ack" in err


def test_one_that_is_ended_leaves_no_daemon_behind(tmp_path):
    words = [sys.executable, "-m", "bnml", "drill", "stay-dead", "--keep", str(tmp_path)]
    log = tmp_path / "daemon.log"
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (log.exists() and "scan_decided" in log.read_text("utf-8")):
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" in err
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if str(tmp_path) in line] == []


def test_lost_answers_a_kill_and_a_second_daemon():
    """Two commands at the same time: each has a daemon and an exchange of its own, and mostly waits for them."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda words: verdicts(*words), (("lost-ack",), ("kill", "second-daemon"))))


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(DRILLS))
def test_each_drill(name):
    verdicts(name)


async def test_an_order_that_only_the_venue_knows_is_found(tmp_path):
    async with Stage(tmp_path) as stage:
        await ready(stage)
        await stage.exchange.pace(STILL)
        endpoint = stage.exchange.endpoint()
        signer = Signer(endpoint.api_key, endpoint.secret)
        async with RestClient(
            f"http://127.0.0.1:{endpoint.port}", signer, stage.clock, timeout_s=10, receive_window_ms=60_000
        ) as rest:
            price = json.loads(await rest.public("/api/v3/ticker/price", {"symbol": "ADAUSDT"}))["price"]
            order = {
                "symbol": "ADAUSDT",
                "side": "BUY",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": "100",
                "price": f"{float(price) * 0.9:.4f}",
                "newClientOrderId": "bnsim0zz-stray",
            }
            await rest.signed("POST", "/api/v3/order", order, Lane.ENTRY)
        books = await compare(stage)
        assert books.unknown_to_us == ("bnsim0zz-stray",)
        assert not books.agree


LATE = """
from bnml.trading.protection import Protection

guard = Protection._guard

def late(self, position, tranche, instrument, out, *, patient):
    bare_ns = self._state.now_ns - position.bare_since_ns
    if tranche.legs or (position.bare_since_ns and bare_ns > 480 * 10**9):  # 4 s of the machine's clock
        guard(self, position, tranche, instrument, out, patient=patient)

Protection._guard = late
"""
"""What a daemon reads before anything else: what has lost its stop waits for a new one."""


async def _cancelled_by_hand(stage, proof):
    held = await ready(stage)
    names = {"action": "cancel_orders", "symbol": held.positions[0].symbol}
    await stage.exchange.faults({"name": "by hand", "when": {"times": 1}, "do": names})
    await asyncio.sleep(8)
    await settle(stage, proof)


@pytest.mark.parametrize("is_late", [pytest.param(False, id="as it is"), pytest.param(True, id="late")])
async def test_a_daemon_that_protects_again_too_late_has_broken_its_promise(tmp_path, monkeypatch, is_late):
    """Both books agree in the end and everything is covered: only the time in between tells."""
    if is_late:
        (tmp_path / "sitecustomize.py").write_text(LATE, "utf-8")
        root = Path(__file__).parents[2]
        known = os.environ.get("PYTHONPATH", "")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(root), known]))
        monkeypatch.setattr(Protection, "_guard", Protection._guard)  # here, too: its journal is replayed
        exec(LATE, {})
    async with Stage(tmp_path) as stage:
        verdict = await _play(Drill("by hand", "a stop comes back", (), _cancelled_by_hand), stage)
    broken = [one.text for one in verdict.evidence if one.holds is False]
    assert verdict.passed is not is_late, verdict.evidence
    assert [one.partition(" by")[0] for one in broken] == ["longest time without a stop"] * is_late


def test_a_proof_of_nothing_has_not_passed():
    proof = Proof()
    assert not proof.passed
    proof.tell("something was measured")
    assert not proof.passed
    proof.must("this holds", holds=True)
    assert proof.passed
    proof.must("and this does not", holds=False)
    assert not proof.passed
