"""What risk rules look back on in a backtest, kept up from bar to bar: returns, and windows that stay sorted.

The same values to the last bit as `kernels.regime` gives for the closes themselves, at a fraction of the
work: a return is computed once, and a window that moves by a few bars is mended, not sorted again.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import part
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

REGIME = np.dtype(
    [
        ("end", np.int64),  # end of the bars that the values are of; 0: none yet
        ("sorted_end", np.int64),  # end of the bars in the sorted windows of returns; 0: none yet
        ("atr_end", np.int64),  # the same of the window of ATR ratios
        ("volatility_ratio", np.float64),
        ("ks", np.float64),
        ("ks_p", np.float64),
        ("drift_ratio", np.float64),
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
def look_at_regime(past: Past, bars: NDArray[np.void], start: int, end: int) -> None:
    """Bring `past.regime` to the benchmark's bars from `start` to before `end`."""
    regime = past.regime
    if regime["end"] == end:
        return
    regime["end"] = end
    regime["volatility_ratio"] = _volatility_ratio(past, min(end - start, len(past.atr_ratios)))
    regime["ks"], regime["ks_p"], regime["drift_ratio"] = 0.0, 1.0, 1.0
    if end - start < DRIFT_CLOSES:
        return
    _move_windows(past, bars, end)
    middle = end - DRIFT_RECENT
    now = deviation(past.returns, middle, DRIFT_RECENT)
    before = deviation(past.returns, middle - DRIFT_BASELINE, DRIFT_BASELINE)
    distance = ks_statistic(past.recent, DRIFT_RECENT, past.baseline, DRIFT_BASELINE)
    regime["ks"] = distance
    regime["ks_p"] = ks_p_value(distance, DRIFT_RECENT, DRIFT_BASELINE)
    regime["drift_ratio"] = drift_ratio(now, before)


@part
def correlation(
    past: Past, bars1: NDArray[np.void], own: np.void, bars2: NDArray[np.void], other: np.void
) -> float:
    """As `regime.aligned_correlation`, of the last closes of two symbols, by their lanes."""
    end1, end2 = own["bar"], other["bar"]
    first1, first2 = max(own["start"], end1 - HISTORY) + 1, max(other["start"], end2 - HISTORY) + 1
    i, k, count = end1 - 1, end2 - 1, 0
    sum1 = sum2 = sum11 = sum22 = sum12 = 0.0
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
