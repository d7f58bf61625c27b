import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bnml.kernels import bootstrap, metrics
from bnml.kernels.account import EQUITY_ROW
from bnml.research.metrics import curve_of
from tests.twins import metrics as twin

HOUR_NS = 3_600 * 10**9
E8 = 10**8
steps = st.lists(
    st.tuples(st.integers(1, 100), st.integers(10**8, 10**12), st.floats(0, 1)), min_size=1, max_size=60
)
levels = st.integers(10**8, 10**12)
returns = st.lists(st.floats(-0.2, 0.2).map(lambda x: round(x, 4)), min_size=1, max_size=60)


def equity(drawn):
    hours = np.cumsum([step for step, _, _ in drawn])
    return [(int(h) * HOUR_NS, v, round(v * share)) for h, (_, v, share) in zip(hours, drawn, strict=True)]


def walked(points, initial, final):
    rows = np.array([(*point, 0) for point in points], dtype=EQUITY_ROW)
    days = points[-1][0] // twin.DAY_NS - points[0][0] // twin.DAY_NS + 1 if points else 0
    daily = np.full(days, np.nan)
    return metrics.EquityWalk(*metrics.walk_equity(curve_of(rows), initial, final, daily, np.empty(3))), daily


def moments(values):
    return metrics.DailyMoments(*metrics.daily_moments(np.array(values)))


@given(steps, levels, levels)
def test_one_pass_finds_what_the_definitions_say(drawn, initial, final):
    points = equity(drawn)
    found, daily = walked(points, initial, final)
    share, fall = twin.drawdowns([initial, *(value for _, value, _ in points), final])
    spells = twin.spells_under_water(points, initial, final)
    assert found.days == len(daily)
    assert daily.tolist() == twin.daily_returns(points, initial, final)
    assert (found.max_drawdown, found.max_drawdown_e8) == (pytest.approx(share), fall)
    assert (found.longest_under_water_ns, found.under_water_ns) == (max(spells, default=0), sum(spells))
    assert found.exposure == pytest.approx(twin.exposure(points), abs=1e-12)
    assert found.mean_equity_e8 == pytest.approx(sum(v for _, v, _ in points) / len(points))


floats_of = st.builds(math.ldexp, st.integers(0, 2**53).map(float), st.integers(-60, 20))


@given(floats_of, st.integers(-(2**53), 2**53), st.integers(0, 300))
@example(2.0**60, 2**20 + 128, 300)  # halfway between two floats
@example(2.0**60 + 256, 2**20 + 128, 300)
@example(2.0**60 - 384, 128 * 1001, 300)  # the exponent changes on the way
@example(2.0**60, 1, 300)  # too little to be seen
def test_adding_the_same_value_often_is_adding_it_one_by_one(total, value, count):
    expected = total
    for _ in range(count):
        expected += value
    assert metrics.add_alike(total, value, count) == expected


@given(steps, levels, levels)
def test_daily_returns_compound_to_the_net_return(drawn, initial, final):
    _, daily = walked(equity(drawn), initial, final)
    assert math.prod(1 + daily) == pytest.approx(1 + metrics.net_return(initial, final), rel=1e-9)


def test_nothing_at_all_is_zero_everywhere():
    found, daily = walked([], 100 * E8, 100 * E8)
    assert (tuple(found), len(daily)) == ((0,) * 8, 0)
    assert moments([]) == (0, 0, 0, 0, 3)
    assert metrics.cvar(np.array([])) == 0
    assert bootstrap.bootstraps(np.array([]), 1) == ((0, 0), (0, 0))
    assert metrics.turnover(5, 0.0) == 0


@given(returns)
def test_figures_of_daily_returns(values):
    made = moments(values)
    assert made == pytest.approx(twin.moments(values), rel=1e-6, abs=1e-9)
    assert metrics.sharpe(made.mean, made.deviation) == pytest.approx(twin.sharpe(values), rel=1e-6, abs=1e-9)
    assert metrics.sortino(made.mean, made.downside) == pytest.approx(
        twin.sortino(values), rel=1e-6, abs=1e-9
    )
    assert metrics.cvar(np.array(values)) == pytest.approx(twin.cvar(values), abs=1e-12)


@given(returns, st.integers(1, 10**6), st.floats(0, 0.01))
def test_what_the_sharpe_ratio_is_worth(values, trials, variance):
    made, days = moments(values), len(values)
    likely = metrics.probabilistic_sharpe(made, days)
    deflated = metrics.deflated_sharpe(made, days, trials, variance)
    assert likely == pytest.approx(twin.probabilistic_sharpe(values), abs=1e-5)
    assert deflated == pytest.approx(twin.deflated_sharpe(values, trials, variance), abs=1e-5)
    assert 0 <= deflated <= likely <= 1


def test_a_known_probabilistic_sharpe_ratio():
    # Bailey & Lopez de Prado 2012: 2 years of monthly returns, annual ratio 1.59, skew -2.448, kurtosis 10.164.
    monthly = metrics.DailyMoments(1.585 / math.sqrt(12), 1.0, 0.0, -2.448, 10.164)
    assert metrics.probabilistic_sharpe(monthly, 24) == pytest.approx(0.913, abs=0.001)


@given(st.lists(st.integers(-(10**12), 10**12), max_size=60))
def test_figures_of_closed_positions(values):
    expected = twin.positions(values, 10**12)
    won = [v for v in values if v > 0]
    count, wins, profit, loss = len(values), len(won), sum(won), sum(won) - sum(values)
    win, lost = metrics.average_win_e8(profit, wins), metrics.average_loss_e8(loss, count - wins)
    rate, ratio = metrics.win_rate(wins, count), metrics.payoff(win, lost)
    assert (rate, win, lost, ratio) == pytest.approx(tuple(expected.values())[:4])
    assert metrics.profit_factor(profit, loss) == pytest.approx(expected["profit_factor"])
    assert metrics.expectancy_e8(profit, loss, count) == pytest.approx(expected["expectancy"])
    units = -(10**12) / lost if lost else math.inf
    assert metrics.risk_of_ruin(rate, ratio, units) == pytest.approx(expected["risk_of_ruin"], abs=1e-12)


def test_the_gambler_s_ruin():
    assert metrics.risk_of_ruin(0.6, 1.0, 10) == pytest.approx((0.4 / 0.6) ** 10)
    assert metrics.risk_of_ruin(0.5, 1.0, 10) == 1.0  # no edge
    assert metrics.risk_of_ruin(0.0, 0.0, 10) == 1.0  # only losses
    assert metrics.risk_of_ruin(1.0, math.inf, math.inf) == 0.0  # no loss
    assert metrics.risk_of_ruin(0.0, 0.0, math.inf) == 0.0  # no position


@given(levels, st.integers(0, 10**13), st.integers(0, 2000))
def test_growth_a_year_counts_the_time_that_passed(initial, final, hours):
    growth = metrics.annual_return(initial, final, hours * HOUR_NS)
    try:
        expected = twin.cagr(initial, final, hours * HOUR_NS)
    except OverflowError:
        assert growth > 1e300
        return
    assert growth == pytest.approx(expected, rel=1e-6, abs=1e-9) or growth > 1e300
    assert metrics.calmar(growth, 0.2) == growth / 0.2
    assert metrics.calmar(growth, 0.0) == twin.calmar(growth, 0.0)


@given(st.integers(2, 10**9))
def test_the_best_of_many_draws(trials):
    assert metrics.expected_maximum(trials) == pytest.approx(twin.expected_maximum(trials), abs=1e-6)
    assert metrics.expected_maximum(1) == 0.0


@given(returns, st.integers(1, 12), st.integers(0, 2**62))
def test_resampled_paths_are_those_of_the_twin(values, block, seed):
    found = bootstrap.bootstraps(np.array(values), block, seed)
    for one, days in zip(found, (1, block), strict=True):
        assert one == pytest.approx(twin.bootstrap(values, days, seed), rel=1e-9, abs=1e-12)


@given(returns, st.integers(1, 12), st.integers(0, 2**62))
def test_paths_of_both_kinds_are_those_of_each_alone(values, block, seed):
    both = np.empty((2, 2, 8))
    bootstrap.resample_both(np.array(values), block, seed, *both)
    for found, days in zip(both, (1, block), strict=True):
        expected = np.empty((2, 8))
        bootstrap.resample(np.array(values), days, seed, *expected)
        assert found.tolist() == expected.tolist()


def test_each_day_is_drawn_as_often_as_the_others():
    days = np.array(twin.chosen_days(50, 7, 1, 2000))
    counts = np.bincount(days.ravel(), minlength=50)
    assert abs(counts / counts.mean() - 1).max() < 0.1
    follows = (np.diff(days, axis=1) % 50 == 1).mean()
    assert follows == pytest.approx(6 / 7 + 1 / 7 / 50, abs=0.005)


def test_blocks_keep_losses_together_that_came_together():
    values = np.repeat([0.01, -0.01] * 10, 15)
    alone, together = bootstrap.bootstraps(values, bootstrap.block_days(len(values)))
    assert bootstrap.block_days(len(values)) == 7
    assert together[0] > 1.2 * alone[0]
    assert together[1] < alone[1]


def test_a_day_that_loses_all_is_the_end():
    (drawdown, profit), _ = bootstrap.bootstraps(np.array([-1.0, 0.5, 0.5]), 1)
    assert (drawdown, profit) == (pytest.approx(1.0), pytest.approx(-1.0))


@pytest.mark.parametrize("change", [-0.3, -1e-17, 0.0, 0.25])
def test_one_day_drawn_again_is_itself(change):
    growth, alone, blocks = np.log(np.array([1.0 + change])), *np.empty((2, 2, bootstrap.PATHS))
    bootstrap.resample_both(growth, 1, bootstrap.SEED, alone, blocks)
    for drawn, said in zip((alone, blocks), bootstrap.bootstraps(np.array([change]), 1), strict=True):
        (profit,), (fall,) = set(drawn[0]), set(drawn[1])
        assert said == (1.0 - math.exp(-fall), math.exp(profit) - 1.0)
