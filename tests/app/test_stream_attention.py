"""Streams that fall silent, bars that are missed, the account's events that do not come: noticed and made good."""

import asyncio
import contextlib
from types import SimpleNamespace

import msgspec
import pytest

from bnml.app import attention, backfill
from bnml.app.attention import Attention
from bnml.app.backfill import Backfill, closed
from bnml.app.gaps import Gaps
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.app.links import MARKET, ORDERS, USER, Links
from bnml.app.pump import Pump
from bnml.app.vigil import Vigil, make_return
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.events import Bar, Guard, OrderReport, VenueStatus
from bnml.core.orders import OrderState, Side
from bnml.trading.bars import BarGate
from bnml.trading.engine import Engine
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.standing import worst
from bnml.venues.binance import market, succession
from bnml.venues.binance.codec import MarketCodec
from bnml.venues.binance.freshness import Freshness
from bnml.venues.binance.market import MarketStream
from bnml.venues.binance.oddities import Oddities
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.binance.wsapi import ApiConnection
from tests.trading.kit import config
from tests.venues.binance.kit import ALL
from tests.venues.binance.test_stream_faults import Feed, fed
from tests.venues.binance.web import Sink, running
from tests.venues.sim.faults.faulty import FAR, act, load, rule
from tests.venues.sim.served import KEY, served

INTERVAL_S = 0.15
ETH_BOOK, BTC_BOOK = "ethbtc@depth20", "btcusdt@depth20"
LEVELS = {"lastUpdateId": 1, "bids": [["1.00", "1.0"]], "asks": [["2.00", "1.0"]]}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0.02)
    monkeypatch.setattr(market, "MESSAGE_PAUSE_S", 0.01)
    monkeypatch.setattr(attention, "LOOK_S", 0.05)


@contextlib.asynccontextmanager
async def attended(feed):
    """A stream of two books with everything that looks after it: (stream, guards, posted events)."""
    names, sink, inbox, sockets = [BTC_BOOK, ETH_BOOK], Sink(), LiveInbox(), []
    codec, guards = MarketCodec(ALL, "1m"), Guards(inbox, lambda: 0)
    freshness = Freshness(LiveClock(), INTERVAL_S)
    async with fed(feed) as url:
        stream = MarketStream(
            f"{url}/stream", codec, names, LiveClock(), on_item=sink.item, on_link=sink.link, stale_s=30,
            rotate_after_s=lambda: 1e9, on_frame=lambda: freshness.touch(codec.last_stream),
        )  # fmt: skip
        sockets.append(stream)
        care = Attention(freshness, guards, LiveClock(), lambda: sockets, None)
        async with running(stream.run()):
            await sink.until(lambda: sink.links)
            freshness.follow(names)
            async with running(care.run()), running(books(feed)):
                yield SimpleNamespace(stream=stream, guards=guards, inbox=inbox, sink=sink)


async def books(feed):
    while True:
        await feed.tell(BTC_BOOK, LEVELS)
        await feed.tell(ETH_BOOK, LEVELS)
        await asyncio.sleep(0.03)


async def until(condition, seconds=8.0):
    """How long it took until `condition`."""
    now = asyncio.get_running_loop().time
    began = now()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return now() - began


async def test_f37_one_forgotten_subscription_blocks_its_symbol_and_is_renewed():
    feed = Feed()
    async with attended(feed) as it:
        await asyncio.sleep(0.3)
        assert it.guards.standing("stale") == []
        asked = len(feed.requests)
        feed.forgotten.add((feed.born[0], ETH_BOOK))
        await until(lambda: it.guards.standing("stale") == ["stale:ETHBTC"])
        took = await until(lambda: it.guards.standing("stale") == [])
        assert took < 5
        assert [request["params"] for _, _, request in feed.requests[asked:]] == [[ETH_BOOK]] * 2
        assert len(feed.born) == 1  # the other symbols' connection was left alone
        assert [(one.name, one.level) for one in it.inbox.ready() if isinstance(one, Guard)] == [
            ("stale:ETHBTC", "REDUCING"),
            ("stale:ETHBTC", "ACTIVE"),
        ]


async def test_f30_an_open_socket_without_data_is_replaced_within_five_seconds():
    feed = Feed()
    async with attended(feed) as it:
        await asyncio.sleep(0.3)
        feed.forgotten |= {(feed.born[0], BTC_BOOK), (feed.born[0], ETH_BOOK)}  # it still answers pings
        await until(lambda: len(it.guards.standing("stale")) == 2)
        took = await until(lambda: it.guards.standing("stale") == [])
        assert took < 5
        assert len(feed.born) == 2
        assert it.stream.succession.rotations == 1


def an_order(name):
    order = Order(name, "BTCUSDT", Side.BUY, Role.WORKING, 1, 100, 9000)
    order.state = OrderState.OPEN
    return order


@contextlib.asynccontextmanager
async def account(*, rest_url=None, oddities=None):
    """The account of a served exchange as the daemon holds it, with one open order `bna1-1`, and what was posted."""
    async with served(stepped=False) as client, contextlib.AsyncExitStack() as stack:
        signer, inbox, links, book = Signer(KEY.api_key, KEY.secret), LiveInbox(), Links(), OrderBook()
        rest = await stack.enter_async_context(
            RestClient(rest_url or client.base, signer, LiveClock(), timeout_s=1.0, receive_window_ms=5000)
        )
        links.inbox = inbox

        async def on_event(number, raw):
            seen.append(msgspec.json.decode(raw)["e"])

        seen = []
        api = ApiConnection(
            f"{client.sockets}/ws-api/v3", signer, LiveClock(), timestamp_ms=rest.timestamp_ms, on_event=on_event,
            on_link=links.account, on_number=lambda _: None, timeout_s=1.0, receive_window_ms=5000, rest=rest,
            rotate_after_s=lambda: 1e9, probe_s=0.5, oddities=oddities,
        )  # fmt: skip
        venue = BinanceVenue(rest, api, {})
        await venue.load_instruments(("BTCUSDT",), "USDT")
        await client.signed("POST", "/api/v3/order", **FAR, newClientOrderId="bna1-1")
        book.register(an_order("bna1-1"))
        vigil = Vigil(venue, book, links, inbox)
        await stack.enter_async_context(running(api.run()))
        links._market_up = 1
        await asyncio.wait_for(links.wait_up(1), 5)
        links.announce()
        links.on_return = make_return(vigil, lambda: None)
        await stack.enter_async_context(running(vigil.run()))
        await asyncio.sleep(0.2)
        yield SimpleNamespace(
            client=client, venue=venue, book=book, inbox=inbox, vigil=vigil, seen=seen, links=links
        )


class Posted:
    """Everything that was posted so far, in order."""

    def __init__(self, inbox):
        self._inbox = inbox
        self.events = []

    def __call__(self):
        self.events += self._inbox.ready()
        return self.events

    def has(self, state):
        return any(isinstance(one, OrderReport) and one.state is state for one in self())

    def channels(self):
        return [(one.channel, one.up) for one in self() if isinstance(one, VenueStatus)]


async def test_f39_when_the_user_stream_is_silent_polling_takes_over_within_two_seconds():
    async with account() as it:
        posted = Posted(it.inbox)
        silent = rule(
            act("silent", sockets="api", lasts_s=60, pings=False), match={"request": "DELETE /api/v3/order"}
        )
        await load(it.client, silent)
        began = asyncio.get_running_loop().time()
        await it.client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="bna1-1")
        await until(lambda: posted.has(OrderState.CANCELED), 5)
        took = asyncio.get_running_loop().time() - began
        assert took <= 2.5  # two seconds, and what a loaded machine adds
        assert posted.channels()[:1] == [(USER, False)]  # so no entry from here on
        it.book.apply(next(one for one in posted.events if isinstance(one, OrderReport)))
        await until(lambda: (ORDERS, True) in posted.channels(), 10)  # the dead socket was given up
        await until(lambda: posted.channels()[-1] == (USER, True))


async def test_f34_what_was_missed_is_told_before_the_channel_is_up_again():
    async with account() as it:
        posted = Posted(it.inbox)
        cut = rule(act("reset", sockets="api"), match={"request": "DELETE /api/v3/order"}, at="before")
        await load(it.client, cut)
        await it.client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="bna1-1")
        await until(lambda: (USER, True) in posted.channels(), 10)
        events = posted()
        told = next(place for place, one in enumerate(events) if isinstance(one, OrderReport))
        back = next(
            place
            for place, one in enumerate(events)
            if isinstance(one, VenueStatus) and one.up and one.channel == USER
        )
        assert told < back


async def test_f39_an_order_whose_report_does_not_come_is_asked_for():
    async with account() as it:
        posted = Posted(it.inbox)
        await load(it.client, rule("drop", match={"user_event": "*"}))
        params = {**FAR, "newClientOrderId": "bna1-2"}
        it.book.register(Order("bna1-2", "BTCUSDT", Side.BUY, Role.WORKING, 1, 100, 9000))
        await it.venue.api.request("order.place", params, order=True)
        took = await until(lambda: posted.has(OrderState.OPEN), 8)
        assert took < 4
        assert "executionReport" not in it.seen
        assert (USER, False) in posted.channels()


async def test_f41_after_a_frame_that_was_cut_short_the_orders_are_read_at_once():
    async with account(oddities=Oddities()) as it:
        posted = Posted(it.inbox)
        await load(it.client, rule("truncate", match={"user_event": "*"}))
        await it.client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="bna1-1")
        await until(lambda: posted.has(OrderState.CANCELED), 5)
        assert (ORDERS, False) not in posted.channels()  # nothing else had them read


async def test_no_order_waits_for_the_answer_about_another():
    async with account() as it:
        posted, plain = Posted(it.inbox), it.venue.order_reports
        it.book.register(an_order("bna1-2"))
        await it.client.signed("POST", "/api/v3/order", **FAR, newClientOrderId="bna1-2")

        async def slow_for_the_first(symbol, name):
            if name == "bna1-1":
                await asyncio.Event().wait()
            return await plain(symbol, name)

        it.venue.order_reports = slow_for_the_first
        await load(it.client, rule("drop", match={"user_event": "*"}))
        await it.client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="bna1-2")
        it.vigil.doubt()
        await until(lambda: posted.has(OrderState.CANCELED), 5)


async def test_f09_after_an_outage_one_reading_comes_before_the_first_entry():
    async with account() as it:
        posted = Posted(it.inbox)
        await load(it.client, rule(act("refuse_connections", seconds=1.5, cut=True)))
        await it.client.send("GET", "/api/v3/time")
        await until(lambda: {(ORDERS, False), (USER, False)} <= set(posted.channels()), 3)
        engine = Engine(config(), None)
        downs = [one for one in posted() if isinstance(one, VenueStatus) and not one.up]
        for place, down in enumerate(downs):  # entries are off before anything is up again
            engine.process(down, place + 1)
        assert worst(engine.standings()) == "REDUCING"
        assert {one.name for one in engine.standings()} == {f"channel:{ORDERS}", f"channel:{USER}"}
        reads = []
        plain = it.venue.order_reports

        async def counted(symbol, name):
            found = await plain(symbol, name)
            reads.append(len(posted()))
            return found

        it.venue.order_reports = counted
        await until(lambda: (USER, True) in posted.channels(), 15)
        ups = {
            one.channel: place
            for place, one in enumerate(posted())
            if isinstance(one, VenueStatus) and one.up
        }
        assert sum(ups[ORDERS] < read <= ups[USER] for read in reads) == 1


class Fed:
    """Stands in for engine, journal and follower: keeps what the pump feeds."""

    last_seq = 0

    def __init__(self):
        self.bars, self.inside = [], []

    def process(self, event, _):
        if isinstance(event, Bar):
            self.bars.append(event)
        return []

    def drain(self):
        return []

    def append_event(self, _):
        self.last_seq += 1
        return self.last_seq

    async def room(self):
        return

    def follow(self, event, outcomes):
        return


async def watch_market(client, seconds):
    """Read BTCUSDT of a running exchange as the daemon does; returns (bars fed, those that REST shows, backfill)."""
    async with RestClient(
        client.base, Signer("", ""), LiveClock(), timeout_s=2.0, receive_window_ms=5000
    ) as rest:
        venue, fake, inbox = BinanceVenue(rest, None, {}), Fed(), LiveInbox()
        instruments = await venue.load_instruments(("BTCUSDT",), "USDT")
        hour_ns = 3600 * NS_PER_S
        gate = BarGate(("BTCUSDT",), 2 * NS_PER_S, lambda _: False)

        async def fill_gap(symbol, start_ns, end_ns):
            return await venue.bars(symbol, "1h", hour_ns, start_ns, end_ns)

        pump = Pump(
            fake, gate, fake, submit=lambda *_: None, follower=fake, fill_gap=Gaps(fill_gap, lambda found: inbox.complete(0, (found,))).ask,
            snapshot_every=10**9, snapshot_version="", frame_ns=hour_ns,
        )  # fmt: skip
        codec = MarketCodec(instruments, "1h")

        async def link(up, detail):
            return

        stream = MarketStream(
            f"{client.sockets}/stream", codec, codec.streams(), LiveClock(), on_item=inbox.put, on_link=link,
            stale_s=5, rotate_after_s=lambda: 1e9,
        )  # fmt: skip

        async def since(symbol, start_ns):
            return await venue.bars(symbol, "1h", hour_ns, start_ns)

        filler = Backfill(
            lambda: ("BTCUSDT",), pump.last_close_ns, lambda: pump.now_ns, hour_ns,
            read=since, give=lambda bars: inbox.complete(0, bars),
        )  # fmt: skip

        async def pumping():
            while True:
                for item in await inbox.batch():
                    await pump.take(item)

        async with (
            running(stream.run()),
            running(pumping()),
            running(filler.run()),
            running(client.driver.run()),
        ):
            await asyncio.sleep(seconds)
        shown = await venue.bars("BTCUSDT", "1h", hour_ns, fake.bars[0].ts_open_ns)
        return fake.bars, [bar for bar in shown if bar.ts_close_ns <= fake.bars[-1].ts_close_ns], filler


@pytest.mark.parametrize(
    "script",
    [
        pytest.param((), id="nothing"),
        pytest.param(
            (rule("drop", match={"stream": "*@kline_*", "closed": True}, when={"every": 2}),),
            id="every_second_close",
        ),
    ],
)
async def test_f35_every_bar_is_the_one_that_rest_shows(script, monkeypatch):
    monkeypatch.setattr(backfill, "LOOK_S", 0.02)
    monkeypatch.setattr(backfill, "FIRST_PAUSE_S", 0.05)
    async with served(stepped=False, speed=3600 * 5) as client:
        await load(client, *script)
        bars, shown, filler = await watch_market(client, 4)
    assert len(bars) >= 10
    assert bars == shown
    assert (filler.filled > 0) == bool(script)


async def test_f36_a_gap_is_filled_and_the_index_goes_on():
    async with served(stepped=False, speed=3600 * 5) as client:
        await load(client, rule(act("refuse_connections", seconds=1.0, cut=True), when={"from_wall": 1.5}))
        bars, shown, _ = await watch_market(client, 4)
    opens = [bar.ts_open_ns for bar in bars]
    assert len(bars) >= 10
    assert opens == sorted(set(opens))
    assert bars == shown


def test_f35_a_candle_read_by_rest_is_closed_a_second_after_its_end():
    minute = 60 * NS_PER_S
    bars = [Bar("BTCUSDT", n * minute, (n + 1) * minute, 1, 1, 1, 1, 1) for n in range(4)]
    assert closed(bars, minute, 3 * minute) == bars[1:2]
    assert closed(bars, minute, 3 * minute + NS_PER_S - 1) == bars[1:2]
    assert closed(bars, minute, 3 * minute + NS_PER_S) == bars[1:3]


def test_the_channels_are_named_once():
    assert len({MARKET, ORDERS, USER}) == 3
