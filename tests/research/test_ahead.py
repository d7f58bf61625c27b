"""Blocks from the batch kernels in the place of the engine's own steps: nothing differs, and nothing else may come."""

import zlib

import numpy as np
import pytest

from bnml.core.clock import NS_PER_MS
from bnml.core.events import ModelPublished
from bnml.research import ahead, runs
from bnml.research.ahead import AheadFeatures, Given, Tracks
from bnml.research.market import Market
from bnml.research.models import probabilities
from bnml.research.replay import Replay
from bnml.trading.compile import compile_engine
from bnml.trading.engine import Engine
from bnml.venues.sim.inprocess import SimVenue
from bnml.venues.sim.klines import bar_event
from bnml.venues.sim.pricing import Pricing
from tests.trading.kit import EAGER, HOUR_NS, instrument, lively_bars, policy_record, settings

FIRST, COUNT = 480, 300
SEEDS = {"ADAUSDT": 21, "BTCUSDT": 22, "ETHUSDT": 23}


class Signals:
    """Probabilities that are a hash of a few columns; `cut` tells two bundles apart."""

    def __init__(self, version, cut):
        self.features_version = version
        self.columns = np.array([0, 1, 5])
        self.policy = policy_record(cut)

    def probabilities(self, row, out):
        digest = zlib.crc32(row[self.columns].tobytes())
        weights = np.array([1 + (digest >> shift) % 1000 for shift in (0, 10, 20)])
        out[:] = weights / weights.sum()

    def batch(self, rows):
        out = np.empty((len(rows), 3))
        for row, p in zip(rows, out, strict=True):
            self.probabilities(row, p)
        return out


class Store:
    def __init__(self, version):
        self.bundles = {"one": Signals(version, 0.0), "two": Signals(version, 0.1)}
        self.store = self

    def predictor(self, name):
        return self.bundles[name]

    def published(self):
        return [ModelPublished("ADAUSDT", "one", 0), ModelPublished("BTCUSDT", "one", 0)]


@pytest.fixture(scope="module")
def world():
    """Three symbols, one of them without a model and with an outage; bundles change in the middle."""
    chosen = settings(**EAGER, universe={"symbols": list(SEEDS)}, decision={"without_model": "rule"})
    bars = {name: lively_bars(FIRST + COUNT, seed) for name, seed in SEEDS.items()}
    bars["ETHUSDT"] = np.delete(bars["ETHUSDT"], range(FIRST + 50, FIRST + 60))
    first_ns = int(bars["BTCUSDT"]["ts_open_ns"][FIRST])
    where = Market({name: instrument(name) for name in SEEDS}, bars, HOUR_NS, first_ns)
    config = compile_engine(chosen, runs.OFFLINE_IDS)
    start_ns, changes_ns = first_ns + HOUR_NS, first_ns + 100 * HOUR_NS
    models_at = {
        start_ns: Store(config.layout.version).published(),
        changes_ns: [ModelPublished("ADAUSDT", "two", changes_ns), ModelPublished("BTCUSDT", "", changes_ns)],
    }
    return chosen, where, Store(config.layout.version), models_at


def stepped(world):
    """The engine with its own steps."""
    chosen, where, models, models_at = world
    config = compile_engine(chosen, runs.OFFLINE_IDS)
    venue = SimVenue(where.feed(Pricing(config.costs)), Pricing(config.costs), {"USDT": 10_000 * 10**8})
    engine = Engine(config, models)
    grace_ns = chosen.scanner.grace_ms * NS_PER_MS
    return Replay(engine, venue, list(SEEDS), grace_ns, before_scan=models_at).run()


def everything(result):
    return result.decisions, result.trades, result.equity, result.events, result.final_equity_e8


@pytest.mark.parametrize("block", [1, 7, 512])
def test_a_replay_ahead_is_the_replay_by_steps(world, block, monkeypatch):
    monkeypatch.setattr(ahead, "BLOCK", block)
    chosen, where, models, models_at = world
    result, expected = runs.run_replay(chosen, where, models, models_at), stepped(world)
    assert everything(result) == everything(expected)
    assert len(result.trades) > 50
    assert {one.bundle_id for one in result.decisions} == {"", "one", "two"}


def given_of(world):
    chosen, where, models, _ = world
    config = compile_engine(chosen, runs.OFFLINE_IDS)
    rows = {name: runs.feature_rows(config, where, name) for name in SEEDS}
    return rows, {name: probabilities(models.predictor("one"), rows[name]) for name in ("ADAUSDT", "BTCUSDT")}


def test_given_features_and_probabilities_are_taken_as_they_are(world):
    chosen, where, models, models_at = world
    rows, chances = given_of(world)
    once = {min(models_at): models_at[min(models_at)]}
    expected = runs.run_replay(chosen, where, models, once)
    assert everything(runs.run_replay(chosen, where, models, once, Given(rows, chances))) == everything(
        expected
    )
    turned = {name: values[:, ::-1].copy() for name, values in chances.items()}
    other = runs.run_replay(chosen, where, models, once, Given(rows, turned))
    assert other.decisions != expected.decisions


def test_a_bar_that_is_not_the_next_of_the_market_is_refused(world):
    chosen, where, _, _ = world
    layout = compile_engine(chosen, runs.OFFLINE_IDS).layout
    store = AheadFeatures(layout, Tracks(where.instruments, where.bars, layout))
    state = store.open(where.instruments["BTCUSDT"])
    bars = [bar_event("BTCUSDT", row, HOUR_NS) for row in where.bars["BTCUSDT"][:4]]
    assert store.push(state, bars[0])
    assert not store.push(state, bars[0])
    with pytest.raises(ValueError, match="bar 1 of the run"):
        store.push(state, bars[2])
    assert state.bars == 1
