"""The real daemon against the real exchange, as processes over sockets."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnml.core.events import Bar, Guard, OperatorCommand
from bnml.journal.reader import JournalReader
from tests.e2e.kills import CONFIG, Rehearsal, rehearse

HOUR_NS = 3_600 * 10**9
STATUS_KEYS = {
    "mode",
    "venue",
    "state",
    "equity",
    "positions",
    "open_orders",
    "last_decision",
    "loop_lag_ms",
}


def bnml(*arguments, timeout=150):
    return subprocess.run(
        [sys.executable, "-m", "bnml", *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout,
    )


def stepped(data_dir, state):
    """Four days around the fall of 2023-08-17, on four symbols."""
    return bnml(
        *("run", "--venue", "sim", "--stepped", "--no-retrain", "--json", "--config", CONFIG),
        *("--replay", data_dir / "binance_spot/1h", "--base-frame", "1h"),
        *("--symbols", "ADAUSDT,DOGEUSDT,SOLUSDT,XRPUSDT", "--from", "2023-08-16", "--to", "2023-08-20"),
        *("--state-dir", state),
    )


def event_hash(state):
    digest = hashlib.sha256()
    with JournalReader(state / "journal.db") as journal:
        for _, payload in journal.event_payloads(1):
            digest.update(payload)
    return digest.hexdigest()


@pytest.fixture(scope="module")
def two_sessions(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stepped")
    return folder, [stepped(data_dir, folder / name) for name in ("one", "two")]


def test_a_stepped_session_trades_and_repeats_to_the_byte(two_sessions):
    tmp_path, runs = two_sessions
    summaries = []
    for run in runs:
        assert run.returncode == 0, run.stderr[-2000:]
        summaries.append(json.loads(run.stdout))
    assert summaries[0]["scans"] == 4 * 24 - 1
    assert summaries[0]["trades"] > 0
    assert event_hash(tmp_path / "one") == event_hash(tmp_path / "two")
    assert not (tmp_path / "one" / "exchange" / "endpoint.json").exists()
    with JournalReader(tmp_path / "one" / "journal.db") as journal:
        session = journal.session()
        trades = [trade for _, trade in journal.trades()]
    assert session.ending == "done"
    assert session.header.anchors.keys() == set(session.header.symbols)
    assert session.header.initial_balances == {"USDT": (1_000_000_000_000, 0)}
    assert len({trade.client_order_id for trade in trades}) == len(trades)


def test_what_orders_gave_away_is_what_the_exchange_was_told_to_take(two_sessions, tmp_path):
    """A cost model that is wrong is set right by what is measured on the exchange's own fills."""
    state = two_sessions[0] / "one"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("costs: {slippage_bps: 0.5, taker_bps: 4.0, maker_bps: 3.0}\n")
    reports = []
    for config in (CONFIG, wrong):
        done = bnml("shortfall", "--json", "--config", config, "--state-dir", state)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
    right, beside = reports
    with JournalReader(state / "journal.db") as journal:
        orders = {trade.client_order_id for _, trade in journal.trades()}
    assert sum(row["orders"] for row in right["rows"] if row["symbol"] and row["kind"] != "all") == len(
        orders
    )
    assert right["unknown"] == right["unpriced"] == 0
    for row in right["rows"]:
        assert abs(row["execution"] - row["assumed"]) < 0.001, row
        assert abs(row["commission"] - 10.0) < 0.1, row  # of the price decided at, charged on the fill
    assert {row["kind"] for row in right["rows"]} >= {"entry", "target", "stop", "exit", "all"}
    proposed = {one["key"]: one["value"] for one in beside["proposals"]}
    assert abs(proposed["slippage_bps"] - 2.0) < 0.01
    assert abs(proposed["taker_bps"] - 10.0) < 0.05
    assert abs(proposed["maker_bps"] - 10.0) < 0.05


def test_f25_a_symbol_that_is_halted_as_a_stepped_session_begins_is_traded_when_it_opens(
    data_dir, tmp_path, monkeypatch
):
    """Nobody looked again: no stop of it moved, it had neither entries nor exits, for as long as the session lasted."""
    script = tmp_path / "halt.yaml"
    halt = {"action": "symbol_status", "symbol": "DOGEUSDT", "status": "HALT", "lasts_market_s": 6 * 3600}
    script.write_text(json.dumps({"rules": [{"do": halt}]}))
    monkeypatch.setenv("BNML_VENUE__SIM__FAULTS", str(script))
    run = stepped(data_dir, tmp_path / "state")
    assert run.returncode == 0, run.stderr[-2000:]
    with JournalReader(tmp_path / "state" / "journal.db") as journal:
        told = [(one.level, one.ts_ns) for _, one in journal.events() if isinstance(one, Guard)]
        first_ns = min(one.ts_ns for _, one in journal.trades() if one.symbol == "DOGEUSDT")
    (shut, shut_ns), (opened, opened_ns) = told[:2]
    assert (shut, opened) == ("REDUCING", "ACTIVE")
    assert 6 * HOUR_NS <= opened_ns - shut_ns <= 7 * HOUR_NS
    assert first_ns > opened_ns


def said_by_status_after(word, state):
    """Give the word to the running daemon, and read what the first health row after it says."""
    given_ns = time.time_ns()
    done = bnml(word, "--json", "--state-dir", state)
    assert done.returncode == 0, done.stderr
    for _ in range(20):
        status = json.loads(bnml("status", "--json", "--state-dir", state).stdout)
        if status["ts_ns"] > given_ns + 10**9:
            return status
    raise AssertionError("no health row after the word")


def test_a_timed_session_shows_itself_guards_its_folder_and_stops_at_once(tmp_path):
    rehearsal = Rehearsal(tmp_path / "state", seed=1)
    rehearsal.start()
    try:
        rehearsal.wait_trading(3)
        shown = bnml("status", "--json", "--state-dir", tmp_path / "state")
        second = bnml("run", "--venue", "sim", "--no-retrain", "--state-dir", tmp_path / "state")
        halted = said_by_status_after("halt", tmp_path / "state")
        resumed = said_by_status_after("resume", tmp_path / "state")
    finally:
        begun = time.monotonic()
        rehearsal.daemon.send_signal(signal.SIGINT)
        code = rehearsal.daemon.wait(timeout=30)
    assert code == 0
    assert time.monotonic() - begun < 10
    status = json.loads(shown.stdout)
    assert status.keys() >= STATUS_KEYS
    assert (status["state"], status["venue"]) == ("running", "sim")
    assert halted["state"] == "halted: operator"
    assert "bnml resume" in halted["way_out"]
    assert (resumed["state"], resumed["way_out"]) == ("running", "")
    with JournalReader(tmp_path / "state" / "journal.db") as journal:
        words = [event.name for _, event in journal.events() if isinstance(event, OperatorCommand)]
    assert words == ["halt", "resume"]
    refused = bnml("resume", "--state-dir", tmp_path / "state")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert second.returncode == 3
    assert f"process {rehearsal.daemon.pid}" in second.stderr
    after = json.loads(bnml("status", "--json", "--state-dir", tmp_path / "state").stdout)
    assert after["state"] == "stopped"
    assert "bnml stopped: " in (tmp_path / "state.log").read_text()


def test_once_decides_on_the_last_closed_bar_and_ends(tmp_path):
    run = bnml(
        *("run", "--venue", "sim", "--once", "--no-retrain", "--json", "--config", CONFIG),
        *("--symbols", "BTCUSDT,ETHUSDT", "--state-dir", tmp_path / "state"),
    )
    assert run.returncode == 0, run.stderr[-2000:]
    with JournalReader(tmp_path / "state" / "journal.db") as journal:
        decisions = [decision for _, decision in journal.decisions()]
        bars = {event.symbol: event for _, event in journal.events() if isinstance(event, Bar)}
    assert {one.symbol for one in decisions} == {"BTCUSDT", "ETHUSDT"}
    assert {one.ts_close_ns for one in decisions} == {bar.ts_close_ns for bar in bars.values()}


def test_killed_twice_everything_still_agrees(tmp_path):
    result = rehearse(tmp_path / "state", kills=2, seed=3, longest_s=4.0)
    assert result["orders"] > 0


def test_live_trading_is_refused_without_the_operators_word(tmp_path):
    run = bnml("run", "--venue", "live", "--state-dir", tmp_path / "state")
    assert run.returncode == 3
    assert "live.confirm" in run.stderr


def test_a_state_folder_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "state").write_text("")
    run = bnml("run", "--venue", "sim", "--state-dir", tmp_path / "state")
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert str(Path(tmp_path / "state")) in run.stderr
