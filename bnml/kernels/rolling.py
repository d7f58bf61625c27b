"""Ring buffers, windows and guarded ratios inside a caller's flat state: what every indicator is built from.

A ring is RING floats of the state; `ring` is the index of its first one. `n` counts the bars put in so
far, the current one included, so the value k bars back lies at (n - 1 - k) modulo RING. Windows of at
most SHORT bars are added up anew at each bar: exact, and an all-zero window is exactly zero. Longer
windows are running sums, added up anew whenever the bar's absolute time enters a new block of ANCHOR
bars, so that rounding never accumulates and does not depend on where the series was cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit

Array = NDArray[np.float64]

RING = 128  # a power of two above the longest window
ANCHOR = 64  # bars between two re-summations
ZERO_VARIANCE = 1e-18  # of returns; below it only the residue of running sums is left


@njit
def put(state: Array, ring: int, n: int, value: float) -> None:
    """Store the value of the current bar."""
    state[ring + ((n - 1) & (RING - 1))] = value


@njit
def back(state: Array, ring: int, n: int, bars: int) -> float:
    """Value `bars` bars ago; 0 is the current bar."""
    return state[ring + ((n - 1 - bars) & (RING - 1))]


@njit
def window_sum(state: Array, ring: int, n: int, window: int) -> float:
    """Sum of the last `window` values, oldest first."""
    total = 0.0
    for k in range(window - 1, -1, -1):
        total += state[ring + ((n - 1 - k) & (RING - 1))]
    return total


@njit
def window_squares(state: Array, ring: int, n: int, window: int, mean: float) -> float:
    """Sum of squared deviations from `mean`; exactly zero for a flat window whose mean is exact."""
    total = 0.0
    for k in range(window - 1, -1, -1):
        deviation = state[ring + ((n - 1 - k) & (RING - 1))] - mean
        total += deviation * deviation
    return total


@njit
def window_deviation(state: Array, ring: int, n: int, window: int, mean: float) -> float:
    """Sum of absolute deviations from `mean`."""
    total = 0.0
    for k in range(window - 1, -1, -1):
        total += abs(state[ring + ((n - 1 - k) & (RING - 1))] - mean)
    return total


@njit
def window_max(state: Array, ring: int, n: int, window: int) -> float:
    """Largest of the last `window` values."""
    best = state[ring + ((n - 1) & (RING - 1))]
    for k in range(1, window):
        best = max(best, state[ring + ((n - 1 - k) & (RING - 1))])
    return best


@njit
def window_min(state: Array, ring: int, n: int, window: int) -> float:
    """Smallest of the last `window` values."""
    best = state[ring + ((n - 1) & (RING - 1))]
    for k in range(1, window):
        best = min(best, state[ring + ((n - 1 - k) & (RING - 1))])
    return best


@njit
def running_sum(state: Array, at: int, ring: int, n: int, window: int, anew: bool) -> float:
    """Sum of the last `window` values kept at state[at]; `anew` adds the window up again."""
    if anew or n <= window:
        state[at] = window_sum(state, ring, n, min(n, window))
    else:
        state[at] += back(state, ring, n, 0) - back(state, ring, n, window)
    return state[at]


@njit
def running_max(state: Array, at: int, ring: int, n: int, window: int, sign: float) -> float:
    """Largest of sign * value over the last `window` values; state[at:at+2] keeps it and its bar number."""
    current = sign * back(state, ring, n, 0)
    if n == 1 or current >= state[at]:
        state[at] = current
        state[at + 1] = n
    elif state[at + 1] <= n - window:
        state[at] = current
        state[at + 1] = n
        for k in range(1, window):
            value = sign * back(state, ring, n, k)
            if value > state[at]:
                state[at] = value
                state[at + 1] = n - k
    return state[at]


@njit
def ratio(numerator: float, denominator: float, otherwise: float) -> float:
    """A quotient with a stated value for division by zero."""
    return numerator / denominator if denominator != 0.0 else otherwise


@njit
def smooth(state: Array, at: int, n: int, value: float, alpha: float) -> float:
    """Exponential average kept at state[at], started with the first value."""
    if n <= 1:
        state[at] = value
    else:
        state[at] += alpha * (value - state[at])
    return state[at]
