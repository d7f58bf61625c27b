"""`backtest --signals` as a user meets it: the documented example, the twin on random rules, exit codes, words."""

import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.cli import call
from bnml.core.orders import Side
from bnml.core.outcomes import Trade
from bnml.options import SignalsOptions
from bnml.research.bar_files import Market, load_bars
from bnml.research.rules import Rules
from bnml.research.rules_file import changed, parse_rules, rules_template
from bnml.research.signal_inputs import prepare
from bnml.research.signals import backtest_signals
from bnml.research.sweep import sweep
from bnml.research.trade_file import HEADER, trade_line
from tests.twins import random_market
from tests.twins.rules_twin import RulesTwin, atr_ticks

ROOT = Path(__file__).resolve().parents[2]
HOUR_MS = 3_600_000
# Without compilation the hash of a draw wraps around in numpy scalars, which warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The files of the documentation, and the trades it promises."""
    folder = tmp_path_factory.mktemp("example")
    blocks = re.findall(
        r"```(?:csv|yaml)\n(.*?)```", (ROOT / "docs" / "signals.md").read_text("utf-8"), re.DOTALL
    )
    assert len(blocks) == 4
    for name, text in zip(("bars.csv", "signals.csv", "rules.yaml", "promised.csv"), blocks, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def arguments(folder, *more, bars="bars.csv"):
    files = ["--signals", folder / "signals.csv", "--rules", folder / "rules.yaml", "--bars", folder / bars]
    return [str(one) for one in ("backtest", *files, "--state-dir", folder / "state", *more)]


def test_the_documented_example_gives_the_documented_trades(example, capsys):
    trades = example / "trades.csv"
    assert call(arguments(example, "--trades", trades)) == 0
    assert trades.read_text().splitlines() == (example / "promised.csv").read_text().splitlines()
    said = capsys.readouterr()
    assert "not bnml's own" in said.out
    assert re.search(r"open at the end\s+ABCUSDT 49.989 marked at the last close\s+101.10", said.out)
    assert "F0: a touched limit fills" in said.out


def test_given_signals_have_a_page_and_tables_too(example, capsys):
    page, tables = example / "page.html", example / "tables"
    assert call(arguments(example, "--report", page, "--tables", tables, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((tables / "positions.csv").read_text().splitlines()))
    assert sum(row["is_open"] == "False" for row in rows) == found["trades"]
    assert "given signals" in page.read_text()
    assert "compare them with each other only" not in page.read_text()


def test_json_is_one_object_with_what_was_assumed(example, capsys):
    assert call(arguments(example, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trades"] == 2
    assert found["fills"] == 9
    assert found["signals"]["buys"] == 3
    assert found["signals"]["exits"] == 1
    assert found["initial_equity"] == 10_000
    cash = Decimal(10_000)
    for row in csv.DictReader((example / "promised.csv").read_text().splitlines()):
        amount = Decimal(row["quantity"]) * Decimal(row["price"])
        cash += -amount if row["side"] == "BUY" else amount - Decimal(row["commission"])
    assert found["final_equity"] == float(cash + Decimal("49.989") * Decimal("101.10"))
    assert set(found["assumptions"]) == {"signals", "rules", "prices", "fills", "costs", "latency", "units"}
    assert len(found["open_at_end"]) == 1


def test_a_window_leaves_out_what_lies_outside_and_says_so(example, capsys):
    assert call(arguments(example, "--json", "--from", "2024-03-01T04:00Z", "--to", "2024-03-01T08:00Z")) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["bars"], found["fills"]) == (4, 3)
    assert "1 outside the window" in said.err
    assert "1 at the last bar, after which nothing is traded" in said.err


def test_the_template_is_printed_as_it_is_read(capsys):
    assert call(["backtest", "--rules-template"]) == 0
    assert capsys.readouterr().out == rules_template()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--bars", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--rules", "nowhere.yaml"], "--rules-template"),
        (["--signals", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--config", "config.yaml"], "option --config has no meaning with --signals"),
        (["--seed", "3"], "option --seed has no meaning with --signals"),
        (["--symbols", "BTCUSDT"], "no signal for BTCUSDT"),
        (["--from", "2025-01-01"], "choose a longer range"),
        (["--trades", "/nowhere/trades.csv"], "choose another file with --trades"),
    ],
)
def test_wrong_input_ends_with_code_2_and_a_sentence(example, more, words, capsys):
    assert call(arguments(example, *more)) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rules", "is_said"), [("trail_pct: 0.2", True), ("trail_pct: 3", False), ("", False)]
)
def test_a_stop_that_follows_inside_a_bar_is_warned_of(example, tmp_path, rules, is_said, capsys):
    for name in ("signals.csv", "bars.csv"):
        (tmp_path / name).write_text((example / name).read_text())
    (tmp_path / "rules.yaml").write_text(rules)
    assert call(arguments(tmp_path)) == 0
    assert ("do not believe the profit" in capsys.readouterr().err) is is_said


def test_what_was_not_filled_is_counted(example, tmp_path, capsys):
    for name in ("signals.csv", "bars.csv"):
        (tmp_path / name).write_text((example / name).read_text())
    (tmp_path / "rules.yaml").write_text("price_cap_bps: 1\nentry: fok\n")
    assert call(arguments(tmp_path, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["signals"]["not_entered"] == {"not filled": 2}
    assert found["fills"] == 2


def test_one_capital_goes_to_the_best_score_of_a_moment(example, tmp_path):
    head, *rows = (example / "bars.csv").read_text().splitlines()
    names = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
    table = "\n".join([f"symbol,{head}", *(f"{name},{row}" for row in rows for name in names)])
    (tmp_path / "bars.csv").write_text(table)
    close_ms = 1_709_254_800_000
    scores = zip(names, (1, -3, 2.5), strict=True)
    (tmp_path / "signals.csv").write_text(
        "symbol,ts_close_ms,score\n" + "\n".join(f"{name},{close_ms},{score}" for name, score in scores)
    )
    (tmp_path / "rules.yaml").write_text("max_positions: 2\nshare_pct: 60\n")
    trades = tmp_path / "trades.csv"
    assert call(arguments(tmp_path, "--trades", str(trades))) == 0
    bought = {
        row["symbol"]: float(row["quantity"]) for row in csv.DictReader(trades.read_text().splitlines())
    }
    assert list(bought) == ["AAAUSDT", "CCCUSDT"]
    assert bought["CCCUSDT"] * 101 == pytest.approx(6_000, abs=0.2)  # 60 % at the cap
    assert bought["AAAUSDT"] * 101 == pytest.approx(4_000, abs=0.2)  # what was left


def test_a_start_loads_nothing_that_given_signals_do_not_need():
    unwanted = ("pydantic", "duckdb", "scipy.linalg", "sklearn", "xgboost", "aiohttp", "bnml.config", "rich")
    code = (
        "import sys, bnml.signals_invocation, bnml.research.signals\n"
        f"print([name for name in {unwanted!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_options_without_signals_are_refused(example, capsys):
    assert call(["backtest", "--rules", str(example / "rules.yaml")]) == 2
    assert "go with --signals" in capsys.readouterr().err
    assert call(["backtest", "--signals", str(example / "signals.csv")]) == 2
    assert "name a file or a folder with --bars" in capsys.readouterr().err


def test_latency_in_time_asks_for_fast_bars_and_tier_f1_for_volume(example, tmp_path, capsys):
    for name in ("signals.csv", "bars.csv"):
        (tmp_path / name).write_text((example / name).read_text())
    (tmp_path / "rules.yaml").write_text("latency_ms: 100\ntier: F0\n")
    assert call(arguments(tmp_path)) == 2
    assert "--fast-bars" in capsys.readouterr().err
    (tmp_path / "rules.yaml").write_text("tier: F1\n")
    lines = (tmp_path / "bars.csv").read_text().splitlines()
    (tmp_path / "bars.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    assert call(arguments(tmp_path)) == 2
    assert "write `tier: F0` into the rules" in capsys.readouterr().err


# -- the twin -------------------------------------------------------------------------------------------------


def one_of(*values):
    return st.sampled_from(values)


@st.composite
def random_rules(draw):
    """Values of a rules file that do not contradict each other."""
    stop = draw(
        one_of({}, {"stop_pct": 0.7}, {"stop_pct": 2}, {"stop_atr": 1.5}, {"stop_pct": 1, "stop_atr": 0.8})
    )
    target = draw(one_of({}, {"target_pct": 0.4}, {"target_pct": 1.5}, {"target_r": 1.25}))
    second = draw(
        one_of({}, {"target2_pct": 2.5, "target2_share_pct": 30}, {"target2_r": 2, "target2_share_pct": 15})
    )
    share = draw(one_of(100.0, 50.0, 33.3))
    trail = draw(one_of({}, {"trail_pct": 0.6}, {"trail_atr": 1}, {"trail_pct": 1, "trail_start_pct": 1.2}))
    if trail:
        trail = {**trail, "trail_step_bps": draw(one_of(0, 10))}
    age = draw(one_of({}, {"time_stop_h": 5}, {"max_hold_bars": 12}, {"max_hold_bars": 1}))
    sizing = draw(
        one_of({}, {"fixed_quote": 700}, {"risk_pct": 0.5}, {"share_pct": 100, "max_exposure_pct": 60})
    )
    rules = {**stop, **target, **trail, **age, **sizing}
    if not stop:
        rules = {key: value for key, value in rules.items() if key not in {"target_r", "risk_pct"}}
        second = {} if "target2_r" in second else second
    if "target_pct" in rules or "target_r" in rules:
        rules |= second | {"target_share_pct": min(share, 70.0) if second else share}
    rules |= {
        "time_stop_band_pct": draw(one_of(0, 0.5)),
        "exit_on_signal": draw(st.booleans()),
        "from_fill": draw(st.booleans()),
        "entry": draw(one_of("fok", "ioc")),
        "price_cap_bps": draw(one_of(5, 50, 1000)),
        "latency_bars": draw(one_of(0, 0, 1, 3)),
        "tier": draw(one_of("F0", "F1")),
        "maker_bps": draw(one_of(0, 7.5)),
        "taker_bps": draw(one_of(0, 10)),
        "slippage_bps": draw(one_of(0, 2, 15)),
        "spread_floor_bps": draw(one_of(0, 1)),
        "volume_share_pct": draw(one_of(10, 0.01)),
        "min_notional": draw(one_of(0, 5, 200)),
        "initial_quote": draw(one_of(10_000, 350)),
    }
    return rules


def write_bars(path, bars, instrument):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("open_time", "open", "high", "low", "close", "volume"))
        for ts_ns, *prices, lots in bars.tolist():
            writer.writerow(
                (ts_ns // 10**6, *map(instrument.price_text, prices), instrument.quantity_text(lots))
            )


def random_signals(generator, bars, frame_ns, *, sized):
    """(action, size) by index of the bar: a fifth of the bars ask for something."""
    signals = {}
    for k in np.flatnonzero(generator.random(len(bars)) < 0.2).tolist():
        action = "exit" if generator.random() < 0.3 else "buy"
        size = round(float(generator.uniform(0.01, 1)), 3) if sized and generator.random() < 0.5 else None
        signals[k] = (action, size)
    return signals or {0: ("buy", None)}


def write_signals(path, symbol, signals, bars, frame_ns):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("symbol", "ts_close_ms", "score", "exit", "size"))
        for k, (action, size) in signals.items():
            close_ms = (int(bars[k]["ts_open_ns"]) + frame_ns) // 10**6
            writer.writerow(
                (symbol, close_ms, "" if action == "exit" else 1, int(action == "exit"), size or "")
            )


def run_command(folder, symbol, rules, **more):
    path = folder / "trades.csv"
    (folder / "rules.yaml").write_text(
        "\n".join(f"{key}: {json.dumps(value)}" for key, value in rules.items())
    )
    options = SignalsOptions(
        signals=folder / "signals.csv",
        bars=folder / f"{symbol}.csv",
        rules=folder / "rules.yaml",
        trades=path,
        json=True,
        state_dir=folder,
        **more,
    )
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()):
        assert backtest_signals(options) == 0
    lines = [tuple(row) for row in csv.reader(path.read_text().splitlines())]
    return lines[1:], json.loads(said.getvalue())


def twin_lines(twin, instrument):
    lines = []
    for ts_ns, is_buy, number, lots, price, fee, reason, pnl in twin.trades:
        side, asset = (Side.BUY, instrument.base) if is_buy else (Side.SELL, instrument.quote)
        trade = Trade(instrument.symbol, ts_ns, side, number, lots, price, fee, asset, reason, pnl, "")
        lines.append(trade_line(trade, instrument))
    return lines


def plain_bars(bars):
    return [dict(zip(bars.dtype.names, row, strict=True)) for row in bars.tolist()]


def run_twin(rules, loaded, signals):
    whole = msgspec.structs.asdict(changed(Rules(), **rules))
    twin = RulesTwin(whole, random_market.instrument_values(loaded.instrument), loaded.frame_ns)
    bars = plain_bars(loaded.bars)
    fast = None if loaded.fast is None else plain_bars(loaded.fast)
    final = twin.run(bars, signals, atr_ticks(bars, loaded.instrument.tick_e8), fast, loaded.fast_frame_ns)
    return twin, final


@settings(max_examples=60)
@given(rules=random_rules(), seed=st.integers(0, 10**6), sized=st.booleans(), coarse=st.booleans())
def test_random_rules_on_random_bars_trade_as_the_twin(tmp_path_factory, rules, seed, sized, coarse):
    generator = np.random.default_rng(seed)
    instrument = random_market.BTC if coarse else random_market.ADA
    close = 3_000_000 if coarse else 4_000
    bars = random_market.random_bars(generator, 250, close, volume_lots=3 * 10**6)
    folder = tmp_path_factory.mktemp("random")
    path = folder / f"{instrument.symbol}.csv"
    write_bars(path, bars, instrument)
    market = Market(min_notional=rules["min_notional"])
    loaded = load_bars(path, [instrument.symbol], market)[instrument.symbol]
    signals = random_signals(generator, bars, loaded.frame_ns, sized=sized)
    write_signals(folder / "signals.csv", instrument.symbol, signals, bars, loaded.frame_ns)
    swept, found = run_command(folder, instrument.symbol, rules)
    twin, final = run_twin(rules, loaded, signals)
    assert swept == twin_lines(twin, loaded.instrument)
    assert found["final_equity"] == final / 1e8


def added_up(fast, frame_ns):
    """Bars of the slower frame, each of the fast ones inside it."""
    starts = fast["ts_open_ns"] // frame_ns * frame_ns
    opens, first = np.unique(starts, return_index=True)
    slow = np.zeros(len(opens), fast.dtype)
    slow["ts_open_ns"], slow["open"] = opens, fast["open"][first]
    slow["close"] = fast["close"][np.append(first[1:], len(fast)) - 1]
    for name, reduce in (("high", np.maximum), ("low", np.minimum), ("volume_lots", np.add)):
        slow[name] = reduce.reduceat(fast[name], first)
    return slow


@settings(max_examples=40)
@given(rules=random_rules(), seed=st.integers(0, 10**6), latency_ms=one_of(0, 0, 1, 900_000, 4_000_000))
def test_random_rules_look_for_exits_in_fast_bars_as_the_twin(tmp_path_factory, rules, seed, latency_ms):
    generator = np.random.default_rng(seed)
    quarter_ns = random_market.HOUR_NS // 4
    fast = random_market.random_bars(
        generator, 800, 4_000, frame_ns=quarter_ns, volatility=0.003, volume_lots=10**6
    )
    slow = added_up(fast, random_market.HOUR_NS)
    fast = fast[generator.random(len(fast)) > 0.02]  # then some slow bars are not the sum of theirs
    folder = tmp_path_factory.mktemp("fast")
    rules = {**rules, "latency_ms": latency_ms, "latency_bars": 0}
    for name, bars in (("ADAUSDT.csv", slow), ("fast.csv", fast)):
        write_bars(folder / name, bars, random_market.ADA)
    market = Market(min_notional=rules["min_notional"])
    loaded = load_bars(folder / "ADAUSDT.csv", ["ADAUSDT"], market, folder / "fast.csv")["ADAUSDT"]
    signals = random_signals(generator, slow, loaded.frame_ns, sized=False)
    write_signals(folder / "signals.csv", "ADAUSDT", signals, slow, loaded.frame_ns)
    swept, found = run_command(folder, "ADAUSDT", rules, fast_bars=folder / "fast.csv")
    twin, final = run_twin(rules, loaded, signals)
    assert swept == twin_lines(twin, loaded.instrument)
    assert found["final_equity"] == final / 1e8


def test_an_entry_that_met_a_fast_bar_waits_no_longer(tmp_path):
    generator = np.random.default_rng(0)
    fast = random_market.random_bars(generator, 800, 4_000, frame_ns=random_market.HOUR_NS // 4)
    slow = added_up(fast, random_market.HOUR_NS)
    for name, bars in (("ADAUSDT.csv", slow), ("fast.csv", fast)):
        write_bars(tmp_path / name, bars, random_market.ADA)
    signals = random_signals(generator, slow, random_market.HOUR_NS, sized=False)
    write_signals(tmp_path / "signals.csv", "ADAUSDT", signals, slow, random_market.HOUR_NS)
    options = SignalsOptions(
        signals=tmp_path / "signals.csv", bars=tmp_path / "ADAUSDT.csv", fast_bars=tmp_path / "fast.csv"
    )
    prepared = prepare(options, changed(Rules(), latency_ms=1, stop_pct=0.2))
    result = sweep(prepared.inputs, prepared.config)
    assert len(result.trade_rows) > 20
    assert result._world.book["waiting"] == 0


def real_signals(slow, frame_ns):
    """Every 37th bar buys, every 111th sells: they know nothing, so that only bars and rules decide."""
    return {k: ("exit" if k % 111 == 0 else "buy", None) for k in range(37, len(slow) - 1, 37)}


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_real_bars_tell_another_story_inside_and_the_twin_tells_the_same(data_dir, tmp_path, symbol):
    slow_path = data_dir / "binance_spot" / "5m" / f"{symbol}_2024.parquet"
    fast_path = data_dir / "binance_spot" / "1m" / f"{symbol}_2024-08.parquet"
    whole = load_bars(slow_path, [symbol], Market())[symbol]
    fast = load_bars(fast_path, [symbol], Market())[symbol]
    from_ns = int(fast.bars["ts_open_ns"][0])
    slow = whole.bars[whole.bars["ts_open_ns"] >= from_ns]
    assert len(slow) > 4_000
    write_bars(tmp_path / f"{symbol}.csv", slow, whole.instrument)
    signals = real_signals(slow, whole.frame_ns)
    write_signals(tmp_path / "signals.csv", symbol, signals, slow, whole.frame_ns)
    rules = {
        "stop_pct": 0.5,
        "target_pct": 0.6,
        "target_share_pct": 60,
        "trail_pct": 0.4,
        "trail_start_pct": 0.3,
    }
    rules |= {"max_hold_bars": 48, "share_pct": 50, "tier": "F1"}
    alone, _ = run_command(tmp_path, symbol, rules)
    both, found = run_command(tmp_path, symbol, rules, fast_bars=fast_path)
    assert "1m bars" in found["assumptions"]["prices"]
    loaded = load_bars(tmp_path / f"{symbol}.csv", [symbol], Market(), fast_path)[symbol]
    twin, final = run_twin(rules, loaded, signals)
    assert both == twin_lines(twin, loaded.instrument)
    assert found["final_equity"] == final / 1e8
    assert len(both) > 200
    sold_alone, sold_both = (
        {row[:3] + row[5:6] + row[8:9] for row in rows if row[2] == "SELL"} for rows in (alone, both)
    )
    assert len(sold_both - sold_alone) > 10  # exits at other times, prices or for other reasons


def test_the_header_is_that_of_the_trade_file(example):
    assert tuple((example / "promised.csv").read_text().splitlines()[0].split(",")) == HEADER
    assert parse_rules((example / "rules.yaml").read_text()).target_share_pct == 50
