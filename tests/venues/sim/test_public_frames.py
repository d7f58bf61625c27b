"""Frames of the public streams without any socket."""

import gzip

import msgspec
import pytest

from bnml.core.errors import Fatal, Retryable
from bnml.core.events import Bar
from bnml.core.instrument import Instrument
from bnml.venues.sim.public_frames import Gathering, PublicCodec, is_confirmed, missed_prints
from bnml.venues.sim.recorded import RecordedStreamFeed, infer_instruments
from tests.venues.sim.bench import INSTRUMENT, SYMBOL, T0

MINUTE_NS = 60 * 10**9
S = 10**9


@pytest.fixture
def codec():
    return PublicCodec({SYMBOL: INSTRUMENT}, "15m")


def text(stream, data):
    return msgspec.json.encode({"stream": stream, "data": data})


def test_the_streams_of_few_symbols_have_faster_books_than_those_of_many(codec):
    assert codec.streams() == [
        "btcusdt@trade", "btcusdt@depth20@100ms", "btcusdt@kline_15m", "!miniTicker@arr",
    ]  # fmt: skip
    many = {f"S{n}USDT": Instrument(f"S{n}USDT", f"S{n}", "USDT", 1, 1) for n in range(51)}
    assert "s7usdt@depth20" in PublicCodec(many, "15m").streams()


def test_answers_and_strangers_say_nothing(codec):
    assert codec.decode(b'{"result":null,"id":1}') == (0, None)
    assert codec.decode(text("ethusdt@trade", {"e": "trade"})) == (0, None)


def test_bad_frames_and_farewells_are_errors_of_their_kind(codec):
    with pytest.raises(Retryable, match="cannot be read"):
        codec.decode(b"{")
    with pytest.raises(Retryable, match="closes the market stream"):
        codec.decode(text("btcusdt@trade", {"e": "serverShutdown", "E": 1}))
    with pytest.raises(Fatal, match="refused a subscription"):
        codec.decode(b'{"error":{"code":2,"msg":"no"},"id":1}')


def test_a_cut_holds_what_came_since_the_last_and_only_the_newest_book(codec):
    gathering = Gathering({SYMBOL: INSTRUMENT}, MINUTE_NS)
    assert gathering.cut(0) is None
    frames = [
        text("btcusdt@depth20", {"lastUpdateId": 1, "bids": [["1.00", "1"]], "asks": [["2.00", "1"]]}),
        text("btcusdt@depth20", {"lastUpdateId": 2, "bids": [["3.00", "1"]], "asks": [["4.00", "1"]]}),
        text("!miniTicker@arr", [{"E": 5_000}, {"E": 7_000}]),
    ]
    for frame in frames:
        gathering.take(codec.decode(frame)[1])
    step = gathering.cut(8)
    assert (step.ordinal, step.ts_ns, step.beat, step.prints, step.closed_bars) == (8, 7 * S, True, (), ())
    assert [(book.bids, book.asks, book.update_id) for book in step.books] == [
        (((300, 1000),), ((400, 1000),), 2)
    ]
    assert gathering.cut(9) is None


def bar(lots=10):
    return Bar(SYMBOL, T0, T0 + MINUTE_NS, 100, 120, 80, 110, lots, 3)


def shape(prints):
    return [(one.price_ticks, one.jump, (one.ts_ns - T0) // S) for one in prints]


def test_a_candle_missed_whole_is_its_path_one_missed_in_part_its_close_one_seen_nothing():
    assert shape(missed_prints(bar(), T0, 7)) == [
        (100, True, 0),
        (80, False, 15),
        (120, False, 30),
        (110, False, 59),
    ]
    assert shape(missed_prints(bar(), T0 + 1, 7)) == [(110, True, 59)]
    assert missed_prints(bar(), T0 + MINUTE_NS, 7) == []
    assert missed_prints(bar(lots=0), T0, 7) == []


def test_made_trades_do_not_follow_on_the_last_one_seen():
    assert [one.trade_id for one in missed_prints(bar(), T0, 7)] == [9, 10, 11, 12]


def test_a_candle_is_final_a_second_after_its_end():
    assert not is_confirmed(bar(), T0 + MINUTE_NS + S - 1)
    assert is_confirmed(bar(), T0 + MINUTE_NS + S)


def test_recorded_frames_of_binance_give_the_prints_of_the_recording(data_dir):
    folder = data_dir / "fixtures" / "binance_ws_recorded"
    file = next(one for one in sorted(folder.glob("*.jsonl.gz")) if "btcusdt" in one.name)
    instruments = infer_instruments([file])
    recorded = RecordedStreamFeed([file], instruments)
    wanted = [printed for ordinal in range(200) for printed in recorded.step(ordinal).prints]
    codec, gathering = PublicCodec(instruments, "1m"), Gathering(instruments, MINUTE_NS)
    with gzip.open(file, "rb") as lines:
        for line in lines:
            message = line.partition(b" ")[2]
            frame = codec.decode(message)[1]
            if frame is not None and frame.stream == "trade":
                gathering.take(frame)
    prints = gathering.cut(0).prints
    assert wanted
    assert list(prints[: len(wanted)]) == wanted
