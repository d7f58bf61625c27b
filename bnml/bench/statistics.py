"""Rolling statistics of pairs over 331,000 rows, each beside the same figure from numpy's running sums."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bnml.bench.case import Effort, Figure, Work, at_most, cpu_s
from bnml.kernels import hurst, kalman, stationarity, statistics
from bnml.kernels.windows import new_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS = 331_000
WINDOW = 200
RULES = kalman.kalman_rules(1e-7, 1e-7)


def rolling(effort: Effort) -> list[Figure]:
    """Hurst, half-life, slope and unit root as the goals name them; the others beside them."""
    rows = effort.size(ROWS, 60_000)
    random = np.random.default_rng(5)
    x = 9.0 + np.cumsum(0.003 * random.standard_normal(rows))
    y = 0.3 + 1.2 * x + np.convolve(0.004 * random.standard_normal(rows), 0.9 ** np.arange(60))[:rows]
    figures = []
    for name, limit, product, yardstick in works(x, y, y - 1.2 * x):
        product_s, yardstick_s = cpu_s(effort, product, yardstick)
        figures.append(
            at_most(
                limit,
                name=name,
                bnml=product_s / rows * 1e9,
                yardstick=yardstick_s / rows * 1e9,
                unit="ns a row",
                against="numpy, running sums of the like",
            )
        )
    return figures


def works(x: Floats, y: Floats, gap: Floats) -> list[tuple[str, float, Work, Work]]:
    """Name, goal in ns a row, ours, numpy's."""
    w, out, wide = WINDOW, np.empty(len(x)), np.empty((len(x), 3))
    ratio, life, lagged = (
        hurst.variance_ratio_batch,
        stationarity.half_life_batch,
        stationarity.lagged_unit_root_batch,
    )
    ours: dict[str, tuple[float, Work]] = {
        "Hurst exponent by variance ratio": (60, lambda: ratio(*hurst.new_variance_ratio(w), w, 0, x, out)),
        "half-life": (12, lambda: life(*stationarity.new_series(w), w, 0, gap, out)),
        "slope by least squares": (4, lambda: statistics.beta_batch(*new_pairs(w), w, 0, x, y, out)),
        "unit root with one lag": (30, lambda: lagged(*stationarity.new_series(w), w, 0, gap, out)),
        "hedge by Kalman filter": (
            20,
            lambda: kalman.kalman_batch(kalman.new_kalman(1e-4), RULES, 0, x, y, wide),
        ),
        "z-score": (8, lambda: statistics.z_score_batch(*new_pairs(w), w, 0, gap, out)),
    }
    theirs: tuple[Work, ...] = (
        partial(_hurst, x),
        partial(_half_life, gap),
        partial(_slope, x, y),
        partial(_half_life, gap),
        partial(_slope, x, y),
        partial(_z_score, gap),
    )
    return [(name, *one, other) for (name, one), other in zip(ours.items(), theirs, strict=True)]


def _sums(values: Floats) -> Floats:
    total = np.cumsum(values)
    total[WINDOW:] -= total[:-WINDOW].copy()
    return total


def _slope(x: Floats, y: Floats) -> Floats:
    sum_x, sum_y = _sums(x), _sums(y)
    return (_sums(x * y) - sum_x * sum_y / WINDOW) / (_sums(x * x) - sum_x * sum_x / WINDOW)


def _half_life(gap: Floats) -> Floats:
    return -np.log(2.0) / np.log(np.abs(_slope(gap[:-1], gap[1:])) + 1e-12)


def _z_score(gap: Floats) -> Floats:
    mean = _sums(gap) / WINDOW
    return (gap - mean) / np.sqrt(np.abs(_sums(gap * gap) / WINDOW - mean * mean) + 1e-12)


def _hurst(x: Floats) -> Floats:
    lags = hurst.hurst_lags(WINDOW)
    logs = []
    for lag in lags:
        change = np.concatenate((np.zeros(lag), x[lag:] - x[:-lag]))
        mean = _sums(change) / WINDOW
        logs.append(0.5 * np.log(np.abs(_sums(change * change) / WINDOW - mean * mean) + 1e-12))
    across = np.log(lags) - np.log(lags).mean()
    return np.asarray(across @ np.array(logs) / (across @ across))
