"""Whether a series comes back to its mean, and how fast: half-life and Dickey-Fuller statistics; steps and batches.

All regress the change of a value on the value before it, over a window of such pairs, from running sums in
O(1): dz(t) = a + g z(t-1) + e, with one lag dz(t) = a + g z(t-1) + d dz(t-1) + e. State and ring, holes,
and re-summation are as in `kernels.windows`; a window of n pairs is full with its n + 1st value in a row, with
one lag with its n + 2nd. The sum of changes is the last value less the first, so it is not kept.
"""

from __future__ import annotations

from math import log1p

import numpy as np

from bnml.kernels import lean
from bnml.kernels.windows import NOWHERE, Array, State, anchor, new_ring, own_spread, spread

SERIES = np.dtype(
    [
        ("next", np.int64),  # number of the row that continues the window; NOWHERE: none does
        ("full", np.int64),  # number of the row with which the window is full
        ("anchor", np.int64),  # rows between two re-summations, less one
        ("ref", np.float64),  # values are taken from here
        ("sum_x", np.float64),  # x = value before, y = change, d = change before
        ("sum_xx", np.float64),
        ("sum_xy", np.float64),
        ("sum_yy", np.float64),
        ("sum_dd", np.float64),
        ("sum_xd", np.float64),
        ("sum_yd", np.float64),
    ]
)

LN_2 = float(np.log(2.0))


def new_series(window: int) -> tuple[State, Array]:
    """State (one record) and ring of a window of so many pairs before its first row."""
    state = np.zeros(1, dtype=SERIES)
    state["next"] = NOWHERE
    state["anchor"] = anchor(window) - 1
    return state, new_ring(window + 2, 1)


@lean
def goes_on(state: np.void, number: int, value: float, behind: int) -> bool:
    """Whether a row is no hole; a window is full `behind` rows after the first of a stretch."""
    if state["next"] != number or value != value:  # noqa: PLR0124 - NaN
        if value != value:  # noqa: PLR0124
            state["next"] = NOWHERE
            return False
        state["full"] = number + behind
        state["sum_xx"] = np.nan
    state["next"] = number + 1
    return True


@lean
def changes(
    state: np.void, ring: Array, window: int, number: int, value: float, with_yy: bool
) -> tuple[float, float, float, float, float]:
    """Take in a row; sums of x, y, x^2, xy and, if wanted, y^2 of the window.

    Until the window is full the sum of x^2 is NaN, and the others mean nothing.
    """
    if not goes_on(state, number, value, window):
        return 0.0, 0.0, np.nan, 0.0, 0.0
    mask = len(ring) - 1
    ring[np.uint64(number & mask)] = value
    before, oldest = ring[np.uint64((number - 1) & mask)], ring[np.uint64((number - window) & mask)]
    full, ref = state["full"], state["ref"]
    if number == full or ((number & state["anchor"]) == 0 and number > full):
        state["ref"] = ref = before
        sum_x = sum_xx = sum_xy = sum_yy = 0.0
        earlier = oldest
        for row in range(number - window + 1, number + 1):
            later = ring[np.uint64(row & mask)]
            x, y = earlier - ref, later - earlier
            sum_x += x
            sum_xx += x * x
            sum_xy += x * y
            sum_yy += y * y
            earlier = later
    else:
        gone = ring[np.uint64((number - window - 1) & mask)]
        x, y, old_x, old_y = before - ref, value - before, gone - ref, oldest - gone
        sum_x = state["sum_x"] + (x - old_x)
        sum_xx = state["sum_xx"] + (x - old_x) * (x + old_x)
        sum_xy = state["sum_xy"] + (x * y - old_x * old_y)
        sum_yy = state["sum_yy"] + (y - old_y) * (y + old_y) if with_yy else 0.0
    state["sum_x"], state["sum_xx"], state["sum_xy"] = sum_x, sum_xx, sum_xy
    if with_yy:
        state["sum_yy"] = sum_yy
    return sum_x, value - oldest, sum_xx, sum_xy, sum_yy


@lean
def half_life_step(state: np.void, ring: Array, window: int, number: int, value: float) -> float:
    """Rows in which half of a distance from the mean is gone: -ln 2 / ln(1 + g).

    NaN unless -1 < g < 0: without reversion to a mean there is no half-life.
    """
    sum_x, sum_y, xx, xy, _ = changes(state, ring, window, number, value, False)
    growth = spread(window, sum_x, sum_y, xy) / own_spread(window, sum_x, xx)
    return -LN_2 / log1p(growth) if -1.0 < growth < 0.0 else np.nan


@lean
def half_life_batch(state: State, ring: Array, window: int, first: int, value: Array, out: Array) -> None:
    """`half_life_step` for row after row, numbered from `first`."""
    for i in range(len(value)):
        out[i] = half_life_step(state[0], ring, window, first + i, value[i])


@lean
def unit_root_step(state: np.void, ring: Array, window: int, number: int, value: float) -> float:
    """Dickey-Fuller t statistic without lag (Dickey & Fuller 1979): g / SE(g).

    Below about -2.86 the series reverts to a mean at the 5 % level. NaN for a flat or perfectly fitted window.
    """
    sum_x, sum_y, xx, xy, yy = changes(state, ring, window, number, value, True)
    product = spread(window, sum_x, sum_y, xy)
    rest = own_spread(window, sum_x, xx) * own_spread(window, sum_y, yy) - product * product
    return product * np.sqrt((window - 2.0) / rest) if rest > 0.0 else np.nan


@lean
def unit_root_batch(state: State, ring: Array, window: int, first: int, value: Array, out: Array) -> None:
    """`unit_root_step` for row after row, numbered from `first`."""
    for i in range(len(value)):
        out[i] = unit_root_step(state[0], ring, window, first + i, value[i])


@lean
def lagged(state: np.void, ring: Array, window: int, number: int, value: float) -> bool:
    """Take in a row with the change before; whether it is no hole. Until the window is full `sum_xx` is NaN."""
    if not goes_on(state, number, value, window + 1):
        return False
    mask = len(ring) - 1
    ring[np.uint64(number & mask)] = value
    full = state["full"]
    if number == full or ((number & state["anchor"]) == 0 and number > full):
        state["ref"] = ring[np.uint64((number - 1) & mask)]
        state["sum_x"] = state["sum_xx"] = state["sum_xy"] = state["sum_yy"] = 0.0
        state["sum_dd"] = state["sum_xd"] = state["sum_yd"] = 0.0
        for row in range(number - window + 1, number):
            add_lagged(state, ring, row, 1.0)
    else:
        add_lagged(state, ring, number - window, -1.0)
    add_lagged(state, ring, number, 1.0)
    return True


@lean
def add_lagged(state: np.void, ring: Array, number: int, sign: float) -> None:
    """Add the products of one row to the sums, or with -1 take them off."""
    mask = len(ring) - 1
    far, before = ring[np.uint64((number - 2) & mask)], ring[np.uint64((number - 1) & mask)]
    x, y, d = before - state["ref"], ring[np.uint64(number & mask)] - before, before - far
    state["sum_x"] += sign * x
    state["sum_xx"] += sign * x * x
    state["sum_xy"] += sign * x * y
    state["sum_yy"] += sign * y * y
    state["sum_dd"] += sign * d * d
    state["sum_xd"] += sign * x * d
    state["sum_yd"] += sign * y * d


@lean
def lagged_unit_root_step(state: np.void, ring: Array, window: int, number: int, value: float) -> float:
    """Augmented Dickey-Fuller t statistic with one lag (Said & Dickey 1984): g / SE(g), window pairs.

    NaN for a flat or perfectly fitted window.
    """
    if not lagged(state, ring, window, number, value):
        return np.nan
    mask = len(ring) - 1
    last = ring[np.uint64((number - 1) & mask)]
    first = ring[np.uint64((number - window) & mask)]
    sum_x, sum_y = state["sum_x"], value - first
    sum_d = last - ring[np.uint64((number - window - 1) & mask)]
    xx, dd = own_spread(window, sum_x, state["sum_xx"]), own_spread(window, sum_d, state["sum_dd"])
    xd, xy = spread(window, sum_x, sum_d, state["sum_xd"]), spread(window, sum_x, sum_y, state["sum_xy"])
    yd, yy = spread(window, sum_y, sum_d, state["sum_yd"]), spread(window, sum_y, sum_y, state["sum_yy"])
    determinant = xx * dd - xd * xd
    growth, lag = xy * dd - yd * xd, yd * xx - xy * xd
    rest = (yy * determinant - growth * xy - lag * yd) * dd
    if determinant > 0.0 and rest > 0.0:
        return growth * np.sqrt((window - 3.0) / rest)
    return np.nan


@lean
def lagged_unit_root_batch(
    state: State, ring: Array, window: int, first: int, value: Array, out: Array
) -> None:
    """`lagged_unit_root_step` for row after row, numbered from `first`."""
    for i in range(len(value)):
        out[i] = lagged_unit_root_step(state[0], ring, window, first + i, value[i])
