"""Random signals through the kernel loop and through the engine on the exchange in process: no integer differs."""

import hashlib

import numpy as np
import pytest

from bnml.config import Settings
from bnml.core.events import ModelPublished
from bnml.kernels import records
from bnml.kernels.records import ExitReason
from bnml.research.market import Market
from bnml.research.parity import Rows, compare
from bnml.research.runs import run_replay, run_sweep
from bnml.trading.compile import compile_layout
from tests.twins import random_market as market

CASES = {  # instrument, close, volume, volatility, changed settings
    "crossed at level, touched by chance": (market.ADA, 4_000, 6 * 10**7, 0.005, {"costs": {"tier": "F1"}}),
    "touched is filled, sells close": (
        market.BTC,
        3_000_000,
        10**7,
        0.004,
        {"costs": {"tier": "F0"}, "exits": {"exit_on_sell": True, "time_stop_h": 12}},
    ),
    "thin market": (market.DOGE, 8_000, 2 * 10**6, 0.008, {"risk": {"min_depth_quote": 1}}),
}
BASE = {
    "features": {"base_frame": "1h", "higher_frames": ["4h", "1d"]},
    "scanner": {"min_global_score": 40},
    "risk": {
        "min_depth_quote": 1_000,
        "min_ml_confidence": 20,
        "max_daily_loss_pct": 1.0,
        "max_drawdown_pct": 6.0,
        "daily_budget_pct": 1.2,
        "weekly_budget_pct": 3.0,
    },
}


class RandomSignals:
    """Probabilities drawn from the bytes of a row: the same for both implementations, and without any meaning."""

    bundle_id = "random/1"
    columns = np.arange(5)

    def __init__(self, version):
        self.features_version = version
        self.policy = market.filled(records.POLICY, market.policy_values(cut=0.15))

    def probabilities(self, row, out):
        digest = hashlib.blake2b(row[:30].tobytes(), digest_size=8).digest()
        out[:] = np.random.default_rng(int.from_bytes(digest, "little")).dirichlet([2, 3, 2])

    def batch(self, rows):
        out = np.empty((len(rows), 3))
        for row, p in zip(rows, out, strict=True):
            self.probabilities(row, p)
        return out


class OneModel:
    """Stands where loaded bundles stand: one predictor for one symbol."""

    def __init__(self, symbol, features_version):
        self.symbol, self.signals, self.store = symbol, RandomSignals(features_version), self

    def published(self):
        return [ModelPublished(self.symbol, self.signals.bundle_id, 0)]

    def predictor(self, _name):
        return self.signals


def runs(case, bars, seed):
    instrument, close, volume, volatility, changes = CASES[case]
    generator = np.random.default_rng(seed)
    rows = market.random_bars(
        generator, bars, close, volume_lots=volume, volatility=volatility, gap_chance=0.01
    )
    sections = {name: {**BASE.get(name, {}), **changes.get(name, {})} for name in {*BASE, *changes}}
    settings = Settings.model_validate({**sections, "universe": {"symbols": [instrument.symbol]}})
    first_ns = int(rows["ts_open_ns"][700])
    bars_by_symbol = Market(
        {instrument.symbol: instrument}, {instrument.symbol: rows}, market.HOUR_NS, first_ns
    )
    models = OneModel(instrument.symbol, compile_layout(settings.features).version)
    return run_sweep(settings, bars_by_symbol, models), run_replay(settings, bars_by_symbol, models)


def assert_equal(swept, replayed, least_trades):
    left = Rows("sweep", swept.decisions, swept.trades)
    found = compare(left, Rows("engine", replayed.decisions, replayed.trades), market.HOUR_NS)
    assert found.first == ()
    assert found.differences == 0
    assert found.trades >= least_trades
    assert swept.equity == replayed.equity
    assert swept.final_equity_e8 == replayed.final_equity_e8
    measured = [(d.measured, d.limit, d.score, d.confidence, d.p_buy) for d in swept.decisions]
    assert measured == [(d.measured, d.limit, d.score, d.confidence, d.p_buy) for d in replayed.decisions]


@pytest.mark.parametrize(("seed", "case"), list(enumerate(CASES)), ids=list(CASES))
def test_kernel_and_engine_agree_in_every_integer(seed, case):
    assert_equal(*runs(case, 1_500, seed), least_trades=60)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_kernel_and_engine_agree_over_ten_thousand_bars(case):
    swept, replayed = runs(case, 10_000, 77)
    assert_equal(swept, replayed, least_trades=800)
    assert ExitReason.GAP in {trade.reason for trade in swept.trades}
