"""The Hurst exponent of a level series: 0.5 for a random walk, less if it returns, more if it goes on; steps and batches.

By variance ratio: the slope of log deviation of the differences over a lag against log lag, five lags,
from running sums in O(1) per lag. By rescaled range: of the increments, never of the levels (those give
0.99 for anything), in O(window). Holes and re-summation as in `kernels.windows`. NaN for a flat window.
"""

from __future__ import annotations

from math import lgamma, log, pi

import numpy as np

from bnml.kernels import lean
from bnml.kernels.windows import NOISE, NOWHERE, Array, State, anchor, new_ring

LEVELS = np.dtype(
    [
        ("next", np.int64),  # number of the row that continues the window; NOWHERE: none does
        ("full", np.int64),  # number of the row with which the window is full
        ("anchor", np.int64),  # rows between two re-summations, less one
        ("offset", np.float64),  # what is added to the weighted sum
    ]
)
LAG = np.dtype(
    [
        ("lag", np.int64),
        ("weight", np.float64),  # of the logarithm of the sum of squared deviations, in the slope
        ("share", np.float64),  # 1 / number of differences
        ("total", np.float64),
        ("squares", np.float64),
    ]
)
SIZE = np.dtype([("size", np.int64), ("weight", np.float64)])

LAGS = 5
LONGEST_LAG = 50
LEAST, MOST = 0.01, 0.99
SMALLEST_BLOCK = 8


def _slope_weights(x: Array) -> Array:
    """Weights of y in the slope of the least squares line of y on x."""
    weights: Array = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return weights


def _new_levels(window: int) -> State:
    state = np.zeros(1, dtype=LEVELS)
    state["next"] = NOWHERE
    state["anchor"] = anchor(window) - 1
    return state


def hurst_lags(window: int) -> list[int]:
    """Five lags at equal steps of their logarithm from 2 to a quarter of the window, at most 50."""
    return [round(lag) for lag in np.geomspace(2, min(window // 4, LONGEST_LAG), LAGS)]


def new_variance_ratio(window: int) -> tuple[State, State, Array]:
    """State, lags and ring before the first row; ValueError for a window that has no five different lags."""
    lags = hurst_lags(window)
    if len(set(lags)) < LAGS:
        raise ValueError(f"a window of {window} rows has no {LAGS} different lags; take 32 or more")
    state, table = _new_levels(window), np.zeros(LAGS, dtype=LAG)
    counts = window - np.array(lags)
    table["lag"], table["share"] = lags, 1.0 / counts
    table["weight"] = 0.5 * _slope_weights(np.log(np.array(lags, dtype=np.float64)))
    state["offset"] = -(table["weight"] * np.log(counts - 1.0)).sum()
    return state, table, new_ring(window, 1)


@lean
def _goes_on(state: np.void, ring: Array, behind: int, number: int, level: float) -> bool:
    """Store a level; whether the window is full, which it is `behind` rows after the first of a stretch."""
    if state["next"] != number or level != level:  # noqa: PLR0124 - NaN
        if level != level:  # noqa: PLR0124
            state["next"] = NOWHERE
            return False
        state["full"] = number + behind
    state["next"] = number + 1
    ring[np.uint64(number & (len(ring) - 1))] = level
    return number >= state["full"]


@lean
def variance_ratio_step(
    state: np.void, lags: State, ring: Array, window: int, number: int, level: float
) -> float:
    """Hurst exponent of the last `window` levels, 0.01..0.99: slope of log deviation on log lag.

    Deviations are the samples' (n - 1), of the differences whose two ends lie in the window. Overlapping
    differences make it read low: a random walk has 0.44 in the mean in a window of 200.
    """
    mask = len(ring) - 1
    full = _goes_on(state, ring, window - 1, number, level)
    again = number == state["full"] or ((number & state["anchor"]) == 0 and full)
    slope = state["offset"] if full else np.nan
    leaving = ring[np.uint64((number - window) & mask)]
    for k in range(LAGS):
        lag = lags[k]["lag"]
        if again:
            total = squares = 0.0
            for row in range(number - window + 1 + lag, number + 1):
                change = ring[np.uint64(row & mask)] - ring[np.uint64((row - lag) & mask)]
                total += change
                squares += change * change
        else:
            change = level - ring[np.uint64((number - lag) & mask)]
            gone = ring[np.uint64((number - window + lag) & mask)] - leaving
            total = lags[k]["total"] + (change - gone)
            squares = lags[k]["squares"] + (change - gone) * (change + gone)
        lags[k]["total"], lags[k]["squares"] = total, squares
        left = squares - total * total * lags[k]["share"]
        slope += lags[k]["weight"] * np.log(left if left > NOISE * squares else np.nan)
    return LEAST if slope < LEAST else min(slope, MOST)


@lean
def variance_ratio_batch(
    state: State, lags: State, ring: Array, window: int, first: int, level: Array, out: Array
) -> None:
    """`variance_ratio_step` for row after row, numbered from `first`."""
    for i in range(len(level)):
        out[i] = variance_ratio_step(state[0], lags, ring, window, first + i, level[i])


def expected_range(size: int) -> float:
    """Expected rescaled range of so many independent increments (Anis & Lloyd 1976)."""
    factor = np.exp(lgamma((size - 1) / 2) - lgamma(size / 2)) / np.sqrt(pi)
    rest = np.arange(1, size)
    return float(factor * np.sqrt((size - rest) / rest).sum())


def new_rescaled_range(window: int) -> tuple[State, State, Array]:
    """State, block sizes and ring; the window of increments is cut into 1, 2, 4 and 8 blocks of at least 8."""
    sizes = [window >> k for k in range(4) if window >> k >= SMALLEST_BLOCK]
    if len(sizes) < 2:
        raise ValueError(f"a window of {window} increments has no two sizes of blocks; take 16 or more")
    state, table = _new_levels(window), np.zeros(len(sizes), dtype=SIZE)
    table["size"] = sizes
    table["weight"] = _slope_weights(np.log(np.array(sizes, dtype=np.float64)))
    state["offset"] = 0.5 - sum(
        weight * log(expected_range(size)) for size, weight in zip(sizes, table["weight"], strict=True)
    )
    return state, table, new_ring(window + 1, 1)


@lean
def _range_of_block(ring: Array, first: int, size: int) -> float:
    """Range of the summed increments around their own trend, over their deviation (n); levels first..first + size."""
    mask = len(ring) - 1
    start = before = ring[np.uint64(first & mask)]
    slope = (ring[np.uint64((first + size) & mask)] - start) / size
    highest = lowest = squares = trend = 0.0
    for row in range(first + 1, first + size + 1):
        level = ring[np.uint64(row & mask)]
        trend += slope
        away = level - start - trend
        highest = max(highest, away)
        lowest = min(lowest, away)
        squares += (level - before - slope) * (level - before - slope)
        before = level
    deviation = np.sqrt(squares / size)
    return (highest - lowest) / deviation if squares > NOISE * slope * slope * size else np.nan


@lean
def rescaled_range_step(
    state: np.void, sizes: State, ring: Array, window: int, number: int, level: float
) -> float:
    """Hurst exponent of the last `window` increments, 0.01..0.99, by rescaled range (Hurst 1951; Weron 2002).

    0.5 + slope of log(mean R/S of the blocks of a size / its expectation for independent increments) on log
    size. Blocks end with the newest row and do not overlap.
    """
    full = _goes_on(state, ring, window, number, level)
    slope = state["offset"] if full else np.nan
    for k in range(len(sizes) if full else 0):
        size = sizes[k]["size"]
        blocks = window // size
        total = 0.0
        for block in range(blocks):
            total += _range_of_block(ring, number - (block + 1) * size, size)
        slope += sizes[k]["weight"] * np.log(total / blocks)
    return LEAST if slope < LEAST else min(slope, MOST)


@lean
def rescaled_range_batch(
    state: State, sizes: State, ring: Array, window: int, first: int, level: Array, out: Array
) -> None:
    """`rescaled_range_step` for row after row, numbered from `first`."""
    for i in range(len(level)):
        out[i] = rescaled_range_step(state[0], sizes, ring, window, first + i, level[i])
