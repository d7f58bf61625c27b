"""The raw streams that Binance sent on 2024-08-08, through our parser, bar builder and journal."""

import gzip
import json
from decimal import Decimal

import msgspec
import pytest

from bnml.core.clock import LiveClock, parse_utc_ns
from bnml.core.events import Bar
from bnml.journal.reader import JournalReader
from bnml.journal.schema import SessionHeader
from bnml.journal.writer import JournalWriter
from bnml.trading.crosscheck import TradeCandles
from bnml.venues.binance.codec import MarketCodec, Print
from bnml.venues.history import load_history
from bnml.venues.sim.bookbuilder import BookBuilder
from bnml.venues.sim.minutes import MINUTE_NS
from bnml.venues.sim.recorded import infer_instruments, read_frames
from tests.acceptance.kit import bnml, cut_recording

FIRST_NS = parse_utc_ns("2024-08-08T23:55")
LAST_NS = parse_utc_ns("2024-08-09")
MINUTES = 5
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def files(data_dir):
    return sorted((data_dir / "fixtures" / "binance_ws_recorded").glob("*.jsonl.gz"))


@pytest.fixture(scope="module")
def instruments(files):
    return infer_instruments(files)


@pytest.fixture(scope="module")
def published(data_dir, instruments):
    """The minutes of Binance's own candles, as (open time, o, h, l, c, volume) in ticks and lots."""
    found = load_history(data_dir / "binance_spot" / "1m", SYMBOLS, from_ns=FIRST_NS, to_ns=LAST_NS)
    for symbol, history in found.items():
        assert len(history.bars) == MINUTES
        assert (history.instrument.tick_e8, history.instrument.lot_e8) == (
            instruments[symbol].tick_e8,
            instruments[symbol].lot_e8,
        )
    return {symbol: history.bars.tolist() for symbol, history in found.items()}


def lines_of(file):
    with gzip.open(file, "rt") as lines:
        for line in lines:
            yield line.partition(" ")[2].strip()


def parsed(files, instruments):
    """Every combined frame of the recording through the daemon's codec, in the order of each file."""
    codec = MarketCodec(instruments, "1m")
    for file in files:
        for text in lines_of(file):
            if text.startswith('{"stream"'):
                yield codec.decode(text)[1], text


def minutes_of(bars):
    """Bars of the complete minutes, by symbol."""
    found = {symbol: [] for symbol in SYMBOLS}
    for bar in bars:
        if bar.ts_open_ns >= FIRST_NS:
            found[bar.symbol].append(
                (bar.ts_open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume_lots)
            )
    return found


async def journaled(path, bars):
    """Write the bars as events of a session and read them back."""
    header = SessionHeader(
        venue="sim", mode="stepped", symbols=SYMBOLS, base_frame="1m", higher_frames=(), instance="a", epoch=1,
        config_hash="", kernel_hash="", code_version="", tier="F1", seed=0, config="{}",
    )  # fmt: skip
    writer = await JournalWriter.open(path, "process")
    try:
        await writer.begin_session(header, LiveClock().now_ns())
        for bar in bars:
            writer.append_event(bar)
    finally:
        await writer.close()
    with JournalReader(path) as reader:
        return [event for _, event in reader.events()]


async def test_trades_through_parser_bars_and_journal_are_the_published_candles(
    files, instruments, published, tmp_path
):
    builder, bars, last_id = TradeCandles(MINUTE_NS), [], {}
    for item, text in parsed(files, instruments):
        if not isinstance(item, Print):
            assert json.loads(text)["stream"].partition("@")[2] != "trade"
            continue
        raw = json.loads(text)["data"]
        instrument = instruments[item.symbol]
        assert Decimal(raw["p"]) * 10**8 == item.ticks * instrument.tick_e8
        assert Decimal(raw["q"]) * 10**8 == item.lots * instrument.lot_e8
        assert item.trade_id == last_id.get(item.symbol, item.trade_id - 1) + 1, "trade ids have a hole"
        last_id[item.symbol] = item.trade_id
        made = builder.add(item.symbol, item.ts_ns, item.ticks, item.lots, item.trade_id)
        bars += [] if made is None else [made]
    assert minutes_of(await journaled(tmp_path / "journal.db", bars)) == published


def test_one_lost_trade_spoils_its_minute_and_no_other(files, instruments, published):
    builder, bars, seen = TradeCandles(MINUTE_NS), [], 0
    for item, _ in parsed(files[:1], instruments):
        if isinstance(item, Print):
            in_third_minute = item.ts_ns // MINUTE_NS == FIRST_NS // MINUTE_NS + 2
            seen += in_third_minute
            if in_third_minute and seen == 7:
                continue
            made = builder.add(item.symbol, item.ts_ns, item.ticks, item.lots, item.trade_id)
            bars += [] if made is None else [made]
    expected = published["BTCUSDT"]
    assert minutes_of(bars)["BTCUSDT"] == [*expected[:2], *expected[3:]]


def test_depth_has_no_hole_and_a_lost_difference_is_noticed(files, instruments):
    for file in files:
        symbol = file.name.split("_")[1].upper()
        whole, holed = BookBuilder(instruments[symbol]), BookBuilder(instruments[symbol])
        last, count = None, 0
        for frame in read_frames(file):
            if frame.stream == "snapshot":
                whole.snapshot(frame.data)
                holed.snapshot(frame.data)
            elif frame.stream.startswith("depth"):
                assert last is None or frame.data["U"] == last + 1
                last, count = frame.data["u"], count + 1
                whole.apply(frame.data)
                if count != 1000:
                    holed.apply(frame.data)
        assert count > 3000
        assert whole.holes == 0
        book = whole.levels(symbol, 0)
        assert book is not None
        assert book.bids[0][0] < book.asks[0][0]
        assert holed.holes == 1
        assert holed.levels(symbol, 0) is None


def test_the_daemon_takes_the_recording_over_sockets(data_dir, files, published, tmp_path):
    for file in files:
        (tmp_path / "data" / file.name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / file.name).symlink_to(file)
    for symbol in SYMBOLS:
        (source,) = (data_dir / "binance_spot" / "1m").glob(f"{symbol}*.parquet")
        # Bars that the recording shows itself are in the file, too, and must not be known beforehand.
        cut_recording(source, tmp_path / "data" / f"{symbol}.parquet", "2024-08-08T12:00", "2024-08-09T01:00")
    (tmp_path / "config.yaml").write_text(
        "features: {base_frame: 1m, history_bars: 600}\nuniverse: {symbols: [BTCUSDT, ETHUSDT]}\n"
    )
    out, said, _ = bnml("run", "--replay", "data", "--stepped", "--no-retrain", "--json", cwd=tmp_path)
    assert said == []
    assert msgspec.json.decode(out)["scans"] == MINUTES
    with JournalReader(tmp_path / "state" / "journal.db") as journal:
        bars = [event for _, event in journal.events() if isinstance(event, Bar)]
        health = journal.status()
    assert minutes_of(bars) == published
    assert len(bars) == 2 * (600 + MINUTES)
    # The minute in which the recording begins is neither history nor complete.
    assert FIRST_NS - MINUTE_NS not in {bar.ts_open_ns for bar in bars}
    assert (health.bars_checked, health.bars_differing) == (2 * MINUTES, 0)
