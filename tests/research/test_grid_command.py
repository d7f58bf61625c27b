"""`bnml grid` as an operator meets it: rows equal to single backtests, resumed, opened once, refused in sentences."""

import json

import duckdb
import numpy as np
import pytest
import yaml

from bnml.cli import call
from bnml.core.clock import NS_PER_DAY, NS_PER_MS, format_utc
from bnml.options import GridOptions
from bnml.research.grid_inputs import cut, hash_inputs
from bnml.research.grid_worlds import corners, rules_world
from bnml.venues.history import write_history
from tests.trading.kit import EAGER, HOUR_NS, START_NS, instrument, lively_bars

BARS = 2_400
SYMBOLS = ("BTCUSDT", "ETHUSDT")
RULES = {"stop_pct": 2.0, "target_pct": 3.0, "max_hold_bars": 24, "tier": "F0", "max_positions": 2}
AXES = ("--axis", "stop_pct=1:3:0.5", "--axis", "target_pct=1,3", "--axis", "max_hold_bars=6,24")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """The command takes models from the folder it is given in; one who runs the tests may have some."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A hundred days of hourly bars of two symbols, and signals drawn at 5 % of the closes."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "bars").mkdir()
    random = np.random.default_rng(6)
    lines = {symbol: [] for symbol in SYMBOLS}
    for seed, symbol in enumerate(SYMBOLS):
        bars = lively_bars(BARS, 30 + seed)
        write_history(folder / "bars" / f"{symbol}.parquet", instrument(symbol), bars)
        closes_ms = (bars["ts_open_ns"] + HOUR_NS) // NS_PER_MS
        for close_ms in closes_ms[random.random(BARS) < 0.05]:
            lines[symbol].append(f"{symbol},{close_ms},{random.random():.4f}")
    for name, symbols in (("one.csv", SYMBOLS[:1]), ("both.csv", SYMBOLS)):
        rows = [line for symbol in symbols for line in lines[symbol]]
        (folder / name).write_text("\n".join(["symbol,ts_close_ms,score", *rows]) + "\n")
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
    return folder


def given(files, signals="one.csv", rules="rules.yaml"):
    return ["--signals", f"{files / signals}", "--rules", f"{files / rules}", "--bars", f"{files / 'bars'}"]


def run(capsys, *arguments, code=0):
    assert call([str(one) for one in arguments]) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def rows_of(folder):
    table = duckdb.sql(f"SELECT * FROM '{folder}/rows-*.parquet' ORDER BY combination").fetchnumpy()
    names = list(table)
    return [dict(zip(names, row, strict=True)) for row in zip(*table.values(), strict=True)]


@pytest.mark.parametrize(("signals", "way"), [("one.csv", "tables"), ("both.csv", "loop")])
def test_each_row_equals_the_backtest_of_its_rules(files, tmp_path, capsys, signals, way):
    state = ("--state-dir", tmp_path / "state")
    asked = ("grid", *given(files, signals), *AXES, "--out", tmp_path / "out", *state, "--json")
    result = json.loads(run(capsys, *asked))
    assert (result["combinations"], result["evaluated"], result["way"]) == (20, 20, way)
    rows = rows_of(tmp_path / "out")
    assert len({row["final_equity_e8"] for row in rows}) > 10
    for row in rows[::6]:
        rules = RULES | {name: row[name].item() for name in ("stop_pct", "target_pct")}
        rules["max_hold_bars"] = int(row["max_hold_bars"])
        (files / "changed.yaml").write_text(yaml.safe_dump(rules))
        to = result["searched_to"].removesuffix("Z")
        backtest = ("backtest", *given(files, signals, "changed.yaml"), "--to", to, *state, "--json")
        summary = json.loads(run(capsys, *backtest))
        assert summary["trades"] == row["trades"] > 20
        assert summary["final_equity"] == row["final_equity_e8"] / 1e8
        assert summary["profit_factor"] == pytest.approx(row["gross_profit_e8"] / row["gross_loss_e8"])
        sharpe = row["daily_mean"] / np.sqrt(row["daily_m2"] / (row["days"] - 1)) * np.sqrt(365)
        assert summary["sharpe"] == pytest.approx(sharpe, rel=1e-9)


def test_a_folder_says_itself_how_to_go_on_and_is_opened_once(files, tmp_path, capsys):
    state, out = ("--state-dir", tmp_path / "state"), ("--out", tmp_path / "out")
    first = json.loads(run(capsys, "grid", *given(files), *AXES, *out, *state, "--json"))
    (tmp_path / "out" / "rows-00000.parquet").unlink()
    assert "not finished" in run(capsys, "grid", *out, *state, "--open", 3, code=2)
    again = json.loads(run(capsys, "grid", *out, *state, "--resume", "--json"))
    assert again["candidates"] == first["candidates"]
    assert again["trials"] == 20
    opening = json.loads(run(capsys, "grid", *out, *state, "--open", 3, "--json"))
    assert opening["values"] == {"stop_pct": 1.0, "target_pct": 3.0, "max_hold_bars": 24.0}
    assert opening["from"] == first["sealed"]["from"]
    refused = run(capsys, "grid", *out, *state, "--open", 3, code=3)
    assert "was opened at" in refused.splitlines()[-1]
    other = run(capsys, "grid", *given(files), "--axis", "stop_pct=1,2", *out, *state, "--resume", code=2)
    assert "the axes" in other


def test_the_answer_of_the_sealed_part_is_that_of_a_backtest_of_it(files, tmp_path, capsys):
    state, out = ("--state-dir", tmp_path / "state"), ("--out", tmp_path / "out")
    run(capsys, "grid", *given(files), "--axis", "stop_pct=2,4", *out, *state)
    opening = json.loads(run(capsys, "grid", *out, *state, "--open", 0, "--json"))
    seal = opening["from"].removesuffix("Z")
    summary = json.loads(run(capsys, "backtest", *given(files), "--from", seal, *state, "--json"))
    assert opening["trades"] == summary["trades"] > 0
    assert opening["net_return"] == pytest.approx(summary["net_return"])
    assert opening["sharpe"] == pytest.approx(summary["sharpe"])


def test_the_text_says_the_verdict_first_and_the_way_before_it_starts(files, tmp_path, capsys):
    where = ("--out", tmp_path / "out", "--state-dir", tmp_path / "state")
    assert call([str(one) for one in ("grid", *given(files), "--axis", "stop_pct=1,2", *where)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("verdict")
    assert "2 combinations by tables" in said.err
    assert "sealed until one is chosen" in said.err


def test_without_a_folder_the_grid_names_its_own(files, tmp_path, capsys):
    state = ("--state-dir", tmp_path / "state")
    result = json.loads(run(capsys, "grid", *given(files), "--axis", "stop_pct=1,2", *state, "--json"))
    assert result["folder"].startswith(str(tmp_path / "state" / "grids"))
    refused = run(capsys, "grid", *given(files), "--axis", "stop_pct=1,2", *state, code=2)
    assert "--resume" in refused


@pytest.mark.parametrize(
    ("axis", "sentence"),
    [
        ("stop_pc=1,2", "no such numeric rule; the nearest is stop_pct"),
        ("max_hold_bars=1.5,2", "max_hold_bars is 1.5"),
        ("stop_pct=1,200", "stop_pct is 200"),
        ("stop_pct=1,200", "(in combination stop_pct 200)"),
        ("trail_start_pct=0,1", "trail_start_pct has nothing to start"),
        ("latency_ms=0,100", "--fast-bars"),
        ("fixed_quote=100,200", "write one into the rules"),
        ("stop_pct=0.1,0.2;stop_pct=1", "is no number"),
        ("exit_on_signal=0,0.5", "0.5 is no switch"),
        ("initial_quote=100,200", "what returns are measured by"),
        ("entry=1,2", "entry is no axis: it is no number"),
    ],
)
def test_a_wrong_axis_is_one_sentence(files, tmp_path, capsys, axis, sentence):
    where = ("--out", tmp_path / "out", "--state-dir", tmp_path / "state")
    assert sentence in run(capsys, "grid", *given(files), "--axis", axis, *where, code=2)
    assert not (tmp_path / "out").exists()


def test_a_grid_without_axes_says_how_to_write_one(files, tmp_path, capsys):
    state = ("--state-dir", tmp_path / "state")
    assert "--axis stop_pct=" in run(capsys, "grid", *given(files), *state, code=2)
    assert "--axis stop_pct=" in run(capsys, "grid", "--out", tmp_path, *state, code=2)
    assert "holds no grid" in run(capsys, "grid", "--out", tmp_path, *state, "--resume", code=2)


def test_an_interruption_says_how_to_go_on(files, tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bnml.research.grid.Search.run", interrupt)
    where = ("--out", tmp_path / "out", "--state-dir", tmp_path / "state")
    said = run(capsys, "grid", *given(files), "--axis", "stop_pct=1,2", *where, code=1)
    assert f"`bnml grid --out {tmp_path / 'out'} --resume --state-dir {tmp_path / 'state'}`" in said


def test_the_settings_of_the_daemon_are_axes_too(tmp_path, capsys):
    bars = tmp_path / "bars"
    bars.mkdir()
    for seed, symbol in enumerate(SYMBOLS):
        write_history(bars / f"{symbol}.parquet", instrument(symbol), lively_bars(1_400, 20 + seed))
    features = {"base_frame": "1h", "higher_frames": ["4h"], "history_bars": 400}
    tree = EAGER | {"features": features, "decision": {"without_model": "rule"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    market = ("--config", tmp_path / "config.yaml", "--replay", bars, "--state-dir", tmp_path / "state")
    start = ("--from", format_utc(START_NS + 20 * NS_PER_DAY).removesuffix("Z"))
    axes = ("--axis", "exits.stop_atr=0.5,2", "--axis", "risk.max_positions=1,2")
    asked = ("grid", *market, *start, *axes, "--out", tmp_path / "out", "--json", "--min-trades", 5)
    result = json.loads(run(capsys, *asked))
    assert (result["evaluated"], result["way"], result["pbo"]) == (4, "loop", None)  # 28 days: too few
    tree |= {"exits": {"stop_atr": 2.0}, "risk": tree["risk"] | {"max_positions": 1}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    to = ("--to", result["searched_to"].removesuffix("Z"))
    summary = json.loads(run(capsys, "backtest", *market, *start, *to, "--engine", "sweep", "--json"))
    row = rows_of(tmp_path / "out")[2]
    assert summary["final_equity"] == row["final_equity_e8"] / 1e8
    assert summary["trades"] == row["trades"] > 5
    for axis, sentence in (
        ("stop_atr=1,2", "the nearest is exits.stop_atr"),
        ("exits.stop_atr=0,2", "--axis exits.stop_atr: exits.stop_atr is 0.0"),
        ("exits.target1_pct=1,50", "target2_pct must lie above target1_pct"),
        ("decision.min_buy=0.4,0.5", "only decision.rule absolute reads it"),
        ("learning.folds=3,4", "decides what is trained"),
    ):
        assert sentence in run(capsys, "grid", *market, *start, "--axis", axis, code=2)


def test_what_is_cut_off_was_never_there(files):
    world = rules_world(
        GridOptions(
            axes=("stop_atr=1,2",),
            signals=files / "both.csv",
            bars=files / "bars",
        )
    )
    seal_ns = START_NS + 50 * NS_PER_DAY
    before = cut(world._inputs, 0, seal_ns)
    after = cut(world._inputs, seal_ns, START_NS + 1_000 * NS_PER_DAY)
    for one, two in zip(before, after, strict=True):
        assert int(one.bars["ts_open_ns"][-1]) == seal_ns - HOUR_NS
        assert int(two.bars["ts_open_ns"][two.first]) == seal_ns
        assert one.opinions["bar"].max() < len(one.bars) - 1
        assert two.opinions["bar"].min() >= two.first
    assert hash_inputs(before) != hash_inputs(after)
    assert hash_inputs(before) == hash_inputs(cut(world._inputs, 0, seal_ns))


def test_corners_hold_extremes_zeros_and_the_least_above_zero():
    found = list(corners({"a": (-1.0, 0.0, 0.5, 1.0, 2.0), "b": (3.0,)}))
    assert [one["a"] for one in found] == [-1.0, 0.0, 0.5, 2.0]
    assert {one["b"] for one in found} == {3.0}


def test_the_folder_keeps_the_question(files, tmp_path, capsys):
    where = ("--out", tmp_path / "out", "--state-dir", tmp_path / "state")
    run(capsys, "grid", *given(files), "--axis", "stop_pct=1,2", "--sealed", 40, *where)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    kept = json.loads(manifest["request"]["options"])
    assert kept["sealed"] == 40.0
    assert kept["signals"] == str(files / "one.csv")


def test_each_symbol_alone_has_rows_a_seal_and_capital_of_its_own(files, tmp_path, capsys):
    state, out = ("--state-dir", tmp_path / "state"), tmp_path / "each"
    asked = ("grid", *given(files, "both.csv"), "--axis", "stop_pct=1,2,4", *state, "--json")
    results = json.loads(run(capsys, *asked, "--per-symbol", "--out", out))
    assert list(results) == list(SYMBOLS)
    assert {one["way"] for one in results.values()} == {"tables"}
    for symbol in SYMBOLS:
        run(capsys, *asked, "--symbols", symbol, "--out", tmp_path / symbol)
        assert rows_of(out / symbol) == rows_of(tmp_path / symbol)
    assert rows_of(out / SYMBOLS[0]) != rows_of(out / SYMBOLS[1])
    assert "--resume" in run(capsys, *asked, "--per-symbol", "--out", out, code=2)
    for path in (out / SYMBOLS[1]).iterdir():  # interrupted before its turn
        path.unlink()
    text = run(capsys, "grid", "--out", out, "--resume", *state)
    assert text.splitlines()[0].split()[:3] == ["SYMBOL", "NUMBER", "TRADES"]
    assert rows_of(out / SYMBOLS[1]) == rows_of(tmp_path / SYMBOLS[1])
    assert f"--out {out / SYMBOLS[0]} --open 1" in run(
        capsys, "grid", "--out", out, "--open", 1, *state, code=2
    )
    opened = json.loads(run(capsys, "grid", "--out", out / SYMBOLS[1], "--open", 1, *state, "--json"))
    assert opened["values"] == {"stop_pct": 2.0}


def test_each_symbol_of_the_daemon_alone(tmp_path, capsys):
    bars = tmp_path / "bars"
    bars.mkdir()
    for seed, symbol in enumerate(SYMBOLS):
        write_history(bars / f"{symbol}.parquet", instrument(symbol), lively_bars(1_000, 20 + seed))
    features = {"base_frame": "1h", "higher_frames": ["4h"], "history_bars": 400}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(EAGER | {"features": features, "decision": {"without_model": "rule"}})
    )
    asked = (
        "grid",
        "--config",
        tmp_path / "config.yaml",
        "--replay",
        bars,
        "--state-dir",
        tmp_path / "state",
    )
    axes = ("--axis", "exits.exit_on_sell=0,1", "--axis", "exits.stop_atr=1,2", "--json")
    results = json.loads(run(capsys, *asked, *axes, "--per-symbol", "--out", tmp_path / "each"))
    for symbol in SYMBOLS:
        run(capsys, *asked, *axes, "--symbols", symbol, "--out", tmp_path / symbol)
        assert rows_of(tmp_path / "each" / symbol) == rows_of(tmp_path / symbol)
        assert results[symbol]["evaluated"] == 4
