"""What risk rules look back on in a backtest, kept up from bar to bar: returns, and windows that stay sorted.

The same values to the last bit as `kernels.regime` gives for the closes themselves, at a fraction of the
work: a return is computed once, and a window that moves by a few bars is mended, not sorted again.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import lean, part
from bnml.kernels.regime import (
    CORRELATION_RETURNS,
    DRIFT_BASELINE,
    DRIFT_CLOSES,
    DRIFT_RECENT,
    VOLATILITY_BARS,
    correlation_of_sums,
    deviation,
    drift_ratio,
    ks_p_value,
    ks_statistic,
    sort_in_place,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

HISTORY = 400
"""Closes that are kept of each symbol; correlation looks at no more."""
MEND = 24
"""Bars by which a sorted window is moved one by one; beyond, it is sorted anew."""
KS_PER_BAR = 1.0 / DRIFT_RECENT + 1.0 / DRIFT_BASELINE
"""The KS distance moves by no more when one value of each sample is replaced."""
SURELY = 1.0 - 1e-9
"""Of a limit, so that rounding makes no difference."""

REGIME = np.dtype(
    [
        ("end", np.int64),  # end of the bars that the values are of; 0: none yet
        ("sorted_end", np.int64),  # end of the bars in the sorted windows of returns; 0: none yet
        ("atr_end", np.int64),  # the same of the window of ATR ratios
        ("volatility_ratio", np.float64),
        ("ks", np.float64),
        ("ks_p", np.float64),
        ("drift_ratio", np.float64),
        ("ks_exact", np.float64),  # of the bars before `sorted_end`
        ("returns_end", np.int64),  # end of the bars whose returns are known
        ("limit_ks", np.float64),  # that the values are for
        ("limit_ratio", np.float64),
    ]
)


class Past(NamedTuple):
    """What was made of closes so far.

    `returns` are log returns by number of their bar, 0 where not asked for yet; `atr_ratios` are of the benchmark
    alone.
    """

    returns: NDArray[np.float64]
    atr_ratios: NDArray[np.float64]
    regime: np.void  # of the benchmark
    recent: NDArray[np.float64]  # sorted
    baseline: NDArray[np.float64]  # sorted
    atr_sorted: NDArray[np.float64]
    frame_ns: int


@part
def _return(past: Past, bars: NDArray[np.void], i: int) -> float:
    known = past.returns[i]
    if known == 0.0:
        known = log(bars[i]["close"] / bars[i - 1]["close"])
        past.returns[i] = known
    return known


@part
def _slide(values: NDArray[np.float64], count: int, gone: float, come: float) -> None:
    """Put one value in the place of another in an ascending array."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if values[middle] < gone:
            low = middle + 1
        else:
            high = middle
    while low + 1 < count and values[low + 1] < come:
        values[low] = values[low + 1]
        low += 1
    while low > 0 and values[low - 1] > come:
        values[low] = values[low - 1]
        low -= 1
    values[low] = come


@part
def _move_windows(past: Past, bars: NDArray[np.void], end: int) -> None:
    """Bring the sorted windows of returns to the bars before `end`."""
    regime, recent = past.regime, DRIFT_RECENT
    whole = DRIFT_RECENT + DRIFT_BASELINE
    at = regime["sorted_end"]
    if at == 0 or end - at > MEND:
        for i in range(DRIFT_BASELINE):
            past.baseline[i] = _return(past, bars, end - whole + i)
        for i in range(recent):
            past.recent[i] = _return(past, bars, end - recent + i)
        sort_in_place(past.baseline, DRIFT_BASELINE)
        sort_in_place(past.recent, recent)
        at = end
    while at < end:
        middle = _return(past, bars, at - recent)
        _slide(past.baseline, DRIFT_BASELINE, _return(past, bars, at - whole), middle)
        _slide(past.recent, recent, middle, _return(past, bars, at))
        at += 1
    regime["sorted_end"] = end


@part
def _volatility_ratio(past: Past, count: int) -> float:
    """As `regime.volatility_ratio`."""
    regime, values, atr_ratios = past.regime, past.atr_sorted, past.atr_ratios
    if count < VOLATILITY_BARS:
        return 1.0
    missing = 0
    for i in range(count - VOLATILITY_BARS, count):
        missing += 1 if np.isnan(atr_ratios[i]) else 0
    if missing > 0:
        regime["atr_end"] = 0
        return 1.0
    at = regime["atr_end"]
    if at == 0 or count - at > MEND:
        for i in range(VOLATILITY_BARS):
            values[i] = atr_ratios[count - VOLATILITY_BARS + i]
        sort_in_place(values, VOLATILITY_BARS)
        at = count
    while at < count:
        _slide(values, VOLATILITY_BARS, atr_ratios[at - VOLATILITY_BARS], atr_ratios[at])
        at += 1
    regime["atr_end"] = count
    median = 0.5 * (values[VOLATILITY_BARS // 2 - 1] + values[VOLATILITY_BARS // 2])
    return atr_ratios[count - 1] / median if median > 0.0 else 1.0


@part
def _know_returns(past: Past, bars: NDArray[np.void], end: int) -> None:
    """Compute the returns that drift is measured by, of the bars before `end`."""
    for i in range(max(past.regime["returns_end"], end - DRIFT_CLOSES + 1), end):
        _return(past, bars, i)
    past.regime["returns_end"] = end


@lean
def _variance_within(values: NDArray[np.float64], start: int, count: int) -> tuple[float, float]:
    """(At least, at most) the variance of `count` values, a multiple of four: added up in strands, side by side."""
    sum_1 = sum_2 = sum_3 = sum_4 = 0.0
    square_1 = square_2 = square_3 = square_4 = 0.0
    for i in range(start, start + count, 4):
        a, b, c, d = values[i], values[i + 1], values[i + 2], values[i + 3]
        sum_1, sum_2, sum_3, sum_4 = sum_1 + a, sum_2 + b, sum_3 + c, sum_4 + d
        square_1, square_2 = square_1 + a * a, square_2 + b * b
        square_3, square_4 = square_3 + c * c, square_4 + d * d
    mean = (sum_1 + sum_2 + sum_3 + sum_4) / count
    squares = (square_1 + square_2 + square_3 + square_4) / count
    found, error = squares - mean * mean, 1e-12 * squares
    return found - error, found + error


@lean
def _drift_ratio_below(past: Past, middle: int, limit: float) -> float:
    """An upper bound of the drift ratio of the returns before and after `middle` if it is below the limit, else the ratio."""
    _, now_most = _variance_within(past.returns, middle, DRIFT_RECENT)
    before_least, _ = _variance_within(past.returns, middle - DRIFT_BASELINE, DRIFT_BASELINE)
    if before_least > 0.0:
        bound = sqrt(now_most / before_least)
        if bound < SURELY * limit:
            return bound
    now = deviation(past.returns, middle, DRIFT_RECENT)
    return drift_ratio(now, deviation(past.returns, middle - DRIFT_BASELINE, DRIFT_BASELINE))


@part
def _look_at_ks(past: Past, bars: NDArray[np.void], end: int, limit: float) -> None:
    """KS distance and its p-value; or, while that is below the limit, how far the distance may have come since."""
    regime = past.regime
    bound = regime["ks_exact"] + (end - regime["sorted_end"]) * KS_PER_BAR
    if regime["sorted_end"] > 0 and bound < SURELY * limit:
        regime["ks"], regime["ks_p"] = bound, 1.0
        return
    _move_windows(past, bars, end)
    distance = ks_statistic(past.recent, DRIFT_RECENT, past.baseline, DRIFT_BASELINE)
    regime["ks_exact"] = regime["ks"] = distance
    regime["ks_p"] = ks_p_value(distance, DRIFT_RECENT, DRIFT_BASELINE)


@part
def look_at_regime(past: Past, bars: NDArray[np.void], start: int, end: int, limits: np.void) -> None:
    """Bring `past.regime` to the benchmark's bars from `start` to before `end`.

    What cannot refuse by these limits may stand there by a bound that does not refuse either.
    """
    regime, limit_ks, limit_ratio = past.regime, limits["drift_ks"], limits["drift_volatility_ratio"]
    if regime["end"] == end and regime["limit_ks"] == limit_ks and regime["limit_ratio"] == limit_ratio:
        return
    regime["end"], regime["limit_ks"], regime["limit_ratio"] = end, limit_ks, limit_ratio
    regime["volatility_ratio"] = _volatility_ratio(past, min(end - start, len(past.atr_ratios)))
    regime["ks"], regime["ks_p"], regime["drift_ratio"] = 0.0, 1.0, 1.0
    if end - start >= DRIFT_CLOSES:
        _know_returns(past, bars, end)
        _look_at_ks(past, bars, end, limit_ks)
        regime["drift_ratio"] = _drift_ratio_below(past, end - DRIFT_RECENT, limit_ratio)


@lean
def _stand_alike(
    bars1: NDArray[np.void], i: int, bars2: NDArray[np.void], k: int, count: int, frame_ns: int
) -> bool:
    """Whether so many bars before these two, and they, have the same times; none follows faster than a frame."""
    if count <= 0 or bars1[i]["ts_open_ns"] != bars2[k]["ts_open_ns"]:
        return False
    from_ns = bars1[i]["ts_open_ns"] - count * frame_ns
    return bars1[i - count]["ts_open_ns"] == from_ns and bars2[k - count]["ts_open_ns"] == from_ns


@part
def correlation(
    past: Past, bars1: NDArray[np.void], own: np.void, bars2: NDArray[np.void], other: np.void
) -> float:
    """As `regime.aligned_correlation`, of the last closes of two symbols, by their lanes."""
    end1, end2 = own["bar"], other["bar"]
    first1, first2 = max(own["start"], end1 - HISTORY) + 1, max(other["start"], end2 - HISTORY) + 1
    i, k, count = end1 - 1, end2 - 1, 0
    sum1 = sum2 = sum11 = sum22 = sum12 = 0.0
    alike = min(CORRELATION_RETURNS, i - first1 + 1, k - first2 + 1)
    if _stand_alike(bars1, i, bars2, k, alike - 1, past.frame_ns):
        while count < alike:
            x, y = _return(past, bars1, i), _return(past, bars2, k)
            sum1, sum2 = sum1 + x, sum2 + y
            sum11, sum22, sum12 = sum11 + x * x, sum22 + y * y, sum12 + x * y
            count, i, k = count + 1, i - 1, k - 1
    while i >= first1 and k >= first2 and count < CORRELATION_RETURNS:
        ts1, ts2 = bars1[i]["ts_open_ns"], bars2[k]["ts_open_ns"]
        if ts1 > ts2:
            i -= 1
        elif ts1 < ts2:
            k -= 1
        else:
            x, y = _return(past, bars1, i), _return(past, bars2, k)
            sum1, sum2 = sum1 + x, sum2 + y
            sum11, sum22, sum12 = sum11 + x * x, sum22 + y * y, sum12 + x * y
            count, i, k = count + 1, i - 1, k - 1
    return correlation_of_sums(count, sum1, sum2, sum11, sum22, sum12)
