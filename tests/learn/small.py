"""A small market with something to learn, and settings that fit it in a second."""

import numpy as np

from bnml.core.clock import NS_PER_HOUR
from bnml.core.instrument import Instrument
from bnml.kernels.features import FeatureLayout
from bnml.kernels.fills import symbol_key
from bnml.kernels.records import BAR, COSTS, INSTRUMENT, RULES, record
from bnml.learn.dataset import SymbolBars
from bnml.learn.labels import compile_labelling
from bnml.learn.settings import LearningSettings
from bnml.learn.train import TrainingSpec
from tests.kernels.test_outcomes import COST_FIELDS, RULE_FIELDS

LAYOUT = FeatureLayout(NS_PER_HOUR, ())
START_NS = 1_600_000_000 * 1_000_000_000 // NS_PER_HOUR * NS_PER_HOUR


def market(count=2400, seed=3, symbol="TESTUSDT"):
    """Hourly bars in which a heavy bar is followed by a rise."""
    random = np.random.default_rng(seed)
    heavy = random.random(count) < 0.04
    drift = np.convolve(heavy, [0, 1, 1, 1, 1], "full")[:count] > 0
    returns = random.normal(0, 0.006, count) + 0.008 * drift
    close = 20_000 * np.exp(np.cumsum(returns - returns.mean()))
    bars = np.zeros(count, dtype=BAR)
    bars["ts_open_ns"] = START_NS + np.arange(count) * NS_PER_HOUR
    bars["close"] = np.rint(close)
    bars["open"] = np.concatenate([[20_000], bars["close"][:-1]])
    bars["high"] = np.maximum(bars["open"], bars["close"]) + random.integers(0, 40, count)
    bars["low"] = np.minimum(bars["open"], bars["close"]) - random.integers(0, 40, count)
    bars["volume_lots"] = np.where(heavy, 5_000_000, 1_000_000) + random.integers(0, 200_000, count)
    instrument = Instrument(symbol, symbol.removesuffix("USDT"), "USDT", 1_000_000, 100_000)
    made = record(INSTRUMENT)
    for name in (
        "tick_e8",
        "lot_e8",
        "notional_num",
        "notional_den",
        "min_lots",
        "max_lots",
        "min_notional_e8",
    ):
        made[name] = getattr(instrument, name)
    made["symbol_key"] = symbol_key(symbol)
    return SymbolBars(instrument, made, bars)


def spec_for(models_dir, **changes):
    learning = LearningSettings.model_validate(
        {
            "models_dir": models_dir,
            "folds": 2,
            "fold_trees": 10,
            "rf": {"trees": 12, "depth": 5, "leaf": 10},
            "xgb": {"rounds": 10, "depth": 3, "learning_rate": 0.2},
            **changes,
        }
    )
    rules, costs = record(RULES), record(COSTS)
    for made, fields in ((rules, RULE_FIELDS), (costs, COST_FIELDS)):
        for name, value in fields.items():
            made[name] = value
    return TrainingSpec(
        learning=learning,
        labelling=compile_labelling(learning, 0.0012),
        layout=LAYOUT,
        history_bars=1000,
        rules=rules,
        costs=costs,
        cut_quantile=0.98,
        threads=2,
        created_ns=START_NS,
    )


def quiet(_phase):
    """A training that tells nobody."""
