"""The account's connection is replaced in time: no event is lost or told twice, no request loses its answer."""

import asyncio
import contextlib
from collections import Counter

import msgspec
import pytest
from websockets.asyncio.server import serve

from bnml.core.clock import LiveClock
from bnml.core.errors import UnknownOutcome
from bnml.venues.binance import succession
from bnml.venues.binance.api_leg import event_key
from bnml.venues.binance.oddities import Oddities
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.wsapi import ApiConnection
from tests.venues.binance.web import Sink, running

DAY_S = 0.6


class Account:
    """A WebSocket API that tells each event on every subscribed connection, and answers after a moment."""

    def __init__(self):
        self.subscribed, self.sent, self.orders, self.is_deaf = {}, [], Counter(), False
        self.tells_the_newest_only = False
        self.on_request = lambda _: None
        self.answer = {"status": 200, "result": {}}

    async def handle(self, socket):
        try:
            async for text in socket:
                request = msgspec.json.decode(text)
                self.on_request(request)
                if self.is_deaf:
                    continue
                if request["method"].startswith("userDataStream"):
                    self.subscribed[socket] = None
                elif request["method"] == "order.place":
                    self.orders[request["params"]["newClientOrderId"]] += 1
                    await asyncio.sleep(0.02)
                answer = {"id": request["id"], **self.answer}
                await socket.send(msgspec.json.encode(answer).decode())
        finally:
            self.subscribed.pop(socket, None)

    async def tell(self, event):
        self.sent.append(event)
        listeners = list(self.subscribed)
        for place, socket in enumerate(listeners[-1:] if self.tells_the_newest_only else listeners):
            with contextlib.suppress(Exception):
                await socket.send(msgspec.json.encode({"subscriptionId": place, "event": event}).decode())


def connection(url, sink, **more):
    return ApiConnection(
        url, Signer("k", "s"), LiveClock(), timestamp_ms=lambda: 1, on_event=sink.event, on_link=sink.link,
        on_number=lambda _: None, timeout_s=2, receive_window_ms=1000, **more,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def standing(account, **more):
    sink = Sink()
    async with serve(account.handle, "127.0.0.1", 0, compression=None) as server:
        api = connection(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", sink, **more)
        async with running(api.run()):
            await sink.until(lambda: api.up)
            yield api, sink


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0.01)


async def test_f28_of_the_account_a_week_of_rotations_loses_and_repeats_nothing():
    account = Account()

    async def events():
        for number in range(1, 10**6):
            # Two deposits of the same amount in the same millisecond are two deposits.
            flow = {"e": "balanceUpdate", "E": number // 2, "a": "USDT", "d": "5.0", "T": number // 2}
            report = {"e": "executionReport", "E": number, "s": "BTCUSDT", "c": "x", "I": number}
            await account.tell(report if number % 3 else flow)
            await asyncio.sleep(0.002)

    async def orders(api):
        for number in range(10**6):
            await api.request("order.place", {"newClientOrderId": f"bn{number}"}, order=True)

    async with standing(account, rotate_after_s=lambda: DAY_S * 0.9) as (api, sink):
        async with running(events()), running(orders(api)) as placing:
            await asyncio.sleep(7 * DAY_S)
            assert not placing.done()  # no request lost its answer
        await asyncio.sleep(0.3)
    assert api.succession.rotations >= 6
    assert sink.links == [(True, "")]
    assert [msgspec.json.decode(raw) for _, raw in sink.items] == account.sent
    assert len(account.orders) > 50
    assert set(account.orders.values()) == {1}


async def test_f29_of_the_account_a_shutdown_that_is_announced_is_followed_at_once():
    account = Account()
    async with standing(account, rotate_after_s=lambda: 1e9) as (api, sink):
        (first,) = account.subscribed
        await account.tell({"e": "serverShutdown", "E": 1})
        await asyncio.wait_for(first.wait_closed(), 5)
        await account.tell({"e": "executionReport", "s": "BTCUSDT", "c": "x", "I": 5})
        await sink.until(lambda: len(sink.items) == 2)
        assert sink.links == [(True, "")]
        assert api.up


async def test_f29_what_only_the_successor_is_told_is_not_lost():
    account = Account()
    account.tells_the_newest_only = True

    async def events():
        for number in range(1, 10**6):
            await account.tell({"e": "executionReport", "s": "BTCUSDT", "c": "x", "I": number})
            await asyncio.sleep(0)

    async with standing(account, rotate_after_s=lambda: 1e9) as (api, sink):
        await account.tell({"e": "serverShutdown", "E": 1})
        async with running(events()):
            await sink.until(lambda: api.succession.rotations == 1)
        await asyncio.sleep(0.2)
    assert [msgspec.json.decode(raw) for _, raw in sink.items] == account.sent


async def test_f30_of_the_account_a_connection_without_answers_is_given_up():
    account = Account()
    async with standing(account, rotate_after_s=lambda: 1e9, probe_s=0.1) as (api, sink):
        await asyncio.sleep(0.5)
        assert api.silent_s < 0.3  # proven by signs of life alone
        account.is_deaf = True
        waiting = asyncio.create_task(api.request("order.place", {"newClientOrderId": "a"}, order=True))
        await sink.until(lambda: (False, sink.links[-1][1]) == sink.links[-1])
        assert "silent" in sink.links[-1][1]
        with pytest.raises(UnknownOutcome):
            await waiting
        account.is_deaf = False
        await sink.until(lambda: api.up)


async def test_f06_while_banned_not_even_a_sign_of_life_is_asked_for():
    account, asked = Account(), []
    account.on_request = lambda request: asked.append(request["method"])
    rest = RestClient(
        "http://127.0.0.1:1", Signer("k", "s"), LiveClock(), timeout_s=1, receive_window_ms=1000
    )
    async with standing(account, rotate_after_s=lambda: 1e9, probe_s=0.1, rest=rest) as (api, sink):
        await asyncio.sleep(0.3)
        assert "ping" in asked
        rest.budget.ban(60)
        asked.clear()
        await asyncio.sleep(0.6)
        assert not asked
        assert api.silent_s < 0.3  # proven by frames below the venue's limits
        assert api.up
        assert sink.links == [(True, "")]


async def test_f06_a_sign_of_life_that_is_answered_with_a_ban_is_the_last_one():
    account, asked = Account(), []
    account.on_request = lambda request: asked.append(request["method"])
    rest = RestClient(
        "http://127.0.0.1:1", Signer("k", "s"), LiveClock(), timeout_s=1, receive_window_ms=1000
    )
    async with standing(account, rotate_after_s=lambda: 1e9, probe_s=0.1, rest=rest) as (api, _):
        account.answer = {
            "status": 418,
            "error": {
                "code": -1003,
                "msg": "banned",
                "data": {"serverTime": 1, "retryAfter": LiveClock().now_ns() // 10**6 + 60_000},
            },
        }
        await asyncio.sleep(0.3)
        assert rest.budget.banned_s > 50
        asked.clear()
        await asyncio.sleep(0.5)
        assert not asked
        assert api.up


async def test_a_connection_that_breaks_while_its_successor_has_to_wait_is_told_at_once():
    """Else orders go on being handed to it, and none by REST, for as long as the minute's weight is used up."""
    account, clock = Account(), LiveClock()
    rest = RestClient("http://127.0.0.1:1", Signer("k", "s"), clock, timeout_s=1, receive_window_ms=1000)
    async with standing(account, rotate_after_s=lambda: 1e9, rest=rest) as (api, sink):
        rest.budget.pause(60)
        api.replace()
        await asyncio.sleep(0.05)
        for socket in account.subscribed:
            socket.transport.abort()
        await sink.until(lambda: len(sink.links) == 2)
        assert not sink.links[1][0]
        assert not api.up


async def test_f41_of_the_account_bytes_that_are_no_text_are_counted_and_passed_over():
    account, oddities = Account(), Oddities()
    async with standing(account, rotate_after_s=lambda: 1e9, oddities=oddities) as (_, sink):
        (socket,) = account.subscribed
        broken = (b'{"id":"\xff"}', b'{"error":{"code":-1,"msg":"\xff"}}')
        events = (b'{"e":"\xff"}', b'{"e":"executionReport","c":"\xff","I":4}')
        for frame in (*broken, *(b'{"event":' + event + b"}" for event in events)):
            await socket.send(frame, text=True)
        await account.tell({"e": "executionReport", "s": "BTCUSDT", "c": "x", "I": 5})
        await sink.until(lambda: len(sink.items) == 3)
        assert [raw for _, raw in sink.items[:2]] == list(events)  # whoever reads the whole event counts it
        assert oddities.total == len(broken)
        assert sink.links == [(True, "")]
        assert [event_key(msgspec.Raw(event)) for event in events] == list(events)


def test_events_are_the_same_whichever_connection_brings_them():
    def raw(**event):
        return msgspec.Raw(msgspec.json.encode(event))

    report = {"e": "executionReport", "s": "BTCUSDT", "c": "x"}
    assert event_key(raw(**report, I=1, E=1)) == event_key(raw(**report, I=1, E=2))
    assert event_key(raw(**report, I=1)) != event_key(raw(**report, I=2))
    assert event_key(raw(e="balanceUpdate", T=1)) != event_key(raw(e="balanceUpdate", T=2))
    assert event_key(msgspec.Raw(b"nonsense")) == b"nonsense"
