"""The way of panic and dead-man to the venue: within what the daemon has learned of limits and bans."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.app import direct as module
from bnml.app.direct import Account, direct
from bnml.app.limits import make_budget
from bnml.config import load
from bnml.core.clock import LiveClock
from tests.venues.binance.web import web


@pytest.fixture
def settings(tmp_path):
    return load(None, {}, {"venue.kind": ("testnet", ""), "app.state_dir": (tmp_path, "")})


async def look(settings):
    async with direct(settings):
        return True


async def test_f06_beside_the_daemon_too_nothing_leaves_while_banned(settings, monkeypatch):
    def reply(_path):
        return 200, {}, b'{"serverTime": 1800000000000}'

    async with web(reply=reply) as place:
        account = Account(place.http, "key", "secret")
        monkeypatch.setattr(module, "account_of", lambda _: account)
        assert await look(settings)
        asked = len(place.requests)
        deployment = SimpleNamespace(rest_url=place.http, api_key="other", stepper=None)
        of_the_daemon = make_budget(settings, deployment, LiveClock(), SimpleNamespace(now_ms=lambda: 0))
        of_the_daemon.ban(600)
        of_the_daemon.ledger.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(look(settings), 0.3)
        assert len(place.requests) == asked


async def test_a_ledger_that_cannot_be_opened_keeps_nobody_from_getting_out(settings, monkeypatch, tmp_path):
    (tmp_path / "limits").write_text("no folder")
    async with web(reply=lambda _: (200, {}, b'{"serverTime": 1800000000000}')) as place:
        monkeypatch.setattr(module, "account_of", lambda _: Account(place.http, "key", "secret"))
        assert await look(settings)


async def test_a_venue_that_is_busy_for_a_moment_is_asked_again(settings, monkeypatch):
    answers = [(503, {}, b"busy")]
    async with web(
        reply=lambda _: answers.pop() if answers else (200, {}, b'{"serverTime": 1800000000000}')
    ) as place:
        monkeypatch.setattr(module, "account_of", lambda _: Account(place.http, "key", "secret"))
        assert await look(settings)
        assert not answers
