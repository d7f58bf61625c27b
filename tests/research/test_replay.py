"""Several symbols on one account: shared limits bind, runs repeat, the exchange and the ledger end up equal."""

from collections import Counter

import numpy as np
import pytest

from bnml.kernels.records import Reason
from bnml.research.replay import Replay
from bnml.trading.engine import Engine
from bnml.trading.protection import Protection
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.inprocess import ACCOUNT, SimVenue
from bnml.venues.sim.pricing import Pricing
from tests.trading.kit import (
    EAGER,
    HOUR_NS,
    Predictors,
    RandomPredictor,
    config,
    instrument,
    lively_bars,
    published,
    settings,
)

SYMBOLS = ("ADAUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT")
FIRST, COUNT = 500, 400
# ADA follows BTC with a little noise of its own; the other two walk alone.
SEEDS = {"ADAUSDT": 11, "BTCUSDT": 11, "ETHUSDT": 12, "SOLUSDT": 13}


def run():
    tree = {
        **EAGER,
        "risk": {**EAGER["risk"], "max_positions": 2, "max_position_pct": 40, "max_exposure_pct": 75},
    }
    made = config(settings(**tree))
    bars = {name: lively_bars(FIRST + COUNT, seed) for name, seed in SEEDS.items()}
    bars["ADAUSDT"] = bars["ADAUSDT"].copy()
    bars["ADAUSDT"]["volume_lots"] += 10
    bars["SOLUSDT"] = np.delete(bars["SOLUSDT"], range(FIRST + 90, FIRST + 110))
    pricing = Pricing(made.costs)
    instruments = {name: instrument(name) for name in SYMBOLS}
    feed = BarFeed(instruments, bars, HOUR_NS, pricing, int(bars["BTCUSDT"]["ts_open_ns"][FIRST]))
    venue = SimVenue(feed, pricing, {"USDT": 10_000 * 10**8})
    engine = Engine(made, Predictors(RandomPredictor(made.layout, cut=-1.0)))
    replay = Replay(engine, venue, SYMBOLS, 2_000_000_000, first_events=published(*SYMBOLS))
    return replay.run(), engine, venue


@pytest.fixture(scope="module")
def shared():
    return run()


def test_limits_between_symbols_bind(shared):
    result, _, _ = shared
    reasons = Counter(Reason(one.reason) for one in result.decisions)
    assert reasons[Reason.MAX_POSITIONS] > 0
    assert reasons[Reason.CORRELATION] > 0
    assert all(point.positions <= 2 for point in result.equity)


def test_a_correlated_symbol_is_refused_while_its_twin_is_held(shared):
    result, _, _ = shared
    refused = [one for one in result.decisions if one.reason == Reason.CORRELATION]
    assert {one.symbol for one in refused} <= {"ADAUSDT", "BTCUSDT"}
    assert all(one.measured > 0.99 for one in refused)


def test_an_outage_of_one_symbol_does_not_stop_the_others(shared):
    result, _, _ = shared
    scans = Counter(one.ts_close_ns for one in result.decisions)
    # 20 bars are missing, and the one before them is published only after them: too late for its scan.
    assert Counter(scans.values())[3] == 21
    assert Counter(scans.values())[4] == COUNT - 1 - 21


def test_the_ledger_ends_as_the_exchange(shared):
    _, engine, venue = shared
    held = {
        asset: free + locked
        for asset, (free, locked) in venue.exchange.read.account(ACCOUNT).balances.items()
    }
    for asset in {*held, *engine.state.ledger.totals}:
        assert engine.portfolio.total_e8(asset) == held.get(asset, 0), asset


def test_resting_orders_at_the_end_are_the_protection_of_what_is_held(shared):
    _, engine, venue = shared
    resting = {
        order.client_order_id for name in SYMBOLS for order in venue.exchange.read.open_orders(ACCOUNT, name)
    }
    legs = {
        leg for one in engine.portfolio.positions.values() for tranche in one.tranches for leg in tranche.legs
    }
    assert resting == legs


def test_a_run_repeats_itself(shared):
    first, _, _ = shared
    second, _, _ = run()
    assert second.trades == first.trades
    assert second.decisions == first.decisions
    assert second.events == first.events


def test_prints_that_meet_nobody_change_nothing(shared, monkeypatch):
    sparse, _, sparse_venue = shared
    advance = SimVenue.advance
    monkeypatch.setattr(SimVenue, "advance", lambda venue, _watched: advance(venue))
    whole, _, whole_venue = run()
    assert (whole.trades, whole.decisions, whole.equity) == (sparse.trades, sparse.decisions, sparse.equity)
    assert whole.events == sparse.events
    for name in SYMBOLS:
        left, right = sparse_venue.exchange.market[name], whole_venue.exchange.market[name]
        assert np.array_equal(left.klines.bars, right.klines.bars)
        for field in ("last_ticks", "last_ns", "basis", "last_close_ns"):
            assert getattr(left.state, field) == getattr(right.state, field), (name, field)
    printed = [one.exchange.market["ETHUSDT"].state.next_trade_id for one in (sparse_venue, whole_venue)]
    assert printed[0] < printed[1]


def test_looking_at_calm_positions_again_changes_nothing(shared, monkeypatch):
    calm, _, _ = shared
    monkeypatch.setattr(Protection, "is_calm", lambda *_: False)
    monkeypatch.setattr(Protection, "_calm", property(lambda _: set(), lambda *_: None), raising=False)
    watchful, _, _ = run()
    assert (watchful.trades, watchful.decisions, watchful.equity) == (
        calm.trades,
        calm.decisions,
        calm.equity,
    )
    assert watchful.events == calm.events
