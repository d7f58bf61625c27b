"""Any number as an axis, in any world: each row is the row of its single backtest, and of the plain-Python twins."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.kernels import records
from bnml.learn.predictors import PolicyChoice
from bnml.research.grid_engine import GridEngine, single
from tests.research import test_portfolio as portfolio
from tests.research import test_sweep as alone
from tests.twins import random_market as market
from tests.twins.backtest_twin import DAY_NS, Market, floor_ppm
from tests.twins.portfolio_twin import Portfolio

# Without compilation the hash of a draw wraps around in numpy scalars, which warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
HOUR_NS = market.HOUR_NS
RULES = {
    "price_cap_ppm": (300, 5_000, 30_000),
    "stop_atr_ppm": (0, 700_000, 2_000_000),
    "hard_stop_ppm": (0, 6_000, 30_000),
    "trail_start_ppm": (0, 4_000, 15_000),
    "trail_atr_ppm": (0, 1_000_000),
    "trail_step_ppm": (0, 1_000, 5_000),
    "target1_ppm": (0, 8_000, 20_000),
    "target2_ppm": (0, 40_000),
    "share1_ppm": (0, 333_333, 700_000),
    "share2_ppm": (0, 250_000),
    "time_stop_ns": (0, 9 * HOUR_NS, 30 * HOUR_NS + 1),
    "time_stop_band_ppm": (4_000, 10**9),
    "dust_ppm": (0, 60_000, 400_000),
    "exit_on_sell": (0, 1),
    "trail_ppm": (0, 3_000, 12_000),
    "target1_r_ppm": (0, 1_500_000),
    "target2_r_ppm": (0, 2_500_000),
    "from_fill": (0, 1),
    "entry_taking": (1, 2),
}
SIZES = {
    "active_ppm": (600_000, 1_000_000),
    "max_quote_e8": (0, 3_000 * 10**8),
    "max_cost_e8": (0, 3_000 * 10**8),
    "risk_per_trade_ppm": (0, 5_000),
    "max_position_ppm": (150_000, 1_000_000),
    "max_exposure_ppm": (500_000, 1_000_000),
    "max_positions": (1, 2, 10),
}
COSTS = {
    "tier": (0, 1),
    "seed": (1, 42),
    "maker_ppm": (0, 750),
    "taker_ppm": (0, 1_000),
    "slippage_ppm": (0, 200, 3_000),
    "spread_floor_ppm": (0, 100),
    "spread_range_ppm": (0, 5_000),
    "spread_cap_ppm": (500, 1_500),
    "volume_share_ppm": (1_000, 100_000),
    "touch_ppm": (0, 500_000, 1_000_000),
}
LATE = {"latency_bars": (0, 1, 3), "latency_ns": (0, 1, 25 * 60 * 10**9, 100 * 60 * 10**9)}
LIMITS = {
    "min_confidence": (20.0, 65.0),
    "min_global_score": (0.0, 45.0, 58.0),
    "top_n": (1, 10),
    "max_spread_ppm": (300, 1_500),
    "min_depth_e8": (10**8, 50_000 * 10**8),
    "max_correlation": (0.1, 0.85),
    "min_expected_edge_ppm": (-10_000, 0, 600),
    "max_daily_loss_ppm": (9_000, 50_000),
    "max_drawdown_ppm": (25_000, 200_000),
    "drawdown_pause_ns": (30 * HOUR_NS, 168 * HOUR_NS),
    "max_losses_in_row": (1, 3, 50),
    "loss_pause_ns": (2 * HOUR_NS, 12 * HOUR_NS),
    "max_volatility_ratio": (1.2, 5.0),
    "drift_ks": (0.1, 0.24),
    "drift_p": (0.05, 0.5),
    "drift_volatility_ratio": (1.2, 1.8),
    "daily_budget_ppm": (14_000, 20_000),
    "weekly_budget_ppm": (30_000, 60_000),
}
MOOD = {
    "mood_smoothing": (0.3, 1.0),
    "mood_sell_score": (-0.22, -0.05),
    "mood_max_volatility": (0.5, 1.35),
    "mood_max_spread_ppm": (200, 1_800),
    "mood_sell_confidence": (20.0, 70.0),
    "mood_min_score": (-0.35, -0.02),
}
CHOICE = {
    "rule": (0, 1),
    "min_buy": (0.35, 0.42, 0.5),
    "min_sell": (0.35, 0.42),
    "min_margin": (0.0, 0.07),
    "hold_bias": (0.0, 0.02, 0.1),
}
WEIGHTS = {"ml": (0.1, 0.5), "technical": (0.0, 0.3), "momentum": (0.2, 0.6)}


def named(**groups):
    return {f"{group}.{name}": values for group, fields in groups.items() for name, values in fields.items()}


GIVEN = named(rules=RULES, limits=SIZES, costs=COSTS, late=LATE)
DECIDED = named(rules=RULES, limits=SIZES | LIMITS | MOOD, costs=COSTS, choice=CHOICE, weights=WEIGHTS)
NO_SETTING = ("trail_ppm", "target1_r_ppm", "target2_r_ppm", "from_fill", "entry_taking")
MAY_BE_OFF = (
    "rules.exit_on_sell",
    "rules.dust_ppm",
    "rules.trail_step_ppm",
    "limits.max_quote_e8",
    "limits.max_cost_e8",
)
SETTINGS = {
    name: tuple(
        value for value in values if value or not name.startswith(("rules", "limits")) or name in MAY_BE_OFF
    )
    for name, values in (DECIDED | {"limits.min_global_score": (1.0, 45.0, 58.0)}).items()
    if name.removeprefix("rules.") not in NO_SETTING
}
"""What the settings of the daemon can say."""


def configure(config):
    """A function from points to configurations, as the worlds have one."""

    def made(point):
        parts = {name: getattr(config, name).copy() for name in ("rules", "limits", "costs")}
        late, choice = {}, dict(zip(CHOICE, (0, 0.42, 0.42, 0.07, 0.02), strict=True))
        weights = dict(zip(WEIGHTS, config.weights, strict=True))
        for axis, value in point.items():
            group, name = axis.split(".")
            if group in parts:
                parts[group][name] = value
            else:
                {"late": late, "choice": choice, "weights": weights}[group][name] = value
        if any(axis.startswith("choice") for axis in point):
            parts["choice"] = PolicyChoice(**choice)
        return dataclasses.replace(config, **parts, **late, weights=tuple(weights.values()))

    return made


@st.composite
def drawn_axes(draw, fields, without=()):
    names = draw(
        st.lists(st.sampled_from(sorted(set(fields) - set(without))), min_size=1, max_size=4, unique=True)
    )
    if "rules.share2_ppm" in names and "rules.share1_ppm" not in names:
        names.append("rules.share1_ppm")
    return {
        name: draw(st.lists(st.sampled_from(fields[name]), min_size=1, max_size=2, unique=True))
        for name in names
    }


def checked(engine, inputs, draw, most=3):
    """Rows of some combinations, after they were found equal to those of single backtests."""
    made = engine.evaluate(0, engine.points.count)
    chosen = draw.draw(st.sets(st.integers(0, engine.points.count - 1), min_size=1, max_size=most))
    for number in sorted(chosen):
        one = single(inputs, engine.points.config(number))
        one.rows["combination"] = number
        for part, whole in zip(one, made, strict=True):
            np.testing.assert_array_equal(part, whole[number : number + 1])
        yield engine.points.config(number), {name: made.rows[name][number] for name in made.rows.dtype.names}


def values_of(record):
    return dict(zip(record.dtype.names, record[0].tolist(), strict=True))


def assert_row(row, trades, equity, final_e8, initial_e8, markets, ends):
    """The row of these trades (time, symbol, is_buy, lots, price, commission, pnl) and marks, by plain counting."""
    last, positions, commission = {}, [], 0
    for ts_ns, name, is_buy, lots, price, fee, pnl in trades:
        if is_buy:
            commission += floor_ppm(markets[name].notional(price, lots), markets[name].costs["taker_ppm"])
            if name not in last or last[name]["entered"] != ts_ns:
                last[name] = {"entered": ts_ns, "left": ts_ns, "result": 0, "name": name}
                positions.append(last[name])
        else:
            commission += fee
            last[name]["left"], last[name]["result"] = ts_ns, last[name]["result"] + pnl
    open_ones = [last[name] for name, (is_open, _) in ends.items() if is_open]
    for one in open_ones:
        one["left"] = ends[one["name"]][1]
    closed = [one["result"] for one in positions if not any(one is other for other in open_ones)]
    spans = [one["left"] - one["entered"] for one in positions]
    assert row["trades"] == len(closed)
    assert row["wins"] == sum(result > 0 for result in closed)
    assert row["gross_profit_e8"] == sum(max(0, result) for result in closed)
    assert row["gross_loss_e8"] == -sum(min(0, result) for result in closed)
    assert row["commission_e8"] == commission
    assert row["exposure_ns"] == sum(spans)
    assert row["max_hold_ns"] == max(spans, default=0)
    assert row["open_at_end"] == int(bool(open_ones))
    assert row["final_equity_e8"] == final_e8
    marks = [*equity[:-1], (equity[-1][0], final_e8)]
    days = range(marks[0][0] // DAY_NS, marks[-1][0] // DAY_NS + 1)
    path = [initial_e8] + [[mark for ts_ns, mark in marks if ts_ns // DAY_NS <= day][-1] for day in days]
    returns = [after / before - 1.0 if before > 0 else 0.0 for before, after in itertools.pairwise(path)]
    assert row["days"] == len(returns)
    np.testing.assert_allclose(row["daily_mean"], np.mean(returns), rtol=1e-9, atol=1e-15)


def given_grid(seed, draw):
    """Opinions of one to four symbols, half of them on a fast frame, orders late or not."""
    case = portfolio.Case(seed, bars=120)
    without = ["late.latency_ns"] if not case.has_fast or case.latency_bars else ["late.latency_bars"]
    axes = draw.draw(drawn_axes(GIVEN, without))
    if "rules.share1_ppm" in axes:
        case.rules["share2_ppm"] = 0
    engine = GridEngine(case.inputs, configure(case.config()), axes)
    for config, row in checked(engine, case.inputs, draw):
        costs = values_of(config.costs)
        places = [
            dataclasses.replace(
                place, market=Market(costs, place.market.instrument), tranches={}, index=place.first - 1
            )
            for place in case.places
        ]
        frame = portfolio.FAST_NS if case.has_fast else 0
        sizes, rules = values_of(config.limits), values_of(config.rules)
        late = config.latency_bars, config.latency_ns
        twin = Portfolio(places, rules, sizes, HOUR_NS, frame, *late, config.initial_quote_e8)
        final_e8 = twin.run()
        trades = [
            (ts, name, buy, lots, at, fee, pnl) for ts, name, buy, _, lots, at, fee, _, pnl in twin.trades
        ]
        ends = {one.name: (one.held > 0, one.bars[-1]["ts_open_ns"] + HOUR_NS) for one in places}
        markets = {one.name: one.market for one in places}
        equity = [(ts_ns, mark) for ts_ns, mark, *_ in twin.equity]
        assert_row(row, trades, equity, final_e8, config.initial_quote_e8, markets, ends)


def decided_grid(seed, draw):
    """Probabilities of one symbol under all rules of risk, against the twin that decides for itself."""
    tier = draw.draw(st.integers(0, 1))
    case = alone.Case(seed, bars=520, tier=tier, min_depth_e8=10**9, min_confidence=20.0)
    axes = draw.draw(drawn_axes(SETTINGS))
    inputs = [case.data()]
    engine = GridEngine(inputs, configure(case.config()), axes)
    for config, row in checked(engine, inputs, draw, most=2):
        case.rules, case.limits, case.costs = map(values_of, (config.rules, config.limits, config.costs))
        if config.choice is not None:
            case.policy |= {name: getattr(config.choice, name) for name in CHOICE}
        twin, final_e8 = case.twin(config.weights)
        assert row["final_equity_e8"] == final_e8
        assert row["commission_e8"] >= sum(trade[5] for trade in twin.trades if not trade[1])


def crowd_grid(seed, draw):
    """Three symbols that hear each other, on one capital: what is remembered of their opinions changes nothing."""
    inputs = []
    for number, instrument in enumerate((market.ADA, market.BTC, market.DOGE)):
        close = portfolio.INSTRUMENTS[instrument]
        inputs.append(alone.Case(seed + number, instrument=instrument, close=close, bars=420).data())
    config = dataclasses.replace(alone.Case(seed).config(), benchmark=market.BTC.symbol)
    axes = draw.draw(drawn_axes(DECIDED))
    config.rules["share2_ppm"] = 0
    engine = GridEngine(inputs, configure(config), axes)
    assert len(list(checked(engine, inputs, draw, most=4))) > 0


GRIDS = (given_grid, decided_grid, crowd_grid)


@pytest.mark.parametrize("grid", GRIDS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), draw=st.data())
def test_every_number_is_an_axis(grid, seed, draw):
    grid(seed, draw)


@pytest.mark.long
@pytest.mark.parametrize("grid", GRIDS)
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**31), draw=st.data())
def test_every_number_is_an_axis_hundreds_of_times(grid, seed, draw):
    grid(seed, draw)


def test_every_number_is_drawn():
    fields = {f"rules.{name}" for name in records.RULES.names} | {
        f"costs.{name}" for name in records.COSTS.names
    }
    assert fields <= GIVEN.keys() & DECIDED.keys()
    assert {f"limits.{name}" for name in records.LIMITS.names} <= DECIDED.keys()
    assert {f"choice.{name}" for name in PolicyChoice.__struct_fields__} <= DECIDED.keys()


def test_what_is_thought_is_thought_once():
    case = alone.Case(3, bars=500)
    axes = {
        "limits.min_confidence": (20.0, 40.0, 65.0),
        "rules.exit_on_sell": (0, 1),
        "costs.taker_ppm": (0, 1_000),
    }
    engine = GridEngine([case.data()], configure(case.config()), axes)
    engine.evaluate(0, 12)
    assert engine.thoughts.made == 2 + 2  # opinions with sells and without; crowds by costs
