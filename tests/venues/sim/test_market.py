import numpy as np
import pytest

from bnml.core.clock import NS_PER_DAY
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.klines import frame_start
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import BookLevels, Step, VenueReject
from bnml.venues.sim.pricing import Pricing
from tests.venues.sim.bench import HOUR_NS, INSTRUMENT, SYMBOL, costs
from tests.venues.sim.test_feed import rows

RANDOM = np.random.default_rng(5)
START = 480  # hour: twenty whole days of history


def random_rows(count):
    close = 10_000 + RANDOM.integers(-50, 51, count).cumsum()
    made = []
    for hour, price in enumerate(close):
        opened = int(price) + int(RANDOM.integers(-20, 21))
        high, low = max(opened, price) + 7, min(opened, price) - 7
        made.append((hour, opened, int(high), int(low), int(price), int(RANDOM.integers(4, 900))))
    return [bar for bar in made if bar[0] % 97 != 50]  # with missing hours


BARS = random_rows(600)


@pytest.fixture
def exchange():
    """In the middle of the hour that opens at hour 530."""
    pricing = Pricing(costs(spread_ppm=100))
    feed = BarFeed({SYMBOL: INSTRUMENT}, {SYMBOL: rows(*BARS)}, HOUR_NS, pricing, START * HOUR_NS)
    made = Exchange(Market(feed.instruments, HOUR_NS, pricing, feed.history(0)))
    ordinal = 0
    while made.now_ns < 530 * HOUR_NS + HOUR_NS // 2:
        made.apply(feed.step(ordinal))
        ordinal += 1
    return made


def naive(hours, first_hour, last_hour):
    """Candles of several hours from the bars that were published, the running one left out."""
    made = {}
    for hour, opened, high, low, close, volume in BARS:
        if first_hour <= hour < last_hour:
            at = hour // hours * hours
            old = made.get(at)
            made[at] = (
                (opened, high, low, close, volume)
                if old is None
                else (old[0], max(old[1], high), min(old[2], low), close, old[4] + volume)
            )
    return made


def shape(kline):
    return kline.open, kline.high, kline.low, kline.close, kline.volume_lots


def test_higher_frames_are_made_of_published_bars(exchange):
    candles = exchange.market.candles(SYMBOL, 4 * HOUR_NS, exchange.now_ns, limit=20)
    assert len(candles) == 20
    wanted = naive(4, 0, 530)
    assert [kline.is_closed for kline in candles] == [True] * 19 + [False]
    for kline in candles[:-1]:
        assert shape(kline) == wanted[kline.open_ns // HOUR_NS]


def test_running_candle_is_the_last_and_holds_what_was_printed(exchange):
    (running,) = exchange.market.candles(SYMBOL, HOUR_NS, exchange.now_ns, limit=1)
    _, opened, high, low, _, volume = next(bar for bar in BARS if bar[0] == 530)
    assert not running.is_closed
    assert shape(running) == (opened, high, low, high, 3 * max(1, volume // 4))


def test_a_start_is_aligned_up_and_gives_the_oldest_first(exchange):
    candles = exchange.market.candles(SYMBOL, 4 * HOUR_NS, exchange.now_ns, start_ns=401 * HOUR_NS, limit=3)
    assert [kline.open_ns // HOUR_NS for kline in candles] == [404, 408, 412]
    (first,) = exchange.market.candles(SYMBOL, HOUR_NS, exchange.now_ns, start_ns=0, limit=1)
    assert first.open_ns == 0  # clients ask so when a market began
    assert exchange.market.candles(SYMBOL, HOUR_NS, exchange.now_ns, 100 * HOUR_NS, 99 * HOUR_NS) == []


def test_frame_that_base_candles_cannot_make_is_refused(exchange):
    for frame_ns in (HOUR_NS // 4, HOUR_NS * 3 // 2):
        with pytest.raises(VenueReject) as refusal:
            exchange.market.candles(SYMBOL, frame_ns, exchange.now_ns)
        assert refusal.value.reject_code == -1120


def test_statistics_cover_the_last_day(exchange):
    ticker = exchange.market.ticker(SYMBOL, exchange.now_ns)
    first = (exchange.now_ns - NS_PER_DAY) / HOUR_NS
    inside = [bar for bar in BARS if first <= bar[0] < 530]
    _, _, high, low, _, volume = next(bar for bar in BARS if bar[0] == 530)
    assert ticker.open == inside[0][1]
    assert ticker.last == high
    assert ticker.high == max(high, *(bar[2] for bar in inside))
    assert ticker.low == min(low, *(bar[3] for bar in inside))
    assert ticker.volume_lots == sum(bar[5] for bar in inside) + 3 * max(1, volume // 4)


def test_book_moves_with_the_prints_and_has_a_spread(exchange):
    book = exchange.market.book(SYMBOL, exchange.now_ns)
    last = exchange.market[SYMBOL].state.last_ticks
    (bid, bid_lots), (ask, ask_lots) = book.bids[0], book.asks[0]
    assert bid < last < ask
    assert book.depth_e8 == INSTRUMENT.notional_e8(bid, bid_lots) + INSTRUMENT.notional_e8(ask, ask_lots)


def test_trades_are_numbered_without_a_hole(exchange):
    ids = [trade.trade_id for trade in exchange.market[SYMBOL].trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_weeks_begin_on_monday():
    monday = 4 * NS_PER_DAY  # 1970-01-05
    assert frame_start(monday + 6 * NS_PER_DAY, 7 * NS_PER_DAY) == monday
    assert frame_start(monday - 1, 7 * NS_PER_DAY) == monday - 7 * NS_PER_DAY


def test_recorded_books_are_taken_only_by_a_market_that_wants_them():
    book = BookLevels(SYMBOL, 0, ((9_999, 5),), ((10_001, 5),), 1)
    for wanted in (True, False):
        pricing = Pricing(costs(), takes_recorded_books=wanted)
        exchange = Exchange(Market({SYMBOL: INSTRUMENT}, HOUR_NS, pricing))
        exchange.apply(Step(0, 1, books=(book,)))
        assert (exchange.market.book(SYMBOL, 1) == book) is wanted
