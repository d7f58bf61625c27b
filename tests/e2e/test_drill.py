"""`bnml drill` as its user runs it, and that a drill can fail."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from bnml.drill.books import compare
from bnml.drill.command import DRILLS
from bnml.drill.common import ready
from bnml.drill.proof import Proof
from bnml.drill.stage import STILL, Stage
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


def test_a_proof_of_nothing_has_not_passed():
    proof = Proof()
    assert not proof.passed
    proof.tell("something was measured")
    assert not proof.passed
    proof.must("this holds", holds=True)
    assert proof.passed
    proof.must("and this does not", holds=False)
    assert not proof.passed
