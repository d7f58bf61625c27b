"""What an operator does wrong, or the world: one clear sentence, the right exit code, nothing lost."""

import ctypes
import json
import os
import shutil
import socket

import msgspec
import pytest

from bnml.app.folder import StateFolder
from bnml.app.training import training_spec
from bnml.config import load
from bnml.core.clock import parse_utc_ns
from bnml.journal.reader import JournalReader
from bnml.learn.dataset import SymbolBars
from bnml.learn.train import publish_trained, train_symbol
from bnml.trading.compile import instrument_record
from bnml.venues.history import load_history
from tests.acceptance.kit import bnml, cut_recording, journal_content, refusal

SYMBOLS = ("BTCUSDT", "ETHUSDT")
CONFIG = """
features: {base_frame: 1h, higher_frames: [4h], history_bars: 600}
universe: {symbols: [BTCUSDT, ETHUSDT]}
learning: {gate: false, max_rows: 500, folds: 2, fold_trees: 10, rf: {trees: 10}, xgb: {rounds: 10}}
"""
# The exchange was down from 02:00 to 04:00 on April 20.
RUN = ("run", "--from", "2021-04-19T20:00", "--stepped", "--no-retrain")
DAEMON = (*RUN, "--replay", "data")
SCANS = 12
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


def publish_bundle(home, symbol, to, **options):
    """A small real bundle of bars up to `to`; returns its id."""
    chosen = {
        f"{group}.{key}": (value, "test") for group, keys in options.items() for key, value in keys.items()
    }
    chosen["learning.models_dir"] = (str(home / "models"), "test")
    settings = load(home / "config.yaml", {}, chosen)
    found = load_history(home / "data", [symbol], to_ns=parse_utc_ns(to))[symbol]
    history = SymbolBars(found.instrument, instrument_record(found.instrument), found.bars)
    spec = training_spec(settings, 0)
    return publish_trained(train_symbol(history, spec, lambda _phase: None), spec)


@pytest.fixture(scope="module")
def home(data_dir, tmp_path_factory):
    """A working folder with data, and models of which the newest are not fit for use."""
    folder = tmp_path_factory.mktemp("bad_input")
    (folder / "config.yaml").write_text(CONFIG)
    for symbol in SYMBOLS:
        source = data_dir / "binance_spot" / "1h" / f"{symbol}.parquet"
        cut_recording(source, folder / "data" / f"{symbol}.parquet", "2021-02-01", "2021-04-21T12:00")
    return folder


@pytest.fixture(scope="module")
def bundles(home):
    """(good older version, spoiled current version) of each symbol."""
    good = {symbol: publish_bundle(home, symbol, "2021-04-10") for symbol in SYMBOLS}
    cut_short = publish_bundle(home, "BTCUSDT", "2021-04-18")
    forest = home / "models" / cut_short / "forest.npz"
    forest.write_bytes(forest.read_bytes()[:-1000])
    other_features = publish_bundle(home, "ETHUSDT", "2021-04-18", features={"higher_frames": ["4h", "1d"]})
    return {"BTCUSDT": (good["BTCUSDT"], cut_short), "ETHUSDT": (good["ETHUSDT"], other_features)}


@pytest.fixture(scope="module")
def session(home, bundles):
    """One run of the daemon over an outage with spoiled models: its result and its log."""
    out, said, logged = bnml(*DAEMON, "--stop-after", SCANS, "--json", cwd=home)
    assert said == []
    return msgspec.json.decode(out), [json.loads(line) for line in logged]


@pytest.fixture
def state(home, session):
    """The state folder of that run; whatever the test does, what was recorded is still there after it."""
    before = journal_content(home / "state")
    assert len(before["decisions"]) == SCANS * len(SYMBOLS)
    yield home / "state"
    assert journal_content(home / "state") == before


def events(log, name):
    return [line for line in log if line["event"] == name]


def test_spoiled_bundles_are_refused_and_the_previous_ones_decide(home, session, bundles):
    _, log = session
    reasons = {line["symbol"]: line["reason"] for line in events(log, "model_refused")}
    assert reasons == {
        "BTCUSDT": f"bundle {bundles['BTCUSDT'][1]}: forest.npz is cut short or damaged, its checksum differs",
        "ETHUSDT": reasons["ETHUSDT"],
    }
    assert f"bundle {bundles['ETHUSDT'][1]} was trained on feature version" in reasons["ETHUSDT"]
    assert reasons["ETHUSDT"].endswith("train it again")
    with JournalReader(home / "state" / "journal.db") as journal:
        decided = {(one.symbol, one.bundle_id) for _, one in journal.decisions()}
        header = journal.session().header
    assert decided == {(symbol, good) for symbol, (good, _) in bundles.items()}
    assert header.bundles == {symbol: good for symbol, (good, _) in bundles.items()}


def test_parity_takes_the_bundles_that_the_session_used(home, session):
    out, said, _ = bnml("parity", "--allow-few", "--json", cwd=home)
    assert all(line.startswith("note: ") for line in said)
    verdict = json.loads(out)
    assert verdict["compared"] > SCANS * len(SYMBOLS)
    assert (verdict["differences"], verdict["first"]) == (0, [])


def test_a_gap_in_the_data_is_said_and_traded_through(home, session):
    result, log = session
    assert result["scans"] == SCANS
    missing = [(line["symbol"], line["bars"], line["until"]) for line in events(log, "bars_missing")]
    assert missing == [(symbol, 2, "2021-04-20T04:00:00Z") for symbol in SYMBOLS]


def test_a_bundle_that_was_lost_between_two_runs_is_withdrawn(home, session, bundles, tmp_path):
    """The state remembers bundles that are gone: the daemon says so and holds, and recovers all else."""
    shutil.copytree(home / "state", tmp_path / "state", ignore=shutil.ignore_patterns("exchange"))
    shutil.copytree(home / "state" / "exchange", tmp_path / "state" / "exchange")
    before = journal_content(tmp_path / "state")
    _, said, logged = bnml(
        *DAEMON,
        "--stop-after",
        1,
        "--state-dir",
        tmp_path / "state",
        "--models-dir",
        tmp_path / "none",
        cwd=home,
    )
    log = [json.loads(line) for line in logged]
    assert said == []
    assert [line["symbol"] for line in events(log, "model_withdrawn")] == list(SYMBOLS)
    assert "train it again" in events(log, "model_withdrawn")[0]["reason"]
    after = journal_content(tmp_path / "state")
    for kind in ("events", "commands", "decisions", "trades"):
        assert after[kind][: len(before[kind])] == before[kind]
    assert {one.bundle_id for _, one in after["decisions"][len(before["decisions"]) :]} == {""}


def test_a_backtest_says_the_gaps_and_refuses_a_spoiled_bundle(home, bundles):
    out, said, _ = bnml(
        "backtest", "--replay", "data", "--symbols", "BTCUSDT", "--from", "2021-04-19", cwd=home, code=3
    )
    assert out == ""
    assert said == [
        "note: BTCUSDT: 4 bars are missing in 3 gaps, the largest 2 bars from 2021-04-20T02:00:00Z; they are not filled",
        f"bnml: bundle {bundles['BTCUSDT'][1]}: forest.npz is cut short or damaged, its checksum differs",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "risk:\n  max_positons: 3\n",
            "bnml: bad.yaml line 2: there is no key risk.max_positons; the nearest valid key is risk.max_positions",
        ),
        (
            "\nrisk:\n  max_positions: 0\n",
            "bnml: bad.yaml line 3: risk.max_positions is 0 (positions); allowed: whole numbers 1 to 500",
        ),
        (
            "risk: [1\n",
            "bnml: bad.yaml line 2 is not valid YAML: expected ',' or ']', but got '<stream end>'",
        ),
    ],
)
def test_a_wrong_configuration_names_line_key_and_what_is_allowed(home, state, text, sentence):
    (home / "bad.yaml").write_text(text)
    assert refusal(*DAEMON, "--config", "bad.yaml", cwd=home, code=2) == sentence


def test_a_missing_data_folder_is_named(home, state):
    sentence = refusal(*RUN, "--replay", "date", cwd=home, code=2)
    assert sentence == "bnml: there is no data folder date; name one that holds recorded data with --replay"


@pytest.mark.parametrize("command", [(*RUN, "--stop-after", "1"), ("backtest", "--from", "2021-04-19")])
def test_a_corrupt_parquet_file_is_named(home, state, command):
    folder = home / "corrupt"
    if not folder.exists():
        shutil.copytree(home / "data", folder)
        whole = (folder / "ETHUSDT.parquet").read_bytes()
        (folder / "ETHUSDT.parquet").write_bytes(whole[: len(whole) // 2])
    sentence = refusal(*command, "--replay", "corrupt", cwd=home, code=2)
    assert "corrupt/ETHUSDT.parquet is not a readable parquet file of bars" in sentence
    assert sentence.endswith("fetch or write it again")


def test_a_port_in_use_is_named(home, state):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refusal(*DAEMON, "--port", port, cwd=home, code=4)
    assert f"port {port} of 127.0.0.1 cannot be opened" in sentence
    assert "address already in use" in sentence.lower()
    assert "--port" in sentence


def test_a_second_daemon_on_the_same_state_is_refused(home, state):
    with StateFolder(state):
        sentence = refusal(*DAEMON, cwd=home, code=3)
    assert f"another daemon (process {os.getpid()}) is using the state folder state" in sentence
    assert "--state-dir" in sentence


def forget_privileges():
    """In the child: root writes anywhere, unless it gives up the capability to do so."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if library.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "a capability cannot be dropped")


def test_a_state_folder_without_write_permission_is_named(home, state):
    state.chmod(0o555)
    try:
        sentence = refusal(*DAEMON, cwd=home, code=2, preexec=forget_privileges)
    finally:
        state.chmod(0o755)
    assert (
        sentence == "bnml: the state folder state cannot be written; change its owner or choose --state-dir"
    )


def test_a_journal_without_write_permission_is_named(home, state):
    journal = state / "journal.db"
    journal.chmod(0o444)
    try:
        sentence = refusal(*DAEMON, cwd=home, code=2, preexec=forget_privileges)
    finally:
        journal.chmod(0o644)
    assert "the journal state/journal.db cannot be written" in sentence
    assert "--state-dir" in sentence


def test_a_file_where_the_state_folder_should_be_is_named(home, state):
    (home / "occupied").write_text("not a folder")
    sentence = refusal(*DAEMON, "--state-dir", "occupied", cwd=home, code=2)
    assert "the state folder occupied cannot be made" in sentence
    assert (home / "occupied").read_text() == "not a folder"


def test_a_damaged_journal_is_kept_aside_and_entries_wait_for_a_person(home, session, tmp_path):
    shutil.copytree(home / "state", tmp_path / "state")
    damaged = tmp_path / "state" / "journal.db"
    for leftover in ("journal.db-wal", "journal.db-shm"):
        (tmp_path / "state" / leftover).unlink(missing_ok=True)
    damaged.write_bytes(b"no database at all" * 1000)
    out, said, logged = bnml(*DAEMON, "--state-dir", tmp_path / "state", cwd=home)
    assert said == []
    assert "fills 0" in out
    assert "recovery HALTED: the journal was set aside" in out
    assert "bnml recover --acknowledge" in out
    assert any('"event": "journal_damaged"' in line for line in logged)
    (aside,) = damaged.parent.glob("journal.db.damaged-*")
    assert aside.read_bytes() == b"no database at all" * 1000
