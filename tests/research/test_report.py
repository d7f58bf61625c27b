"""What `backtest` and `parity` print: one label and one figure a line, no line beyond 80 columns; and which notes go along."""

import msgspec
import pytest

from bnml.core.clock import NS_PER_DAY
from bnml.core.errors import Rejected
from bnml.kernels.features import FeatureLayout
from bnml.learn.bundle import Current
from bnml.learn.predictors import GateClosed
from bnml.research import models as subject
from bnml.research.metrics import Summary
from bnml.research.parity import Comparison, Difference, Verdict
from bnml.research.report import path_decides, summary_text, verdict_text
from tests.trading.kit import START_NS, settings

LAYOUT = FeatureLayout(3_600_000_000_000, ())
SUMMARY = Summary(
    trades=344,
    fills=2064,
    symbols=("ADAUSDT", "BNBUSDT", "BTCUSDT", "DOGEUSDT", "ETHUSDT", "LTCUSDT", "SOLUSDT", "XRPUSDT"),
    bars=46_080,
    from_="2025-06-02T00:00:00Z",
    to="2025-08-01T00:00:00Z",
    initial_equity=10_000.0,
    final_equity=10_123.456,
    costs=991.2,
    elapsed_s=20.04,
    market="simulated: generated with seed 42, a planted edge",
    quote="USDT",
    net_return=0.0123456,
    cagr=0.0775,
    sharpe=1.0,
    sortino=1.5,
    calmar=None,
    exposure=0.055,
    turnover=3.0,
    max_drawdown=0.0126,
    max_drawdown_quote=12_345_126.0,
    longest_under_water_days=1_012.34,
    time_under_water=0.91,
    cvar_95=-0.0123,
    risk_of_ruin=0.0001,
    win_rate=0.701,
    average_win=1_010.5,
    average_loss=-15.25,
    payoff=66.3,
    profit_factor=None,
    expectancy=-1.5,
    bootstrap_drawdown_p95=0.0231,
    bootstrap_pnl_p05=-0.0109,
    block_drawdown_p95=0.0297,
    block_pnl_p05=-0.0214,
    probabilistic_sharpe=0.71,
    deflated_sharpe=0.03,
    trials=12_345,
)


def test_a_summary_has_units_and_does_not_wrap():
    lines = summary_text(SUMMARY, "sweep").splitlines()
    assert max(map(len, lines)) <= 80
    assert "market            simulated: generated with seed 42, a planted edge" in lines
    assert "engine            sweep, one capital for all symbols" in lines
    assert "equity            10,000.00 -> 10,123.46 USDT" in lines
    assert "net return        +1.23 %, +7.75 % a year" in lines
    assert "Calmar            no drawdown" in lines
    assert "max drawdown      1.26 %, 12,345,126.00 USDT" in lines
    assert "under water       91.0 % of the time, longest 1,012.3 days" in lines
    assert "worst 5 % of days -1.23 % in the mean" in lines
    assert "win, loss         +1,010.50, -15.25 USDT in the mean" in lines
    assert "days in blocks    drawdown 2.97 %, return -2.14 % at the worse 5 %" in lines
    assert "after all trials  3.00 % likely, 12,345 trials" in lines
    assert lines.count("") == 4  # five groups
    assert "profit factor     no loss" in lines
    assert "expectancy        -1.50 USDT a position" in lines
    at = lines.index("symbols           ADAUSDT, BNBUSDT, BTCUSDT, DOGEUSDT, ETHUSDT, LTCUSDT,")
    assert lines[at + 1] == "                  SOLUSDT, XRPUSDT"


def bundles_with(monkeypatch, closed=(), trained_to_ns=0):
    """Each symbol has a current bundle v1; those `closed` do not pass the gate."""

    class Metadata(msgspec.Struct):
        trained_to_ns: int

    class Store:
        def __init__(self, *_args, **_options): ...

        def load(self, symbol, version=None):
            if symbol in closed:
                raise GateClosed(f"bundle {symbol} earned nothing")
            return f"{symbol}/{version or 'v1'}"

    monkeypatch.setattr(subject, "ModelStore", Store)
    monkeypatch.setattr(subject, "current_version", lambda *_: Current("v1", ""))
    monkeypatch.setattr(subject, "read_metadata", lambda *_: Metadata(trained_to_ns))


def test_a_symbol_whose_bundle_earned_nothing_holds_and_is_named(monkeypatch):
    bundles_with(monkeypatch, closed=("BUSDT",))
    models = subject.load_models(settings(), LAYOUT, ("AUSDT", "BUSDT"))
    assert models.current == {"AUSDT": "AUSDT/v1"}
    assert "no entries in BUSDT" in subject.held_back(models)


def test_nothing_that_earned_anything_is_refused(monkeypatch):
    bundles_with(monkeypatch, closed=("AUSDT",))
    with pytest.raises(Rejected, match="AUSDT earned nothing"):
        subject.load_models(settings(), LAYOUT, ("AUSDT",))


def test_a_session_s_own_bundle_is_taken_or_refused_whole(monkeypatch):
    bundles_with(monkeypatch, closed=("BUSDT",))
    with pytest.raises(GateClosed):
        subject.load_models(
            settings(), LAYOUT, ("AUSDT", "BUSDT"), {"AUSDT": "AUSDT/v0", "BUSDT": "BUSDT/v0"}
        )


def test_models_that_have_seen_the_bars_are_told_of(monkeypatch):
    bundles_with(monkeypatch, trained_to_ns=START_NS + NS_PER_DAY)
    models = subject.load_models(settings(), LAYOUT, ("AUSDT",))
    assert "1 of 1 models have learned from traded bars" in subject.looking_ahead(
        settings(), models, START_NS
    )
    assert "2023-08-02T00:00:00Z" in subject.looking_ahead(settings(), models, START_NS)
    assert subject.looking_ahead(settings(), models, START_NS + NS_PER_DAY) == ""


def test_a_verdict_names_each_pair_and_ends_with_the_answer():
    difference = Difference("trade", "BTCUSDT", "2024-01-01T00:00:00Z", "price_ticks 1 against 2")
    counts = {f"REASON_{n}": 1000 + n for n in range(9)}
    pairs = (
        Comparison("session", "replay", 10_000, 0, (), 200, {"STOP": 7}, counts),
        Comparison("replay of BTCUSDT", "sweep of BTCUSDT", 50, 3, (difference,), 0, {}, {}),
    )
    lines = verdict_text(Verdict(10_050, 3, (difference,), pairs, ("time stop 2 of 5",))).splitlines()
    assert lines[0] == "session against replay: 10,000 rows, equal"
    assert "  fills           200: stop 7" in lines
    assert lines[2].startswith("  decisions       reason 0 1,000, ")
    assert max(map(len, lines)) <= 80
    assert "replay of BTCUSDT against sweep of BTCUSDT: 50 rows, 3 DIFFER" in lines
    assert "  trade BTCUSDT 2024-01-01T00:00:00Z: price_ticks 1 against 2" in lines
    assert lines[-2] == "not proven, too rare: time stop 2 of 5"
    assert lines[-1] == "compared 10,050 rows, differences 3"


def test_a_stop_inside_the_bar_is_called_what_it_is():
    plain = settings()
    tight = plain.model_copy(update={"exits": plain.exits.model_copy(update={"trail_atr": 0.05})})
    assert path_decides(plain) == ""
    assert "exits.trail_atr 0.05" in path_decides(tight)
