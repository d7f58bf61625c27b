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
    net_return=0.0123456,
    max_drawdown=0.0126,
    profit_factor=None,
    sharpe=1.0,
    win_rate=0.701,
    expectancy=-1.5,
    exposure=0.055,
    turnover=3.0,
    costs=991.2,
    elapsed_s=20.04,
    market="simulated: generated with seed 42, a planted edge",
    quote="USDT",
)


def test_a_summary_has_units_and_does_not_wrap():
    lines = summary_text(SUMMARY, "sweep").splitlines()
    assert max(map(len, lines)) <= 80
    assert "market            simulated: generated with seed 42, a planted edge" in lines
    assert "engine            sweep, each symbol its own capital" in lines
    assert "equity            10,000.00 -> 10,123.46 USDT" in lines
    assert "net return        +1.23 %" in lines
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
