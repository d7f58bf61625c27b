"""Rolling statistics against direct formulas on each window, and their rules of holes, cuts and starts."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.kernels import hurst, kalman, stationarity, statistics
from bnml.kernels.windows import anchor, new_pairs
from tests.twins import pairs as twin

START = 5_000  # numbers are absolute: rows 5000, 5001, ...


def two(batch, window, first, x, y, columns=None):
    out = np.full(len(x) if columns is None else (len(x), columns), -1.0)
    batch(*new_pairs(window), window, first, x, y, out)
    return out


def one(batch, new, window, first, values, _=None):
    out = np.full(len(values), -1.0)
    batch(*new(window), window, first, values, out)
    return out


FIGURES = {
    "hedge": (partial(two, statistics.hedge_batch, columns=3), 0),
    "beta": (partial(two, statistics.beta_batch), 0),
    "correlation": (partial(two, statistics.correlation_batch), 0),
    "z_score": (partial(one, statistics.z_score_batch, new_pairs), 0),
    "half_life": (partial(one, stationarity.half_life_batch, stationarity.new_series), 1),
    "unit_root": (partial(one, stationarity.unit_root_batch, stationarity.new_series), 1),
    "lagged_unit_root": (partial(one, stationarity.lagged_unit_root_batch, stationarity.new_series), 2),
    "variance_ratio": (partial(one, hurst.variance_ratio_batch, hurst.new_variance_ratio), 0),
    "rescaled_range": (partial(one, hurst.rescaled_range_batch, hurst.new_rescaled_range), 1),
}
"""Each with the rows beyond its window that it needs."""

WANTED = {
    "hedge": lambda i, w, x, y: twin.at_row(i, w, twin.hedge, x, y),
    "beta": lambda i, w, x, y: twin.at_row(i, w, twin.hedge, x, y)[0],
    "correlation": lambda i, w, x, y: twin.at_row(i, w, twin.correlation, x, y),
    "z_score": lambda i, w, x, _: twin.at_row(i, w, twin.z_score, x),
    "half_life": lambda i, w, x, _: twin.at_row(i, w + 1, twin.half_life, x),
    "unit_root": lambda i, w, x, _: twin.at_row(i, w + 1, partial(twin.dickey_fuller, lags=0), x),
    "lagged_unit_root": lambda i, w, x, _: twin.at_row(i, w + 2, partial(twin.dickey_fuller, lags=1), x),
    "variance_ratio": lambda i, w, x, _: twin.at_row(
        i, w, partial(twin.hurst_by_variance, lags=hurst.hurst_lags(w)), x
    ),
    "rescaled_range": lambda i, w, x, _: twin.at_row(i, w + 1, twin.hurst_by_range, x),
}


def series(seed, rows):
    """Log prices that drift far from where they began, and a spread that reverts."""
    random = np.random.default_rng(seed)
    x = 9.0 + np.cumsum(random.normal(0.0, 0.003, rows))
    spread = np.zeros(rows)
    for i in range(1, rows):
        spread[i] = 0.9 * spread[i - 1] + random.normal(0.0, 0.004)
    return x, 0.3 + 1.2 * x + spread


@pytest.mark.parametrize("name", FIGURES)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), window=st.integers(32, 90), first=st.integers(0, 3_000))
def test_each_figure_is_that_of_its_own_window(name, seed, window, first):
    x, y = series(seed, 260)
    values = (
        x if name in {"variance_ratio", "rescaled_range", "hedge", "beta", "correlation"} else y - 1.2 * x
    )
    found = FIGURES[name][0](window, first, values, y)
    whole = window - 1 + FIGURES[name][1]
    assert np.isnan(found[:whole]).all()
    assert np.isfinite(found[whole]).all()
    for i in (whole, whole + 1, *range(whole + 2, 260, 13)):
        wanted = WANTED[name](i, window, values.tolist(), y.tolist())
        assert found[i] == pytest.approx(wanted, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_spans_a_hole(name):
    """A NaN, or a number left out: NaN until a full window has come since."""
    batch, more = FIGURES[name]
    window, (x, y) = 40, series(1, 300)
    fresh = batch(window, START + 151, x[151:], y[151:])
    broken = x.copy()
    broken[150] = math.nan
    with_nan = batch(window, START, broken, y)
    assert np.isnan(with_nan[150 : 150 + window + more]).all()
    assert np.isfinite(with_nan[150 + window + more]).all()
    assert np.array_equal(with_nan[151:], fresh, equal_nan=True)


@pytest.mark.parametrize("name", FIGURES)
def test_the_bits_do_not_depend_on_the_start_after_an_anchor_nor_on_the_end(name):
    batch, _ = FIGURES[name]
    window, first, (x, y) = 40, 100, series(2, 2_500)
    step = anchor(window)
    whole = batch(window, first, x, y)
    later = batch(window, first + 700, x[700:], y[700:])
    from_anchor = 2 * step - first  # the first re-summation that both have with a full window
    assert step == 1024
    assert np.array_equal(whole[from_anchor:], later[from_anchor - 700 :], equal_nan=True)
    assert np.nanmax(np.abs(whole[800:] - later[100:])) < 1e-7
    assert np.array_equal(whole[:1_900], batch(window, first, x[:1_900], y[:1_900]), equal_nan=True)


@pytest.mark.parametrize("name", FIGURES)
def test_a_flat_window_says_nothing(name):
    x = np.concatenate((series(3, 400)[0], np.full(200, 7.3), series(4, 300)[0]))
    found = FIGURES[name][0](50, START, x, x * 2 + np.sin(np.arange(len(x))) * 1e-3)
    assert np.isnan(found[460:600]).all()
    assert np.isfinite(found[700]).all()


def test_a_gap_in_the_numbers_is_a_hole():
    x, y = series(5, 200)
    state, ring = new_pairs(40)
    numbers = [*range(100), *range(101, 201)]
    found = [statistics.beta_step(state[0], ring, 40, n, a, b) for n, a, b in zip(numbers, x, y, strict=True)]
    assert np.isnan(found[100:139]).all()
    assert found[139] == pytest.approx(np.polyfit(x[100:140], y[100:140], 1)[0])


def test_long_series_far_from_their_start_stay_exact():
    """100,000 rows at a level of 1e5 with a noise of 1e-3: nothing accumulates."""
    random = np.random.default_rng(6)
    values = 1e5 + np.cumsum(random.normal(0, 1e-3, 100_000))
    found = one(statistics.z_score_batch, new_pairs, 200, 0, values)
    at = [999, 50_000, 99_999]
    wanted = [twin.z_score(values[i - 199 : i + 1]) for i in at]
    assert found[at] == pytest.approx(wanted, rel=1e-5)


def test_known_exponents():
    random = np.random.default_rng(7)
    walk = np.cumsum(random.normal(0, 1, 20_000))
    noise = random.normal(0, 1, 20_000)
    trend = np.cumsum(np.convolve(random.normal(0, 1, 20_050), np.ones(50), "valid")[:20_000])
    for batch, new in (
        (hurst.variance_ratio_batch, hurst.new_variance_ratio),
        (hurst.rescaled_range_batch, hurst.new_rescaled_range),
    ):
        assert 0.42 < np.nanmean(one(batch, new, 200, 0, walk)) < 0.54
        assert np.nanmean(one(batch, new, 200, 0, trend)) > 0.75
    assert np.nanmean(one(hurst.variance_ratio_batch, hurst.new_variance_ratio, 200, 0, noise)) < 0.05
    with pytest.raises(ValueError, match="32 or more"):
        hurst.new_variance_ratio(20)
    with pytest.raises(ValueError, match="16 or more"):
        hurst.new_rescaled_range(15)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    adapt=st.sampled_from([0.0, 0.01]),
    holes=st.lists(st.integers(0, 299), max_size=5),
)
def test_the_filter_is_that_of_the_matrices(seed, adapt, holes):
    x, y = series(seed, 300)
    y[holes] = math.nan
    out = np.empty((300, 3))
    rules = kalman.kalman_rules(1e-7, 1e-6, adapt=adapt, warmup=30)
    kalman.kalman_batch(kalman.new_kalman(1e-4, 0.01), rules, START, x, y, out)
    wanted = twin.kalman(x, y, 1e-4, (1e-7, 1e-6), prior=0.01, adapt=adapt, warmup=30)
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)


def test_the_filter_finds_a_hedge_ratio_that_moves():
    random = np.random.default_rng(8)
    x = 9 + np.cumsum(random.normal(0, 0.01, 6_000))
    beta = 1.0 + np.linspace(0, 0.5, 6_000)
    y = beta * x + random.normal(0, 0.01, 6_000)
    out = np.empty((6_000, 3))
    kalman.kalman_batch(kalman.new_kalman(1e-4), kalman.kalman_rules(1e-9, 1e-7), 0, x, y, out)
    assert np.abs(out[500:, 0] - beta[500:]).max() < 0.05
    assert np.nanstd(out[:, 2]) == pytest.approx(1.0, abs=0.3)
