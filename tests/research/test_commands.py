"""`backtest` and `parity` as an operator meets them: one JSON object, a CSV, exit codes, sentences."""

import asyncio
import csv
import json

import msgspec
import pytest

from bnml.core.errors import Misconfigured, Rejected
from bnml.core.events import Timer, UniverseUpdate
from bnml.journal.schema import SessionHeader
from bnml.journal.writer import JournalWriter
from bnml.kernels import KERNEL_HASH
from bnml.options import BacktestOptions, MarketOptions, ParityOptions
from bnml.research.commands import backtest, parity
from bnml.research.market import load_market
from bnml.research.models import load_models
from bnml.research.runs import run_replay
from bnml.trading.compile import compile_layout
from bnml.venues.history import write_history
from tests.trading.kit import EAGER, HOUR_NS, START_NS, instrument, lively_bars, settings

SYMBOLS = ("BTCUSDT", "ETHUSDT")
FROM_NS = START_NS + 500 * HOUR_NS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded")
    for seed, symbol in enumerate(SYMBOLS):
        write_history(path / f"{symbol}.parquet", instrument(symbol), lively_bars(1000, 20 + seed))
    return path


def chosen(tmp_path, **sections):
    tree = {
        **EAGER,
        "decision": {"without_model": "rule"},
        "app": {"state_dir": tmp_path},
        "learning": {"models_dir": tmp_path / "models"},
        "universe": {"symbols": list(SYMBOLS)},
    }
    return settings(**tree, **sections)


def test_both_engines_print_one_json_object_with_the_promised_keys(folder, tmp_path, capsys):
    found = {}
    for engine in ("replay", "sweep"):
        options = BacktestOptions(replay=folder, from_ns=FROM_NS, json=True, engine=engine)
        assert backtest(chosen(tmp_path), options) == 0
        found[engine] = json.loads(capsys.readouterr().out)
    promised = {
        "trades",
        "symbols",
        "bars",
        "from",
        "to",
        "net_return",
        "max_drawdown",
        "profit_factor",
        "sharpe",
    }
    for summary in found.values():
        assert promised | {"costs", "elapsed_s"} <= set(summary)
        assert summary["bars"] == 1000
        assert summary["trades"] > 10
    timing = {"elapsed_s": 0, "trials": 0, "deflated_sharpe": 0}
    assert found["sweep"] | timing == found["replay"] | timing
    assert found["sweep"]["initial_equity"] == 10_000


def test_one_symbol_gives_the_same_summary_from_both_engines(folder, tmp_path, capsys):
    found = []
    one = chosen(tmp_path)
    one = one.model_copy(update={"universe": one.universe.model_copy(update={"symbols": ("ETHUSDT",)})})
    for engine in ("replay", "sweep"):
        assert backtest(one, BacktestOptions(replay=folder, from_ns=FROM_NS, json=True, engine=engine)) == 0
        summary = json.loads(capsys.readouterr().out)
        del summary["elapsed_s"]
        found.append(summary)
    assert found[0] == found[1]


def test_the_table_and_the_csv_are_for_people(folder, tmp_path, capsys):
    path = tmp_path / "trades.csv"
    options = BacktestOptions(replay=folder, from_ns=FROM_NS, trades=path)
    assert backtest(chosen(tmp_path), options) == 0
    assert "profit factor" in capsys.readouterr().out
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {row["side"] for row in rows} == {"BUY", "SELL"}
    assert {"stop", "none"} <= {row["reason"] for row in rows}
    assert all(float(row["pnl"]) == 0 for row in rows if row["side"] == "BUY")


def test_the_page_and_its_tables_are_written_beside_the_summary(folder, tmp_path, capsys):
    options = BacktestOptions(
        replay=folder,
        from_ns=FROM_NS,
        engine="sweep",
        json=True,
        report=tmp_path / "page.html",
        tables=tmp_path / "tables",
    )
    assert backtest(chosen(tmp_path), options) == 0
    summary = json.loads(capsys.readouterr().out)
    text = (tmp_path / "page.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "Random entries, same exits" in text
    assert "(as configured)" in text
    assert "compare them with each other only" not in text  # the run again is the run
    assert json.loads((tmp_path / "tables" / "summary.json").read_text()) == summary
    rows = list(csv.DictReader((tmp_path / "tables" / "positions.csv").read_text().splitlines()))
    same = json.loads((tmp_path / "tables" / "positions.json").read_text())
    assert [row["pnl"] for row in rows] == [str(one["pnl"]) for one in same]
    assert sum(not one["is_open"] for one in same) == summary["trades"]
    daily = json.loads((tmp_path / "tables" / "daily.json").read_text())
    assert daily[-1]["equity"] == summary["final_equity"]


@pytest.mark.parametrize("option", ["report", "tables"])
def test_a_page_that_cannot_be_written_is_told_of(folder, tmp_path, option):
    (tmp_path / "file").write_text("")
    options = BacktestOptions(
        replay=folder, from_ns=FROM_NS, engine="sweep", **{option: tmp_path / "file" / "page.html"}
    )
    with pytest.raises(Misconfigured, match=f"--{option}"):
        backtest(chosen(tmp_path), options)


def test_a_csv_that_cannot_be_written_is_told_of(folder, tmp_path):
    options = BacktestOptions(
        replay=folder, from_ns=FROM_NS, trades=tmp_path / "no" / "trades.csv", engine="sweep"
    )
    with pytest.raises(Misconfigured, match="--trades"):
        backtest(chosen(tmp_path), options)


def test_the_generated_market_needs_no_data(tmp_path, capsys):
    tree = settings(
        **EAGER,
        decision={"without_model": "rule"},
        universe={"symbols": ["BTCUSDT"]},
        app={"state_dir": tmp_path},
        learning={"models_dir": tmp_path / "models"},
    )
    assert backtest(tree, BacktestOptions(json=True, engine="sweep")) == 0
    assert json.loads(capsys.readouterr().out)["bars"] == 60 * 24


def test_every_run_is_a_trial_of_its_data(folder, tmp_path, capsys):
    options = BacktestOptions(replay=folder, from_ns=FROM_NS, engine="sweep", json=True)
    for trials in (1, 1, 2):  # the same run again is no other trial
        changes = {} if trials == 1 else {"costs": {"taker_bps": 30.0}}
        assert backtest(chosen(tmp_path, **changes), options) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["trials"] == trials
    assert summary["deflated_sharpe"] <= summary["probabilistic_sharpe"]


def test_a_ledger_that_cannot_be_written_is_noted(folder, tmp_path, capsys):
    (tmp_path / "trials.db").mkdir()
    options = BacktestOptions(replay=folder, from_ns=FROM_NS, engine="sweep", json=True)
    assert backtest(chosen(tmp_path), options) == 0
    assert "the ledger of trials" in capsys.readouterr().err


def test_without_models_and_without_rule_there_is_nothing_to_decide_with(folder, tmp_path):
    bare = chosen(tmp_path).model_copy(update={"decision": settings().decision})
    with pytest.raises(Misconfigured, match="bnml train"):
        backtest(bare, BacktestOptions(replay=folder, from_ns=FROM_NS))


def test_a_start_after_the_data_is_told_of(folder, tmp_path):
    with pytest.raises(Misconfigured, match="fewer than two bars"):
        backtest(chosen(tmp_path), BacktestOptions(replay=folder, from_ns=START_NS + 10**6 * HOUR_NS))


def record(journal, made, folder, result, mode="stepped", first_events=()):
    """A session as the daemon leaves it, with the conclusions of a replay."""
    header = SessionHeader(
        venue="sim",
        mode=mode,
        symbols=SYMBOLS,
        base_frame="1h",
        higher_frames=("4h",),
        instance="test",
        epoch=1,
        config_hash=made.content_hash(),
        kernel_hash=KERNEL_HASH,
        code_version="0",
        tier="F1",
        seed=42,
        config=made.model_dump_json(),
        data_dir=str(folder),
        from_ns=FROM_NS,
        to_ns=None,
    )

    async def write():
        writer = await JournalWriter.open(journal, "process")
        task = asyncio.create_task(writer.run())
        await writer.begin_session(header, 1)
        for event in first_events:
            writer.append_event(event)
        seq = writer.append_event(Timer("start", 1))
        writer.append_outcomes(seq, [*result.decisions, *result.trades, *result.equity], {})
        await writer.barrier()
        task.cancel()
        await writer.close()

    asyncio.run(write())


@pytest.fixture(scope="module")
def replayed(folder, tmp_path_factory):
    made = chosen(tmp_path_factory.mktemp("state"))
    market = load_market(made, MarketOptions(replay=folder, from_ns=FROM_NS))
    return run_replay(made, market, load_models(made, compile_layout(made.features), SYMBOLS))


def test_a_session_is_compared_with_its_replay_and_that_with_a_sweep(folder, replayed, tmp_path, capsys):
    made = chosen(tmp_path)
    record(tmp_path / "journal.db", made, folder, replayed)
    assert parity(made, ParityOptions(json=True, allow_few=True)) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["differences"] == 0
    pairs = [(one["left"], one["right"]) for one in verdict["comparisons"]]
    assert pairs == [("session", "replay"), ("replay", "sweep")]
    assert verdict["compared"] > 2 * 998


def test_a_session_that_differs_fails_and_shows_the_row(folder, replayed, tmp_path, capsys):
    made = chosen(tmp_path)
    broken = msgspec.structs.replace(replayed.trades[3], price_ticks=replayed.trades[3].price_ticks + 1)
    changed = msgspec.structs.replace(replayed, trades=[*replayed.trades[:3], broken, *replayed.trades[4:]])
    record(tmp_path / "journal.db", made, folder, changed)
    assert parity(made, ParityOptions(json=True, allow_few=True)) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["differences"] == 1
    assert "price_ticks" in verdict["first"][0]["what"]


def test_a_session_stopped_early_is_compared_up_to_its_last_scan(folder, replayed, tmp_path, capsys):
    made = chosen(tmp_path)
    last_ns = replayed.decisions[600].ts_close_ns
    cut = msgspec.structs.replace(
        replayed,
        decisions=[one for one in replayed.decisions if one.ts_close_ns <= last_ns],
        trades=[one for one in replayed.trades if one.ts_ns <= last_ns],
    )
    record(tmp_path / "journal.db", made, folder, cut)
    assert parity(made, ParityOptions(json=True, allow_few=True)) == 0
    assert json.loads(capsys.readouterr().out)["comparisons"][0]["compared"] < 800


def test_another_tier_is_not_compared(folder, replayed, tmp_path):
    record(tmp_path / "journal.db", chosen(tmp_path), folder, replayed)
    with pytest.raises(Rejected, match=r"costs\.tier"):
        parity(chosen(tmp_path, costs={"tier": "F0"}), ParityOptions())


def test_a_session_whose_universe_changed_is_not_compared(folder, replayed, tmp_path):
    same = [UniverseUpdate(SYMBOLS, 1), UniverseUpdate(SYMBOLS[::-1], 2)]
    record(tmp_path / "journal.db", chosen(tmp_path), folder, replayed, first_events=same)
    assert parity(chosen(tmp_path), ParityOptions(allow_few=True)) == 0
    other = tmp_path / "other"
    other.mkdir()
    changed = [*same, UniverseUpdate(SYMBOLS[:1], FROM_NS)]
    record(other / "journal.db", chosen(other), folder, replayed, first_events=changed)
    with pytest.raises(Rejected, match="universe of this session changed"):
        parity(chosen(other), ParityOptions())


def test_a_session_that_was_not_stepped_is_not_compared(folder, replayed, tmp_path):
    record(tmp_path / "journal.db", chosen(tmp_path), folder, replayed, mode="live")
    with pytest.raises(Rejected, match="stepped"):
        parity(chosen(tmp_path), ParityOptions())


def test_without_a_session_replay_and_sweep_are_compared_on_a_folder(folder, tmp_path, capsys):
    options = ParityOptions(replay=folder, from_ns=FROM_NS)
    assert parity(chosen(tmp_path), options) == 1  # nothing differs, but most kinds are too rare
    assert "differences 0" in capsys.readouterr().out
    with pytest.raises(Misconfigured, match="--replay"):
        parity(chosen(tmp_path), ParityOptions())
