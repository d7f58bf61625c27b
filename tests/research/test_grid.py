import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from bnml.core.clock import NS_PER_DAY
from bnml.core.errors import Misconfigured, Rejected
from bnml.kernels import metrics
from bnml.research.grid import open_sealed, search_grid
from bnml.research.grid_axes import parse_axes
from bnml.research.grid_search import Best, daily_sharpes
from bnml.research.grid_text import opening_text, result_text
from bnml.research.ledger import DataRange, TrialLedger
from tests.research.grid_kit import AXES, FROM_NS, INITIAL_E8, ROW, StandInWorld, ask, bytes_of, hill

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ledger(tmp_path):
    return TrialLedger(tmp_path / "trials.db")


def search(tmp_path, ledger, world=None, folder="grid", **more):
    return search_grid(world or StandInWorld(hill), ask(tmp_path / folder, **more), ledger)


def test_an_edge_on_a_plateau_stands_and_a_market_without_one_does_not(tmp_path, ledger):
    result = search(tmp_path, ledger)
    assert result.combinations == result.evaluated == result.trials == 30
    best = result.candidates[0]
    assert best.survives
    assert best.neighbourhood.is_plateau
    assert best.deflated_sharpe > 0.95
    assert abs(best.values["stop"] - 3) + abs(best.values["target"] - 3) <= 2
    assert result.pbo is not None
    assert result.pbo < 0.2
    assert "open the sealed part" in result.verdict
    nothing = search(tmp_path, TrialLedger(tmp_path / "other.db"), StandInWorld(), folder="nothing")
    assert nothing.verdict.startswith("no edge shown")
    assert not any(one.survives for one in nothing.candidates)


def test_rows_are_parquet_with_the_values_of_each_axis(tmp_path, ledger):
    search(tmp_path, ledger)
    rows = duckdb.sql(
        f"SELECT combination, stop, target, trades FROM '{tmp_path}/grid/rows-*.parquet' ORDER BY combination"
    ).fetchall()
    assert [row[0] for row in rows] == list(range(30))
    assert [row[1:3] for row in rows] == list(itertools.product(AXES["stop"], AXES["target"]))


def test_more_trials_deflate_the_same_candidate(tmp_path, ledger):
    few = search(tmp_path, ledger).candidates[0]
    data = StandInWorld().data
    for k in range(40):
        ledger.append(data, "grid", 1_000_000, 0.0, 4_000.0, str(k))
    many = search(tmp_path, ledger, resume=True)
    again = next(one for one in many.candidates if one.combination == few.combination)
    assert many.trials == 40_000_030
    assert many.evaluated == 0
    assert again.sharpe == few.sharpe
    assert again.deflated_sharpe < few.deflated_sharpe
    assert many.luck_sharpe > 5.0


def test_the_search_never_sees_the_sealed_part(tmp_path, ledger):
    world = StandInWorld(hill)
    result = search(tmp_path, ledger, world)
    (searched,) = world.made
    assert searched.span == (FROM_NS, FROM_NS + 300 * NS_PER_DAY)
    assert result.sealed.share == pytest.approx(0.25)
    sealed = DataRange(("BTCUSDT",), 1, searched.span[1], world.data.to_ns)
    assert ledger.overlapping(sealed).count == 0


def test_the_sealed_part_is_opened_once(tmp_path, ledger):
    world = StandInWorld(hill)
    number = search(tmp_path, ledger, world).candidates[0].combination
    opening = open_sealed(world, ask(tmp_path / "grid"), number, ledger)
    assert world.made[-1].span == (FROM_NS + 300 * NS_PER_DAY, FROM_NS + 400 * NS_PER_DAY)
    assert world.made[-1].evaluated == 1
    assert opening.combination == number
    assert opening.trials == 1
    assert "verdict" in opening_text(opening)
    for other in (number, number + 1):
        with pytest.raises(Rejected, match=f"opened at .* for combination {number}") as refused:
            open_sealed(world, ask(tmp_path / "grid"), other, ledger)
        assert refused.value.exit_code == 3
    kept = json.loads((tmp_path / "grid" / "sealed.json").read_bytes())
    assert kept["result"]["sharpe"] == opening.sharpe
    # A later look at the same folder says so, and a later grid over these data knows that they are not unseen.
    again = search(tmp_path, ledger, world, resume=True)
    assert again.sealed.opened == f"combination {number} at {opening.opened_at}"
    other = search(tmp_path, ledger, world, folder="other", seed=2)
    assert any("not unseen" in note for note in other.notes)


def test_an_opening_cut_off_before_its_answer_is_gone_on_with(tmp_path, ledger):
    world = StandInWorld(hill)
    search(tmp_path, ledger, world)

    def die(_):
        raise KeyboardInterrupt

    world.before_each = die
    with pytest.raises(KeyboardInterrupt):
        open_sealed(world, ask(tmp_path / "grid"), 8, ledger)
    world.before_each = lambda _: None
    with pytest.raises(Rejected, match="combination 8"):
        open_sealed(world, ask(tmp_path / "grid"), 9, ledger)
    assert open_sealed(world, ask(tmp_path / "grid"), 8, ledger).combination == 8


def test_nothing_is_opened_of_an_unfinished_or_unsealed_grid(tmp_path, ledger):
    world = StandInWorld(hill)
    search(tmp_path, ledger, world)
    with pytest.raises(Misconfigured, match="combinations 0 to 29"):
        open_sealed(world, ask(tmp_path / "grid"), 30, ledger)
    (tmp_path / "grid" / "rows-00001.parquet").unlink()
    with pytest.raises(Misconfigured, match="not finished"):
        open_sealed(world, ask(tmp_path / "grid"), 3, ledger)
    search(tmp_path, ledger, world, folder="open", sealed=0.0)
    with pytest.raises(Misconfigured, match="no sealed part"):
        open_sealed(world, ask(tmp_path / "open", sealed=0.0), 3, ledger)
    with pytest.raises(Misconfigured, match="holds no grid"):
        open_sealed(world, ask(tmp_path / "none"), 3, ledger)


def test_gone_on_with_it_is_the_same_as_never_interrupted(tmp_path, ledger):
    whole = search(tmp_path, ledger, folder="whole")

    def stop(number):
        if number == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, ledger, StandInWorld(hill, before_each=stop), folder="cut")
    assert len(list((tmp_path / "cut").glob("rows-*.parquet"))) == 2
    rest = search(tmp_path, ledger, folder="cut", resume=True)
    assert rest.evaluated == 30 - 14
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")
    assert rest.candidates == whole.candidates
    assert rest.overfitting == whole.overfitting
    assert rest.trials == whole.trials == 30, "the same evaluations again are the same trials"


def test_interrupted_by_a_signal_it_can_be_gone_on_with(tmp_path):
    command = [sys.executable, "-m", "tests.research.grid_kit", str(tmp_path / "cut")]
    running = subprocess.Popen([*command, "new"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.readline() == b"begun\n"
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) != 0
    running.communicate()
    left = bytes_of(tmp_path / "cut")
    assert 2 <= len(left) < 10
    subprocess.run([*command, "resume"], cwd=ROOT, check=True, capture_output=True, timeout=60)
    search(tmp_path, TrialLedger(tmp_path / "trials.db"), folder="whole")
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("world", "more", "words"),
    [
        (StandInWorld(hill, data_hash="other"), {}, "the data"),
        (StandInWorld(hill), {"axes": parse_axes(["stop=1:6:1", "target=1:6:1"])}, "the axes"),
        (StandInWorld(hill), {"axes": parse_axes(["target=1:5:1", "stop=1:6:1"])}, "the axes"),
        (StandInWorld(hill), {"seed": 2}, "the seed"),
        (StandInWorld(hill), {"sealed": 0.5}, "the sealed part"),
    ],
)
def test_another_grid_is_not_mixed_into_a_folder(tmp_path, ledger, world, more, words):
    search(tmp_path, ledger)
    with pytest.raises(Misconfigured, match=words) as refused:
        search(tmp_path, ledger, world, resume=True, **more)
    assert refused.value.exit_code == 2
    with pytest.raises(Misconfigured, match="--resume"):
        search(tmp_path, ledger)


def test_a_folder_without_a_grid_is_not_resumed(tmp_path, ledger):
    with pytest.raises(Misconfigured, match="holds no grid"):
        search(tmp_path, ledger, resume=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(Misconfigured, match="cannot be written"):
        search(tmp_path, ledger, folder="file/grid")


def test_wrong_axes_are_refused_before_anything_is_evaluated(tmp_path, ledger):
    with pytest.raises(Misconfigured, match="the nearest is stop"):
        search(tmp_path, ledger, axes=parse_axes(["stops=1,2"]))
    with pytest.raises(Misconfigured, match="out of range"):
        search(tmp_path, ledger, axes=parse_axes(["stop=-1,2"]))
    assert not (tmp_path / "grid").exists()


def test_a_second_process_is_kept_out(tmp_path, ledger):
    other = []

    def meanwhile(number):
        if number == 3:
            with pytest.raises(Rejected, match="another process works"):
                search(tmp_path, ledger, resume=True)
            other.append(number)

    search(tmp_path, ledger, StandInWorld(hill, before_each=meanwhile))
    assert other == [3]


def test_threads_change_nothing(tmp_path, ledger):
    search(tmp_path, ledger, folder="one")
    search(tmp_path, ledger, folder="three", threads=3)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "three")


def test_a_large_grid_is_compared_on_a_uniform_sample(tmp_path, ledger):
    said = []
    result = search_grid(StandInWorld(hill), ask(tmp_path / "grid", sample=12), ledger, said.append)
    assert result.overfitting.combinations == 12
    assert any("12 of them, drawn uniformly" in sentence for sentence in said)
    drawn = duckdb.sql(f"SELECT combination FROM '{tmp_path}/grid/blocks-*.parquet'").fetchall()
    assert len({number for (number,) in drawn}) == 12


def test_a_ledger_that_cannot_be_written_is_said_and_the_grid_goes_on(tmp_path):
    (tmp_path / "trials.db").mkdir()
    result = search(tmp_path, TrialLedger(tmp_path / "trials.db"))
    assert result.trials == 30
    assert any("not counted in the ledger" in note for note in result.notes)


def test_the_result_is_one_object_and_readable(tmp_path, ledger):
    result = search(tmp_path, ledger)
    told = json.loads(msgspec.json.encode(result))
    wanted = {
        "combinations", "evaluated", "way", "candidates", "pbo", "deflated_sharpe", "trials", "sealed",
        "elapsed_s", "combinations_per_s",
    }  # fmt: skip
    assert wanted <= set(told)
    assert told == json.loads((tmp_path / "grid" / "result.json").read_bytes())
    text = result_text(result)
    assert text.startswith("verdict")
    assert max(map(len, text.splitlines())) <= 80 + len(str(tmp_path))


def test_too_few_trades_are_no_candidate(tmp_path, ledger):
    result = search(tmp_path, ledger, min_trades=10_000)
    assert result.candidates == ()
    assert result.verdict.startswith("no edge shown: no combination has enough trades")


def test_only_the_best_are_kept_in_memory():
    rows = np.zeros(1_000, dtype=ROW)
    rows["combination"], rows["trades"] = np.arange(1_000), 50
    rows["days"], rows["daily_m2"] = 101, 1.0
    rows["daily_mean"] = np.random.default_rng(3).normal(size=1_000).round(1)
    best = Best(5, 30)
    for start in range(0, 1_000, 70):
        part = rows[start : start + 70]
        best.add(part, daily_sharpes(part))
    expected = sorted(range(1_000), key=lambda k: (-rows["daily_mean"][k], k))[:5]
    assert [int(row["combination"][0]) for row in best.rows()] == expected


def test_the_daily_sharpe_of_a_row_is_that_of_its_returns():
    returns = np.random.default_rng(4).normal(0.001, 0.01, 50)
    rows = np.zeros(2, dtype=ROW)
    rows["daily_mean"][0], rows["daily_m2"][0], rows["days"][0] = returns.mean(), returns.var() * 50, 50
    moments = metrics.DailyMoments(*metrics.daily_moments(returns))
    yearly = metrics.sharpe(moments.mean, moments.deviation)
    assert daily_sharpes(rows)[0] * np.sqrt(365) == pytest.approx(yearly)
    assert daily_sharpes(rows)[1] == 0.0
    assert INITIAL_E8 > 0
