"""What refuses a start without positions only stops entries with them: what is held needs its daemon."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from structlog.testing import capture_logs

from bnml.app import warmup
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.app.keys import LOOK_EVERY_S, LOOK_SOON_S, check_at_start, watch_key
from bnml.config import load
from bnml.core.clock import LiveClock
from bnml.core.errors import AccessRefused, Rejected, Retryable
from bnml.core.events import Balances, Guard
from bnml.trading.engine import Engine
from bnml.trading.positions import Position
from tests.trading.kit import config, instrument
from tests.virtual_time import in_virtual_time

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


@pytest.mark.parametrize(("status", "told"), [("TRADING", ["ACTIVE"]), ("HALT", [])])
def test_a_symbol_that_trades_again_is_not_left_closed_by_an_earlier_session(status, told):
    """While it counts as closed no stop of it moves, and nothing that has one is sold; a stepped session looks again an hour of the market later."""
    made = parts()
    made.guards.recall({"status:BTCUSDT": ("REDUCING", "is HALT at the venue")})
    warmup.report_status(made.guards, msgspec.structs.replace(instrument(), status=status))
    assert [one.level for one in made.inbox.ready()] == told


class Restrictions:
    """What is read of the key: each of `answers` once, then a good one."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    async def read(self, *_):
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return msgspec.json.encode({"ipRestrict": True, "enableSpotAndMarginTrading": True, **answer})

    async def usable(self):
        return None


def keyed(*answers):
    made = parts("live")
    made.clock = LiveClock()
    made.venue.rest = Restrictions(*answers)
    made.venue.rest.signer = made.venue.rest
    return made


@in_virtual_time
async def test_a_read_of_the_keys_rights_that_is_down_for_a_moment_ends_no_start():
    """One 503 or timeout there once ended a start with code 4."""
    made = keyed(Retryable("503"), Retryable("no answer"))
    await check_at_start(made, {})
    assert made.venue.rest.asked == 3
    with pytest.raises(Retryable, match="down"):
        await check_at_start(keyed(*[Retryable("down")] * 99), {})


@in_virtual_time
async def test_with_a_position_the_keys_rights_keep_only_entries_waiting():
    made = keyed(Retryable("503"), Retryable("503"))
    made.engine.portfolio.positions["BTCUSDT"] = Position("BTCUSDT", 0, 1, 1, 1, b"", [])
    began_s = asyncio.get_running_loop().time()
    await check_at_start(made, {})
    assert asyncio.get_running_loop().time() == began_s, "protection comes first"
    watching = asyncio.create_task(watch_key(made, {}))
    await asyncio.sleep(61)
    assert [(one.name, one.level) for one in made.inbox.ready()] == [("key", "REDUCING")]
    await asyncio.sleep(60)
    assert [(one.name, one.level) for one in made.inbox.ready()] == [("key", "ACTIVE")]
    watching.cancel()
    for refused in (AccessRefused("-2015", code=-2015), Rejected("may withdraw")):
        made.venue.rest.answers = [refused]
        with pytest.raises(type(refused)):
            await check_at_start(made, {})


@in_virtual_time
async def test_a_key_that_gains_the_right_to_withdraw_makes_no_entry_until_it_is_gone():
    """It was told of each hour, and traded with."""
    made = keyed({}, *[{"enableWithdrawals": True}] * 3)
    await check_at_start(made, {})
    with capture_logs() as logs:
        watching = asyncio.create_task(watch_key(made, {}))
        await asyncio.sleep(LOOK_EVERY_S + 1)
        ((name, level, detail),) = [(one.name, one.level, one.detail) for one in made.inbox.ready()]
        assert (name, level, "may withdraw" in detail) == ("key_rights", "REDUCING", True)
        await asyncio.sleep(2 * LOOK_SOON_S)
        assert made.inbox.ready() == []
        await asyncio.sleep(LOOK_SOON_S)
    assert [(one.name, one.level) for one in made.inbox.ready()] == [("key_rights", "ACTIVE")]
    assert [one["event"] for one in logs if one["log_level"] == "critical"] == ["key_not_acceptable"]
    watching.cancel()


@in_virtual_time
async def test_an_answer_that_says_nothing_of_a_running_daemons_key_is_no_right_gained_or_lost():
    """A page of somebody between us, an error that came as a good answer, a path that the venue has shut for a day."""
    nothing = {"code": -1000, "msg": "try later", "enableSpotAndMarginTrading": None}
    made = keyed({}, Rejected("404", code=-1), nothing, Rejected("404", code=-1))
    await check_at_start(made, {})
    with capture_logs() as logs:
        watching = asyncio.create_task(watch_key(made, {}))
        await asyncio.sleep(3 * LOOK_EVERY_S + 1)
    assert made.venue.rest.asked == 4
    assert made.inbox.ready() == []
    assert [(one["event"], one["log_level"]) for one in logs] == [("key_not_looked_at", "warning")] * 3
    watching.cancel()


async def test_a_start_ends_what_an_earlier_session_left_of_a_key_that_is_good_now():
    made = keyed()
    made.guards.recall({"key_rights": ("REDUCING", "the API key may withdraw")})
    await check_at_start(made, {})
    assert [(one.name, one.level) for one in made.inbox.ready()] == [("key_rights", "ACTIVE")]
