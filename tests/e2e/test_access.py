"""The key of a daemon that trades: refused, given back, changed."""

import time

import pytest

from tests.e2e.live import Live

ALERTED_WITHIN_S = 5.0
PUBLIC = {"ping", "time", "klines", "exchangeInfo", "depth"}  # requests that nobody signs


@pytest.fixture
def live(tmp_path):
    session = Live(tmp_path / "state", seed=1)
    session.start()
    yield session
    session.end()


def events(live, name):
    return [line for line in live.log() if line["event"] == name]


def resting_names(live):
    return {order["clientOrderId"] for order in live.open_orders()}


def test_f23_a_key_that_is_refused_halts_and_nothing_signed_follows(live):
    live.wait_protected()
    live.speed(60)
    key = live.endpoint().api_key
    began = time.monotonic()
    live.control("POST", "/sim/keys", {"apiKey": key, "addresses": ["10.1.2.3"]})  # ours is not among them
    live.wait_until(lambda one: one.state.startswith("halted: access"), 10, "the halt")
    assert time.monotonic() - began < ALERTED_WITHIN_S
    assert "-2015" in events(live, "access_lost")[0]["cause"]
    resting = resting_names(live)
    assert resting
    everything = {"name": "seen", "match": {"request": "*"}, "do": {"action": "delay", "seconds": 0}}
    live.control("POST", "/sim/faults", {"rules": [everything]})
    time.sleep(4)
    asked = {line["about"] for line in live.control("GET", "/sim/faults")["fired"]}
    assert not {name for name in asked if name.split("/")[-1] not in PUBLIC}
    assert resting == resting_names(live)
    refused = live.bnml("resume")
    assert (refused.returncode, "still refuses" in refused.stdout) == (3, True)
    live.control("POST", "/sim/keys", {"apiKey": key, "addresses": []})
    again = live.bnml("resume")
    assert again.returncode == 0, again.stdout + again.stderr
    live.wait_until(lambda one: one.state == "running", 10, "trading")
    assert live.stop() == 0
