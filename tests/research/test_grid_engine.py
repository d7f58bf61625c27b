"""Every row of a grid is the row of the backtest of that configuration, whatever the rules, the market and the slices."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.core.errors import Misconfigured
from bnml.kernels import records
from bnml.kernels.grid_row import BLOCKS, GRID_ROW
from bnml.kernels.records import Action, ExitReason
from bnml.research.grid_engine import GridEngine, plan, run_grid, single
from bnml.research.grid_search import Chunk
from bnml.research.sweep import SweepConfig, SweepInput, sweep
from tests.twins import random_market as market
from tests.twins.backtest_twin import DAY_NS, Market
from tests.twins.grid_twin import GridTwin

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


def coarse_bars(random, count, close, jumps):
    """Bars of a few ticks with jumps at opens and missing bars: levels are touched, met together and jumped over."""
    bars = np.zeros(count, records.BAR)
    ts_ns, last = market.START_NS, close
    for k in range(count):
        ts_ns += market.HOUR_NS * (1 if random.random() < 0.97 else int(random.integers(2, 30)))
        opened = max(close // 2, last + int(random.integers(-1, 2)) * int(random.random() < 0.3))
        if random.random() < jumps:
            opened = max(close // 2, opened + int(random.integers(-8, 9)))
        high = opened + int(random.integers(0, 4))
        low = max(close // 3, opened - int(random.integers(0, 4)))
        last = int(random.integers(low, high + 1))
        bars[k] = (ts_ns, opened, high, low, last, int(random.integers(0, 10**7)))
    return bars


def drawn_input(random, count, close, density, sells, *, is_coarse):
    bars = (
        coarse_bars(random, count, close, random.choice([0.05, 0.5]))
        if is_coarse
        else market.random_bars(random, count, close)
    )
    drawn = random.random(count)
    action = np.where(
        drawn < density, Action.BUY, np.where(drawn < density + sells, Action.SELL, Action.HOLD)
    )
    asked = np.flatnonzero(action != Action.HOLD)
    opinions = np.zeros(len(asked), records.OPINION)
    opinions["bar"], opinions["action"] = asked, action[asked]
    opinions["atr_ratio"] = random.uniform(0.002, 0.03, len(asked))
    opinions["size_ppm"] = np.where(
        random.random(len(asked)) < 0.5, 0, random.integers(1, 900_000, len(asked))
    )
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
    "rules.time_stop_ns": [
        0,
        market.HOUR_NS,
        2 * market.HOUR_NS,
        7 * market.HOUR_NS + 1,
        40 * market.HOUR_NS,
    ],
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
        draw(st.sampled_from([0.0, 0.05, 0.3])),
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
    axes = {
        name: draw(st.lists(st.sampled_from(AXES[name]), min_size=1, max_size=4, unique=True))
        for name in names
    }
    return data, config, axes, random


def same(one, other):
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.sums, other.sums)
    np.testing.assert_array_equal(one.squares, other.squares)


def plain_row(data, config):
    """The row of a configuration by the twin, and its daily returns."""
    values = {
        name: dict(zip(record.dtype.names, record[0].tolist(), strict=True))
        for name, record in (("rules", config.rules), ("limits", config.limits), ("costs", config.costs))
    }
    twin = GridTwin(
        Market(values["costs"], market.instrument_values(data.instrument)),
        values["rules"],
        values["limits"],
        data.frame_ns,
        config.initial_quote_e8,
    )
    bars, opinions = (
        [dict(zip(rows.dtype.names, row, strict=True)) for row in rows.tolist()]
        for rows in (data.bars, data.opinions)
    )
    marks, final_e8 = twin.run(bars, opinions, data.first)
    results = [result for _, _, result in twin.closed]
    spans = [left - entered for entered, left, _ in twin.closed]
    if twin.held:
        spans.append(bars[-1]["ts_open_ns"] + data.frame_ns - twin.held["entered_ns"])
    ends = [*marks[:-1], (marks[-1][0], final_e8)]
    days = range(ends[0][0] // DAY_NS, ends[-1][0] // DAY_NS + 1)
    path = [config.initial_quote_e8] + [[e for ts, e in ends if ts // DAY_NS <= day][-1] for day in days]
    returns = [after / before - 1.0 if before else 0.0 for before, after in itertools.pairwise(path)]
    row = {
        "trades": len(results),
        "wins": sum(result > 0 for result in results),
        "final_equity_e8": final_e8,
        "gross_profit_e8": sum(max(0, result) for result in results),
        "gross_loss_e8": -sum(min(0, result) for result in results),
        "commission_e8": twin.fees,
        "exposure_ns": sum(spans),
        "max_hold_ns": max(spans, default=0),
        "open_at_end": int(twin.held is not None),
        "days": len(returns),
    }
    return row, returns, path


@settings(max_examples=120, deadline=None)
@given(grids())
def test_a_row_by_tables_is_the_row_of_the_backtest_and_of_the_twin(grid):
    data, config, axes, random = grid
    engine = GridEngine([data], config, axes)
    assert engine.plan.way == "tables"
    made = engine.evaluate(0, engine.points.count)
    for number in random.choice(engine.points.count, min(12, engine.points.count), replace=False):
        one = single([data], engine.points.config(int(number)))
        one.rows["combination"] = number
        same(one, Chunk(*(array[number : number + 1] for array in made)))
    row, returns, path = plain_row(data, engine.points.config(int(number)))
    assert {name: int(one.rows[name][0]) for name in row} == row
    np.testing.assert_allclose(one.rows["daily_mean"][0], np.mean(returns), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(
        one.rows["daily_m2"][0], np.sum((returns - np.mean(returns)) ** 2), rtol=1e-9, atol=1e-20
    )
    worst = max(1 - value / max(path[: k + 1]) for k, value in enumerate(path))
    assert abs(int(one.rows["daily_max_drawdown_ppm"][0]) - worst * 1e6) <= 1
    blocks = np.array_split(
        np.array(returns), np.searchsorted(np.arange(len(returns)) * BLOCKS // len(returns), range(1, BLOCKS))
    )
    np.testing.assert_allclose(one.sums[0], [sum(block) for block in blocks], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(one.squares[0], [sum(block**2) for block in blocks], rtol=1e-9, atol=1e-18)


WIDE = {
    "rules.hard_stop_ppm": [0, 5_000, 20_000, 60_000],
    "rules.target1_ppm": [0, 5_000, 20_000],
    "rules.trail_ppm": [0, 8_000, 30_000],
    "rules.trail_start_ppm": [2_000, 15_000],
    "rules.time_stop_ns": [0, 6 * market.HOUR_NS, 60 * market.HOUR_NS],
}


PATHS = {
    "rules.trail_step_ppm": [0, 500, 10_000],
    "rules.time_stop_band_ppm": [0, 3_000, 30_000, 1_000_000_000],
    "rules.dust_ppm": [0, 20_000, 300_000],
}


@settings(max_examples=120, deadline=None)
@given(grids(), st.data())
def test_a_row_by_what_is_held_is_the_row_of_the_backtest(grid, draw):
    data, config, axes, random = grid
    paths = draw.draw(st.lists(st.sampled_from(sorted(PATHS)), min_size=1, unique=True))
    axes = {
        **dict(list(axes.items())[:3]),
        **{name: PATHS[name] for name in paths},
        "rules.time_stop_ns": [10**13],
    }
    engine = GridEngine([data], config, axes)
    assert engine.is_alone
    made = engine.evaluate(0, engine.points.count)
    for number in random.choice(engine.points.count, min(12, engine.points.count), replace=False):
        one = single([data], engine.points.config(int(number)))
        one.rows["combination"] = number
        same(one, Chunk(*(array[number : number + 1] for array in made)))


@pytest.mark.parametrize(("seed", "tier"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_exits_that_meet_in_one_print_are_ordered_as_in_the_backtest(seed, tier):
    random = np.random.default_rng(seed)
    data = drawn_input(random, 600, 60, 0.6, 0.3, is_coarse=True)
    data = replace(data, bars=coarse_bars(random, 600, 60, 0.6))
    config = drawn_config(random, tier, is_parted=False, from_fill=0, taking=2)
    config.rules["exit_on_sell"], config.rules["price_cap_ppm"] = 1, 100_000
    axes = {
        "rules.hard_stop_ppm": [20_000, 50_000],
        "rules.target1_ppm": [0, 30_000],
        "rules.trail_ppm": [0, 20_000],
        "rules.time_stop_ns": [0, 2 * market.HOUR_NS],
        "rules.share1_ppm": [1_000_000, 400_000],
    }
    made = run_grid([data], config, axes, 0, 32)
    for number in range(32):
        one = single([data], GridEngine([data], config, axes).points.config(number))
        one.rows["combination"] = number
        same(one, Chunk(*(array[number : number + 1] for array in made)))


def wide(seed=3, *, is_coarse=True, count=1_500, **changed):
    random = np.random.default_rng(seed)
    data = drawn_input(random, count, 4_000 if not is_coarse else 250, 0.2, 0.02, is_coarse=is_coarse)
    config = drawn_config(random, 1, is_parted=False, from_fill=0, taking=2)
    rules = config.rules.copy()
    for name, value in changed.items():
        rules[name] = value
    return data, replace(config, rules=rules, initial_quote_e8=10**12)


def test_the_drawn_rules_meet_every_exit():
    reasons = Counter()
    for is_coarse in (False, True):
        data, config = wide(is_coarse=is_coarse, exit_on_sell=1, share1_ppm=400_000, share2_ppm=300_000)
        engine = GridEngine([data], config, WIDE | {"rules.target2_ppm": [30_000]})
        for number in range(0, engine.points.count, 5):
            reasons.update(t.reason for t in sweep([data], engine.points.config(number)).trades)
    for name in ("TARGET1", "TARGET2", "HARD_STOP", "TRAILING", "TIME", "SIGNAL", "GAP"):
        assert reasons[ExitReason[name]] >= 20, name


def test_slices_and_threads_make_the_same_rows():
    data, config = wide()
    engine = GridEngine([data], config, WIDE)
    whole, count = engine.evaluate(0, engine.points.count), engine.points.count
    assert whole.rows["combination"].tolist() == list(range(count))
    assert len(np.unique(whole.rows["final_equity_e8"])) > count // 5
    edges = [0, 1, 50, 51, 200, count]
    with ThreadPoolExecutor(3) as pool:
        parts = list(
            pool.map(
                lambda span: GridEngine([data], config, WIDE).evaluate(*span),
                itertools.pairwise(edges),
            )
        )
        shared = list(pool.map(lambda k: engine.evaluate(k, k + 1), range(count)))
    same(whole, Chunk(*(np.concatenate(pieces) for pieces in zip(*parts, strict=True))))
    same(whole, Chunk(*(np.concatenate(pieces) for pieces in zip(*shared, strict=True))))
    same(run_grid([data], config, WIDE, 7, 9), Chunk(*(array[7:9] for array in whole)))


def test_the_loop_makes_the_rows_that_tables_make():
    data, config = wide()
    axes = {"rules.hard_stop_ppm": [5_000, 20_000], "rules.trail_step_ppm": [0, 1_000]}
    stepped = GridEngine([data], config, axes)
    assert stepped.plan.way == "loop"
    rows = stepped.evaluate(0, 4).rows
    tables = run_grid([data], config, {"rules.hard_stop_ppm": [5_000, 20_000]}, 0, 2).rows
    for name in GRID_ROW.names[1:]:
        assert rows[name][[0, 2]].tolist() == tables[name].tolist()


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ({"rules.trail_step_ppm": [0, 100]}, "steps"),
        (
            {"rules.time_stop_ns": [0, market.HOUR_NS], "rules.time_stop_band_ppm": [5_000, 10**9]},
            "profit and loss",
        ),
        ({"rules.dust_ppm": [10_000], "rules.share1_ppm": [500_000]}, "dust"),
        ({"limits.max_positions": [0, 1]}, "nothing may be bought"),
    ],
)
def test_what_depends_on_its_path_goes_through_the_loop(axes, why):
    data, config = wide()
    way = plan([data], config, axes)
    assert way.way == "loop"
    assert why in way.why


def test_other_worlds_go_through_the_loop():
    data, config = wide()
    axes = {"rules.hard_stop_ppm": [5_000]}
    assert plan([data], config, axes).way == "tables"
    assert "capital" in plan([data, data], config, axes).why
    assert "rules of risk" in plan([data], replace(config, risk=True), axes).why
    assert "late" in plan([data], replace(config, latency_bars=1), axes).why
    assert "faster frame" in plan([replace(data, fast=data.bars, fast_frame_ns=1)], config, axes).why
    assert "not given" in plan([replace(data, opinions=None)], config, axes).why


def test_axes_that_change_the_same_settings_are_made_together():
    data, config = wide()

    def configure(point):
        rules = config.rules.copy()
        rules["hard_stop_ppm"] = round(point["stop"] * 10_000)
        rules["target1_ppm"] = round(point["stop"] * point["multiple"] * 10_000)
        rules["time_stop_ns"] = round(point["hours"] * market.HOUR_NS)
        return replace(config, rules=rules)

    axes = {"stop": [0.5, 1.0, 2.0], "hours": [5.0, 50.0], "multiple": [1.0, 2.0, 3.0]}
    engine = GridEngine([data], configure, axes)
    assert sorted(block.axes for block in engine.points.blocks) == [(0, 2), (1,)]
    made = engine.evaluate(0, 18)
    for number in range(18):
        one = single([data], configure(engine.points.point(number)))
        one.rows["combination"] = number
        same(one, Chunk(*(array[number : number + 1] for array in made)))


def test_daily_returns_are_those_of_the_row():
    data, config = wide()
    engine = GridEngine([data], config, WIDE)
    row = engine.evaluate(100, 101).rows
    returns = engine.daily_returns(100)
    assert len(returns) == row["days"][0] > 60
    assert np.isclose(returns.mean(), row["daily_mean"][0], rtol=1e-12)
    assert np.isclose(np.prod(1 + returns) * config.initial_quote_e8, row["final_equity_e8"][0], rtol=1e-9)


def test_what_cannot_be_asked_is_refused():
    data, config = wide()
    with pytest.raises(Misconfigured, match="no such field"):
        GridEngine([data], config, {"rules.hard_stop": [1]})
    with pytest.raises(Misconfigured, match="there are no combinations 0 to 2"):
        run_grid([data], config, {"rules.hard_stop_ppm": [5_000]}, 0, 2)
