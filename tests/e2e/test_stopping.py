"""A stop in the middle of things."""

import signal
import time

from bnml.app.heartbeat import last_beat
from tests.e2e.live import Live

LATE_S = 2.0


def test_f58_a_stop_while_orders_are_under_way_waits_for_their_answers(tmp_path):
    live = Live(tmp_path / "state", 1)
    live.start()
    try:
        live.wait_trading(1)
        rule = {"match": {"request": "order*"}, "do": {"action": "delay", "seconds": LATE_S}, "at": "before"}
        live.control("POST", "/sim/faults", {"seed": 1, "rules": [rule]})
        live.wait_until(
            lambda _: live.control("GET", "/sim/faults")["rules"][0]["fired"] > 0, 90, "a late order"
        )
        began = time.monotonic()
        live.daemon.send_signal(signal.SIGTERM)
        code = live.daemon.wait(timeout=30)
        took_s = time.monotonic() - began
        assert code == 0
        assert took_s <= 10
        live.start()
        live.wait_trading(1)
        live.freeze_market()
        assert live.stop() == 0
    finally:
        if live.daemon.poll() is None:
            live.stop()
    live.check()


def test_a_stop_for_memory_is_no_farewell(tmp_path, monkeypatch):
    """Where systemd had given up starting it again the dead-man stayed silent for good."""
    monkeypatch.setenv("BNML_GUARDS__MEMORY_MIB", "1")
    live = Live(tmp_path / "state", 1)
    live.start()
    try:
        assert live.daemon.wait(timeout=60) == 4
    finally:
        live.end()
    assert last_beat(live.state).state == "failed"
    assert live.health().state == "failed", "by itself, before it is known how the process ends"
