"""Clock, maintenance, bans and long outages: what the way to the venue allows, told as guards."""

import asyncio
import gc
import socket
import tracemalloc

import pytest
from structlog.testing import capture_logs

from bnml.app.alerts import Alerts
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.app.settings import AlertSettings
from bnml.app.weather import SYSTEM_STATUS, Weather
from bnml.core.clock import NS_PER_MS, NS_PER_S, LiveClock, ManualClock
from bnml.core.errors import Retryable
from bnml.core.events import Guard
from bnml.venues.binance import succession
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.codec import MarketCodec
from bnml.venues.binance.freshness import Freshness
from bnml.venues.binance.market import MarketStream
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.binance.venue_clock import VenueClock
from bnml.venues.binance.wsapi import ApiConnection
from tests.e2e.matrix.virtual import VirtualClock, run_virtually
from tests.venues.binance.kit import ALL
from tests.venues.binance.web import Sink, running, web
from tests.venues.sim.faults.faulty import FAR, act, load, rule
from tests.venues.sim.served import KEY, served

HOUR_NS = 3600 * NS_PER_S


class Wall:
    """A machine whose wall clock can be moved by hand; its steady clock goes on."""

    def __init__(self):
        self._live, self.ahead_ns = LiveClock(), 0

    def now_ns(self):
        return self._live.now_ns() + self.ahead_ns

    def monotonic_ns(self):
        return self._live.monotonic_ns()


def client(url, clock, signer=None):
    return RestClient(
        url, signer or Signer(KEY.api_key, KEY.secret), clock, timeout_s=1.0, receive_window_ms=1000
    )


def weather(rest, clock, *, asks_status=False):
    inbox = LiveInbox()
    guards = Guards(inbox, lambda: 0)
    return Weather(BinanceVenue(rest, None, {}), guards, clock, asks_status=asks_status), guards, inbox


def told(inbox):
    return [(one.name, one.level) for one in inbox.ready() if isinstance(one, Guard)]


@pytest.mark.parametrize("ahead_ms", [0, 700, -90_000])
def test_f17_clock_offset_is_that_of_the_quickest_answer(ahead_ms):
    ways_s = [(0.3, 0.01), (0.02, 0.9), (0.01, 0.012), (0.5, 0.5), (0.2, 0.05)]

    async def trial(loop):
        clock, ways = VirtualClock(loop), iter(ways_s)
        measured = VenueClock(clock)

        async def ask():
            there, back = next(ways)
            await asyncio.sleep(there)
            stamped = clock.now_ns() // NS_PER_MS + ahead_ms
            await asyncio.sleep(back)
            return stamped

        skew_ms = await measured.measure(ask)
        return skew_ms, measured.round_trip_ns, next(ways, None)

    skew_ms, round_trip_ns, left = run_virtually(trial)
    assert abs(skew_ms - ahead_ms) <= 2
    assert round(round_trip_ns / NS_PER_MS) == 22
    assert left is None  # five questions


@pytest.mark.parametrize(("jump_ms", "expected_ms"), [(0, 0), (-3_000, -1_850)])
def test_f17_clock_offset_is_not_spoilt_by_answers_that_are_all_slow(jump_ms, expected_ms):
    """Orders would be refused for a time that is ahead of the venue's; what the slow answers disprove is replaced."""

    async def trial(loop):
        clock, ahead_ms, ways_s = VirtualClock(loop), 0, (0.01, 0.01)

        async def ask():
            await asyncio.sleep(ways_s[0])
            stamped = clock.now_ns() // NS_PER_MS + ahead_ms
            await asyncio.sleep(ways_s[1])
            return stamped

        measured = VenueClock(clock)
        await measured.measure(ask)
        ahead_ms, ways_s = jump_ms, (2.4, 0.1)
        return await measured.measure(ask)

    assert abs(run_virtually(trial) - expected_ms) <= 2


async def test_f17_clock_refused_once_is_measured_and_the_same_request_goes_again():
    """A read by itself; an order by the executor, with the same id and the clock as it is by then."""
    async with served(stepped=False) as it, client(it.base, LiveClock()) as rest:
        await rest.synchronise_clock()
        await load(it, rule(act("clock_skew", ms=-4000, lasts_s=60)))
        await it.send("GET", "/api/v3/time")
        params = {**FAR, "newClientOrderId": "bna1-9"}
        with pytest.raises(Retryable, match="-1021"):
            await rest.signed("POST", "/api/v3/order", params, Lane.EXIT, order=True)
        assert await rest.read("/api/v3/openOrders", {}) == b"[]"  # refused and not executed
        assert abs(rest.clock.skew_ms + 4000) < 300
        await rest.signed("POST", "/api/v3/order", params, Lane.EXIT, order=True)
        _, orders, _ = await it.signed(
            "GET", "/api/v3/allOrders", symbol="BTCUSDT", timestamp=rest.timestamp_ms()
        )
        assert [one["clientOrderId"] for one in orders] == ["bna1-9"]


@pytest.mark.parametrize(
    ("drift_ms", "level"), [(0, []), (600, []), (-1900, []), (2100, [("clock", "REDUCING")]), (-5000, [("clock", "REDUCING")])]
)  # fmt: skip
async def test_f17_clock_far_off_stops_entries_until_it_is_right(drift_ms, level):
    clock = Wall()
    async with (
        web(reply=lambda _: (200, {}, b'{"serverTime":%d}' % (LiveClock().now_ns() // NS_PER_MS))) as place,
        client(place.http, clock) as rest,
    ):
        await rest.synchronise_clock()
        watch, guards, inbox = weather(rest, clock)
        clock.ahead_ns = -drift_ms * NS_PER_MS
        await watch.look()
        assert told(inbox) == level
        assert abs(watch.drift_ms - drift_ms) < 50
        clock.ahead_ns = 0
        await watch.look()
        assert guards.level("clock") == "ACTIVE"


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS])
async def test_f61_a_jump_of_the_wall_clock_moves_no_timeout_and_no_signature(jump_ns):
    clock, feed_seen = Wall(), Sink()
    async with served(stepped=False) as it, client(it.base, clock) as rest:
        await rest.synchronise_clock()
        fresh = Freshness(clock, 1.0)
        fresh.follow(["btcusdt@depth20"])
        rest.budget.pause_orders(50)
        rest.budget.ban(40)
        left_s = rest.budget.banned_s
        clock.ahead_ns = jump_ns
        assert abs(rest.budget.banned_s - left_s) < 1
        assert fresh.stale() == {}
        rest.budget = type(rest.budget)(clock, venue_ms=rest.clock.now_ms)
        before = it.venue.wall_ms()
        await rest.read("/api/v3/account", {})  # signed by the venue's time: accepted at once
        assert abs(rest.timestamp_ms() - before) < 1000
        codec = MarketCodec(ALL, "1m")
        stream = MarketStream(
            f"{it.sockets}/stream", codec, ["!miniTicker@arr"], clock, on_item=feed_seen.item, on_link=feed_seen.link,
            stale_s=2.0,
        )  # fmt: skip
        async with running(stream.run()):
            await feed_seen.until(lambda: feed_seen.links)
            clock.ahead_ns = 0
            await asyncio.sleep(0.7)
            assert feed_seen.links == [(True, "")]


async def test_f27_maintenance_stops_entries_and_ends_by_itself():
    clock, status = ManualClock(10**18), [b'{"status":0,"msg":"normal"}']
    async with (
        web(reply=lambda path: (200, {}, status[0] if path == SYSTEM_STATUS else b"{}")) as place,
        client(place.http, clock) as rest,
    ):
        watch, guards, inbox = weather(rest, clock, asks_status=True)
        await watch.look()
        assert told(inbox) == []
        status[0] = b'{"status":1,"msg":"system maintenance"}'
        clock.advance(59 * NS_PER_S)
        await watch.look()
        assert guards.level("maintenance") == "ACTIVE"  # not asked more often than needed
        clock.advance(2 * NS_PER_S)
        await watch.look()
        assert told(inbox) == [("maintenance", "REDUCING")]
        status[0] = b'{"status":0,"msg":"normal"}'
        clock.advance(11 * NS_PER_S)
        rest.clock = VenueClock(clock)
        await watch.look()
        assert told(inbox) == [("maintenance", "ACTIVE")]


async def test_f27_a_status_refused_once_is_asked_for_again_and_ends_the_maintenance():
    """It once was not asked for any more: entries stayed off until the daemon was started again."""
    clock, answer = ManualClock(10**18), [(200, {}, b'{"status":1,"msg":"system maintenance"}')]
    async with (
        web(reply=lambda path: answer[0] if path == SYSTEM_STATUS else (200, {}, b"{}")) as place,
        client(place.http, clock) as rest,
    ):
        watch, guards, _ = weather(rest, clock, asks_status=True)
        watch._next_clock_ns = 2**62
        await watch.look()
        for answer[0] in (*[(400, {}, b'{"code":-1,"msg":"no"}')] * 2, (200, {}, b'{"status":0}')):
            assert guards.level("maintenance") == "REDUCING"
            clock.advance(61 * NS_PER_S)
            await watch.look()
        assert guards.level("maintenance") == "ACTIVE"


async def test_f10_what_stands_in_the_way_is_told_before_anything_waits_for_it():
    """The clock was to be measured, which waits for half a minute: until then entries were tried."""
    clock = ManualClock(10**18)
    async with web() as place, client(place.http, clock) as rest:
        watch, guards, _ = weather(rest, clock)
        rest.penalties.obstructed("403 of a firewall")
        watch._next_clock_ns = 0
        looking = asyncio.create_task(watch.look())
        await asyncio.sleep(0)
        assert guards.level("maintenance") == "REDUCING"
        assert not looking.done()
        looking.cancel()


async def test_f27_an_account_that_may_not_trade_is_asked_again():
    async with served(stepped=False) as it, client(it.base, LiveClock()) as rest:
        watch, guards, _ = weather(rest, LiveClock())
        it.venue.access.freeze("main", frozen=True)
        await watch._venue.balances()
        await watch.look()
        assert guards.level("maintenance") == "REDUCING"
        it.venue.access.freeze("main", frozen=False)
        watch._next_status_ns = 0
        await watch.look()
        await watch.look()
        assert guards.level("maintenance") == "ACTIVE"


async def test_f27_an_exchange_out_of_service_is_noticed_by_its_answers():
    async with served(stepped=False) as it, client(it.base, LiveClock()) as rest:
        watch, guards, _ = weather(rest, LiveClock())
        await load(it, rule(act("answer", like="maintenance"), match={"request": "*"}, when={"times": 1}))
        with pytest.raises(Retryable):
            await rest.public("/api/v3/time", {})
        watch._next_status_ns = 2**62
        await watch.look()
        assert guards.level("maintenance") == "REDUCING"
        watch._next_status_ns = 0
        await watch.look()
        assert guards.level("maintenance") == "ACTIVE"


async def test_f06_a_ban_is_a_guard_with_its_end():
    clock = ManualClock(1_700_000_000 * NS_PER_S)
    async with web() as place, client(place.http, clock) as rest:
        watch, _, inbox = weather(rest, clock, asks_status=True)
        rest.budget.ban(600)
        with capture_logs() as lines:
            await watch.look()
            await watch.look()
        alerts = Alerts(AlertSettings(webhook_url="https://example.org"))
        for line in lines:
            alerts.take({**line, "level": line["log_level"]})
        (alert,) = alerts._waiting  # once, although the default level leaves out what guards say
        assert (alert.severity, alert.name) == ("error", "address_banned")
        assert "until=2023-11-14T22:23:2" in alert.text
        (event,) = [one for one in inbox.ready() if isinstance(one, Guard)]
        assert (event.name, event.level) == ("ban", "REDUCING")
        assert "2023-11-14T22:23:2" in event.detail
        assert place.requests == []
        clock.advance(603 * NS_PER_S)
        await watch.look()
        assert ("ban", "ACTIVE") in told(inbox)


@pytest.mark.parametrize("cause", ["no route", "no name service"])
async def test_f09_an_outage_of_hours_costs_no_memory(monkeypatch, cause):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(succession, "LONGEST_BACKOFF_S", 0)
    clock, sink, attempts, lookups = LiveClock(), Sink(), [0], 0

    async def admit():
        attempts[0] += 1
        await asyncio.sleep(0)

    async def nobody(*_, **__):
        nonlocal lookups
        lookups += 1
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    host = "127.0.0.1"
    if cause == "no name service":
        host = "api.example.org"
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
    url = f"ws://{host}:1"
    stream = MarketStream(
        url,
        MarketCodec(ALL, "1m"),
        ["x"],
        clock,
        on_item=sink.item,
        on_link=sink.link,
        stale_s=5,
        admit=admit,
    )
    async with client(f"http://{host}:1", clock) as rest:
        api = ApiConnection(
            url, Signer("k", "s"), clock, timestamp_ms=lambda: 1, on_event=sink.event, on_link=sink.link,
            on_number=lambda _: None, timeout_s=1, receive_window_ms=1000, rest=rest,
        )  # fmt: skip

        async def reach(count):
            while attempts[0] < count:
                with pytest.raises(Retryable):
                    await rest.public("/api/v3/time", {})

        async with running(stream.run()), running(api.run()):
            await reach(50)
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            await reach(300)  # with pauses of 30 s that is more than two hours
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
    assert sink.links == []
    assert (lookups >= attempts[0]) is (cause == "no name service")
    assert grown < 500_000
