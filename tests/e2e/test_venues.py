"""Paper, testnet and live against a stand-in on this machine; nothing here can reach Binance, or tries to."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import pairwise

import pytest

from bnml.core.commands import Submit
from bnml.core.events import Bar
from bnml.core.orders import ListTicket
from bnml.journal.reader import JournalReader
from tests.e2e.standin import CONFIG, SYMBOLS, StandIn, guarded, outcome


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """One session of each kind, at the same time: kind -> (exit code, summary, stderr, state folder, stand-in)."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("testnet", "live", "paper")}
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        standins = dict(
            zip(
                folders,
                pool.map(lambda one: stack.enter_context(StandIn(one)), folders.values()),
                strict=True,
            )
        )
        runs = {
            kind: guarded(
                folder,
                *("run", "--venue", kind, "--no-retrain", "--json", "--stop-after", "3"),
                *("--config", standins[kind].config(), "--state-dir", folder / "state"),
                keys={} if kind == "paper" else standins[kind].keys,
            )
            for kind, folder in folders.items()
        }
        yield {kind: (*outcome(run), folders[kind] / "state", standins[kind]) for kind, run in runs.items()}


def journaled(state):
    with JournalReader(state / "journal.db") as journal:
        submitted = [one for _, one in journal.commands() if isinstance(one, Submit)]
        return (
            journal.session(),
            [event for _, event in journal.events() if isinstance(event, Bar)],
            [one.order.ticket for one in submitted],
            [trade for _, trade in journal.trades()],
        )


@pytest.mark.parametrize("kind", ["testnet", "live", "paper"])
def test_it_connects_backfills_decides_enters_with_protection_and_stops(ended, kind):
    code, summary, errors, state, _ = ended[kind]
    assert code == 0, errors[-3000:]
    session, bars, tickets, trades = journaled(state)
    assert (summary["venue"], session.header.venue, session.ending) == (kind, kind, "done")
    assert summary["scans"] >= 3  # one more may fall due while it stops
    opens = [bar.ts_open_ns for bar in bars if bar.symbol == SYMBOLS[0]]
    assert len(opens) >= 600
    assert {later - earlier for earlier, later in pairwise(opens)} == {60 * 10**9}
    entries = [ticket for ticket in tickets if isinstance(ticket, ListTicket)]
    assert entries
    assert trades
    assert {trade.client_order_id[:2] for trade in trades} == {"bn"}


def test_live_uses_no_more_than_its_capital(ended):
    _, _, tickets, _ = journaled(ended["live"][3])
    _, _, larger, _ = journaled(ended["testnet"][3])
    assert 0 < lots(tickets) * 5 < lots(larger)


def lots(tickets):
    """The largest entry; of 1,000 in live, of 10,000 on the test network."""
    return max(ticket.working.quantity_lots for ticket in tickets if isinstance(ticket, ListTicket))


def test_a_rehearsal_of_live_says_so(ended):
    assert "live_is_a_rehearsal" in ended["live"][2]


def test_paper_money_is_paper_and_the_source_was_only_read(ended):
    _, summary, _, state, standin = ended["paper"]
    assert summary["equity_start"] == "5000.00"
    assert (state / "paper" / "ledger.db").is_file()
    assert not (state / "exchange").exists()
    assert not (state / "paper" / "endpoint.json").exists()
    assert orders_at(standin) == 0
    assert orders_at(ended["testnet"][4]) > 0


def orders_at(standin):
    """How many orders the stand-in's own account ever had."""
    ledger = standin.folder / "binance" / "exchange" / "ledger.db"
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM orders").fetchone()[0]


@pytest.fixture
def config(tmp_path):
    """Addresses at which nobody listens."""

    def write(*, confirm):
        file = tmp_path / "config.yaml"
        file.write_text(CONFIG.format(port=9, confirm=str(confirm).lower()))
        return file

    return write


def test_what_is_missing_is_one_sentence_and_its_code(tmp_path, config):
    keys = {"BINANCE_API_KEY": "k" * 64, "BINANCE_API_SECRET": "s" * 64}
    common = ("--no-retrain", "--json", "--state-dir")
    cases = [
        (("live", True, {}), 3, "BINANCE_API_KEY"),
        (("testnet", True, {}), 3, "needs an API key"),
        (("testnet", True, keys), 4, "no answer from http://127.0.0.1:9"),
        (("paper", True, {}), 4, "no answer from http://127.0.0.1:9"),
    ]
    runs = []
    for number, ((kind, confirm, given), _, _) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.yaml").write_text(config(confirm=confirm).read_text())
        runs.append(
            guarded(
                folder, "run", "--venue", kind, "--config", folder / "config.yaml",
                *common, folder / "state", keys=given,
            )
        )  # fmt: skip
    for (_, code, words), run in zip(cases, runs, strict=True):
        found, _, errors = outcome(run)
        sentence = errors.strip().splitlines()[-1]
        assert (found, sentence[:6]) == (code, "bnml: "), errors[-2000:]
        assert words in sentence
        assert "Traceback" not in errors


def test_a_folder_of_one_venue_is_refused_by_another(ended, tmp_path):
    state = ended["testnet"][3]
    run = guarded(
        tmp_path, "run", "--venue", "paper", "--no-retrain", "--config", state.parent / "config.yaml",
        "--state-dir", state,
    )  # fmt: skip
    code, _, errors = outcome(run)
    assert code == 3
    assert "belongs to --venue testnet, this run wants paper" in errors


def test_these_tests_cannot_leave_this_machine(tmp_path):
    (tmp_path / "config.yaml").write_text("venue: {paper: {rest_url: 'https://binance.invalid'}}")
    run = guarded(tmp_path, "exchange", "--venue", "paper", "--config", tmp_path / "config.yaml",
                  "--state-dir", tmp_path / "state")  # fmt: skip
    code, _, errors = outcome(run)
    assert (code, "a foreign address: binance.invalid" in errors) == (97, True)


def test_paper_has_no_recorded_market(tmp_path, config):
    run = guarded(
        tmp_path, "run", "--venue", "paper", "--replay", tmp_path, "--no-retrain",
        "--config", config(confirm=False), "--state-dir", tmp_path / "state",
    )  # fmt: skip
    code, _, errors = outcome(run)
    assert (code, "leave them out with --venue paper" in errors) == (2, True)
