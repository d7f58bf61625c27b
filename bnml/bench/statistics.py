"""Rolling statistics of pairs over 331,000 rows, each beside the same figure from numpy's running sums."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bnml.bench.case import Effort, Figure, at_most, cpu_s
from bnml.kernels import hurst, kalman, stationarity, statistics
from bnml.kernels.windows import new_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS = 331_000
WINDOW = 200


def rolling(effort: Effort) -> list[Figure]:
    """Hurst, half-life, slope and unit root as the goals name them; the others beside them."""
    rows = effort.size(ROWS, 60_000)
    random = np.random.default_rng(5)
    x = 9.0 + np.cumsum(0.003 * random.standard_normal(rows))
    y = 0.3 + 1.2 * x + np.convolve(0.004 * random.standard_normal(rows), 0.9 ** np.arange(60))[:rows]
    gap = y - 1.2 * x
    out, wide = np.empty(rows), np.empty((rows, 3))
    works: list[tuple[str, float, Callable[[], object], Callable[[], object]]] = [
        (
            "Hurst exponent by variance ratio",
            60,
            lambda: hurst.variance_ratio_batch(*hurst.new_variance_ratio(WINDOW), WINDOW, 0, x, out),
            partial(_hurst, x),
        ),
        (
            "half-life",
            12,
            lambda: stationarity.half_life_batch(*stationarity.new_series(WINDOW), WINDOW, 0, gap, out),
            partial(_half_life, gap),
        ),
        (
            "slope by least squares",
            4,
            lambda: statistics.beta_batch(*new_pairs(WINDOW), WINDOW, 0, x, y, out),
            partial(_slope, x, y),
        ),
        (
            "unit root with one lag",
            30,
            lambda: stationarity.lagged_unit_root_batch(
                *stationarity.new_series(WINDOW), WINDOW, 0, gap, out
            ),
            partial(_half_life, gap),
        ),
        (
            "hedge by Kalman filter",
            15,
            lambda: kalman.kalman_batch(
                kalman.new_kalman(1e-4), kalman.kalman_rules(1e-7, 1e-7), 0, x, y, wide
            ),
            partial(_slope, x, y),
        ),
        (
            "z-score",
            6,
            lambda: statistics.z_score_batch(*new_pairs(WINDOW), WINDOW, 0, gap, out),
            partial(_z_score, gap),
        ),
    ]
    figures = []
    for name, limit, product, yardstick in works:
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
