import sqlite3
import statistics
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.core.errors import Misconfigured
from bnml.research.ledger import DataRange, TrialLedger, Trials, count_run, daily_sharpe

HOUR = 3_600 * 10**9
DATA = DataRange(("BTCUSDT", "ETHUSDT"), HOUR, 1_000 * HOUR, 2_000 * HOUR)
sharpes = st.lists(st.floats(-3, 3), max_size=30)


@given(st.lists(sharpes, min_size=1, max_size=5))
def test_merged_in_any_order_the_trials_are_those_of_one_list(groups):
    merged = Trials()
    for group in groups:
        merged = merged.merged(Trials.of(np.array(group)))
    flat = [value for group in groups for value in group]
    assert merged.count == len(flat)
    if len(flat) > 1:
        assert merged.sharpe_mean == pytest.approx(statistics.mean(flat), abs=1e-9)
        assert merged.sharpe_variance == pytest.approx(statistics.variance(flat), abs=1e-9)
    else:
        assert merged.sharpe_variance == 0.0


@pytest.mark.parametrize(
    ("other", "counts"),
    [
        (DATA, True),
        (DataRange(("ETHUSDT",), 60 * HOUR, 1_999 * HOUR, 3_000 * HOUR), True),
        (DataRange(("ETHUSDT",), HOUR, 2_000 * HOUR, 3_000 * HOUR), False),  # begins where DATA ends
        (DataRange(("ETHUSDT",), HOUR, 1, 1_000 * HOUR), False),
        (DataRange(("ETHUSD", "BTCUSDT2"), HOUR, 1_000 * HOUR, 2_000 * HOUR), False),
    ],
)
def test_trials_count_where_symbol_and_time_overlap(tmp_path, other, counts):
    ledger = TrialLedger(tmp_path / "trials.db")
    assert ledger.overlapping(DATA) == Trials()
    ledger.append(other, "backtest", 1, 0.1, 0.0, "a")
    assert ledger.overlapping(DATA).count == (1 if counts else 0)


def test_the_same_evaluation_again_is_the_same_trial(tmp_path):
    ledger = TrialLedger(tmp_path / "trials.db")
    for _ in range(3):
        ledger.append(DATA, "backtest", 1, 0.1, 0.0, "a")
    ledger.append(DATA, "backtest", 1, 0.2, 0.0, "a")  # another outcome: another program or model
    ledger.append(DATA, "grid", 100, 0.0, 9.9, "b")
    assert ledger.overlapping(DATA).count == 102
    with closing(sqlite3.connect(tmp_path / "trials.db")) as connection:
        assert connection.execute("SELECT count(*) FROM evaluations").fetchone() == (5,)


def test_nothing_is_changed_or_removed(tmp_path):
    TrialLedger(tmp_path / "trials.db").append(DATA, "backtest", 1, 0.1, 0.0, "a")
    connection = sqlite3.connect(tmp_path / "trials.db")
    for statement in ("DELETE FROM evaluations", "UPDATE evaluations SET count = 2"):
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            connection.execute(statement)
    connection.close()


def test_processes_append_at_the_same_time(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from bnml.research.ledger import DataRange, TrialLedger\n"
        "ledger = TrialLedger(Path(sys.argv[1]))\n"
        "for k in range(20): ledger.append(DataRange(('X',), 1, 0, 9), 'grid', 10, k / 10, 0.5, sys.argv[2])\n"
    )
    path = tmp_path / "trials.db"
    running = [subprocess.Popen([sys.executable, "-c", program, str(path), str(k)]) for k in range(4)]
    assert [one.wait(timeout=60) for one in running] == [0, 0, 0, 0]
    assert TrialLedger(path).overlapping(DataRange(("X",), 1, 0, 1)).count == 4 * 20 * 10


def test_a_run_is_counted_and_told_of_those_before(tmp_path):
    path, returns = tmp_path / "trials.db", np.array([0.1, -0.1, 0.2])
    TrialLedger(path).append(DATA, "grid", 9, 0.0, 0.8, "g")
    trials, warning = count_run(path, DATA, "backtest", returns, "a")
    assert (trials.count, warning) == (10, "")
    assert trials.sharpe_variance == pytest.approx(
        statistics.variance([*[0.0] * 8, 0.0, daily_sharpe(returns)]) + 0.8 / 9, rel=1e-9
    )


def test_a_ledger_that_cannot_be_written_is_a_sentence_not_a_failure(tmp_path):
    (tmp_path / "trials.db").mkdir()
    trials, said = count_run(tmp_path / "trials.db", DATA, "backtest", np.array([0.1, -0.1]), "a")
    assert trials.count == 1
    assert "as if it were the only one" in said
    assert "--state-dir" in said
    with pytest.raises(Misconfigured, match="cannot be read"):
        TrialLedger(tmp_path / "trials.db").overlapping(DATA)


def test_a_ledger_of_another_version_is_left_alone(tmp_path):
    ledger = TrialLedger(tmp_path / "trials.db")
    ledger.append(DATA, "backtest", 1, 0.1, 0.0, "a")
    connection = sqlite3.connect(tmp_path / "trials.db")
    connection.execute("PRAGMA user_version = 9")
    connection.commit()
    connection.close()
    with pytest.raises(Misconfigured, match="version 9"):
        ledger.append(DATA, "backtest", 1, 0.1, 0.0, "a")


def test_what_loses_for_certain_does_not_raise_the_bar():
    random = np.random.default_rng(8)
    worthless = Trials.of(random.normal(0.0, 0.05, 10_000))
    with_losers = worthless.merged(Trials.of(np.full(10_000, -3.0)))
    assert with_losers.sharpe_variance > 2.0
    assert with_losers.luck_variance(401) == pytest.approx(1 / 400)
    alike = Trials.of(random.normal(0.0, 0.01, 10_000))
    assert alike.luck_variance(401) == alike.sharpe_variance < 1 / 400
    assert worthless.luck_variance(1) == 0.0


def test_the_daily_sharpe_is_not_annualised():
    returns = [0.01, -0.02, 0.005, 0.0, 0.03]
    expected = statistics.mean(returns) / statistics.stdev(returns)
    assert daily_sharpe(np.array(returns)) == pytest.approx(expected)
    assert daily_sharpe(np.array([0.01])) == 0.0
    assert daily_sharpe(np.full(9, 0.01)) == 0.0
