"""Engine with the exchange in process, and the kernel loop: the same integers; and every planted break is seen."""

import dataclasses
import os
from collections import Counter

import msgspec
import numpy as np
import pytest

from bnml.core.clock import parse_utc_ns
from bnml.core.outcomes import Decision
from bnml.kernels import exits, opinions, sizing
from bnml.kernels.fills import SLOT_OPEN
from bnml.kernels.records import ExitReason, Reason, Taking
from bnml.research.parity import Rows, compare, judge, print_slot
from bnml.research.replay import Replay
from bnml.research.sweep import sweep
from bnml.trading.engine import Engine
from bnml.venues.history import load_history
from bnml.venues.sim import feed as feeds
from bnml.venues.sim.inprocess import SimVenue
from bnml.venues.sim.pricing import Pricing
from tests.trading.kit import (
    EAGER,
    HOUR_NS,
    START_NS,
    Bench,
    Predictors,
    RandomPredictor,
    config,
    instrument,
    lively_bars,
    lively_bench,
    published,
    settings,
)

LONG = os.environ.get("BNML_LONG") == "1"


def rows_of(name, result):
    return Rows(name, result.decisions, result.trades)


def against_sweep(bench, data, swept_config, replayed):
    return compare(rows_of("replay", replayed), rows_of("sweep", sweep([data], swept_config)), HOUR_NS)


@pytest.fixture(scope="module")
def bench():
    return lively_bench(3000, 1, gaps=30)


@pytest.fixture(scope="module")
def replayed(bench):
    return bench.replay().run()


@pytest.fixture(scope="module")
def data(bench):
    return bench.sweep_input()


def test_replay_and_sweep_agree_in_every_integer_and_nothing_was_rare(bench, data, replayed):
    verdict = judge([against_sweep(bench, data, bench.sweep_config(), replayed)])
    assert verdict.first == ()
    assert verdict.differences == 0
    assert verdict.missing == ()
    assert verdict.is_proven(allow_few=False)


def test_equity_agrees_at_every_scan(bench, data, replayed):
    swept = sweep([data], bench.sweep_config())
    assert replayed.equity == swept.equity
    assert replayed.final_equity_e8 == swept.final_equity_e8


@pytest.mark.parametrize("seed", range(2, 8) if LONG else [2])
def test_ten_thousand_bars_with_gaps(seed):
    bench = lively_bench(10_000 if LONG else 2_500, seed, gaps=50)
    found = against_sweep(bench, bench.sweep_input(), bench.sweep_config(), bench.replay().run())
    assert found.first == ()
    assert found.compared > 2_500


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_real_bars_with_outages_and_random_signals(data_dir, symbol):
    """Spring to autumn 2021: the recording lacks the bars of several outages of the exchange."""
    from_ns, to_ns = parse_utc_ns("2021-03-20"), parse_utc_ns("2021-10-05" if LONG else "2021-07-01")
    folder = data_dir / "binance_spot" / "1h"
    history = load_history(folder, (symbol,), from_ns=from_ns, to_ns=to_ns)[symbol]
    assert history.gaps
    bench = Bench(settings(**EAGER), history.instrument, history.bars, 500, cut=-0.5)
    found = against_sweep(bench, bench.sweep_input(), bench.sweep_config(), bench.replay().run())
    assert found.first == ()
    assert found.trades > 500


def test_the_rule_strategy_agrees_too():
    bench = lively_bench(1500, 5, gaps=15)
    bench.settings = settings(**EAGER, decision={"without_model": "rule"})
    replay = bench.replay()
    replay._first_events = ()
    data = dataclasses.replace(bench.sweep_input(), probabilities=None, policy=None, bundle_id="")
    found = against_sweep(bench, data, bench.sweep_config(), replay.run())
    assert found.first == ()
    assert found.trades > 20


MUTATED_RULES = {
    "price_cap_ppm": 300,
    "stop_atr_ppm": 1_500_000,
    "hard_stop_ppm": 29_000,
    "trail_start_ppm": 15_000,
    "trail_atr_ppm": 900_000,
    "trail_step_ppm": 9_000,
    "target1_ppm": 19_000,
    "target2_ppm": 39_000,
    "share1_ppm": 490_000,
    "share2_ppm": 290_000,
    "time_stop_ns": 5 * HOUR_NS,
    "time_stop_band_ppm": 5_000,
    "dust_ppm": 500_000,
    "exit_on_sell": 0,
    "trail_ppm": 9_000,
    "target1_r_ppm": 1_000_000,
    "target2_r_ppm": 1_500_000,
    "from_fill": 1,
}
MUTATED_LIMITS = {
    "active_ppm": 590_000,
    "max_quote_e8": 10**11,
    "max_cost_e8": 10**11,
    "risk_per_trade_ppm": 2_000,
    "max_position_ppm": 190_000,
    "max_exposure_ppm": 100_000,
    "max_positions": 0,
    "min_confidence": 63.0,
    "min_global_score": 59.0,
    "top_n": 0,
    "max_spread_ppm": 1_000,
    "min_depth_e8": 30_000 * 10**8,
    "min_expected_edge_ppm": 3_000,
    "max_daily_loss_ppm": 1_000,
    "max_drawdown_ppm": 2_000,
    "max_losses_in_row": 3,
    "loss_pause_ns": 7 * HOUR_NS,
    "max_volatility_ratio": 1.8,
    "drift_ks": 0.19,
    "drift_p": 1e-9,
    "drift_volatility_ratio": 2.1,
    "daily_budget_ppm": 3_000,
    "weekly_budget_ppm": 4_000,
}
MUTATED_COSTS = {
    "maker_ppm": 990,
    "taker_ppm": 990,
    "slippage_ppm": 190,
    "spread_floor_ppm": 110,
    "spread_range_ppm": 4_900,
    "spread_cap_ppm": 500,
    "volume_share_ppm": 1_000,
}
MUTATED_CHANCE = {"tier": 0, "seed": 43, "touch_ppm": 0}
PLANTED = [
    (kind, name, value)
    for kind, fields in (("rules", MUTATED_RULES), ("limits", MUTATED_LIMITS), ("costs", MUTATED_COSTS))
    for name, value in fields.items()
]
NEED_MORE_THAN_ONE_SYMBOL = {"max_correlation": 1.1}
NEED_A_THIN_MARKET = {"entry_taking": int(Taking.IOC)}
NEED_A_MARKET = {
    "mood_smoothing": 0.6,
    "mood_sell_score": -0.12,
    "mood_max_volatility": 1.3,
    "mood_max_spread_ppm": 1_000,
    "mood_sell_confidence": 55.0,
    "mood_min_score": -0.2,
}
NEED_A_TRIPPED_DRAWDOWN = {"drawdown_pause_ns": 40 * HOUR_NS}


@pytest.mark.parametrize(("kind", "name", "value"), PLANTED, ids=str)
def test_a_rule_broken_in_the_sweep_is_reported(bench, data, replayed, kind, name, value):
    broken = bench.sweep_config()
    record = getattr(broken, kind).copy()
    assert record[name][0] != value
    record[name] = value
    found = against_sweep(bench, data, dataclasses.replace(broken, **{kind: record}), replayed)
    assert found.differences > 0
    assert not judge([found]).is_proven(allow_few=True)


@pytest.fixture(scope="module")
def coarse():
    """Ticks of a fortieth of a percent: targets are often touched without being crossed."""
    close_targets = {"target1_pct": 0.8, "target2_pct": 1.5}
    bars = lively_bars(2500, 3, close=4_000)
    bench = Bench(settings(**EAGER, exits=close_targets), instrument(tick_e8=10**9), bars, 500)
    return bench, bench.sweep_input(), bench.replay().run()


def test_touched_targets_fill_by_the_same_chance(coarse):
    bench, data, replayed = coarse
    assert against_sweep(bench, data, bench.sweep_config(), replayed).first == ()


@pytest.mark.parametrize("name", MUTATED_CHANCE)
def test_a_chance_broken_in_the_sweep_is_reported(coarse, name):
    bench, data, replayed = coarse
    broken = bench.sweep_config()
    costs = broken.costs.copy()
    costs[name] = MUTATED_CHANCE[name]
    found = against_sweep(bench, data, dataclasses.replace(broken, costs=costs), replayed)
    assert found.differences > 0


@pytest.fixture(scope="module")
def sinking():
    """Two percent under the peak stop entries for a day, and that happens again and again."""
    risk = {**EAGER["risk"], "max_drawdown_pct": 2, "drawdown_pause_h": 24, "max_losses_in_row": 50}
    tree = {
        **EAGER,
        "risk": {**risk, "daily_budget_pct": 50, "weekly_budget_pct": 50, "max_daily_loss_pct": 50},
    }
    bench = Bench(settings(**tree), instrument(), lively_bars(1500, 8), 500, cut=-0.5)
    return bench, bench.sweep_input(), bench.replay().run()


def test_pauses_after_a_drawdown_agree(sinking):
    bench, data, replayed = sinking
    assert sum(one.reason == Reason.DRAWDOWN for one in replayed.decisions) > 20
    assert against_sweep(bench, data, bench.sweep_config(), replayed).first == ()


@pytest.mark.parametrize("name", NEED_A_TRIPPED_DRAWDOWN)
def test_a_pause_broken_in_the_sweep_is_reported(sinking, name):
    bench, data, replayed = sinking
    broken = bench.sweep_config()
    limits = broken.limits.copy()
    assert limits[name][0] != NEED_A_TRIPPED_DRAWDOWN[name]
    limits[name] = NEED_A_TRIPPED_DRAWDOWN[name]
    found = against_sweep(bench, data, dataclasses.replace(broken, limits=limits), replayed)
    assert found.differences > 0


@pytest.fixture(scope="module")
def thin():
    """A bar's volume hardly pays for a position: what wants all or nothing often gets nothing."""
    bench = Bench(
        settings(**EAGER, costs={"volume_share_pct": 0.005}),
        instrument(),
        lively_bars(1200, 9),
        500,
        cut=-0.5,
    )
    return bench, bench.sweep_input(), bench.replay().run()


def test_entries_of_all_or_nothing_agree_in_a_thin_market(thin):
    bench, data, replayed = thin
    found = against_sweep(bench, data, bench.sweep_config(), replayed)
    assert found.first == ()
    assert found.trades > 20


@pytest.mark.parametrize("name", NEED_A_THIN_MARKET)
def test_a_way_of_taking_broken_in_the_sweep_is_reported(thin, name):
    bench, data, replayed = thin
    broken = bench.sweep_config()
    rules = broken.rules.copy()
    rules[name] = NEED_A_THIN_MARKET[name]
    found = against_sweep(bench, data, dataclasses.replace(broken, rules=rules), replayed)
    assert found.differences > 0


def replay_of_twins(**changed_limits):
    """Two symbols that move as one on one account: the sweep knows no second symbol, two replays do."""
    made = config(settings(**EAGER))
    limits = made.limits.copy()
    for name, value in changed_limits.items():
        assert limits[name][0] != value
        limits[name] = value
    made = dataclasses.replace(made, limits=limits)
    names = ("ADAUSDT", "BTCUSDT")
    bars = {name: lively_bars(800, 11) for name in names}
    bars["ADAUSDT"]["volume_lots"] += 10  # so that its predictions are others
    pricing = Pricing(made.costs)
    feed = feeds.BarFeed(
        {name: instrument(name) for name in names}, bars, HOUR_NS, pricing, START_NS + 500 * HOUR_NS
    )
    venue = SimVenue(feed, pricing, {"USDT": 10_000 * 10**8})
    engine = Engine(made, Predictors(RandomPredictor(made.layout, -0.5)))
    return Replay(engine, venue, names, 2_000_000_000, first_events=published(*names)).run()


@pytest.mark.parametrize("name", NEED_MORE_THAN_ONE_SYMBOL)
def test_a_limit_between_symbols_broken_on_one_side_is_reported(name):
    whole = replay_of_twins()
    assert sum(one.reason == Reason.CORRELATION for one in whole.decisions) > 20
    same = compare(rows_of("one", whole), rows_of("other", replay_of_twins()), HOUR_NS)
    assert same.differences == 0
    broken = replay_of_twins(**{name: NEED_MORE_THAN_ONE_SYMBOL[name]})
    assert compare(rows_of("one", whole), rows_of("broken", broken), HOUR_NS).differences > 0


MOODY = {
    "mood_smoothing": 0.7,
    "mood_sell_score": -0.08,
    "mood_max_volatility": 1.2,
    "mood_max_spread_ppm": 900,
    "mood_sell_confidence": 45.0,
    "mood_min_score": -0.12,
}
"""Limits under which a market of random opinions often turns against entries."""


def replay_of_market(**changed_limits):
    """Five symbols on one account, each with opinions of its own."""
    open_risk = {"max_losses_in_row": 100, "daily_budget_pct": 50, "weekly_budget_pct": 50}
    open_risk |= {"max_daily_loss_pct": 50, "max_drawdown_pct": 90}
    tree = {**EAGER, "risk": {**EAGER["risk"], **open_risk}}
    made = config(settings(**tree, exits={"time_stop_h": 2, "time_stop_band_pct": 5}))
    limits = made.limits.copy()
    for name, value in {**MOODY, **changed_limits}.items():
        limits[name] = value
    made = dataclasses.replace(made, limits=limits)
    names = ("ADAUSDT", "BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT")
    bars = {name: lively_bars(900, 20 + seed) for seed, name in enumerate(names)}
    pricing = Pricing(made.costs)
    instruments = {name: instrument(name) for name in names}
    feed = feeds.BarFeed(instruments, bars, HOUR_NS, pricing, START_NS + 500 * HOUR_NS)
    venue = SimVenue(feed, pricing, {"USDT": 10_000 * 10**8})
    engine = Engine(made, Predictors(RandomPredictor(made.layout, 0.0)))
    return Replay(engine, venue, names, 2_000_000_000, first_events=published(*names)).run()


@pytest.fixture(scope="module")
def moody():
    return replay_of_market()


def test_a_market_refuses_for_each_of_its_reasons(moody):
    reasons = Counter(one.reason for one in moody.decisions)
    for reason in (Reason.MARKET_SELL, Reason.MARKET_RISK_OFF, Reason.MARKET_SCORE):
        assert reasons[reason] > 10, reason.name


@pytest.mark.parametrize("name", NEED_A_MARKET)
def test_a_rule_of_the_market_broken_on_one_side_is_reported(moody, name):
    assert MOODY[name] != NEED_A_MARKET[name]
    broken = replay_of_market(**{name: NEED_A_MARKET[name]})
    assert compare(rows_of("one", moody), rows_of("broken", broken), HOUR_NS).differences > 0


def test_every_field_that_decides_has_a_planted_break(bench):
    broken = (
        {name for _, name, _ in PLANTED}
        | set(MUTATED_CHANCE)
        | set(NEED_MORE_THAN_ONE_SYMBOL)
        | set(NEED_A_MARKET)
        | set(NEED_A_TRIPPED_DRAWDOWN)
        | set(NEED_A_THIN_MARKET)
    )
    made = bench.sweep_config()
    names = {name for record in (made.rules, made.limits, made.costs) for name in record.dtype.names}
    assert names <= broken


def off_by_one(function):
    """The same integer, or the first of a tuple, one less."""

    def broken(*arguments):
        value = function(*arguments)
        return (value[0] - 1, *value[1:]) if isinstance(value, tuple) else value - 1

    return broken


def other_opinion(**factors):
    """The same opinion, but for fields that are multiplied."""

    def make(function):
        def broken(*arguments):
            function(*arguments)
            for name, factor in factors.items():
                arguments[-1][name] *= factor

        return broken

    return make


ENGINE_BREAKS = {
    "initial stop one tick lower": (exits, "initial_stop", off_by_one),
    "target one tick lower": (exits, "target_level", off_by_one),
    "trailing one tick lower": (exits, "trail_stop", off_by_one),
    "trailing from the reference on": (exits, "trail_activation", lambda f: lambda *a: f(*a) - 60_000),
    "cap at the reference": (exits, "entry_cap", lambda _: lambda reference, _rules: reference),
    "gaps are called stops": (exits, "stop_reason", lambda _: lambda kind, _fill, _level: kind),
    "no exits of a scan": (exits, "scan_exit", lambda _: lambda *_: int(ExitReason.NONE)),
    "one lot less": (sizing, "size_lots", lambda f: lambda *a: tuple(lots - 1 for lots in f(*a))),
    "no tranches": (sizing, "split_lots", lambda _: lambda lots, *_: (lots, 0, 0)),
    "confidence in halves": (opinions, "opinion_row", other_opinion(confidence=0.5)),
    "score from other weights": (opinions, "opinion_row", other_opinion(score=0.9)),
    "no edge anywhere": (opinions, "opinion_row", other_opinion(expected_edge_ppm=-1.0)),
}


@pytest.fixture(scope="module")
def short():
    bench = lively_bench(900, 1, gaps=9)
    return bench, bench.sweep_input()


def test_the_short_bench_agrees(short):
    bench, data = short
    assert against_sweep(bench, data, bench.sweep_config(), bench.replay().run()).first == ()


@pytest.mark.parametrize("name", ENGINE_BREAKS)
def test_a_rule_broken_in_the_engine_is_reported(short, monkeypatch, name):
    bench, data = short
    module, function, make = ENGINE_BREAKS[name]
    monkeypatch.setattr(module, function, make(getattr(module, function)))
    found = against_sweep(bench, data, bench.sweep_config(), bench.replay().run())
    assert found.differences > 0


def test_a_path_in_another_order_is_reported(short, monkeypatch):
    """High before low: the exchange's feed broken, the kernel as it is."""
    bench, data = short
    monkeypatch.setattr(feeds, "_PRICE_OF_SLOT", {0: "open", 1: "high", 2: "low", 3: "close"})
    found = against_sweep(bench, data, bench.sweep_config(), bench.replay().run())
    assert found.differences > 0


def test_a_scan_before_the_open_is_reported(short, monkeypatch):
    """Candle before print: decisions would fill at the close they were made of."""
    bench, data = short
    original = feeds.BarFeed._print
    closes = {int(bar["ts_open_ns"]) + HOUR_NS: int(bar["close"]) for bar in bench.bars}

    def early(self, bar, slot, ts_ns):
        printed = original(self, bar, slot, ts_ns)
        before = closes.get(bar.ts_open_ns, printed.price_ticks)
        return msgspec.structs.replace(printed, price_ticks=before) if slot == SLOT_OPEN else printed

    monkeypatch.setattr(feeds.BarFeed, "_print", early)
    found = against_sweep(bench, data, bench.sweep_config(), bench.replay().run())
    assert found.differences > 0


def test_rows_missing_on_one_side_are_differences(bench, replayed):
    whole = rows_of("whole", replayed)
    cut = Rows("cut", replayed.decisions[1:], replayed.trades[:-1])
    found = compare(whole, cut, HOUR_NS)
    assert found.differences == 2
    assert {row.kind for row in found.first} == {"decision", "trade"}
    assert all("only on the left" in row.what for row in found.first)


def test_nothing_compared_proves_nothing():
    empty = Rows("empty", [], [])
    assert not judge([compare(empty, empty, HOUR_NS)]).is_proven(allow_few=True)


def test_rare_kinds_are_named_and_may_be_allowed(replayed):
    few = Rows("few", replayed.decisions[:50], replayed.trades[:2])
    verdict = judge([compare(few, few, HOUR_NS)])
    assert any(what.startswith("exit GAP") for what in verdict.missing)
    assert not verdict.is_proven(allow_few=False)
    assert verdict.is_proven(allow_few=True)


def test_measured_values_are_compared():
    one = Decision("BTCUSDT", 1, 2, int(Reason.SPREAD), 0.2, 0.15, 0, 60.0, 70.0, 0.1, 0.2, 0.7)
    other = Decision("BTCUSDT", 1, 2, int(Reason.SPREAD), 0.21, 0.15, 0, 60.0, 70.0, 0.1, 0.2, 0.7)
    assert compare(Rows("a", [one], []), Rows("b", [other], []), HOUR_NS).differences == 1


@pytest.mark.parametrize(
    ("offset_ns", "slot"),
    [(0, 0), (3_000_000_000, 0), (HOUR_NS // 4, 1), (HOUR_NS // 2, 2), (HOUR_NS - 1_000_000, 3)],
)
def test_fill_times_are_compared_as_bar_and_print(offset_ns, slot):
    assert print_slot(START_NS + offset_ns, HOUR_NS) == (START_NS, slot)


def test_columns_and_engine_rows_are_the_same_bytes(bench, data, replayed):
    assert len(replayed.decisions) == len(bench.bars) - bench.first - 1
    assert np.isfinite(data.columns["atr_ratio_14"][bench.first]).all()
