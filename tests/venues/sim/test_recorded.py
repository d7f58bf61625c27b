import gzip

import numpy as np
import pytest

from bnml.core.clock import NS_PER_MS, parse_utc_ns
from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument
from bnml.core.orders import Side
from bnml.kernels.records import FillTier
from bnml.venues.history import load_history
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.market import Market
from bnml.venues.sim.minutes import MINUTE_NS
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.recorded import RecordedStreamFeed, infer_instruments, read_frames
from tests.venues.sim.bench import ME, costs, market

FIRST = parse_utc_ns("2024-08-08T23:55")


@pytest.fixture(scope="module")
def files(data_dir):
    return sorted((data_dir / "fixtures" / "binance_ws_recorded").glob("*.jsonl.gz"))


@pytest.fixture(scope="module")
def feed(files):
    return RecordedStreamFeed(files, infer_instruments(files))


def steps_of(feed):
    ordinal = 0
    while (step := feed.step(ordinal)) is not None:
        yield step
        ordinal += 1


def test_minutes_equal_the_recorded_candles_exactly(feed, data_dir):
    candles = load_history(data_dir / "binance_spot" / "1m", ("BTCUSDT", "ETHUSDT"), frame_ns=MINUTE_NS)
    closed = [bar for step in steps_of(feed) for bar in step.closed_bars]
    assert len(closed) == 10
    for bar in closed:
        one = candles[bar.symbol]
        (row,) = one.bars[one.bars["ts_open_ns"] == bar.ts_open_ns]
        tick, lot = feed.instruments[bar.symbol].tick_e8, feed.instruments[bar.symbol].lot_e8
        prices = [int(row[name]) * one.instrument.tick_e8 for name in ("open", "high", "low", "close")]
        assert [price * tick for price in (bar.open, bar.high, bar.low, bar.close)] == prices
        assert bar.volume_lots * lot == int(row["volume_lots"]) * one.instrument.lot_e8
    for name in feed.instruments:
        assert [bar.ts_open_ns for bar in closed if bar.symbol == name] == [
            FIRST + i * MINUTE_NS for i in range(5)
        ]


def test_trades_are_all_there_and_books_never_cross(feed, files):
    for name in feed.instruments:
        ids = [
            printed.trade_id for step in steps_of(feed) for printed in step.prints if printed.symbol == name
        ]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    books = [book for step in steps_of(feed) for book in step.books]
    assert len(books) > 5000
    assert all(book.bids[0][0] < book.asks[0][0] for book in books)
    assert all(len(book.bids) == len(book.asks) == 20 for book in books[100:])


def test_orders_take_from_the_recorded_quote(feed):
    pricing = Pricing(costs(FillTier.F0), takes_recorded_books=True)
    exchange = Exchange(Market(feed.instruments, MINUTE_NS, pricing))
    exchange.open_account(ME, {"USDT": 10**15})
    for ordinal in range(60):
        exchange.apply(feed.step(ordinal))
    book = exchange.market.book("BTCUSDT", exchange.now_ns)
    (fill,) = exchange.place(ME, market(Side.BUY, 1000)).fills
    assert fill.price_ticks == book.asks[0][0]


def test_history_grows_with_the_minutes(feed):
    closing = next(step.ordinal for step in steps_of(feed) if step.closed_bars)
    assert sum(len(bars) for bars in feed.history(closing).values()) == 0
    assert sum(len(bars) for bars in feed.history(closing + 1).values()) == len(
        feed.step(closing).closed_bars
    )
    assert np.array_equal(feed.history(10**6)["BTCUSDT"]["ts_open_ns"], FIRST + np.arange(5) * MINUTE_NS)


def test_instruments_are_inferred_from_the_trades(feed):
    assert feed.instruments["BTCUSDT"] == Instrument("BTCUSDT", "BTC", "USDT", tick_e8=10**6, lot_e8=1000)


def test_event_times_lead_the_recorders_clock(files):
    """The recorder's clock was behind: nothing here may depend on latency being positive."""
    frame = next(frame for frame in read_frames(files[0]) if frame.stream == "trade")
    assert frame.data["E"] * NS_PER_MS > frame.received_ns


def test_file_that_is_cut_short_is_refused(files, tmp_path):
    cut = tmp_path / files[0].name
    cut.write_bytes(files[0].read_bytes()[:50_000])
    with pytest.raises(Misconfigured, match="not a recording"):
        list(read_frames(cut))
    with gzip.open(tmp_path / "spot_other.jsonl.gz", "wb") as other:
        other.write(b"12 {broken\n")
    with pytest.raises(Misconfigured, match="not a recording"):
        list(read_frames(tmp_path / "spot_other.jsonl.gz"))
