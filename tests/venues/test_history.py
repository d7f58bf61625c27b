import duckdb
import numpy as np
import pytest

from bnml.core.clock import parse_utc_ns
from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument
from bnml.kernels.features import bar_floats
from bnml.kernels.records import BAR
from bnml.venues.bar_tables import Gap, describe_gaps
from bnml.venues.history import load_history, write_history

HOUR_MS = 3_600_000
HOUR_NS = HOUR_MS * 1_000_000


def table(count=6, **changes):
    columns = {
        "open_time": np.arange(count) * HOUR_MS,
        "open": np.full(count, 10.5),
        "high": np.full(count, 12.25),
        "low": np.full(count, 9.0),
        "close": np.full(count, 11.0),
        "volume": np.full(count, 3.125),
    }
    return {**columns, **changes}


def write(path, columns):
    connection = duckdb.connect()
    connection.register("columns", columns)
    connection.execute(f"COPY columns TO '{path}' (FORMAT parquet)")
    connection.close()


def changed(name, row, value, count=6):
    column = table(count)[name].astype(float)
    column[row] = value
    return {name: column}


def test_recorded_bars_come_back_as_the_same_doubles(data_dir):
    folder = data_dir / "binance_spot" / "15m"
    history = load_history(folder, ["SOLUSDT"])["SOLUSDT"]
    raw = (
        duckdb.connect()
        .execute("SELECT * FROM read_parquet(?)", [str(folder / "SOLUSDT.parquet")])
        .fetchnumpy()
    )
    floats = bar_floats(history.bars, history.instrument.tick_e8, history.instrument.lot_e8)
    for name, column in zip(("open", "high", "low", "close", "volume"), floats, strict=True):
        assert column.tobytes() == raw[name].astype(float).tobytes(), name
    one = history.bars[100]
    assert history.instrument.price_float(int(one["close"])) == floats[3][100]
    assert history.instrument.quantity_float(int(one["volume_lots"])) == floats[4][100]
    assert (history.instrument.tick_e8, history.instrument.lot_e8) == (1_000_000, 100_000)
    assert (history.instrument.base, history.instrument.quote) == ("SOL", "USDT")


def test_all_recordings_load_in_alphabetical_order_with_their_gaps(data_dir):
    histories = load_history(data_dir / "binance_spot" / "1h")
    assert list(histories) == sorted(histories)
    assert len(histories) == 12
    assert len(histories["BTCUSDT"].gaps) == 27
    assert "122 bars are missing in 27 gaps, the largest 33 bars from 2018-02-08T01:00:00Z" in describe_gaps(
        histories["BTCUSDT"]
    )


def test_parts_of_a_symbol_are_one_recording(data_dir):
    history = load_history(data_dir / "binance_spot" / "5m", ["BTCUSDT"])["BTCUSDT"]
    assert len(history.files) == 2
    assert (np.diff(history.bars["ts_open_ns"]) > 0).all()


def test_the_window_cuts_after_the_instrument_is_known(tmp_path):
    columns = table(200)
    columns["close"][0] = 11.12345
    write(tmp_path / "ABCUSDT.parquet", columns)
    history = load_history(tmp_path, from_ns=10 * HOUR_NS, to_ns=20 * HOUR_NS)["ABCUSDT"]
    assert history.bars["ts_open_ns"].tolist() == [hour * HOUR_NS for hour in range(10, 20)]
    assert history.instrument.tick_e8 == 1_000
    assert history.frame_ns == HOUR_NS


def test_an_empty_window_is_no_bars(tmp_path):
    write(tmp_path / "ABCUSDT.parquet", table())
    late = parse_utc_ns("2030-01-01")
    assert len(load_history(tmp_path, from_ns=late)["ABCUSDT"].bars) == 0


def test_gaps_are_reported_and_not_filled(tmp_path):
    columns = {name: np.delete(column, [3, 4, 8]) for name, column in table(12).items()}
    write(tmp_path / "ABCUSDT.parquet", columns)
    history = load_history(tmp_path)["ABCUSDT"]
    assert history.gaps == (Gap(3 * HOUR_NS, 2), Gap(8 * HOUR_NS, 1))
    assert len(history.bars) == 9
    assert "3 bars are missing in 2 gaps" in describe_gaps(history)


def test_no_gaps_need_no_words(tmp_path):
    write(tmp_path / "ABCUSDT.parquet", table())
    assert describe_gaps(load_history(tmp_path)["ABCUSDT"]) == ""


def test_noise_of_summed_volumes_is_not_a_decimal(tmp_path):
    write(tmp_path / "ABCUSDT.parquet", table(volume=np.full(6, 0.1 + 0.2)))
    history = load_history(tmp_path)["ABCUSDT"]
    assert history.instrument.lot_e8 == 10_000_000
    assert history.bars["volume_lots"].tolist() == [3] * 6


def test_written_bars_read_back_equal(tmp_path):
    bars = np.zeros(5, dtype=BAR)
    bars["ts_open_ns"] = np.array([1, 2, 3, 5, 6]) * HOUR_NS
    for name, price in (("open", 1001), ("high", 1203), ("low", 903), ("close", 1102), ("volume_lots", 7)):
        bars[name] = price
    instrument = Instrument("ABCUSDT", "ABC", "USDT", tick_e8=100_000, lot_e8=1_000)
    write_history(tmp_path / "deep" / "ABCUSDT.parquet", instrument, bars)
    history = load_history(tmp_path / "deep")["ABCUSDT"]
    assert (history.bars == bars).all()
    assert (history.instrument.tick_e8, history.instrument.lot_e8) == (100_000, 1_000)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["ABCUSDT.parquet"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"open_time": np.array([0, 1, 2, 2, 4, 5]) * HOUR_MS}, "row 3: open_time .*T02:00:00Z comes twice"),
        ({"open_time": np.array([0, 1, 2, 4, 3, 5]) * HOUR_MS}, "row 4: .* is earlier than the row before"),
        (
            {"open_time": np.array([0, 1, 2, 3.5, 4, 5]) * HOUR_MS},
            "row 3 opens at .*T03:30:00Z, off the grid of 1h",
        ),
        (changed("high", 2, 10.0), r"row 2 \(1970-01-01T02:00:00Z\) has open or close outside low..high"),
        (changed("low", 2, 10.9), "open or close outside low..high"),
        (changed("low", 1, 0.0), "a price that is not above zero"),
        (changed("volume", 1, -1.0), "a volume below zero"),
        (changed("close", 5, np.inf), "row 5 .* not a finite number"),
        (changed("close", 5, 11.123456789), "close has values finer than 8 decimals"),
        ({"close": np.ma.masked_equal([1, 2, 3, 4, 9, 6], 9)}, "row 4 has no close"),
        ({"open_time": np.array(["x"] * 6)}, "is not a readable parquet file of bars"),
    ],
)
def test_bad_rows_are_named(tmp_path, changes, sentence):
    columns = table(**changes)
    if isinstance(columns["close"], np.ma.MaskedArray):
        connection = duckdb.connect()
        connection.register("columns", {**columns, "close": columns["close"].data})
        path = tmp_path / "ABCUSDT.parquet"
        connection.execute(f"COPY (SELECT * REPLACE (nullif(close, 9) AS close) FROM columns) TO '{path}'")
    else:
        write(tmp_path / "ABCUSDT.parquet", columns)
    with pytest.raises(Misconfigured, match=sentence) as refused:
        load_history(tmp_path)
    assert "ABCUSDT" in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(Misconfigured, match="nowhere does not exist; name a folder"):
        load_history(tmp_path / "nowhere")


def test_a_folder_without_parquet_is_named(tmp_path):
    with pytest.raises(Misconfigured, match="holds no parquet file"):
        load_history(tmp_path)


def test_a_missing_symbol_lists_what_is_there(tmp_path):
    write(tmp_path / "ABCUSDT.parquet", table())
    with pytest.raises(Misconfigured, match="no file for XYZUSDT; it holds ABCUSDT"):
        load_history(tmp_path, ["XYZUSDT", "ABCUSDT"])


def test_a_missing_column_is_named(tmp_path):
    columns = table()
    del columns["low"]
    write(tmp_path / "ABCUSDT.parquet", columns)
    with pytest.raises(Misconfigured, match="lacks the column low; bars need open_time"):
        load_history(tmp_path)


def test_a_file_cut_short_is_named(tmp_path):
    path = tmp_path / "ABCUSDT.parquet"
    write(path, table(500))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(
        Misconfigured, match=r"ABCUSDT.parquet is not a readable parquet file .* fetch or write it again"
    ):
        load_history(tmp_path)


def test_an_empty_file_of_bars_is_named(tmp_path):
    write(tmp_path / "ABCUSDT.parquet", {name: column[:0] for name, column in table().items()})
    with pytest.raises(Misconfigured, match="holds no bars"):
        load_history(tmp_path)


def test_another_frame_is_refused(tmp_path):
    write(tmp_path / "ABCUSDT.parquet", table())
    with pytest.raises(Misconfigured, match="has bars of 1h, not of 15m"):
        load_history(tmp_path, frame_ns=HOUR_NS // 4)


def test_one_bar_needs_the_name_of_its_frame(tmp_path):
    write(tmp_path / "ABCUSDT.parquet", table(1))
    with pytest.raises(Misconfigured, match="one bar, so its frame is unknown"):
        load_history(tmp_path)
    assert len(load_history(tmp_path, frame_ns=HOUR_NS)["ABCUSDT"].bars) == 1
