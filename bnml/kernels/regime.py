"""State of the market as the breakers see it: volatility against its median, drift of returns, correlation.

Closes are in ticks; scratch arrays are the caller's, so nothing is allocated. Too little history is
no reason to refuse: the neutral values are returned.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import lean, njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOLATILITY_BARS = 96
DRIFT_RECENT = 64
DRIFT_BASELINE = 240
DRIFT_CLOSES = DRIFT_RECENT + DRIFT_BASELINE + 1
CORRELATION_RETURNS = 300
MIN_CORRELATION_RETURNS = 30
_GAPS = (132, 57, 23, 10, 4, 1)
_NO_VOLATILITY = 1e9
"""Ratio reported when returns move after a baseline that did not move at all: finite, beyond any limit."""


@njit
def sort_in_place(values: NDArray[np.float64], count: int) -> None:
    """Ascending Shell sort of the first `count` values, with the gaps of Ciura (2001) for a few hundred."""
    for gap in _GAPS:
        for i in range(gap, count):
            value = values[i]
            k = i - gap
            while k >= 0 and values[k] > value:
                values[k + gap] = values[k]
                k -= gap
            values[k + gap] = value


@njit
def volatility_ratio(atr_ratios: NDArray[np.float64], end: int, scratch: NDArray[np.float64]) -> float:
    """`atr_ratios[end - 1]` over the median of the 96 values that end with it; 1 if one is missing or NaN.

    `scratch` holds at least 96 values.
    """
    if end < VOLATILITY_BARS:
        return 1.0
    for i in range(VOLATILITY_BARS):
        scratch[i] = atr_ratios[end - VOLATILITY_BARS + i]
        if np.isnan(scratch[i]):
            return 1.0
    sort_in_place(scratch, VOLATILITY_BARS)
    median = 0.5 * (scratch[VOLATILITY_BARS // 2 - 1] + scratch[VOLATILITY_BARS // 2])
    return atr_ratios[end - 1] / median if median > 0.0 else 1.0


@njit
def ks_statistic(first: NDArray[np.float64], count1: int, second: NDArray[np.float64], count2: int) -> float:
    """Largest distance of two empirical distributions; both samples ascending.

    It is reached right before or at a value of the first sample: in between it only falls on one side.
    """
    i, k, largest = 0, 0, 0.0
    while i < count1 and k < count2:
        value = first[i]
        while k < count2 and second[k] < value:
            k += 1
        largest = max(largest, abs(i / count1 - k / count2))
        while i < count1 and first[i] <= value:
            i += 1
        while k < count2 and second[k] <= value:
            k += 1
        largest = max(largest, abs(i / count1 - k / count2))
    return largest


@njit
def ks_p_value(statistic: float, count1: int, count2: int) -> float:
    """Asymptotic two-sample p-value with the small-sample correction of Stephens (1970), as in Numerical Recipes 14.3."""
    root = sqrt(count1 * count2 / (count1 + count2))
    scaled = (root + 0.12 + 0.11 / root) * statistic
    if scaled < 0.2:
        return 1.0  # the series converges slowly there, and its sum is 1 to 1e-12
    total, sign = 0.0, 1.0
    for k in range(1, 101):
        term = exp(-2.0 * k * k * scaled * scaled)
        total += sign * term
        if term < 1e-16:
            break
        sign = -sign
    return min(1.0, max(0.0, 2.0 * total))


@lean
def deviation(values: NDArray[np.float64], start: int, count: int) -> float:
    """Population standard deviation of `count` values from place `start` on."""
    mean = 0.0
    for i in range(start, start + count):
        mean += values[i]
    mean /= count
    total = 0.0
    for i in range(start, start + count):
        total += (values[i] - mean) ** 2
    return sqrt(total / count)


@lean
def drift_ratio(now: float, before: float) -> float:
    """Volatility of the recent returns over that of the earlier ones."""
    return now / before if before > 0.0 else (1.0 if now == 0.0 else _NO_VOLATILITY)


@njit
def drift(
    closes: NDArray[np.int64], end: int, recent: NDArray[np.float64], baseline: NDArray[np.float64]
) -> tuple[float, float, float]:
    """(KS distance, its p-value, volatility ratio) of the last 64 log returns against the 240 before them.

    Uses `closes[end - 305 : end]`; (0, 1, 1) with fewer. `recent` and `baseline` are scratch (64, 240).
    """
    if end < DRIFT_CLOSES:
        return 0.0, 1.0, 1.0
    start = end - DRIFT_CLOSES + 1
    for i in range(DRIFT_BASELINE):
        baseline[i] = log(closes[start + i] / closes[start + i - 1])
    start += DRIFT_BASELINE
    for i in range(DRIFT_RECENT):
        recent[i] = log(closes[start + i] / closes[start + i - 1])
    ratio = drift_ratio(deviation(recent, 0, DRIFT_RECENT), deviation(baseline, 0, DRIFT_BASELINE))
    sort_in_place(recent, DRIFT_RECENT)
    sort_in_place(baseline, DRIFT_BASELINE)
    distance = ks_statistic(recent, DRIFT_RECENT, baseline, DRIFT_BASELINE)
    return distance, ks_p_value(distance, DRIFT_RECENT, DRIFT_BASELINE), ratio


@njit
def aligned_correlation(
    ts1: NDArray[np.int64],
    closes1: NDArray[np.int64],
    end1: int,
    ts2: NDArray[np.int64],
    closes2: NDArray[np.int64],
    end2: int,
) -> float:
    """Correlation of the last 300 log returns that both series have at the same time; 0 with fewer than 30.

    A return belongs to the time of its bar and is measured from the bar before it in its own series.
    """
    i, k, count = end1 - 1, end2 - 1, 0
    sum1 = sum2 = sum11 = sum22 = sum12 = 0.0
    while i >= 1 and k >= 1 and count < CORRELATION_RETURNS:
        if ts1[i] > ts2[k]:
            i -= 1
        elif ts1[i] < ts2[k]:
            k -= 1
        else:
            x, y = log(closes1[i] / closes1[i - 1]), log(closes2[k] / closes2[k - 1])
            sum1, sum2 = sum1 + x, sum2 + y
            sum11, sum22, sum12 = sum11 + x * x, sum22 + y * y, sum12 + x * y
            count, i, k = count + 1, i - 1, k - 1
    return correlation_of_sums(count, sum1, sum2, sum11, sum22, sum12)


@lean
def correlation_of_sums(
    count: int, sum1: float, sum2: float, sum11: float, sum22: float, sum12: float
) -> float:
    """Correlation from sums of values, squares and products; 0 with fewer than 30, or without variation."""
    if count < MIN_CORRELATION_RETURNS:
        return 0.0
    spread1, spread2 = sum11 - sum1 * sum1 / count, sum22 - sum2 * sum2 / count
    if spread1 <= 0.0 or spread2 <= 0.0:
        return 0.0
    return (sum12 - sum1 * sum2 / count) / sqrt(spread1 * spread2)
