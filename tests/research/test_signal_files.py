"""Given signals: what a row may say, at which bar it stands, and what is refused in which words."""

import duckdb
import numpy as np
import pytest

from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument
from bnml.kernels.records import BAR
from bnml.research.bar_files import Bars
from bnml.research.signal_files import load_signals, place

START_MS = 1_688_169_600_000
HOUR = 3_600_000
HEAD = "symbol,ts_close_ms,score,exit,size"


def bars_of(*symbols, count=5):
    rows = np.zeros(count, dtype=BAR)
    rows["ts_open_ns"] = (START_MS + np.arange(count) * HOUR) * 10**6
    return {
        name: Bars(Instrument(name, name[:3], "USDT", 1, 1), rows, HOUR * 10**6, (), True) for name in symbols
    }


def write(tmp_path, *rows, head=HEAD, name="signals.csv"):
    path = tmp_path / name
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def at(k):
    return START_MS + k * HOUR


ROWS = (f"BTCUSDT,{at(3)},,1,", f"ETHUSDT,{at(1)},0.5,,0.25", f"BTCUSDT,{at(1)},-2,0,")


def test_rows_are_placed_at_the_bar_that_closes_then_in_order(tmp_path):
    path = write(tmp_path, *ROWS)
    signals = load_signals(path)
    assert signals.symbols == ("BTCUSDT", "ETHUSDT")
    placed, note = place(signals, bars_of("BTCUSDT", "ETHUSDT"), path, loose=False)
    assert note == ""
    assert placed["BTCUSDT"].bar.tolist() == [0, 2]
    assert placed["BTCUSDT"].is_exit.tolist() == [False, True]
    assert placed["BTCUSDT"].score[0] == -2
    assert np.isnan(placed["BTCUSDT"].size).all()
    assert placed["ETHUSDT"].size.tolist() == [0.25]


def test_parquet_says_the_same_as_csv(tmp_path):
    path = write(tmp_path, *ROWS)
    target = tmp_path / "signals.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * FROM read_csv('{path}')) TO '{target}'")
        connection.execute(
            f"COPY (SELECT * REPLACE (exit = 1 AS exit) FROM read_csv('{path}')) TO '{tmp_path / 'bool.parquet'}'"
        )
    for other in (target, tmp_path / "bool.parquet"):
        for mine, theirs in zip(load_signals(path), load_signals(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_optional_columns_may_be_missing(tmp_path):
    signals = load_signals(write(tmp_path, f"BTCUSDT,{at(1)},1", head="symbol,ts_close_ms,score"))
    assert not signals.is_exit.any()
    assert np.isnan(signals.size).all()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"BTCUSDT,{at(2)},,0,", 'row 2: score is "nan"; write a finite number'),
        (f"BTCUSDT,{at(2)},nan,0,", 'row 2: score is "nan"'),
        (f"BTCUSDT,{at(2)},inf,1,", 'row 2: score is "inf"'),
        (f"BTCUSDT,{at(2)},much,0,", 'row 2: score is "much"; write a number'),
        (f"BTCUSDT,{at(2)},1,2,", 'row 2: exit is "2"; write 1 to sell'),
        (f"BTCUSDT,{at(2)},1,0,1.5", 'row 2: size is "1.5"; write a share of equity above 0 and at most 1'),
        (f"BTCUSDT,{at(2)},1,0,0", 'row 2: size is "0.0"'),
        (f"BTCUSDT,{at(2)},1,0,-1", 'row 2: size is "-1.0"'),
        (f",{at(2)},1,0,", 'row 2: symbol is ""'),
        ("BTCUSDT,2023-07-01,1,0,", 'row 2: ts_close_ms is "2023-07-01"; write whole milliseconds'),
        (f"BTCUSDT,{at(2) // 1000},1,0,", "row 2: ts_close_ms is .* not in milliseconds"),
        (f"BTCUSDT,{at(2) * 1000},1,0,", "row 2: ts_close_ms is .* not in milliseconds"),
        (f"BTCUSDT,{at(1)},5,0,", "row 2: BTCUSDT at 2023-07-01T01:00:00Z stands twice, first in row 1"),
        (f"BTCUSDT,{at(1)},,1,", "stands twice"),
        (f"BTCUSDT,{at(2)}", "row 2 ends before its score"),
    ],
)
def test_a_bad_row_is_told_of(tmp_path, row, words):
    path = write(tmp_path, f"BTCUSDT,{at(1)},1,0,", row)
    with pytest.raises(Misconfigured, match=words) as fault:
        load_signals(path)
    assert "signals.csv" in str(fault.value)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (
            "symbol,ts_close_ms,scores,exit,size",
            r"has a column scores; .*rename it \(to score\?\) or remove it",
        ),
        ("symbol,ts_close_ms,exit,size", "has no column score; signals need symbol, ts_close_ms, score"),
        ("symbol,time,score,exit,size", "has a column time"),
    ],
)
def test_a_bad_header_is_told_of(tmp_path, head, words):
    with pytest.raises(Misconfigured, match=words):
        load_signals(write(tmp_path, f"BTCUSDT,{at(1)},1,0,", head=head))


def test_an_empty_file_is_told_of(tmp_path):
    with pytest.raises(Misconfigured, match="holds no rows below its header"):
        load_signals(write(tmp_path))
    (tmp_path / "nothing.csv").write_text("")
    with pytest.raises(Misconfigured, match="does not begin with the names of its columns"):
        load_signals(tmp_path / "nothing.csv")


def test_a_time_that_is_no_close_is_refused_with_the_count_and_the_first(tmp_path):
    rows = [f"BTCUSDT,{at(1)},1,0,", f"BTCUSDT,{at(2) - 1},1,0,", f"BTCUSDT,{at(40)},1,0,"]
    path = write(tmp_path, *rows)
    signals, bars = load_signals(path), bars_of("BTCUSDT")
    words = r"2 of 3 signals are at no bar's close, the first in row 2: .*a bar closes 1 ms later"
    with pytest.raises(Misconfigured, match=words) as fault:
        place(signals, bars, path, loose=False)
    assert "--loose" in str(fault.value)
    placed, note = place(signals, bars, path, loose=True)
    assert placed["BTCUSDT"].bar.tolist() == [0]
    assert "they are left out" in note


def test_a_time_outside_the_bars_is_told_with_their_range(tmp_path):
    path = write(tmp_path, f"BTCUSDT,{at(0)},1,0,")
    with pytest.raises(Misconfigured, match=r"they close from 2023-07-01T01:00:00Z to 2023-07-01T05:00:00Z"):
        place(load_signals(path), bars_of("BTCUSDT"), path, loose=False)
