"""The key of a daemon that trades: refused, given back, changed."""

import re
import time
from pathlib import Path

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


def test_f23_a_key_that_is_refused_in_the_middle_of_a_start_ends_it(live):
    live.wait_protected()
    live.speed(1)
    live.kill()
    rule = {"name": "lost", "match": {"request": "GET /api/v3/order"}, "do": {"action": "revoke_key"}}
    live.control("POST", "/sim/faults", {"rules": [rule]})
    live.start()
    assert live.daemon.wait(timeout=60) == 2
    assert "-2015" in (live.state.parent / f"{live.state.name}.log").read_text().splitlines()[-1]
    live.start()
    live.wait_trading(1)
    assert live.stop() == 0


def credentials(folder, api_key, secret):
    folder.mkdir()
    (folder / "binance_api_key").write_text(api_key)
    (folder / "binance_api_secret").write_text(secret)
    return folder


def test_a_key_is_changed_without_touching_a_stop_and_shown_nowhere(live, tmp_path):
    live.wait_protected()
    live.speed(1)
    time.sleep(1)
    before = resting_names(live)
    old = live.endpoint()
    made = live.control("POST", "/sim/keys", {"account": "main", "kind": "ED25519"})
    live.control("POST", "/sim/accounts", {"account": "bob", "balances": {"USDT": "5"}})
    key = live.control("POST", "/sim/keys", {"account": "bob", "kind": "HMAC"})
    wrong = live.bnml("keys", "rotate", credentials(tmp_path / "bob", key["apiKey"], key["secret"]))
    assert wrong.returncode == 3, wrong.stdout + wrong.stderr
    assert "another account" in wrong.stdout
    private = made.get("privateKey") or made["secret"]
    done = live.bnml("keys", "rotate", credentials(tmp_path / "new", made["apiKey"], private))
    assert done.returncode == 0, done.stdout + done.stderr
    live.control("DELETE", "/sim/keys", {"apiKey": old.api_key})
    time.sleep(5)  # longer than a sign of life needs
    health = live.health()
    assert (health.state, health.links["user"]) == ("running", True)
    assert before == resting_names(live)
    assert events(live, "access_lost") == []
    secrets = [old.secret.encode(), private.strip().splitlines()[1].encode(), made["apiKey"].encode()]
    shown = [(live.state.parent / f"{live.state.name}.log").read_bytes()]
    shown.append(Path(f"/proc/{live.daemon.pid}/cmdline").read_bytes())
    shown += [file.read_bytes() for file in live.state.glob("*") if file.is_file()]
    shown += [file.read_bytes() for file in (live.state / "commands").glob("*")]
    assert len(shown) > 4
    assert not any(secret in text for secret in secrets for text in shown)
    limits = Path(f"/proc/{live.daemon.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert live.stop() == 0


def test_a_key_that_was_refused_is_given_another_and_trading_goes_on(live, tmp_path):
    live.wait_protected()
    live.speed(60)
    old = live.endpoint().api_key
    live.control("POST", "/sim/keys", {"apiKey": old, "addresses": ["10.1.2.3"]})
    live.wait_until(lambda one: one.state.startswith("halted: access"), 10, "the halt")
    made = live.control("POST", "/sim/keys", {"account": "main", "kind": "HMAC"})
    done = live.bnml("keys", "rotate", credentials(tmp_path / "new", made["apiKey"], made["secret"]))
    assert done.returncode == 0, done.stdout + done.stderr
    resumed = live.bnml("resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    live.wait_until(lambda one: one.state == "running", 20, "trading")
    assert live.stop() == 0
