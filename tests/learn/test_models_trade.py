"""Do models trade? On the generated market, with the default rule and thresholds, a fitted bundle passes the gate and buys.

The market's edge is planted (its results say nothing about skill on a real one); what is proven is the
chain: features, labels, folds, policy, gate, flattened trees, decision.
"""

import numpy as np
import pytest

from bnml.app.models import make_bundles
from bnml.app.training import training_spec
from bnml.config import Settings
from bnml.kernels import policy
from bnml.kernels.records import Action
from bnml.learn.dataset import SymbolBars, feature_rows
from bnml.learn.train import outcomes_of, publish_trained, train_symbol
from bnml.trading.compile import instrument_record
from bnml.trading.filling import compile_costs
from bnml.venues.sim.feed import STEPS_PER_BOUNDARY
from bnml.venues.sim.generated import PROFILES, GeneratedFeed
from bnml.venues.sim.pricing import Pricing
from tests.learn.small import quiet

FOLLOWING_BARS = 1500  # a little over two weeks of 15m
REDUCED = {"folds": 2, "fold_trees": 40, "rf": {"trees": 40}, "xgb": {"rounds": 40}, "max_rows": 8000}


def bought(symbol, learning, models_dir):
    """Bars after the training on which the default rule buys, and what entries there and everywhere earned (ppm)."""
    settings = Settings.model_validate({"learning": {**learning, "models_dir": str(models_dir)}})
    spec = training_spec(settings, 0)
    feed = GeneratedFeed(settings.venue.sim.seed, Pricing(compile_costs(settings.costs)))
    instrument = feed.instruments[symbol]
    known = SymbolBars(instrument, instrument_record(instrument), feed.history(0)[symbol])
    publish_trained(train_symbol(known, spec, quiet), spec)
    store = make_bundles(settings).store
    predictor = store.predictor(store.load(symbol, None))  # refuses a bundle that fails the gate

    whole = feed.history(FOLLOWING_BARS * STEPS_PER_BOUNDARY)[symbol]
    grown = SymbolBars(instrument, known.record, whole)
    rows = feature_rows(grown, spec.layout)
    chances, buys = np.zeros(3), []
    for bar in range(len(known.bars), len(whole)):
        assert not np.isnan(rows[bar][predictor.columns]).any()
        predictor.probabilities(rows[bar], chances)
        action, edge_ppm = policy.decide(predictor.policy[0], chances)
        if action == Action.BUY:
            assert edge_ppm > 0
            assert policy.confidence(predictor.policy[0], chances[2] - chances[0]) > 97
            buys.append(bar)
    atr_ratio = np.ascontiguousarray(rows[:, spec.layout.column("atr_ratio_14")])
    following = np.arange(len(known.bars), len(whole))
    earned_ppm = outcomes_of(grown, atr_ratio, following, spec)[
        :, 0
    ]  # NaN: refused by the cap, or still open
    chosen_ppm = earned_ppm[np.array(buys) - len(known.bars)]
    return buys, float(np.nanmean(chosen_ppm)), float(np.nanmean(earned_ppm))


@pytest.mark.parametrize("symbol", ["SOLUSDT", "BTCUSDT"])
def test_a_reduced_training_buys_on_the_bars_that_follow(symbol, tmp_path):
    buys, chosen_ppm, all_ppm = bought(symbol, REDUCED, tmp_path)
    assert FOLLOWING_BARS * 0.005 < len(buys) < FOLLOWING_BARS * 0.15
    assert chosen_ppm > all_ppm


@pytest.mark.long
def test_the_default_training_buys_on_the_bars_that_follow(tmp_path):
    """All symbols together: of one symbol's few entries in two weeks chance decides."""
    found = [bought(profile.base + "USDT", {}, tmp_path) for profile in PROFILES]
    for buys, _, _ in found:
        assert FOLLOWING_BARS * 0.005 < len(buys) < FOLLOWING_BARS * 0.15
    chosen_ppm = sum(len(buys) * each_ppm for buys, each_ppm, _ in found) / sum(len(one[0]) for one in found)
    assert chosen_ppm > 0 > np.mean([all_ppm for _, _, all_ppm in found])
