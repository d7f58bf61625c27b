"""Bars of others: names of columns, forms of time, one file or many, gaps, ticks - and what is refused."""

import duckdb
import numpy as np
import pytest

from bnml.core.errors import Misconfigured
from bnml.research.bar_files import Market, load_bars

START_MS = 1_688_169_600_000
MINUTE = 60_000
ROWS = (
    (0, 100.25, 101.0, 99.5, 100.5, 3.25),
    (1, 100.5, 100.75, 100.0, 100.25, 0.5),
    (2, 100.25, 102.5, 100.25, 102.0, 10.0),
    (4, 102.0, 102.25, 101.0, 101.75, 2.0),
)
HEAD = "open_time,open,high,low,close,volume"


def iso(ms):
    return str(np.datetime64(ms, "ms"))


def lines(head=HEAD, time=lambda k: START_MS + k * MINUTE, separator=","):
    rows = [separator.join(str(v) for v in (time(k), *values)) for k, *values in ROWS]
    return "\n".join([head.replace(",", separator), *rows]) + "\n"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def one(path, market=None, symbol="BTCUSDT", fast=None):
    return load_bars(path, [symbol], market or Market(), fast)[symbol]


@pytest.fixture
def plain(tmp_path):
    return one(write(tmp_path / "plain.csv", lines()))


def test_bars_are_integers_of_the_coarsest_tick_and_lot_that_hold_them(plain):
    assert (plain.instrument.tick_e8, plain.instrument.lot_e8) == (10**6, 10**6)
    assert plain.bars["close"].tolist() == [10_050, 10_025, 10_200, 10_175]
    assert plain.bars["volume_lots"].tolist() == [325, 50, 1000, 200]
    assert plain.bars["ts_open_ns"][0] == START_MS * 10**6
    assert plain.frame_ns == MINUTE * 10**6
    assert [(gap.ts_open_ns, gap.bars) for gap in plain.gaps] == [((START_MS + 3 * MINUTE) * 10**6, 1)]


@pytest.mark.parametrize(
    ("head", "time", "separator"),
    [
        ("timestamp,o,h,l,c,v", lambda k: START_MS + k * MINUTE, ","),
        ("Date,Open,High,Low,Close,Volume", lambda k: iso(START_MS + k * MINUTE), ","),
        ("Open time,Open,High,Low,Close,Volume", lambda k: iso(START_MS + k * MINUTE) + "Z", ";"),
        (
            "datetime,open,high,low,close,vol",
            lambda k: iso(START_MS + k * MINUTE)[:16].replace("T", " "),
            "\t",
        ),
        ("time,open,high,low,close,volume", lambda k: iso(START_MS + k * MINUTE)[:19] + "+00:00", ","),
        ("time,open,high,low,close,volume", lambda k: START_MS // 1000 + k * 60, ","),
        ("unix,open,high,low,close,volume", lambda k: f"{START_MS // 1000 + k * 60}.0", ","),
        ("ts,open,high,low,close,volume", lambda k: (START_MS + k * MINUTE) * 1_000, ","),
        ("ts,open,high,low,close,volume", lambda k: (START_MS + k * MINUTE) * 1_000_000, ","),
        ('"time","open","high","low","close","volume"', lambda k: f'"{START_MS + k * MINUTE}"', ","),
    ],
)
def test_usual_names_and_forms_of_time_give_the_same_bars(tmp_path, plain, head, time, separator):
    path = write(tmp_path / "other.csv", "\ufeff" + lines(head, time, separator))
    assert one(path).bars.tolist() == plain.bars.tolist()


@pytest.mark.parametrize(
    "time", ["open_time", "to_timestamp(open_time / 1000)::TIMESTAMP", "open_time::DOUBLE"]
)
def test_parquet_gives_the_same_bars_as_csv(tmp_path, plain, time):
    source, target = tmp_path / "plain.csv", tmp_path / "BTCUSDT.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT {time} AS ts, open AS o, high, low, close, volume FROM read_csv('{source}')) TO '{target}'"
        )
    assert one(target).bars.tolist() == plain.bars.tolist()


def test_rows_in_any_order_and_other_columns_do_no_harm(tmp_path, plain):
    head, *rows = lines(HEAD).splitlines()
    text = "\n".join([head + ",trades", *(f"{row},x" for row in reversed(rows))])
    assert one(write(tmp_path / "newest_first.csv", text)).bars.tolist() == plain.bars.tolist()


def test_one_file_for_many_symbols_and_one_file_each_are_the_same(tmp_path, plain):
    head, *rows = lines().splitlines()
    both = [f"{name},{row}" for row in rows for name in ("ETHUSDT", "BTCUSDT")]
    table = write(tmp_path / "all.csv", "\n".join(["pair," + head, *both]))
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "BTCUSDT-1m.csv", lines())
    write(folder / "ETHUSDT.csv", "\n".join([head, *rows[:2]]))
    write(folder / "ETHUSDT_2.csv", "\n".join([head, *rows[2:]]))
    write(folder / "ETHUSDTX.csv", "not read")
    for path in (table, folder):
        found = load_bars(path, ["BTCUSDT", "ETHUSDT"], Market())
        assert {name: one.bars.tolist() for name, one in found.items()} == dict.fromkeys(
            ("BTCUSDT", "ETHUSDT"), plain.bars.tolist()
        )
        assert found["ETHUSDT"].instrument.base == "ETH"


def test_fast_bars_share_the_tick_of_the_slow_ones(tmp_path):
    slow = write(tmp_path / "slow.csv", lines())
    fast = write(
        tmp_path / "fast.csv",
        lines(time=lambda k: START_MS + k * MINUTE // 4).replace("102.5", "102.505"),
    )
    found = one(slow, fast=fast)
    assert found.instrument.tick_e8 == 10**5
    assert found.bars["close"][0] == 100_500
    assert found.fast["high"][2] == 102_505
    assert (found.fast_frame_ns, found.frame_ns) == (15 * 10**9, 60 * 10**9)
    with pytest.raises(Misconfigured, match="do not divide"):
        one(slow, fast=slow)


def test_without_volume_the_lot_is_the_finest(tmp_path):
    text = "\n".join(line.rpartition(",")[0] for line in lines().splitlines())
    found = one(write(tmp_path / "x.csv", text))
    assert not found.has_volume
    assert found.instrument.lot_e8 == 1


def test_prices_finer_than_eight_decimals_need_a_tick(tmp_path):
    path = write(tmp_path / "x.csv", lines().replace("100.75", "100.7500000001234"))
    with pytest.raises(Misconfigured, match="write `tick:` or `lot:` into the rules"):
        one(path)
    found = one(path, Market(tick=0.1, lot=0.001))
    assert (found.instrument.tick_e8, found.instrument.lot_e8) == (10**7, 10**5)
    assert found.bars["high"].tolist() == [1010, 1008, 1025, 1022]
    assert found.bars["volume_lots"].tolist() == [3250, 500, 10_000, 2000]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("open,high", "oben,high"), "no column open; bars need time"),
        (("open_time", "when"), "no column time; bars need time"),
        (("102.5,", "x,"), 'row 3: high is "x"; write a number, or remove the row'),
        (("102.5,", ","), 'row 3: high is ""; write a number'),
        (("102.5,", "99.0,"), "open or close outside low..high; mend or remove the row"),
        (("99.5,", "-1,"), "a price that is not above zero"),
        (("3.25", "-3.25"), "a volume below zero"),
        (("99.5,", "nan,"), "not a finite number"),
        ((",100.25,102.0,10.0", ""), "row 3 ends before its low; write all columns"),
        ((str(START_MS + 2 * MINUTE), str(START_MS + MINUTE)), "comes twice"),
        ((str(START_MS + 2 * MINUTE), "2023-07-01"), 'time is "2023-07-01"; write all times in one form'),
        (
            (str(START_MS + 4 * MINUTE), str(START_MS + 150_000)),
            "followed by one after 30s, although bars last 1m",
        ),
        ((HEAD + "\n", ""), "does not begin with the names of its columns"),
    ],
)
def test_a_bad_file_is_told_of_by_row(tmp_path, change, words):
    old, new = change
    assert old in lines()
    path = write(tmp_path / "bad.csv", lines().replace(old, new, 1))
    with pytest.raises(Misconfigured, match=words) as fault:
        one(path)
    assert "bad.csv" in str(fault.value)


def test_a_time_that_is_none_is_told_of(tmp_path):
    for wrong in ("yesterday", "2023-07-01T00:00:00+02:00", ""):
        times = [iso(START_MS), wrong, iso(START_MS + 2 * MINUTE), iso(START_MS + 4 * MINUTE), ""]
        text = lines(time=times.__getitem__)
        path = write(tmp_path / "bad.csv", text)
        with pytest.raises(Misconfigured, match=r'row 2: the time is "[^"]*"; write UTC milliseconds'):
            one(path)


def test_missing_files_folders_and_symbols_are_told_of(tmp_path):
    with pytest.raises(Misconfigured, match="there is no file"):
        one(tmp_path / "none.csv")
    with pytest.raises(Misconfigured, match=r"neither .csv nor .parquet"):
        one(write(tmp_path / "bars.txt", lines()))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Misconfigured, match="no file for BTCUSDT, for which there are signals"):
        one(empty)
    with pytest.raises(Misconfigured, match="not a readable parquet table"):
        one(write(tmp_path / "bars.parquet", lines()))
    with pytest.raises(Misconfigured, match="holds no rows below its header"):
        one(write(tmp_path / "head.csv", HEAD + "\n"))
    path = write(tmp_path / "all.csv", lines("symbol," + HEAD, lambda k: f"ETHUSDT,{START_MS + k * MINUTE}"))
    with pytest.raises(Misconfigured, match=r"no bars of ADAUSDT, BTCUSDT, .*it holds ETHUSDT"):
        load_bars(path, ["ADAUSDT", "BTCUSDT", "ETHUSDT"], Market())


def test_one_bar_has_no_frame_unless_the_rules_say_it(tmp_path):
    path = write(tmp_path / "one.csv", "\n".join(lines().splitlines()[:2]))
    with pytest.raises(Misconfigured, match="write `frame:` into the rules"):
        one(path)
    assert one(path, Market(frame_ns=300 * 10**9)).frame_ns == 300 * 10**9
