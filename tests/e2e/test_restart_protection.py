"""From the start of the real process to the stops at the exchange, with everything compiled."""

import json
import signal
import subprocess
import sys
import time
from decimal import Decimal

from tests.e2e.live import Live

GOAL_S = 5.0
PLAIN_S = 1.5
"""What a process of this machine may take to load the same libraries and to do nothing; the goal grows with what it takes more."""
LIBRARIES = "import aiohttp, msgspec, numba, numpy, bnml.app.run, bnml.cli"
LOOK_S = 0.2  # seldom enough to leave the daemon its share of the request limit


def plain_start_s():
    """From the start of a process that only loads what a daemon loads, to its end."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return time.monotonic() - began


def has_stop(live, symbol):
    found = json.loads(live.signed(*live.owner(), "/api/v3/openOrders", symbol=symbol))
    return any(one["type"].startswith("STOP_LOSS") and one["side"] == "SELL" for one in found)


def test_f43_a_killed_daemon_restores_what_was_taken_away_within_five_seconds_of_its_start(tmp_path):
    """Killed, and every order cancelled by another hand while it was dead."""
    live = Live(tmp_path / "state", seed=4)
    live.start()
    try:
        symbols = [one.symbol for one in live.wait_protected(2).positions]
        live.speed(1)
        live.daemon.send_signal(signal.SIGKILL)
        live.daemon.wait()
        held = [symbol for symbol in symbols if has_stop(live, symbol)]  # one may have left meanwhile
        assert held
        for symbol in held:
            live.delete_orders(symbol)
        assert not any(has_stop(live, symbol) for symbol in held)
        plain_s = plain_start_s()
        began = time.monotonic()
        live.start()
        for symbol in held:
            while not has_stop(live, symbol):
                assert time.monotonic() - began < 60
                time.sleep(LOOK_S)
        took_s = time.monotonic() - began
        plain_s = max(plain_s, plain_start_s())
        sys.stdout.write(f"from process start until {len(held)} positions were protected: {took_s:.2f} s\n")
        # With nothing beside it 1.5 to 1.9 s in ten runs, of which the libraries are 1.0 to 1.5 s.
        assert took_s < GOAL_S * max(1.0, plain_s / PLAIN_S), (
            f"a start that does nothing took {plain_s:.2f} s"
        )
    finally:
        live.end()


def test_what_was_taken_away_between_the_truth_of_a_start_and_its_connection_is_seen(tmp_path):
    """Nobody tells of it: it was once seen when the account was looked at again, a minute later."""
    live = Live(tmp_path / "state", seed=4)
    live.start()
    try:
        symbol = live.wait_protected(1).positions[0].symbol
        live.speed(1)
        live.daemon.send_signal(signal.SIGKILL)
        live.daemon.wait()
        assert has_stop(live, symbol)
        refused = {"match": {"connect": "api"}, "do": {"action": "answer", "like": "unavailable"}}
        live.control("POST", "/sim/faults", {"rules": [refused]})
        live.start()
        began = time.monotonic()
        while not any(line["event"] == "account_reconciled" for line in live.log()):
            assert time.monotonic() - began < 60
            time.sleep(LOOK_S)
        live.delete_orders(symbol)
        live.control("DELETE", "/sim/faults")
        began = time.monotonic()
        while not has_stop(live, symbol):
            assert time.monotonic() - began < 20
            time.sleep(LOOK_S)
    finally:
        live.end()


def guarded(live, symbol):
    """The quantity that stops at the exchange would sell."""
    found = json.loads(live.signed(*live.owner(), "/api/v3/openOrders", symbol=symbol))
    stops = [one for one in found if one["type"].startswith("STOP_LOSS") and one["side"] == "SELL"]
    return sum(Decimal(one["origQty"]) - Decimal(one["executedQty"]) for one in stops)


def wait_guarded(live, symbol, wanted, timeout_s=20):
    """But for what commissions have left over."""
    began = time.monotonic()
    while abs(guarded(live, symbol) - wanted) > wanted / 100:
        assert time.monotonic() - began < timeout_s, guarded(live, symbol)
        time.sleep(LOOK_S)


def test_what_the_owner_locks_is_left_out_and_guarded_when_it_is_free(tmp_path):
    """A half of the position rests in an order of the account's owner: the other half had no stop for as long."""
    live = Live(tmp_path / "state", seed=4)
    live.start()
    try:
        live.wait_protected(1)
        live.speed(1)
        live.daemon.send_signal(signal.SIGKILL)
        live.daemon.wait()
        target = next(one for one in live.open_orders() if one["type"] == "LIMIT_MAKER")
        symbol, locked = target["symbol"], Decimal(target["origQty"])
        held = guarded(live, symbol)
        live.delete_orders(symbol)
        sale = {"symbol": symbol, "side": "SELL", "type": "LIMIT", "timeInForce": "GTC"}
        sale |= {"quantity": target["origQty"], "price": target["price"], "newClientOrderId": "owners"}
        assert live.post_order(**sale)["status"] == "NEW"
        live.start()
        wait_guarded(live, symbol, held - locked)
        began = time.monotonic()
        while not {"protected_in_part", "coins_locked"} & {line["event"] for line in live.log()}:
            assert time.monotonic() - began < 20
            time.sleep(LOOK_S)
        key = live.owner()
        live.signed(*key, "/api/v3/order", "DELETE", symbol=symbol, origClientOrderId="owners")
        wait_guarded(live, symbol, held, 90)
    finally:
        live.end()
