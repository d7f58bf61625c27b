"""A market followed over real sockets from a scripted venue: breaks, what was missed, and what must not happen."""

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus

import msgspec
import pytest
from websockets.asyncio.server import serve

from bnml.app import follower as module
from bnml.app.follower import Follower
from bnml.app.paper import PaperMarket
from bnml.config import Settings
from bnml.core.clock import LiveClock
from bnml.core.errors import Retryable
from bnml.core.events import Bar
from bnml.core.orders import OrderType, Side
from bnml.venues.binance import succession
from bnml.venues.binance.budget import WeightBudget
from bnml.venues.binance.penalties import Penalties
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import OrderKey, Status, VenueReject
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.signing import KeyRing
from bnml.venues.sim.venue import Venue
from tests.venues.sim.bench import INSTRUMENT, ME, SYMBOL, T0, costs, order

MINUTE_NS = 60 * 10**9
MS = 10**6


def minute(number, opened, high, low, closed, lots=1000):
    """The candle of minute `number` after T0; prices in ticks of 0.01."""
    start = T0 + number * MINUTE_NS
    return Bar(SYMBOL, start, start + MINUTE_NS, opened, high, low, closed, lots, 9)


class Rest:
    """A clock that needs no network, and no limits."""

    def __init__(self):
        clock = LiveClock()
        self.penalties = Penalties(clock, WeightBudget(clock), lambda: 0)

    async def synchronise_clock(self):
        return 0


class Scripted:
    """What `Source` does, from a list; `failing` counts the requests that get no answer."""

    def __init__(self, url):
        self.settings = Settings.model_validate({"venue": {"paper": {"stream_url": url}}})
        self.frame, self.frame_ns = "1m", MINUTE_NS
        self.clock, self.rest = LiveClock(), Rest()
        self.now_ns = T0
        self.candles = []
        self.asked = []
        self.failing = 0

    async def bars_since(self, starts):
        self.asked.append(dict(starts))
        if self.failing:
            self.failing -= 1
            raise Retryable("no answer")
        return {
            symbol: [bar for bar in self.candles if bar.ts_open_ns >= start]
            for symbol, start in starts.items()
        }


class Binance:
    """The streams: refuses connections while `open` is off, sends what it is told, and hangs up."""

    def __init__(self):
        self.open = True
        self.sockets = []
        self.trade_id = 100

    async def handle(self, socket):
        self.sockets.append(socket)
        await socket.wait_closed()
        self.sockets.remove(socket)

    def admit(self, connection, _request):
        return None if self.open else connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")

    async def hang_up(self):
        self.open = False
        await self.sockets[0].close()

    async def send(self, stream, data):
        await self.sockets[0].send(msgspec.json.encode({"stream": stream, "data": data}), text=True)

    async def trade(self, at_ns, price):
        self.trade_id += 1
        data = {"e": "trade", "E": at_ns // MS, "s": SYMBOL, "t": self.trade_id, "p": price, "q": "1.000",
                "T": at_ns // MS, "m": False}  # fmt: skip
        await self.send("btcusdt@trade", data)

    async def book(self, bid, ask):
        data = {"lastUpdateId": self.trade_id, "bids": [[bid, "5.000"]], "asks": [[ask, "5.000"]]}
        await self.send("btcusdt@depth20@100ms", data)

    async def candle(self, bar, *, closed=True):
        texts = [f"{one / 100:.2f}" for one in (bar.open, bar.high, bar.low, bar.close)]
        k = {"t": bar.ts_open_ns // MS, "i": "1m", "v": f"{bar.volume_lots / 1000:.3f}", "n": 9, "x": closed,
             **dict(zip("ohlc", texts, strict=True))}  # fmt: skip
        data = {"e": "kline", "E": bar.ts_close_ns // MS, "s": SYMBOL, "k": k}
        await self.send("btcusdt@kline_1m", data)

    async def tick(self, at_ns):
        await self.send("!miniTicker@arr", [{"E": at_ns // MS, "s": SYMBOL}])


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0.02)
    monkeypatch.setattr(succession, "LONGEST_BACKOFF_S", 0.02)
    for name in ("CUT_S", "CONFIRMING_S", "RETRY_S"):
        monkeypatch.setattr(module, name, 0.01)


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for is another task's state
            await asyncio.sleep(0.005)


@asynccontextmanager
async def following(ledger=None, known=0):
    """(venue of the exchange, scripted source, scripted streams) with the first connection up."""
    binance = Binance()
    async with serve(
        binance.handle, "127.0.0.1", 0, compression=None, process_request=binance.admit
    ) as server:
        source = Scripted(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        pricing = Pricing(costs(), takes_recorded_books=True)
        market = Market({SYMBOL: INSTRUMENT}, MINUTE_NS, pricing)
        exchange = Exchange(market, ledger=ledger)
        exchange.open_account(ME, {"USDT": 10**13, "BTC": 10**10})
        venue = Venue(exchange, KeyRing([]), LiveClock(), live=True)
        paper = PaperMarket(source, None, market, {SYMBOL: known or T0})
        follower = Follower(paper, venue)
        venue.market_time = follower
        task = asyncio.create_task(follower.run())
        try:
            yield venue, source, binance, follower
        finally:
            task.cancel()
            await asyncio.wait({task})


def state(venue):
    return venue.market[SYMBOL].state


def published(venue):
    return [(int(row["ts_open_ns"]) - T0) // MINUTE_NS for row in venue.market[SYMBOL].klines.bars]


def resting(venue, type_, **prices):
    return venue.exchange.place(ME, order(type_, Side.SELL, 1000, **prices)).order.order_id


def status(venue, order_id):
    return venue.exchange.read.order(ME, OrderKey(symbol=SYMBOL, order_id=order_id)).status


async def opened(venue, source, binance, follower):
    """Connected, with a price and a book, ten seconds into the first minute."""
    await asyncio.wait_for(follower.ready.wait(), 10)
    await binance.book("99.99", "100.01")
    await binance.trade(T0 + 10 * 10**9, "100.00")
    await until(lambda: state(venue).last_ticks == 10_000 and state(venue).quoted is not None)


async def test_prices_books_and_candles_are_the_venues_own():
    async with following() as (venue, source, binance, follower):
        await opened(venue, source, binance, follower)
        assert (state(venue).quoted.bids, state(venue).quoted.asks) == (((9_999, 5_000),), ((10_001, 5_000),))
        await binance.candle(minute(0, 9_990, 10_020, 9_980, 10_005, 77), closed=False)
        await until(lambda: state(venue).running.volume_lots == 77)
        await binance.candle(minute(0, 9_990, 10_030, 9_970, 10_010, 99))
        await until(lambda: published(venue) == [0])
        assert tuple(venue.market[SYMBOL].klines.bars[0])[1:] == (9_990, 10_030, 9_970, 10_010, 99)
        assert venue.now_ns >= T0 + MINUTE_NS
        assert [trade.trade_id for trade in venue.market[SYMBOL].trades] == [101]


async def test_while_the_source_is_gone_nothing_is_sold_and_nobody_may_listen():
    async with following() as (venue, source, binance, follower):
        await opened(venue, source, binance, follower)
        await binance.hang_up()
        await until(lambda: venue.is_stale)
        assert state(venue).quoted is None
        with pytest.raises(VenueReject, match="Market is closed"):
            resting(venue, OrderType.LIMIT_MAKER, price=10_500)
        binance.open = True
        await until(lambda: not venue.is_stale)
        assert venue.instruments[SYMBOL].status == "TRADING"


async def test_resting_orders_meet_what_was_missed_but_not_what_came_before_it():
    async with following() as (venue, source, binance, follower):
        await opened(venue, source, binance, follower)
        target = resting(venue, OrderType.LIMIT_MAKER, price=10_400)
        near = resting(venue, OrderType.STOP_LOSS, stop=9_500)
        far = resting(venue, OrderType.STOP_LOSS, stop=9_100)
        await binance.hang_up()
        await until(lambda: venue.is_stale)
        # The low of minute 0 may have come before the break; that of minute 1 came in it; minute 2 is not over.
        source.candles = [
            minute(0, 10_000, 10_100, 9_000, 10_100),
            minute(1, 10_100, 10_300, 9_400, 10_200),
            minute(2, 10_200, 10_500, 9_000, 10_200),
        ]
        source.now_ns = T0 + 2 * MINUTE_NS + 30 * 10**9
        binance.open = True
        await until(lambda: not venue.is_stale)
        await until(lambda: published(venue) == [0, 1])
        assert [status(venue, one) for one in (near, far, target)] == [Status.FILLED, Status.NEW, Status.NEW]
        fill = venue.exchange.read.trades(ME, SYMBOL)[-1]
        assert (fill.price_ticks, fill.ts_ns) == (9_500, T0 + MINUTE_NS + MINUTE_NS // 4)
        await binance.candle(minute(2, 10_200, 10_500, 9_000, 10_200))
        await until(lambda: published(venue) == [0, 1, 2])
        assert status(venue, far) is Status.NEW


async def test_a_gap_that_cannot_be_read_keeps_the_market_closed():
    async with following() as (venue, source, binance, follower):
        await opened(venue, source, binance, follower)
        source.failing = 3
        await binance.hang_up()
        await until(lambda: venue.is_stale)
        binance.open = True
        await until(lambda: source.failing == 0)
        assert venue.is_stale
        await until(lambda: not venue.is_stale)


async def test_a_hole_between_candles_is_read_before_the_next_one_is_published():
    async with following() as (venue, source, binance, follower):
        await opened(venue, source, binance, follower)
        source.candles = [minute(n, 10_000, 10_010, 9_990, 10_000) for n in range(4)]
        await binance.candle(minute(3, 10_000, 10_010, 9_990, 10_000))
        await until(lambda: published(venue) == [0, 1, 2, 3])
        assert source.asked[-1] == {SYMBOL: T0}
        assert [trade.trade_id for trade in venue.market[SYMBOL].trades] == [101]  # its trades were all seen
        await binance.candle(minute(3, 1, 1, 1, 1))  # told twice
        source.failing = 1
        await binance.candle(minute(5, 10_000, 10_010, 9_990, 10_000))
        await until(lambda: published(venue) == [0, 1, 2, 3, 5])


async def test_a_restarted_exchange_meets_what_it_slept_through(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db", "paper:1:test")
    async with following(ledger) as (venue, source, binance, follower):
        await opened(venue, source, binance, follower)
        stop = resting(venue, OrderType.STOP_LOSS, stop=9_500)
        await binance.candle(minute(0, 10_000, 10_100, 9_000, 10_100))
        await until(lambda: published(venue) == [0])
    ledger.close()
    ledger = Ledger(tmp_path / "ledger.db", "paper:1:test")
    assert ledger.last_closes() == {SYMBOL: T0 + MINUTE_NS}
    async with following(ledger, known=T0 + MINUTE_NS) as (venue, source, binance, follower):
        source.candles = [minute(1, 10_100, 10_300, 9_400, 10_200)]
        source.now_ns = T0 + 3 * MINUTE_NS
        await asyncio.wait_for(follower.ready.wait(), 10)
        assert status(venue, stop) is Status.FILLED
        assert published(venue) == [1]
    ledger.close()


async def test_time_passes_between_steps_and_with_the_venues_clock():
    async with following() as (venue, source, binance, follower):
        await opened(venue, source, binance, follower)
        before = follower.market_now_ns()
        await asyncio.sleep(0.01)
        assert follower.market_now_ns() > before
        await binance.tick(T0 + 40 * 10**9)
        await until(lambda: venue.now_ns >= T0 + 40 * 10**9)
