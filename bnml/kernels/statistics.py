"""What is asked of two series, and of the distance between them: hedge ratio, correlation, z-score; steps and batches.

Each step takes in one row and gives its figure in O(1), NaN until its window is full; each batch is the
step in a loop. States, holes and re-summation are those of `kernels.windows`. A figure that its window
does not define (a flat series) is NaN; nothing is carried over from earlier rows.
"""

from __future__ import annotations

import numpy as np

from bnml.kernels import lean
from bnml.kernels.windows import Array, State, own_spread, pairs, spread


@lean
def hedge_step(
    state: np.void, ring: Array, window: int, number: int, x: float, y: float
) -> tuple[float, float, float]:
    """Ordinary least squares of y on x over the window: slope, intercept, and the residual of this row."""
    sum_x, sum_y, xx, xy, _ = pairs(state, ring, window, number, x, y, False)
    beta = spread(window, sum_x, sum_y, xy) / own_spread(window, sum_x, xx)
    share = 1.0 / window
    alpha = state["ref_y"] + sum_y * share - beta * (state["ref_x"] + sum_x * share)
    return beta, alpha, y - alpha - beta * x


@lean
def hedge_batch(state: State, ring: Array, window: int, first: int, x: Array, y: Array, out: Array) -> None:
    """`hedge_step` for row after row, numbered from `first`; out[rows, 3]."""
    for i in range(len(x)):
        out[i, 0], out[i, 1], out[i, 2] = hedge_step(state[0], ring, window, first + i, x[i], y[i])


@lean
def beta_step(state: np.void, ring: Array, window: int, number: int, x: float, y: float) -> float:
    """The slope of `hedge_step` alone."""
    sum_x, sum_y, xx, xy, _ = pairs(state, ring, window, number, x, y, False)
    return spread(window, sum_x, sum_y, xy) / own_spread(window, sum_x, xx)


@lean
def beta_batch(state: State, ring: Array, window: int, first: int, x: Array, y: Array, out: Array) -> None:
    """`beta_step` for row after row, numbered from `first`."""
    for i in range(len(x)):
        out[i] = beta_step(state[0], ring, window, first + i, x[i], y[i])


@lean
def correlation_step(state: np.void, ring: Array, window: int, number: int, x: float, y: float) -> float:
    """Pearson's correlation over the window, -1..1."""
    sum_x, sum_y, xx, xy, yy = pairs(state, ring, window, number, x, y, True)
    product = own_spread(window, sum_x, xx) * own_spread(window, sum_y, yy)
    found = spread(window, sum_x, sum_y, xy) / np.sqrt(product)
    return 1.0 if found > 1.0 else max(found, -1.0)


@lean
def correlation_batch(
    state: State, ring: Array, window: int, first: int, x: Array, y: Array, out: Array
) -> None:
    """`correlation_step` for row after row, numbered from `first`."""
    for i in range(len(x)):
        out[i] = correlation_step(state[0], ring, window, first + i, x[i], y[i])


@lean
def z_score_step(state: np.void, ring: Array, window: int, number: int, value: float) -> float:
    """Distance of this row from the mean of the window it ends, in sample deviations (n - 1)."""
    total, _, squares, _, _ = pairs(state, ring, window, number, value, 0.0, False)
    distance = window * (value - state["ref_x"]) - total
    return distance * np.sqrt((window - 1.0) / (window * own_spread(window, total, squares)))


@lean
def z_score_batch(state: State, ring: Array, window: int, first: int, value: Array, out: Array) -> None:
    """`z_score_step` for row after row, numbered from `first`."""
    for i in range(len(value)):
        out[i] = z_score_step(state[0], ring, window, first + i, value[i])
