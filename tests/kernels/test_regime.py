import statistics

import numpy as np
import pytest
import scipy.stats

from bnml.kernels import regime
from tests.twins.backtest_twin import regime_of

GENERATOR = np.random.default_rng(3)
CLOSES = np.round(1e6 * np.exp(np.cumsum(GENERATOR.standard_t(3, 900) * 0.004))).astype(np.int64)
ATR = GENERATOR.uniform(0.005, 0.02, 900)


def drift(closes, end):
    return regime.drift(closes, end, np.empty(regime.DRIFT_RECENT), np.empty(regime.DRIFT_BASELINE))


def volatility(values, end):
    return regime.volatility_ratio(values, end, np.empty(regime.VOLATILITY_BARS))


@pytest.mark.parametrize("end", range(305, 900, 35))
def test_regime_is_the_twins(end):
    ratio, *expected = regime_of(CLOSES[:end].tolist(), ATR[:end].tolist())
    assert volatility(ATR, end) == pytest.approx(ratio, rel=1e-12)
    assert drift(CLOSES, end) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("end", [305, 480, 777])
def test_the_distance_and_its_significance_are_scipys(end):
    returns = np.diff(np.log(CLOSES[end - 305 : end]))
    expected = scipy.stats.ks_2samp(returns[240:], returns[:240], method="exact")
    distance, p_value, ratio = drift(CLOSES, end)
    assert distance == pytest.approx(expected.statistic, abs=1e-12)
    assert p_value == pytest.approx(expected.pvalue, abs=0.02)
    assert ratio == pytest.approx(returns[240:].std() / returns[:240].std(), rel=1e-9)


@pytest.mark.parametrize("distance", [0.01, 0.05, 0.1, 0.15, 0.19, 0.24, 0.4, 0.9])
def test_the_p_value_is_close_to_the_exact_one(distance):
    exact = scipy.stats.kstwo.sf(distance, round(64 * 240 / 304))
    assert regime.ks_p_value(distance, 64, 240) == pytest.approx(exact, abs=0.02)


def test_ties_count_for_both_samples():
    first, second = np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0, 4.0, 5.0])
    expected = scipy.stats.ks_2samp(first, second).statistic
    assert regime.ks_statistic(first, 4, second, 5) == pytest.approx(expected)


def test_too_little_history_or_a_missing_value_is_neutral():
    assert drift(CLOSES, 304) == (0.0, 1.0, 1.0)
    assert volatility(ATR, 95) == 1.0
    holed = ATR.copy()
    holed[850] = np.nan
    assert volatility(holed, 900) == 1.0
    assert volatility(holed, 850) == ATR[849] / statistics.median(ATR[754:850])


def test_a_market_that_did_not_move_is_neutral_until_it_moves():
    flat = np.full(400, 10_000, dtype=np.int64)
    assert drift(flat, 400) == (0.0, 1.0, 1.0)
    flat[-1] = 10_001
    assert drift(flat, 400)[2] == 1e9
    assert volatility(np.zeros(100), 100) == 1.0


def correlation(ts1, closes1, ts2, closes2):
    return regime.aligned_correlation(ts1, closes1, len(ts1), ts2, closes2, len(ts2))


def test_correlation_uses_the_returns_at_equal_times():
    other = np.round(CLOSES * np.exp(GENERATOR.normal(0, 0.01, 900))).astype(np.int64)
    ts = np.arange(900, dtype=np.int64)
    keep1 = np.delete(ts, [700, 701, 880])
    keep2 = np.delete(ts, [650, 705, 899])
    returns1 = dict(zip(keep1[1:], np.diff(np.log(CLOSES[keep1])), strict=True))
    returns2 = dict(zip(keep2[1:], np.diff(np.log(other[keep2])), strict=True))
    shared = sorted(set(returns1) & set(returns2))[-300:]
    expected = np.corrcoef([returns1[t] for t in shared], [returns2[t] for t in shared])[0, 1]
    assert correlation(keep1, CLOSES[keep1], keep2, other[keep2]) == pytest.approx(expected, abs=1e-9)


def test_correlation_of_a_series_with_itself_its_mirror_and_nothing():
    ts = np.arange(900, dtype=np.int64)
    mirror = np.round(1e18 / CLOSES).astype(np.int64)
    assert correlation(ts, CLOSES, ts, CLOSES) == pytest.approx(1.0)
    assert correlation(ts, CLOSES, ts, mirror) == pytest.approx(-1.0, abs=1e-6)
    assert correlation(ts, CLOSES, ts + 900, CLOSES) == 0.0
    assert correlation(ts[:30], CLOSES[:30], ts[:30], CLOSES[:30]) == 0.0
    assert correlation(ts, CLOSES, ts, np.full(900, 7, dtype=np.int64)) == 0.0
