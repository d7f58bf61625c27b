import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.kernels import metrics

HOUR_NS = 3_600 * 10**9
results = st.lists(st.integers(-(10**12), 10**12), max_size=60)
paths = st.lists(st.integers(1, 10**15), min_size=1, max_size=60)


def whole(values):
    return np.array(values, dtype=np.int64)


@given(results)
def test_figures_of_closed_positions(values):
    wins, losses = [v for v in values if v > 0], [v for v in values if v < 0]
    factor = metrics.profit_factor(whole(values))
    assert factor == (sum(wins) / -sum(losses) if losses else math.inf if wins else 0.0)
    assert metrics.win_rate(whole(values)) == (len(wins) / len(values) if values else 0.0)
    assert metrics.expectancy_e8(whole(values)) == (sum(values) / len(values) if values else 0.0)


@given(paths)
def test_the_drawdown_is_the_worst_of_all_pairs(path):
    expected = max((high - low) / high for k, high in enumerate(path) for low in path[k:])
    assert metrics.max_drawdown(whole(path)) == pytest.approx(max(0.0, expected))


@given(paths)
def test_the_net_return_compares_first_and_last(path):
    assert metrics.net_return(path[0], path[-1]) == path[-1] / path[0] - 1


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(10**8, 10**12)), min_size=1, max_size=80))
def test_daily_returns_are_those_of_a_calendar(steps):
    hours = np.cumsum([step for step, _ in steps])
    equity = [value for _, value in steps]
    last = {}
    for hour, value in zip(hours, equity, strict=True):
        last[int(hour) // 24] = value
    days, expected, before = range(min(last), max(last) + 1), [], 10**10
    for day in days:
        now = last.get(day, before)
        expected.append(now / before - 1)
        before = now
    out = np.empty(len(days))
    assert metrics.daily_returns(whole(hours * HOUR_NS), whole(equity), 10**10, out) == len(days)
    assert out.tolist() == expected


def test_sharpe_is_the_annualised_ratio_of_daily_returns():
    returns = np.array([0.01, -0.02, 0.005, 0.0, 0.03])
    expected = statistics.mean(returns) / statistics.stdev(returns) * math.sqrt(365)
    assert metrics.sharpe(returns, 5) == pytest.approx(expected)
    assert metrics.sharpe(np.full(5, 0.01), 5) == 0.0
    assert metrics.sharpe(returns, 1) == 0.0


def test_exposure_and_turnover_are_shares_of_equity():
    equity, free = whole([1_000, 1_000, 2_000]), whole([1_000, 500, 500])
    assert metrics.exposure(equity, free) == pytest.approx((0 + 0.5 + 0.75) / 3)
    assert metrics.turnover(4_000, equity) == pytest.approx(3.0)
    assert metrics.exposure(whole([]), whole([])) == 0.0
    assert metrics.turnover(5, whole([])) == 0.0
