"""The hedge ratio as a state that drifts: a Kalman filter of y = alpha + beta x, both random walks; step and batch.

Kalman (1960); the covariance in Joseph's form, which stays symmetric and positive. The noise of y is the
caller's, or follows the innovations (`adapt` > 0); it is never estimated from rows still to come.
A row with a NaN gives NaN and changes nothing. After a hole (a number that does not follow the last one)
the covariance is multiplied by `gap_factor`: what was known is less sure.
"""

from __future__ import annotations

import numpy as np

from bnml.kernels import lean
from bnml.kernels.windows import NOWHERE, Array, State

KALMAN = np.dtype(
    [
        ("next", np.int64),  # number of the row that follows without a hole
        ("rows", np.int64),  # taken in so far
        ("alpha", np.float64),
        ("beta", np.float64),
        ("p_aa", np.float64),  # covariance of alpha and beta as the next row meets it
        ("p_ab", np.float64),
        ("p_bb", np.float64),
        ("noise", np.float64),  # variance of y around the line
    ]
)
KALMAN_RULES = np.dtype(
    [
        ("drift_alpha", np.float64),  # variance that a row adds to alpha
        ("drift_beta", np.float64),
        ("adapt", np.float64),  # weight of a row in the noise; 0 = it stays
        ("gap_factor", np.float64),
        ("warmup", np.int64),  # rows without a z
    ]
)


def kalman_rules(
    drift_alpha: float, drift_beta: float, *, adapt: float = 0.0, gap_factor: float = 10.0, warmup: int = 100
) -> State:
    """Rules as a one-element record."""
    return np.array([(drift_alpha, drift_beta, adapt, gap_factor, warmup)], dtype=KALMAN_RULES)


def new_kalman(noise: float, prior: float = 1.0) -> State:
    """State before the first row: alpha 0, beta 1, each with variance `prior` as the first row meets it; `noise` is the variance of y."""
    return np.array([(NOWHERE, 0, 0.0, 1.0, prior, 0.0, prior, noise)], dtype=KALMAN)


@lean
def kalman_step(
    state: np.void, rules: np.void, number: int, x: float, y: float
) -> tuple[float, float, float]:
    """Take in a row: beta and alpha after it, and z, its innovation in deviations of what was expected before it."""
    if x + y != x + y:
        return np.nan, np.nan, np.nan
    if state["next"] != number and state["next"] != NOWHERE:
        state["p_aa"] *= rules["gap_factor"]
        state["p_ab"] *= rules["gap_factor"]
        state["p_bb"] *= rules["gap_factor"]
    state["next"] = number + 1
    p_aa, p_ab, p_bb, noise = state["p_aa"], state["p_ab"], state["p_bb"], state["noise"]
    innovation = y - state["alpha"] - state["beta"] * x
    to_alpha, to_beta = p_aa + p_ab * x, p_ab + p_bb * x
    known = to_alpha + to_beta * x
    variance = (to_alpha + noise) + to_beta * x
    k_alpha, k_beta = to_alpha / variance, to_beta / variance
    alpha, beta = state["alpha"] + k_alpha * innovation, state["beta"] + k_beta * innovation
    # (I - K H) P (I - K H)' + K R K' with H = (1, x): M = P - K H P, then M + K R K' - (M H') K'; what the
    # next row waits for comes last. The drift of that row is added at once.
    left_alpha, left_beta = to_alpha - k_alpha * known, to_beta - k_beta * known
    m_aa = p_aa - k_alpha * to_alpha + (k_alpha * k_alpha * noise + rules["drift_alpha"])
    m_ab = p_ab - k_alpha * to_beta + k_alpha * k_beta * noise
    m_bb = p_bb - k_beta * to_beta + (k_beta * k_beta * noise + rules["drift_beta"])
    state["p_aa"] = m_aa - left_alpha * k_alpha
    state["p_ab"] = m_ab - left_alpha * k_beta
    state["p_bb"] = m_bb - left_beta * k_beta
    state["alpha"], state["beta"] = alpha, beta
    if rules["adapt"] > 0.0:
        own = innovation * innovation - known
        state["noise"] = noise + rules["adapt"] * ((max(0.0, own)) - noise)
    state["rows"] += 1
    return beta, alpha, innovation / np.sqrt(variance) if state["rows"] > rules["warmup"] else np.nan


@lean
def kalman_batch(state: State, rules: State, first: int, x: Array, y: Array, out: Array) -> None:
    """`kalman_step` for row after row, numbered from `first`; out[rows, 3]: beta, alpha, z."""
    for i in range(len(x)):
        out[i, 0], out[i, 1], out[i, 2] = kalman_step(state[0], rules[0], first + i, x[i], y[i])
