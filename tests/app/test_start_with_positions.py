"""What refuses a start without positions only stops entries with them: what is held needs its daemon."""

from types import SimpleNamespace

import pytest

from bnml.app import warmup
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.config import load
from bnml.core.errors import Rejected
from bnml.core.events import Balances, Guard
from bnml.trading.engine import Engine
from bnml.trading.positions import Position
from tests.trading.kit import config, instrument

E8 = 10**8
PRICES = {"BTCUSDT": 3_000_000}


def parts(kind="sim"):
    inbox = LiveInbox()
    return SimpleNamespace(
        settings=load(None, {}, {"venue.kind": (kind, "")}),
        engine=Engine(config(), None),
        instruments={"BTCUSDT": instrument()},
        guards=Guards(inbox, lambda: 7),
        inbox=inbox,
        folder=SimpleNamespace(path="/"),
        venue=SimpleNamespace(api=SimpleNamespace(up=True)),
        skew_ms=0,
        symbols=("BTCUSDT",),
    )


def account(quote):
    return Balances(7, {"USDT": (quote * E8, 0)})


def test_with_a_position_too_little_capital_stops_entries_until_a_start_passes():
    """Code 3 once kept the service from being started again, with the position's daemon gone."""
    made = parts()
    with pytest.raises(Rejected, match="too small"):
        warmup.check_capital(made, account(1), PRICES)
    made.engine.portfolio.positions["BTCUSDT"] = Position("BTCUSDT", 0, 1, 1, 1, b"", [])
    warmup.check_capital(made, account(1), PRICES)
    (guard,) = made.inbox.ready()
    assert (guard.name, guard.level) == ("capital", "REDUCING")
    assert "too small" in guard.detail
    again = parts()
    again.guards.recall({"capital": ("REDUCING", guard.detail)})
    warmup.check_capital(again, account(10_000), PRICES)
    assert again.inbox.ready() == [Guard("capital", "ACTIVE", 7)]


def test_with_a_position_a_clock_that_is_off_and_a_full_disk_do_not_keep_it_from_its_daemon(monkeypatch):
    monkeypatch.setattr(warmup.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    made = parts("live")
    made.skew_ms = 900
    with pytest.raises(Rejected, match=r"900 ms.*MiB"):
        warmup.check_capital(made, account(10_000), PRICES)
    made.engine.portfolio.positions["BTCUSDT"] = Position("BTCUSDT", 0, 1, 1, 1, b"", [])
    warmup.check_capital(made, account(10_000), PRICES)
    assert [(one.name, one.level) for one in made.inbox.ready()] == [("capital", "REDUCING")]
