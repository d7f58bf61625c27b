"""Several symbols on one capital, by the kernel loop and by engine and exchange: no integer differs."""

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest

from bnml.config import Settings
from bnml.core.events import ModelPublished
from bnml.core.instrument import Instrument
from bnml.kernels import records
from bnml.kernels.records import ExitReason, Reason
from bnml.research.market import Market
from bnml.research.parity import Rows, compare
from bnml.research.runs import run_replay, run_sweep
from bnml.trading.compile import compile_layout
from tests.research.test_sweep_equals_engine import RandomSignals
from tests.trading.kit import HOUR_NS, lively_bars
from tests.twins import random_market as market

NAMES = ("ADAUSDT", "BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT")
HISTORY, TRADED = 500, 900
EAGER = {
    "features": {"base_frame": "1h", "higher_frames": ["4h"]},
    "scanner": {"min_global_score": 45, "top_n": 2},
    "risk": {
        "min_depth_quote": 1_000,
        "min_ml_confidence": 20,
        "max_spread_pct": 0.3,
        "max_positions": 3,
        "max_position_pct": 40,
        "max_exposure_pct": 90,
        "max_daily_loss_pct": 3.0,
        "max_drawdown_pct": 8.0,
        "drawdown_pause_h": 24,
        "loss_pause_h": 5,
        "daily_budget_pct": 4,
        "weekly_budget_pct": 12,
        "max_losses_in_row": 4,
        "min_expected_edge_pct": -1,
        "max_correlation": 0.6,
    },
}
CASES = {  # changed settings; how symbols miss bars
    "gaps of each symbol's own": ({}, "own"),
    "gaps of all symbols, and of some": ({"costs": {"tier": "F0"}}, "common"),
    "a symbol that comes late and one that goes early": (
        {"exits": {"exit_on_sell": True, "time_stop_h": 9, "time_stop_band_pct": 2}},
        "ends",
    ),
    "a hundred positions and little money": (
        {
            "risk": {
                **EAGER["risk"],
                "max_positions": 100,
                "max_correlation": 1.0,
                "max_exposure_pct": 50,
                "market_mood": "off",
            },
            "capital": {"active_pct": 100},
        },
        "own",
    ),
    "a cap on what was paid": (
        {
            "risk": {
                **EAGER["risk"],
                "max_position_pct": 60,
                "max_exposure_pct": 100,
                "max_correlation": 1.0,
                "market_mood": "off",
            },
            "capital": {"active_pct": 100, "max_quote": 900},
        },
        "own",
    ),
    "nothing is missing": ({"risk": {**EAGER["risk"], "market_mood": "defensive"}}, "none"),
}


def instrument(name):
    coarse = {"ADAUSDT": (10**6, 10**6), "DOGEUSDT": (10**6, 1)}
    tick_e8, lot_e8 = coarse.get(name, (10**6, 10**3))
    return Instrument(name, name.removesuffix("USDT"), "USDT", tick_e8, lot_e8)


def without(bars, at, count):
    return np.delete(bars, range(at, min(at + count, len(bars))))


def random_market(seed, missing):
    """ADA follows BTC with other volumes; bars of a symbol are missing in stretches."""
    draw = np.random.default_rng(seed)
    bars = {name: lively_bars(HISTORY + TRADED, seed * 10 + k) for k, name in enumerate(NAMES)}
    bars["ADAUSDT"] = bars["BTCUSDT"].copy()
    bars["ADAUSDT"]["volume_lots"] = bars["ADAUSDT"]["volume_lots"] // 3 + 10
    start_ns = int(bars["BTCUSDT"]["ts_open_ns"][HISTORY])
    if missing == "common":
        for at in sorted(draw.integers(HISTORY, HISTORY + TRADED - 60, 6))[::-1]:
            count = int(draw.integers(1, 20))
            for name in NAMES if draw.random() < 0.6 else NAMES[:3]:
                own = int(draw.integers(0, 3))  # an outage does not end for all at once
                bars[name] = without(bars[name], int(at) + own, count - own + int(draw.integers(0, 3)))
    if missing in {"own", "common"}:
        for name in NAMES:
            for at in sorted(draw.integers(HISTORY, HISTORY + TRADED - 60, 4))[::-1]:
                bars[name] = without(bars[name], int(at), int(draw.integers(1, 9)))
    if missing == "ends":
        bars["SOLUSDT"] = bars["SOLUSDT"][: HISTORY + TRADED // 2]
        bars["ETHUSDT"] = bars["ETHUSDT"][HISTORY - 400 :]
        bars["DOGEUSDT"] = without(bars["DOGEUSDT"], HISTORY - 5, 200)
    return Market({name: instrument(name) for name in NAMES}, bars, HOUR_NS, start_ns)


class Signals:
    """Predictions drawn from the bytes of a row, for every symbol but one, which has no model."""

    def __init__(self, version):
        self.store, self._signals = self, RandomSignals(version)
        self._signals.policy = market.filled(records.POLICY, market.policy_values(cut=0.05))

    def published(self):
        return [ModelPublished(name, self._signals.bundle_id, 0) for name in NAMES[:-1]]

    def predictor(self, name):
        return self._signals if name != NAMES[-1] else None


class EverySymbol(Signals):
    def published(self):
        return [ModelPublished(name, self._signals.bundle_id, 0) for name in NAMES]

    def predictor(self, _name):
        return self._signals


@lru_cache
def run_both(seed, case, models=EverySymbol):
    changes, missing = CASES[case]
    sections = {**EAGER, **changes}
    settings = Settings.model_validate({**sections, "universe": {"symbols": NAMES}})
    made = random_market(seed, missing)
    found = models(compile_layout(settings.features).version)
    return run_sweep(settings, made, found), run_replay(settings, made, found)


def assert_equal(swept, replayed):
    left = Rows("sweep", swept.decisions, swept.trades)
    found = compare(left, Rows("engine", replayed.decisions, replayed.trades), HOUR_NS)
    assert found.first == ()
    assert found.differences == 0
    assert swept.equity == replayed.equity
    assert swept.final_equity_e8 == replayed.final_equity_e8
    measured = {(d.symbol, d.ts_close_ns): (d.measured, d.limit, d.score) for d in swept.decisions}
    assert measured == {(d.symbol, d.ts_close_ns): (d.measured, d.limit, d.score) for d in replayed.decisions}
    times = [(t.ts_ns, t.symbol, t.tranche, t.reason) for t in swept.trades]
    assert sorted(times) == sorted((t.ts_ns, t.symbol, t.tranche, t.reason) for t in replayed.trades)


@pytest.mark.parametrize(("seed", "case"), list(enumerate(CASES, start=1)), ids=list(CASES))
def test_one_capital_for_all_agrees_in_every_integer(seed, case):
    swept, replayed = run_both(seed, case)
    assert_equal(swept, replayed)
    assert len(swept.trades) > 100


def test_a_symbol_without_a_model_agrees_too():
    swept, replayed = run_both(9, "gaps of each symbol's own", Signals)
    assert_equal(swept, replayed)
    assert Reason.NO_MODEL in {one.reason for one in swept.decisions}


def test_what_has_lost_in_value_frees_nothing_of_the_cap():
    seed = list(CASES).index("a cap on what was paid") + 1
    swept, _ = run_both(seed, "a cap on what was paid")
    refused = [one for one in swept.decisions if one.reason == Reason.MINIMUM_SIZE]
    assert any(one.measured == 0 for one in refused)  # the exposure left was enough for the least order


def test_the_rules_between_symbols_all_bind():
    runs = [run_both(seed, case)[0] for seed, case in enumerate(CASES, start=1)]
    reasons = Counter(Reason(one.reason) for run in runs for one in run.decisions)
    for reason in ("NOT_IN_TOP", "MAX_POSITIONS", "CORRELATION", "EXPOSURE", "ALREADY_HELD"):
        assert reasons[Reason[reason]] >= 5, reason
    exits = Counter(ExitReason(one.reason) for run in runs for one in run.trades)
    assert exits[ExitReason.GAP] >= 5
    assert exits[ExitReason.SIGNAL] >= 5
