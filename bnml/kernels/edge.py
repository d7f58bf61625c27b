"""The edge floor: what a run earned beyond being in the market, at least, after luck and search are taken off."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels.bootstrap import SEED, block_days, quantile, resample
from bnml.kernels.metrics import DAYS_PER_YEAR, TAIL, expected_maximum

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_DAYS = 20
"""With fewer daily returns, as without variation, nothing can be shown: the floor is then not above 0."""
NO_ERROR = 1e-12
"""A deviation of the resampled annual means up to this is rounding."""
MEANS = 2048
"""Resampled means: their 5 % quantile is the answer, so there are more of them than of other paths."""


class Edge(NamedTuple):
    """Shares of equity per year, of daily means times 365; `days` daily returns are behind them."""

    floor: float
    excess: float  # mean of the run minus its benchmark
    net: float
    benchmark: float
    error: float  # deviation of the resampled means of the excess
    shift: float  # taken off for the search
    days: int


def edge_floor(
    returns: NDArray[np.float64],
    market: NDArray[np.float64],
    exposures: NDArray[np.float64],
    trials: int,
    seed: int = SEED,
) -> Edge:
    """Lower 5 % bound of net return minus exposure-matched benchmark, per year, deflated by the trials.

    `returns` are the run's of each day, `market` (days, symbols) those of holding each symbol, `exposures`
    the run's mean share of equity in each: the benchmark of a day is their product. What is left of each
    day is resampled by the stationary block bootstrap (Politis & Romano 1994), a day of the run together
    with the same day of every symbol, so that what they have in common stays.

    The best of N trials without any edge has an expected mean of `error * expected_maximum(N)`: each trial's
    mean varies by chance as the resampled means do (Bailey & Lopez de Prado 2014, with means in place of
    Sharpe ratios; trials that resemble each other vary less, so this takes off too much rather than too
    little). floor = 5 % quantile - error * expected_maximum(N). At or below 0 no edge is shown.
    """
    days = len(returns)
    if days == 0:
        return Edge(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    matched = market @ exposures
    means, unused = np.empty(MEANS), np.empty(MEANS)
    resample(returns - matched, block_days(days), seed, means, unused)
    means *= DAYS_PER_YEAR / days
    means.sort()
    middle = float(means.sum()) / MEANS
    error = sqrt(float(((means - middle) ** 2).sum()) / MEANS)
    shift = error * expected_maximum(trials)
    floor = quantile(means, TAIL) - shift
    if days < FEWEST_DAYS or error <= NO_ERROR:
        floor = min(floor, 0.0)
    net, benchmark = (float(one.sum()) * DAYS_PER_YEAR / days for one in (returns, matched))
    return Edge(floor, net - benchmark, net, benchmark, error, shift, days)
