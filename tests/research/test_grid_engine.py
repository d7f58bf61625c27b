"""Every row of a grid is the row of the backtest of that configuration, whatever the rules, the market and the slices."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.core.errors import Misconfigured
from bnml.kernels import records
from bnml.kernels.grid_row import BLOCKS
from bnml.kernels.records import Action
from bnml.research.grid_engine import GridEngine, plan, run_grid, single
from bnml.research.sweep import SweepConfig, SweepInput
from tests.twins import random_market as market

# Without compilation the hash of a draw wraps around in numpy scalars, which warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
FREE = {
    "active_ppm": 1_000_000,
    "risk_per_trade_ppm": 0,
    "max_position_ppm": 900_000,
    "max_exposure_ppm": 1_000_000,
    "max_positions": 1,
}


def plain(dtype, **values):
    """A record of zeros but for these values."""
    made = records.record(dtype)
    for name, value in values.items():
        made[name] = value
    return made


def coarse_bars(random, count, close):
    """Bars of a few ticks with jumps at opens and missing bars: levels are touched, met together and jumped over."""
    bars = np.zeros(count, records.BAR)
    ts_ns, last = market.START_NS, close
    for k in range(count):
        ts_ns += market.HOUR_NS * (1 if random.random() < 0.97 else int(random.integers(2, 30)))
        opened = max(close // 2, last + int(random.integers(-1, 2)) * int(random.random() < 0.3))
        if random.random() < 0.05:
            opened = max(close // 2, opened + int(random.integers(-8, 9)))
        high = opened + int(random.integers(0, 4))
        low = max(close // 3, opened - int(random.integers(0, 4)))
        last = int(random.integers(low, high + 1))
        bars[k] = (ts_ns, opened, high, low, last, int(random.integers(0, 10**7)))
    return bars


def drawn_input(random, count, close, density, sells, *, is_coarse):
    bars = coarse_bars(random, count, close) if is_coarse else market.random_bars(random, count, close)
    drawn = random.random(count)
    action = np.where(drawn < density, Action.BUY, np.where(drawn < density + sells, Action.SELL, Action.HOLD))
    asked = np.flatnonzero(action != Action.HOLD)
    opinions = np.zeros(len(asked), records.OPINION)
    opinions["bar"], opinions["action"] = asked, action[asked]
    opinions["atr_ratio"] = random.uniform(0.002, 0.03, len(asked))
    opinions["size_ppm"] = np.where(random.random(len(asked)) < 0.5, 0, random.integers(1, 900_000, len(asked)))
    return SweepInput(
        market.ADA, market.instrument_record(market.ADA), bars, market.HOUR_NS, 2, opinions=opinions
    )


def drawn_config(random, tier, *, is_parted, from_fill, taking):
    rules = plain(
        records.RULES,
        price_cap_ppm=int(random.choice([5_000, 30_000, 100_000])),
        exit_on_sell=int(random.integers(0, 2)),
        share1_ppm=500_000 if is_parted else 1_000_000,
        share2_ppm=300_000 if is_parted else 0,
        time_stop_band_ppm=1_000_000_000,
        from_fill=from_fill,
        entry_taking=taking,
    )
    costs = market.filled(
        records.COSTS, market.COSTS | {"tier": tier, "slippage_ppm": int(random.choice([0, 200, 5_000]))}
    )
    limits = plain(records.LIMITS, **FREE | {"risk_per_trade_ppm": int(random.choice([0, 5_000]))})
    cash_e8 = int(random.choice([40, 1_000, 100_000])) * 10**8
    return SweepConfig(rules, limits, costs, (0.5, 0.3, 0.2), cash_e8, risk=False)


AXES = {
    "rules.hard_stop_ppm": [0, 1_000, 10_000, 30_000, 60_000],
    "rules.stop_atr_ppm": [0, 700_000, 2_000_000],
    "rules.target1_ppm": [0, 5_000, 20_000, 50_000],
    "rules.target2_ppm": [0, 30_000, 90_000],
    "rules.target1_r_ppm": [0, 500_000, 1_500_000, 3_000_000],
    "rules.target2_r_ppm": [0, 4_000_000],
    "rules.trail_ppm": [0, 1, 5_000, 20_000],
    "rules.trail_atr_ppm": [0, 500_000, 1_500_000],
    "rules.trail_start_ppm": [0, 5_000, 20_000],
    "rules.time_stop_ns": [0, market.HOUR_NS, 7 * market.HOUR_NS + 1, 40 * market.HOUR_NS],
    "rules.share1_ppm": [300_000, 700_000],
    "limits.max_position_ppm": [50_000, 900_000],
    "costs.taker_ppm": [0, 1_000],
    "rules.from_fill": [0, 1],
}


@st.composite
def grids(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    data = drawn_input(
        random,
        draw(st.integers(10, 400)),
        draw(st.sampled_from([60, 250, 4_000])),
        draw(st.sampled_from([0.02, 0.3, 1.0])),
        draw(st.sampled_from([0.0, 0.05])),
        is_coarse=draw(st.booleans()),
    )
    config = drawn_config(
        random,
        draw(st.integers(0, 1)),
        is_parted=draw(st.booleans()),
        from_fill=draw(st.integers(0, 1)),
        taking=draw(st.sampled_from([0, 1, 2])),
    )
    names = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=2, max_size=5, unique=True))
    axes = {name: draw(st.lists(st.sampled_from(AXES[name]), min_size=1, max_size=4, unique=True)) for name in names}
    return data, config, axes, random


def same(one, other):
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.sums, other.sums)
    np.testing.assert_array_equal(one.squares, other.squares)


@settings(max_examples=60, deadline=None)
@given(grids())
def test_a_row_by_tables_is_the_row_of_the_backtest(grid):
    data, config, axes, random = grid
    engine = GridEngine([data], config, axes)
    assert engine.plan.way == "tables"
    made = engine.evaluate(0, engine.points.count)
    for number in random.choice(engine.points.count, min(8, engine.points.count), replace=False):
        one = single([data], engine.points.config(int(number)))
        one.rows["combination"] = number
        same(one, type(made)(*(array[number : number + 1] for array in made)))
