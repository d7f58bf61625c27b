"""A discovered universe over days: the ranking of each day, and symbols that join and leave."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import duckdb
import pytest

from bnml.core.clock import NS_PER_DAY, NS_PER_MS, parse_utc_ns
from bnml.core.events import Bar, InstrumentUpdate, Scan, Timer, UniverseUpdate
from bnml.core.orders import Side
from bnml.journal.reader import JournalReader
from tests.e2e.kills import CONFIG, Rehearsal

FIRST, END = "2023-07-13", "2023-07-18"  # the leap of XRP changes every rank
MOST = 3
HISTORY = 600  # of busy.yaml


def ranked(data_dir, ts_ns):
    """The symbols of most turnover in the 24 h before, from the files themselves."""
    found = []
    for file in (data_dir / "binance_spot/1h").glob("*.parquet"):
        (row,) = duckdb.execute(
            "SELECT sum(volume * (open + high + low + close) / 4) FROM read_parquet(?) WHERE open_time >= ? AND open_time < ?",
            [str(file), (ts_ns - NS_PER_DAY) // NS_PER_MS, ts_ns // NS_PER_MS],
        ).fetchall()
        found.append((-(row[0] or 0), file.stem))
    return tuple(symbol for _, symbol in sorted(found)[:MOST])


@pytest.fixture(scope="module")
def session(data_dir, tmp_path_factory):
    """Events and trades of five days, stepped, with the three symbols of most turnover."""
    state = tmp_path_factory.mktemp("universe") / "state"
    command = [sys.executable, "-m", "bnml", "run", "--venue", "sim", "--stepped", "--no-retrain", "--json"]
    command += [
        "--config",
        str(CONFIG),
        "--symbols",
        "*/USDT",
        "--state-dir",
        str(state),
        "--base-frame",
        "1h",
    ]
    command += ["--replay", str(data_dir / "binance_spot/1h"), "--from", FIRST, "--to", END]
    environment = {**os.environ, "BNML_UNIVERSE__MAX_SYMBOLS": str(MOST)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    with JournalReader(state / "journal.db") as journal:
        return list(journal.events()), list(journal.trades()), list(journal.decisions()), done.stderr


def universes(session):
    return [(seq, event) for seq, event in session[0] if isinstance(event, UniverseUpdate)]


def test_each_day_has_its_ranking_of_the_day_before(session, data_dir):
    days = universes(session)
    assert [event.symbols for _, event in days] == [
        ranked(data_dir, event.ts_ns // NS_PER_DAY * NS_PER_DAY) for _, event in days
    ]
    assert len({event.symbols for _, event in days}) > 3
    for _, event in days:
        assert list(event.turnover_e8) == sorted(event.turnover_e8, reverse=True)
        assert len(event.turnover_e8) == MOST


def test_each_day_roll_is_journaled_before_its_universe(session):
    rolls = [event.ts_ns for _, event in session[0] if isinstance(event, Timer)]
    first = parse_utc_ns(FIRST)
    assert [ts_ns // NS_PER_DAY for ts_ns in rolls] == [first // NS_PER_DAY + n for n in range(1, 5)]
    assert [event.ts_ns for _, event in universes(session)][1:] == rolls


def test_a_newcomer_is_known_with_its_history_before_it_may_be_entered(session):
    known, bars = set(), {}
    for _, event in session[0]:
        if isinstance(event, InstrumentUpdate):
            known.add(event.instrument.symbol)
        elif isinstance(event, Bar):
            bars[event.symbol] = bars.get(event.symbol, 0) + 1
        elif isinstance(event, UniverseUpdate) and event.ts_ns > parse_utc_ns(FIRST) + NS_PER_DAY / 2:
            assert known >= set(event.symbols)
            assert min(bars[symbol] for symbol in event.symbols) >= HISTORY


def test_a_newcomer_is_decided_from_the_next_scan_on_and_its_bars_have_no_hole(session):
    events, _, decisions, said = session
    assert "bars_missing" not in said
    days = universes(session)
    for (_, before), (seq, now) in pairwise(days):
        first = {}
        for at, decision in decisions:
            if at > seq:
                first.setdefault(decision.symbol, decision.ts_close_ns)
        for symbol in set(now.symbols) - set(before.symbols):
            assert first[symbol] == now.ts_ns // NS_PER_DAY * NS_PER_DAY + NS_PER_DAY // 24
    closes = {}
    for _, event in events:
        if isinstance(event, Bar):
            assert closes.get(event.symbol, event.ts_open_ns) == event.ts_open_ns
            closes[event.symbol] = event.ts_close_ns


def test_only_members_are_entered(session):
    _, trades, _, _ = session
    days = universes(session)
    entries = [(seq, trade.symbol) for seq, trade in trades if trade.side is Side.BUY]
    assert entries
    for seq, symbol in entries:
        assert symbol in [event.symbols for at, event in days if at < seq][-1]


def test_a_symbol_that_was_taken_off_the_list_is_followed_until_it_is_flat(tmp_path):
    rehearsal = Rehearsal(tmp_path / "state", seed=4)
    rehearsal.start()
    try:
        rehearsal.wait_trading(1)
        deadline = time.monotonic() + 60
        while not rehearsal.health().positions and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        rehearsal.daemon.send_signal(signal.SIGINT)
        assert rehearsal.daemon.wait(timeout=30) == 0
    listed = {"LTCUSDT", "SIM012USDT"}  # the latter keeps the market as large as it was
    held = {one.symbol for one in rehearsal.health().positions} - listed
    assert held
    command = [
        sys.executable,
        "-m",
        "bnml",
        "run",
        "--no-retrain",
        "--config",
        str(CONFIG),
        "--symbols",
        ",".join(sorted(listed)),
    ]
    command += ["--state-dir", str(tmp_path / "state"), "--stop-after", "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    with JournalReader(tmp_path / "state" / "journal.db") as journal:
        session = journal.session()
        events = [event for _, event in journal.events(session=session.id)]
        trades = [trade for _, trade in journal.trades(session.id)]
    assert set(session.header.symbols) == listed
    scanned = {event.ts_close_ns for event in events if isinstance(event, Scan)}
    seen = {event.symbol for event in events if isinstance(event, Bar) and event.ts_close_ns in scanned}
    assert seen == held | listed
    assert {trade.symbol for trade in trades if trade.side is Side.BUY} <= listed
    # The time stop of six hours is long over after thirty bars of 15m.
    assert {trade.symbol for trade in trades if trade.side is Side.SELL} >= held
    assert not {one.symbol for one in rehearsal.health().positions} & held
