"""A restart while the venue does not trade one of the configured symbols: the others go on, what is held stays looked after."""

import pytest

from tests.e2e.live import Live


@pytest.fixture
def live(tmp_path):
    session = Live(tmp_path / "state", seed=1)
    session.start()
    yield session
    session.end()


def test_f72_a_symbol_that_stopped_does_not_keep_a_daemon_with_positions_from_starting(live):
    held, *others = [one.symbol for one in live.wait_protected(2).positions]
    live.speed(1)
    for symbol in (held, "SIM012USDT"):
        live.kill()
        live.control("POST", "/sim/status", {"symbol": symbol, "status": "BREAK"})
        live.start()
        health, _ = live.wait_until(
            lambda one, name=f"status:{symbol}": one.state == "running" and name in str(one.reasons),
            90,
            "the restart",
        )
        assert {held, *others} <= {one.symbol for one in health.positions}
    assert live.stop() == 0
