"""What is looked back on in a backtest refuses where the values themselves do, and correlates as they do."""

import numpy as np
import pytest

from bnml.kernels import regime
from bnml.kernels.account import LANE
from bnml.kernels.looking_back import REGIME, Past, correlation, look_at_regime
from bnml.kernels.records import BAR, LIMITS, record

COUNT, FRAME_NS = 1_200, 60_000_000_000


def walk(seed, missing=()):
    """Bars whose moves grow and shrink, so that drift comes and goes."""
    random = np.random.default_rng(seed)
    size = 0.002 * (1.0 + np.sin(np.arange(COUNT) / 90.0) ** 2 * 2.0)
    bars = np.zeros(COUNT, BAR)
    bars["ts_open_ns"] = FRAME_NS * np.arange(COUNT)
    bars["close"] = np.round(
        1e6 * np.exp(np.cumsum(random.normal(0.0, size) + 0.001 * np.sin(np.arange(COUNT) / 40.0)))
    )
    return np.delete(bars, missing)


def past_of(*bars):
    returns = np.zeros(sum(map(len, bars)))
    recent, baseline = np.empty(regime.DRIFT_RECENT), np.empty(regime.DRIFT_BASELINE)
    scratch = np.empty(regime.VOLATILITY_BARS)
    return Past(returns, np.ones(COUNT), record(REGIME)[0], recent, baseline, scratch, FRAME_NS)


def lane_of(start, count, end):
    lane = record(LANE)[0]
    lane["start"], lane["end"], lane["bar"] = start, start + count, start + end
    return lane


@pytest.mark.parametrize(("limit_ks", "limit_ratio"), [(0.15, 1.1), (0.25, 1.4), (0.3, 1.6), (0.0, 0.0)])
@pytest.mark.parametrize("every", [1, 3, 40])
def test_a_bound_stands_only_where_neither_refuses(limit_ks, limit_ratio, every):
    bars, limits = walk(1), record(LIMITS)
    limits["drift_ks"], limits["drift_volatility_ratio"] = limit_ks, limit_ratio
    past, refused, passed = past_of(bars), [0, 0], 0
    closes, scratch = bars["close"].copy(), (np.empty(64), np.empty(240))
    for end in range(310, COUNT, every):
        look_at_regime(past, bars, 0, end, limits[0])
        distance, p_value, ratio = regime.drift(closes, end, *scratch)
        found = past.regime
        if distance >= limit_ks:
            assert (found["ks"], found["ks_p"]) == (distance, p_value)
        assert distance <= found["ks"] + 1e-12
        assert (found["ks"] >= limit_ks) == (distance >= limit_ks)
        if ratio >= limit_ratio:
            assert found["drift_ratio"] == ratio
        assert ratio <= found["drift_ratio"] * (1.0 + 1e-12)
        assert (found["drift_ratio"] >= limit_ratio) == (ratio >= limit_ratio)
        refused[0] += distance >= limit_ks
        refused[1] += ratio >= limit_ratio
        passed += found["ks"] != distance
    assert min(refused) > 0
    assert passed > 0 or every == 40 or limit_ks == 0.0


def test_another_limit_of_the_same_bar_is_looked_at_again():
    bars, past, limits = walk(2), None, record(LIMITS)
    past = past_of(bars)
    limits["drift_ks"], limits["drift_volatility_ratio"] = 0.9, 9.0
    for end in (400, 401):
        look_at_regime(past, bars, 0, end, limits[0])
    limits["drift_ks"], limits["drift_volatility_ratio"] = 0.0, 0.0
    look_at_regime(past, bars, 0, 401, limits[0])
    distance, p_value, ratio = regime.drift(bars["close"].copy(), 401, np.empty(64), np.empty(240))
    assert (past.regime["ks"], past.regime["ks_p"], past.regime["drift_ratio"]) == (distance, p_value, ratio)


@pytest.mark.parametrize("missing", [(), (700,), (500, 899), range(620, 880)])
def test_symbols_that_stand_alike_or_not_correlate_as_their_closes_do(missing):
    first, second = walk(3), walk(4, missing)
    both = np.concatenate([first, second])
    for end in (20, 310, 650, 899, len(second) - 1):
        until_ns = second["ts_open_ns"][end - 1] + FRAME_NS
        own, other = lane_of(0, COUNT, int(until_ns // FRAME_NS)), lane_of(COUNT, len(second), end)
        parts = []
        for bars, lane in ((first, own), (second, other)):
            stop = lane["bar"] - lane["start"]
            start = max(0, stop - 400)
            parts += [bars["ts_open_ns"][start:stop].copy(), bars["close"][start:stop].copy(), stop - start]
        assert correlation(past_of(first, second), both, own, both, other) == regime.aligned_correlation(
            *parts
        )
        turned = regime.aligned_correlation(*parts[3:], *parts[:3])
        assert correlation(past_of(first, second), both, other, both, own) == turned
