"""Candles, statistics, trades and books of one market never contradict each other, whatever the feed."""

import contextlib
import itertools

import msgspec
import numpy as np
import pytest

from bnml.core.clock import NS_PER_DAY
from bnml.core.events import Bar
from bnml.core.instrument import E8, Instrument
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.kernels.records import BAR
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.messages import OrderRequest, Print, Step, VenueReject
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.tiers import Tier
from tests.venues.sim.bench import costs
from tests.venues.sim.public_side import (
    LocalBook,
    PublicSide,
    candles_of,
    of_event,
    of_row,
    statistics,
)

MINUTE_NS = 60 * 10**9
START_NS = 19_000 * NS_PER_DAY
SYMBOLS = ("ADAUSDT", "BTCUSDT")
INTERVALS = ("15m", "1h", "1d")
STREAMS = (
    *("trade", "aggTrade", "depth@100ms", "depth", "bookTicker", "miniTicker", "ticker", "avgPrice"),
    *(f"kline_{name}" for name in INTERVALS),
    *("kline_1d@+08:00", "ticker_1h", "depth5"),
)
FRAME_NS = 15 * MINUTE_NS
EMPTY = [["0.00000000", "0.00000000"]]


def random_bars(random, count):
    """Bars in whole ticks, some missing, none without volume for four prints."""
    rows = np.zeros(count, dtype=BAR)
    rows["ts_open_ns"] = START_NS + np.arange(count) * FRAME_NS
    rows["close"] = 10_000 + random.integers(-30, 31, count).cumsum()
    rows["open"] = rows["close"] + random.integers(-20, 21, count)
    rows["high"] = np.maximum(rows["open"], rows["close"]) + random.integers(0, 20, count)
    rows["low"] = np.minimum(rows["open"], rows["close"]) - random.integers(0, 20, count)
    rows["volume_lots"] = random.integers(4, 10**6, count)
    kept = random.random(count) > 0.03
    kept[:2] = True
    return rows[kept]


class Own:
    """Now and then a trade between accounts, or a resting order that shows in the book, as an overlay."""

    def __init__(self, random, market):
        self._random = random
        self._market = market
        self._shown = {name: {} for name in SYMBOLS}

    def book(self, symbol, ts_ns):
        self._market.overlay = None
        book = self._market.book(symbol, ts_ns)
        self._market.overlay = self
        bids = dict(book.bids)
        for price, lots in self._shown[symbol].items():
            bids[price] = bids.get(price, 0) + lots
        shown = tuple(sorted(((price, lots) for price, lots in bids.items() if lots), reverse=True))
        number = book.update_id + self._market[symbol].state.own_updates
        return msgspec.structs.replace(book, bids=shown, update_id=number)

    def act(self, venue):
        if self._random.random() > 0.3:
            return
        symbol = SYMBOLS[self._random.integers(len(SYMBOLS))]
        market = self._market[symbol]
        if self._random.random() < 0.5:
            price = market.state.last_ticks + int(self._random.integers(-30, 31))
            for _ in range(int(self._random.integers(1, 4))):
                lots = int(self._random.integers(1, 500))
                is_sell = bool(self._random.random() < 0.5)
                own = Print(
                    symbol, price, lots, venue.now_ns, True, 0, is_sell, is_side_known=True, is_own=True
                )
                market.record(own)
        else:
            book = self._market.book(symbol, venue.now_ns)
            price = book.bids[0][0] - int(self._random.integers(0, 3))
            bids = self._shown[symbol]
            bids[price] = 0 if bids.get(price) else int(self._random.integers(1, 99))
            market.state.own_updates += 1
        venue._publisher.publish_request(venue.now_ns, [symbol])


class Traders:
    """Two accounts whose random orders meet each other and a displayed book."""

    def __init__(self, random, exchange):
        self._random = random
        self._exchange = exchange
        for name in ("one", "two"):
            exchange.open_account(name, {"USDT": 10**18, "ADA": 10**18, "BTC": 10**18})

    def act(self, venue):
        random = self._random
        if random.random() > 0.5:
            return
        symbol = SYMBOLS[random.integers(len(SYMBOLS))]
        name = ("one", "two")[random.integers(2)]
        is_buy, is_market = bool(random.random() < 0.5), bool(random.random() < 0.3)
        price = self._exchange.market[symbol].state.last_ticks + int(random.integers(-8, 9))
        wanted = OrderRequest(
            symbol=symbol,
            side=Side.BUY if is_buy else Side.SELL,
            type=OrderType.MARKET if is_market else OrderType.LIMIT,
            quantity_e8=int(random.integers(1_000, 3_000)) * 1_000_000,
            price_e8=0 if is_market else price * 10_000,
            time_in_force=None if is_market else TimeInForce.GTC,
        )
        with contextlib.suppress(VenueReject):
            self._exchange.place(name, wanted)
        if len(self._exchange.read.open_orders(name, symbol)) > 12:
            self._exchange.cancel_all(name, symbol)
        venue.settle_request()


@pytest.fixture(
    scope="module",
    params=[(1, True, "own"), (2, True, ""), (3, False, "own"), (4, True, "F2"), (5, False, "F3")],
)
def played(request):
    """A market after days, with what was said: some with own trades and orders, some not in real time."""
    seed, live, actors = request.param
    random = np.random.default_rng(seed)
    pricing = Pricing(costs(spread_ppm=200), tier=Tier(actors) if actors in {"F2", "F3"} else None)
    instruments = {
        name: Instrument(name, name[:-4], "USDT", tick_e8=10_000, lot_e8=1_000_000) for name in SYMBOLS
    }
    bars = {name: random_bars(random, 300) for name in SYMBOLS}
    side = PublicSide(BarFeed(instruments, bars, FRAME_NS, pricing, START_NS), pricing, STREAMS, live=live)
    actor = None
    if actors == "own":
        side.market.overlay = actor = Own(random, side.market)
    elif actors:
        actor = Traders(random, side.venue.exchange)
    side.books = {}
    side.checks = 0
    for number in range(1000):
        assert side.step()
        if actor is not None:
            actor.act(side.venue)
        if number == 10:
            side.books = {name: side.get("depth", symbol=name, limit=5000) for name in SYMBOLS}
        if number > 10 and random.random() < 0.05:
            check_moment(side)
    assert side.checks > 15
    return side


def check_moment(side):
    """What holds at any instant."""
    side.checks += 1
    now_ms = side.venue.now_ns // 10**6
    for name in SYMBOLS:
        trades = side.trades(name)
        made = candles_of(trades, "15m")
        rows = side.get("klines", symbol=name, interval="15m", limit=1000)
        assert {row[0]: of_row(row) for row in rows} == {at: one[:9] for at, one in made.items()}
        day = side.get("ticker/24hr", symbol=name)
        inside = [one for one in trades if day["openTime"] <= one.ms <= day["closeTime"]]
        left_out = [one for one in trades if now_ms - 86_400_000 <= one.ms < day["openTime"]]
        assert len({one.ms // 900_000 for one in left_out}) <= 1, "at most a part of one base candle"
        assert of_ticker(day) == statistics(inside)[:7] + statistics(inside)[9:]
        recent = [one for one in trades if one.ms > now_ms - 300_000]
        price = side.get("avgPrice", symbol=name)["price"]
        volume = sum(one.quantity for one in recent)
        wanted = sum(one.price * one.quantity for one in recent) // volume if volume else trades[-1].price
        assert price == f"{wanted // E8}.{wanted % E8:08d}"
        assert side.get("ticker/price", symbol=name)["price"] == day["lastPrice"]
        listed = side.get("trades", symbol=name, limit=1000)
        assert [one["id"] for one in listed] == [one.id for one in trades][-1000:]
        book = side.get("depth", symbol=name, limit=5000)
        top = side.get("ticker/bookTicker", symbol=name)
        best = [*(book["bids"] or EMPTY)[0], *(book["asks"] or EMPTY)[0]]
        assert [top[field] for field in ("bidPrice", "bidQty", "askPrice", "askQty")] == best
        said = side.ear.heard[f"{name.lower()}@bookTicker"][-1]
        assert [said[field] for field in "bBaA"] == best


def of_ticker(day):
    names = ("openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume")
    return (
        *(int(day[name].replace(".", "")) for name in names),
        day["count"],
        day["firstId"],
        day["lastId"],
    )


def test_every_candle_is_the_sum_of_its_trades_and_closes_exactly_once(played):
    for symbol in SYMBOLS:
        trades = played.trades(symbol)
        for name in INTERVALS:
            events = [one["k"] for one in played.ear.heard[f"{symbol.lower()}@kline_{name}"]]
            closed = [one for one in events if one["x"]]
            made = candles_of(trades, name)
            assert len({one["t"] for one in closed}) == len(closed) >= len(made) - 2
            for one in closed:
                assert of_event(one) == made[one["t"]]
            opens = [one["t"] for one in events]
            assert opens == sorted(opens), "no update of a candle before its predecessor closed"
            last_update = {one["t"]: one["x"] for one in events}
            assert all(last_update[one["t"]] for one in closed), "nothing of a candle after its close"
            rows = played.get("klines", symbol=symbol, interval=name, limit=1000)
            assert {row[0]: of_row(row) for row in rows} == {at: one[:9] for at, one in made.items()}


def test_days_of_another_zone_begin_at_its_midnight(played):
    closed = [one["k"] for one in played.ear.heard["btcusdt@kline_1d@+08:00"] if one["k"]["x"]]
    assert len(closed) >= 2
    assert all(one["t"] % 86_400_000 == 57_600_000 for one in closed)
    rows = played.get("klines", symbol="BTCUSDT", interval="1d", timeZone="8")
    assert [row[0] for row in rows if row[0] in {one["t"] for one in closed}] == [one["t"] for one in closed]
    by_open = {row[0]: of_row(row) for row in rows}
    assert all(of_event(one)[:9] == by_open[one["t"]] for one in closed)


def test_aggregates_are_the_trades_of_one_price_side_and_moment(played):
    for symbol in SYMBOLS:
        trades = played.trades(symbol)
        aggregates = played.ear.heard[f"{symbol.lower()}@aggTrade"]
        by_id = {one.id: one for one in trades}
        covered = []
        for one in aggregates:
            parts = [by_id[number] for number in range(one["f"], one["l"] + 1)]
            assert {(part.ms, part.maker) for part in parts} == {(one["T"], one["m"])}
            assert int(one["q"].replace(".", "")) == sum(part.quantity for part in parts)
            covered += parts
        assert covered == trades
        assert [one["a"] for one in aggregates] == list(range(1, len(aggregates) + 1))
        rows = played.get("aggTrades", symbol=symbol, limit=1000)
        assert rows == [{k: v for k, v in one.items() if k not in "eEs"} for one in aggregates[-len(rows) :]]


def test_differences_of_a_book_join_without_a_hole_and_make_the_snapshot(played):
    for symbol in SYMBOLS:
        for stream in ("depth@100ms", "depth"):
            events = played.ear.heard[f"{symbol.lower()}@{stream}"]
            assert len(events) > 300
            assert all(later["U"] == earlier["u"] + 1 for earlier, later in itertools.pairwise(events))
        book = LocalBook(played.books[symbol])
        for event in played.ear.heard[f"{symbol.lower()}@depth@100ms"]:
            book.apply(event)
        played.ear.heard[f"{symbol.lower()}@depth@100ms"].clear()
        played.venue._publisher.flush(played.venue.now_ns + 10**9)
        for event in played.ear.heard[f"{symbol.lower()}@depth@100ms"]:
            book.apply(event)
        assert book.equals(played.get("depth", symbol=symbol, limit=5000))


def test_windows_hold_the_trades_since_their_beginning(played):
    for symbol in SYMBOLS:
        trades = played.trades(symbol)
        for window in ("1h", "4h", "1d"):
            shown = played.get("ticker", symbol=symbol, windowSize=window)
            inside = [one for one in trades if shown["openTime"] <= one.ms <= shown["closeTime"]]
            assert of_ticker(shown) == statistics(inside)[:7] + statistics(inside)[9:]
        day = played.get("ticker/tradingDay", symbol=symbol)
        assert day["openTime"] % 86_400_000 == 0
        inside = [one for one in trades if one.ms >= day["openTime"]]
        assert of_ticker(day) == statistics(inside)[:7] + statistics(inside)[9:]


def test_an_update_of_the_next_candle_waits_for_the_close_of_the_last_one():
    """A followed venue may tell trades of the new candle before it closes the old one."""
    pricing = Pricing(costs(spread_ppm=100))
    side = PublicSide(Silent(), pricing, ("kline_15m", "kline_1h", "trade"))

    def advance(ordinal, after_ns, price, *closed):
        ts_ns = START_NS + after_ns
        prints = (Print("BTCUSDT", price, 10, ts_ns, False),) if price else ()
        side.venue.advance(Step(ordinal, ts_ns, prints=prints, closed_bars=closed))

    advance(0, FRAME_NS * 3, 100)
    advance(1, FRAME_NS * 3 + 5 * 10**9, 104)
    advance(2, FRAME_NS * 4 + 10**9, 105)
    advance(3, FRAME_NS * 4 + 9 * 10**9, 106)
    bar = Bar("BTCUSDT", START_NS + FRAME_NS * 3, START_NS + FRAME_NS * 4, 100, 104, 100, 104, 20, 2)
    advance(4, FRAME_NS * 4 + 10 * 10**9, 0, bar)
    advance(5, FRAME_NS * 4 + 20 * 10**9, 107)
    for name in ("15m", "1h"):
        events = [one["k"] for one in side.ear.heard[f"btcusdt@kline_{name}"]]
        opens = [one["t"] for one in events]
        assert opens == sorted(opens)
        first = [one for one in events if one["t"] == opens[0]]
        assert [one["x"] for one in first] == [False] * (len(first) - 1) + [True]
        assert len(set(opens)) == 2
        rows = side.get("klines", symbol="BTCUSDT", interval=name)
        made = candles_of(side.trades("BTCUSDT"), name)
        assert {row[0]: of_row(row) for row in rows} == {at: one[:9] for at, one in made.items()}


class Silent:
    """A feed that somebody else steps."""

    frame_ns = FRAME_NS

    def __init__(self):
        one = Instrument("BTCUSDT", "BTC", "USDT", tick_e8=10_000, lot_e8=1_000_000)
        self.instruments = {"BTCUSDT": one}

    def history(self, ordinal):
        return {}
