"""The dead-man beside a daemon that is stopped in its tracks: entries cancelled, stops held against what is ours."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.kills import CONFIG
from tests.e2e.live import Live


@pytest.fixture
def live(tmp_path):
    session = Live(tmp_path / "state", seed=1)
    session.start()
    yield session
    session.end()


def watcher(live):
    arguments = ["deadman", "--state-dir", str(live.state), "--config", str(CONFIG)]
    environment = {**os.environ, "BNML_DEADMAN__STALE_S": "2"}
    return subprocess.Popen(
        [sys.executable, "-m", "bnml", *arguments], stderr=subprocess.PIPE, text=True, env=environment
    )


def test_a_silent_daemon_is_noticed_and_what_has_no_stop_is_named(live):
    symbols = [one.symbol for one in live.wait_protected(2).positions]
    live.speed(0.001)
    watch = watcher(live)
    try:
        assert "watching" in watch.stderr.readline()
        for name in ("bnsim01-zz-0w", "by-hand"):
            live.post_order(
                symbol="BTCUSDT",
                side="BUY",
                type="LIMIT",
                timeInForce="GTC",
                quantity="0.01",
                price="50000",
                newClientOrderId=name,
            )
        live.daemon.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        line = watch.stderr.readline()
        assert time.monotonic() - began < 15
    finally:
        watch.terminate()
        assert watch.wait(timeout=10) == 0
        watch.stderr.close()
    assert "no sign of life for 2 s" in line
    assert "entries cancelled: BTCUSDT bnsim01-zz-0w;" in line
    assert "WITHOUT A STOP" not in line
    assert all(symbol in line for symbol in symbols)
    names = {order["clientOrderId"] for order in live.open_orders()}
    assert "by-hand" in names
    live.kill()
    bare = symbols[0]
    live.delete_orders(bare)
    found = live.bnml("deadman", "--once")
    assert found.returncode == 4
    assert f"{bare.removesuffix('USDT')}; `bnml panic` sells them" in found.stderr
