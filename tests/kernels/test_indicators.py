"""Classic indicators against their definitions, whole, cut in two, and six in one pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.kernels import indicators as kernel
from bnml.kernels.indicator_row import HEADER, SIX, new_six, six_batch, six_step, six_step_many
from bnml.kernels.windows import new_ring
from tests.twins import indicators as twin


def market(seed, rows, flat=0.0):
    """Highs, lows, closes; some bars do not move at all."""
    random = np.random.default_rng(seed)
    moves = random.normal(0.0, 0.01, rows) * (random.random(rows) >= flat)
    close = 100.0 * np.exp(np.cumsum(moves))
    high, low = close * (1 + 0.01 * random.random(rows)), close * (1 - 0.01 * random.random(rows))
    return high, low, close


def run(name, period, high, low, close, first=0):
    """Outputs of one indicator over the rows; each with a state of its own."""
    out = [np.full(len(close), -1.0) for _ in range(3)]
    ring = new_ring(period, 1)
    if name == "sma":
        kernel.sma_batch(kernel.Sums(), ring, period, first, close, out[0])
    elif name == "ema":
        kernel.ema_batch(kernel.Average(), period, close, out[0])
    elif name == "deviation":
        kernel.deviation_batch(kernel.Sums(), ring, period, first, close, out[0])
    elif name == "bollinger":
        kernel.bollinger_batch(kernel.Sums(), ring, period, first, close, 2.5, *out)
    elif name == "rsi":
        kernel.rsi_batch(kernel.Strength(), period, close, out[0])
    elif name == "atr":
        kernel.atr_batch(kernel.TrueRange(), period, high, low, close, out[0])
    elif name == "macd":
        kernel.macd_batch(kernel.Macd(), period, 2 * period, 9, close, *out)
    else:
        kernel.extremes_batch(kernel.Extremes(), kernel.extremes_ring(period), period, high, low, *out[:2])
    return out


WANTED = {
    "sma": lambda n, _h, _l, c: [twin.sma(c, n)],
    "ema": lambda n, _h, _l, c: [twin.ema(c, n)],
    "deviation": lambda n, _h, _l, c: [twin.deviation(c, n)],
    "bollinger": lambda n, _h, _l, c: twin.bollinger(c, n, 2.5),
    "rsi": lambda n, _h, _l, c: [twin.rsi(c, n)],
    "atr": lambda n, h, low, c: [twin.atr(h, low, c, n)],
    "macd": lambda n, _h, _l, c: twin.macd(c, n, 2 * n, 9),
    "extremes": lambda n, h, low, _c: [twin.highest(h, n), twin.lowest(low, n)],
}


@pytest.mark.parametrize("name", WANTED)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32),
    period=st.integers(2, 30),
    rows=st.integers(1, 150),
    flat=st.sampled_from([0.0, 0.9, 1.0]),
    first=st.integers(0, 2_000),
)
def test_each_indicator_is_its_definition(name, seed, period, rows, flat, first):
    columns = market(seed, rows, flat)
    wanted = WANTED[name](period, *(column.tolist() for column in columns))
    for mine, theirs in zip(run(name, period, *columns, first), wanted, strict=False):
        # A flat window after moves of prices near 100: the root of a rounding of 1e-14 x moves squared.
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-6)


def test_a_state_goes_on_where_it_stopped():
    high, low, close = market(1, 3_000)
    whole, parts = np.empty(3_000), np.empty(3_000)
    kernel.sma_batch(kernel.Sums(), new_ring(20, 1), 20, 7, close, whole)
    ring = new_ring(20, 1)
    state = kernel.sma_batch(kernel.Sums(), ring, 20, 7, close[:1_234], parts[:1_234])
    kernel.sma_batch(state, ring, 20, 7 + 1_234, close[1_234:], parts[1_234:])
    assert np.array_equal(whole, parts, equal_nan=True)
    kernel.atr_batch(kernel.TrueRange(), 14, high, low, close, whole)
    ranges = kernel.atr_batch(kernel.TrueRange(), 14, high[:10], low[:10], close[:10], parts[:10])
    kernel.atr_batch(ranges, 14, high[10:], low[10:], close[10:], parts[10:])
    assert np.array_equal(whole, parts, equal_nan=True)


def test_sums_stay_exact_over_a_long_series():
    random = np.random.default_rng(2)
    close = 1e5 + np.cumsum(random.normal(0.0, 1e-3, 60_000))
    out = np.empty(60_000)
    kernel.deviation_batch(kernel.Sums(), new_ring(100, 1), 100, 0, close, out)
    for i in (99, 1_023, 30_000, 59_999):
        assert out[i] == pytest.approx(close[i - 99 : i + 1].std(), rel=1e-6)


def test_six_in_one_pass_are_the_six():
    high, low, close = market(3, 1_500)
    out = np.empty((1_500, len(SIX)))
    six_batch(new_six(), high, low, close, out)
    apart = [run("sma", 20, high, low, close)[0], run("ema", 20, high, low, close)[0]]
    apart += [run("rsi", 14, high, low, close)[0], run("atr", 14, high, low, close)[0]]
    lines = [np.empty(1_500) for _ in range(3)]
    kernel.macd_batch(kernel.Macd(), 12, 26, 9, close, *lines)
    apart += [*lines, run("deviation", 100, high, low, close)[0]]
    for k, name in enumerate(SIX):
        assert np.array_equal(out[:, k], apart[k], equal_nan=True), name


def test_many_symbols_in_one_call_are_each_its_own():
    columns = [market(seed, 40) for seed in range(5)]
    states, rows = np.array([new_six() for _ in columns]), np.empty((5, len(SIX)))
    for i in range(40):
        high, low, close = (np.array([one[k][i] for one in columns]) for k in range(3))
        six_step_many(states, high, low, close, rows)
    for state, row, one in zip(states, rows, columns, strict=True):
        own, out = new_six(), np.empty(len(SIX))
        for high, low, close in zip(*one, strict=True):
            six_step(own, high, low, close, out)
        assert np.array_equal(own, state)
        assert np.array_equal(row, out, equal_nan=True)
        assert own[HEADER + 39] == one[2][-1]
