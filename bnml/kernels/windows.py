"""Sums over a moving window of a pair of series: what hedge ratio, correlation and unit-root test are made from.

State and ring are the caller's. `number` counts rows on an absolute scale, such as open time / frame:
figures are the same wherever a series was started.

Holes: a row with a NaN gives NaN and ends the window, and so does a number that does not follow the last
one; the next row starts a new window, and nothing is said until it is full. No figure spans a hole. Who
wants missing rows to be simply absent counts the rows there are.

Sums are of distances from a reference value and are kept up by adding the newest row and taking off the
one that leaves. With the row that fills the window, and whenever `number` is a multiple of
`anchor(window)`, the newest row becomes the reference and everything is added up anew: rounding does not
accumulate, and from the first such multiple on the bits do not depend on where the series began.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import lean, njit

Array = NDArray[np.float64]
State = NDArray[np.void]

PAIRS = np.dtype(
    [
        ("next", np.int64),  # number of the row that continues the window; NOWHERE: none does
        ("full", np.int64),  # number of the row with which the window is full
        ("anchor", np.int64),  # rows between two re-summations, less one
        ("ref_x", np.float64),
        ("ref_y", np.float64),
        ("sum_x", np.float64),
        ("sum_y", np.float64),
        ("sum_xx", np.float64),
        ("sum_xy", np.float64),
        ("sum_yy", np.float64),
    ]
)

NOWHERE = -1
SHORTEST_ANCHOR = 1024
"""Fewest rows between two re-summations."""
NOISE = 1e-12
"""A variance below this share of the mean square around the reference is rounding: the window is flat."""


def new_pairs(window: int) -> tuple[State, Array]:
    """State (one record) and ring of a window of pairs before its first row."""
    state = np.zeros(1, dtype=PAIRS)
    state["next"] = NOWHERE
    state["anchor"] = anchor(window) - 1
    return state, new_ring(window, 2)


def anchor(window: int) -> int:
    """Rows between two re-summations: a power of two, 1024 or at least four windows."""
    return max(SHORTEST_ANCHOR, 1 << int(4 * window - 1).bit_length())


def new_ring(rows: int, width: int) -> Array:
    """A ring for so many rows and one more: a power of two of them, `width` values each."""
    return np.zeros(width << int(rows).bit_length())


@lean
def pairs(
    state: np.void, ring: Array, window: int, number: int, x: float, y: float, with_yy: bool
) -> tuple[float, float, float, float, float]:
    """Take in a row; sums of x, y, x^2, xy and, if wanted, y^2 of the window, around the references.

    Until the window is full the sum of x^2 is NaN, and the others mean nothing.
    """
    if state["next"] != number or x + y != x + y:
        if x + y != x + y:
            state["next"] = NOWHERE
            return 0.0, 0.0, np.nan, 0.0, 0.0
        state["full"] = number + window - 1
        state["sum_xx"] = np.nan
    state["next"] = number + 1
    full, ref_x, ref_y = state["full"], state["ref_x"], state["ref_y"]
    mask = len(ring) - 2
    at = np.uint64((2 * number) & mask)
    ring[at], ring[at + np.uint64(1)] = x, y
    if number == full or ((number & state["anchor"]) == 0 and number > full):
        state["ref_x"], state["ref_y"] = ref_x, ref_y = x, y
        sum_x = sum_y = sum_xx = sum_xy = sum_yy = 0.0
        for row in range(number - window + 1, number + 1):
            at = np.uint64((2 * row) & mask)
            u, v = ring[at] - ref_x, ring[at + np.uint64(1)] - ref_y
            sum_x += u
            sum_y += v
            sum_xx += u * u
            sum_xy += u * v
            sum_yy += v * v
    else:
        at = np.uint64((2 * (number - window)) & mask)
        u, v = x - ref_x, y - ref_y
        old_u, old_v = ring[at] - ref_x, ring[at + np.uint64(1)] - ref_y
        sum_x = state["sum_x"] + (u - old_u)
        sum_y = state["sum_y"] + (v - old_v)
        sum_xx = state["sum_xx"] + (u - old_u) * (u + old_u)
        sum_xy = state["sum_xy"] + (u * v - old_u * old_v)
        sum_yy = state["sum_yy"] + (v - old_v) * (v + old_v) if with_yy else 0.0
    state["sum_x"], state["sum_y"] = sum_x, sum_y
    state["sum_xx"], state["sum_xy"] = sum_xx, sum_xy
    if with_yy:
        state["sum_yy"] = sum_yy
    return sum_x, sum_y, sum_xx, sum_xy, sum_yy


@njit
def spread(window: int, total_a: float, total_b: float, products: float) -> float:
    """window^2 times the population covariance, from two sums and the sum of products."""
    return window * products - total_a * total_b


@njit
def own_spread(window: int, total: float, squares: float) -> float:
    """window^2 times the population variance; NaN for a flat window, where only rounding is left."""
    found = window * squares - total * total
    return found if found > NOISE * window * squares else np.nan
