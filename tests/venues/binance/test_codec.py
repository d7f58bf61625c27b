import gzip
from decimal import Decimal

import msgspec
import pytest

from bnml.core.errors import Fatal, Retryable
from bnml.core.events import Bar, Book
from bnml.core.instrument import E8
from bnml.venues.binance.codec import (
    Answered,
    Beat,
    MarketCodec,
    Print,
    Shutdown,
    bars_of_klines,
    book_of_depth,
    exchange_info,
    instrument_of,
)
from tests.venues.binance.kit import ALL, BTC, combined

MINUTE_NS = 60 * 10**9


def codec(frame="1m"):
    return MarketCodec(ALL, frame)


def documented(data_dir, heading):
    lines = (data_dir / "fixtures/binance_docs/web-socket-streams.examples.jsonl").read_bytes().splitlines()
    rows = [msgspec.json.decode(line) for line in lines]
    return next(row["example"] for row in rows if row["heading"] == heading)


def test_a_documented_trade_becomes_a_print(data_dir):
    number, item = codec().decode(combined("bnbbtc@trade", documented(data_dir, "Trade Streams"), 7))
    assert number == 7
    assert item == Print("BNBBTC", 1672515782136 * 10**6, 10_000, 10_000, 12345)


def test_a_candle_counts_only_when_it_is_closed(data_dir):
    example = documented(data_dir, "Kline/Candlestick Streams for UTC")
    assert codec().decode(combined("bnbbtc@kline_1m", example)) == (0, None)
    example["k"]["x"] = True
    _, item = codec().decode(combined("bnbbtc@kline_1m", example))
    open_ns = 1672515780000 * 10**6
    assert item == Bar("BNBBTC", open_ns, open_ns + MINUTE_NS, 10_000, 25_000, 15_000, 20_000, 100_000, 100)


def test_a_candle_of_another_frame_is_not_ours(data_dir):
    example = documented(data_dir, "Kline/Candlestick Streams for UTC")
    example["k"]["x"] = True
    assert codec("1h").decode(combined("bnbbtc@kline_1m", example)) == (0, None)


def test_depth_counts_levels_within_half_a_percent_of_the_middle():
    levels = {
        "lastUpdateId": 1,
        "bids": [["100.00", "1.00000"], ["99.51", "2.00000"], ["99.49", "50.00000"]],
        "asks": [["100.02", "1.00000"], ["100.51", "1.00000"], ["101.00", "50.00000"]],
    }
    _, item = codec().decode(combined("btcusdt@depth20", levels))
    near = (10_000 + 2 * 9_951 + 10_002 + 10_051) * E8 // 100
    assert item == Book("BTCUSDT", 10_000, 10_002, near)


def test_an_empty_side_gives_no_book():
    assert book_of_depth(BTC, b'{"bids":[],"asks":[["1.00","1"]]}') is None


def test_the_newest_ticker_is_the_clock():
    rows = [{"e": "24hrMiniTicker", "E": 5, "s": "A"}, {"e": "24hrMiniTicker", "E": 9, "s": "B"}]
    assert codec().decode(combined("!miniTicker@arr", rows)) == (0, Beat(9_000_000))


@pytest.mark.parametrize("heading", ["Server Shutdown"])
def test_a_shutdown_is_announced(data_dir, heading):
    example = {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1770123456789}}
    assert codec().decode(msgspec.json.encode(example))[1] == Shutdown(1770123456789 * 10**6)


def test_answers_to_subscriptions_name_the_request():
    assert codec().decode(b'{"result":null,"id":1,"simSeq":3}') == (3, Answered(1))


def test_symbols_come_and_go():
    trade = {"s": "BTCUSDT", "p": "1.00", "q": "1", "T": 1, "t": 1}
    empty = MarketCodec({}, "1m")
    assert empty.decode(combined("btcusdt@trade", trade))[1] is None
    empty.add(BTC)
    assert isinstance(empty.decode(combined("btcusdt@trade", trade))[1], Print)
    assert empty.streams() == ["btcusdt@trade", "btcusdt@depth20", "btcusdt@kline_1m", "!miniTicker@arr"]
    empty.remove("BTCUSDT")
    assert empty.decode(combined("btcusdt@trade", trade))[1] is None
    assert empty.streams() == ["!miniTicker@arr"]


def test_a_refused_subscription_is_fatal():
    with pytest.raises(Fatal, match="refused a subscription"):
        codec().decode(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}')


@pytest.mark.parametrize("frame", [b"", b"{", b"[]", b'{"stream":"btcusdt@trade","data":{"s":1}}'])
def test_a_frame_that_cannot_be_read_breaks_the_connection_not_the_daemon(frame):
    with pytest.raises(Retryable, match="cannot be read"):
        codec().decode(frame)


def test_f71_prices_finer_than_our_tick_are_the_nearest_ones():
    """The venue's grid may become finer while we hold something: what it says must not be lost for that."""
    for text, ticks in (("100.001", 10_000), ("100.005", 10_001), ("100.009", 10_001)):
        trade = {"s": "BTCUSDT", "t": 1, "p": text, "q": "1", "T": 1}
        assert codec().decode(combined("btcusdt@trade", trade))[1].ticks == ticks


def test_candles_of_a_time_with_a_finer_tick_are_rounded_to_todays():
    instrument = msgspec.structs.replace(BTC, tick_e8=10_000, lot_e8=10_000_000)
    row = '[0,"0.35784","0.35795","0.35781","0.35785","12.3",59999,"4.4",7,"1","1","0"]'
    (bar,) = bars_of_klines(instrument, f"[{row}]".encode(), 60 * 10**9)
    assert (bar.open, bar.high, bar.low, bar.close) == (3578, 3580, 3578, 3579)


def test_symbols_that_nobody_asked_for_are_ignored():
    trade = {"s": "XXXUSDT", "t": 1, "p": "1", "q": "1", "T": 1}
    assert codec().decode(combined("xxxusdt@trade", trade)) == (0, None)


def test_rest_candles_are_bars(data_dir):
    body = (data_dir / "fixtures/nautilus/spot/http_json/klines_response.json").read_bytes()
    row = msgspec.json.decode(body)[0]
    exact = msgspec.structs.replace(BTC, tick_e8=1, lot_e8=1)
    (bar, *_) = bars_of_klines(exact, body, MINUTE_NS)
    assert bar.ts_open_ns == row[0] * 10**6
    assert bar.high == round(float(row[2]) * E8)
    assert bar.trades == row[8]


def recorded_exchange(data_dir):
    """exchangeInfo of the whole exchange as it was on 2021-10-12."""
    with gzip.open(data_dir / "fixtures/cryptofeed/BINANCE.0.txt.gz", "rt") as file:
        first = file.readline()
    return {
        row.symbol: instrument_of(row) for row in exchange_info(first[first.index("{") :].encode()).symbols
    }


def test_the_whole_exchange_of_2021_can_be_read(data_dir):
    found = recorded_exchange(data_dir)
    assert len(found) > 1000
    btc = found["BTCUSDT"]
    assert (btc.tick_e8, btc.base, btc.quote, btc.status) == (1_000_000, "BTC", "USDT", "TRADING")
    assert btc.min_notional_e8 == 10 * E8
    assert btc.oco_allowed
    assert not btc.opo_allowed
    assert all(one.tick_e8 > 0 and one.lot_e8 > 0 and one.max_lots >= one.min_lots for one in found.values())


def test_every_recorded_frame_of_2021_can_be_read(data_dir):
    instruments = recorded_exchange(data_dir)
    reader = MarketCodec(
        {name: instruments[name] for name in ("NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR")}, "1m"
    )
    with gzip.open(data_dir / "fixtures/cryptofeed/BINANCE.ws.1.0.txt.gz", "rt") as file:
        frames = [line.split(": ", 1)[1] for line in file if '{"stream"' in line and "depth@" not in line]
    items = [reader.decode(frame)[1] for frame in frames]
    assert len(items) > 80
    assert {type(item) for item in items if item is not None} <= {Bar, Print}


def test_filters_become_integers(data_dir):
    body = (data_dir / "fixtures/basana/binance_btc_usdt_exchange_info.json").read_bytes()
    row = exchange_info(body).symbols[0]
    made = instrument_of(row)
    filters = {entry["filterType"]: entry for entry in row.filters}
    assert made.price_decimal(1) == Decimal(filters["PRICE_FILTER"]["tickSize"])
    assert made.quantity_decimal(made.min_lots) == Decimal(filters["LOT_SIZE"]["minQty"])
