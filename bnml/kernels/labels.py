"""The edge label: whether the close moved, within the horizon, by more than costs and noise.

edge = clip(floor + volatility_multiplier * std of the last window returns + atr_multiplier * ATR ratio,
floor, max_move) with floor = max(min_move, side_cost * round_trip_cost_multiplier *
cost_safety_multiplier); a forward return above the edge is a BUY, below minus the edge a SELL, else
HOLD (the labelling of BN-ML, without its HOLD for rows whose horizon has not passed).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit
from bnml.kernels.records import Action

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

UNKNOWN = -1
"""Label of a bar whose horizon lies beyond the last bar."""
SELL, HOLD, BUY = int(Action.SELL), int(Action.HOLD), int(Action.BUY)

LABELLING = np.dtype(
    [
        ("horizon_bars", np.int64),  # forward return over this many bars of the recording
        ("volatility_window", np.int64),  # returns in the standard deviation; a quarter of them suffices
        ("volatility_multiplier", np.float64),
        ("atr_multiplier", np.float64),
        ("min_move", np.float64),  # fractions: 0.01 = 1 %
        ("max_move", np.float64),
        ("side_cost", np.float64),  # commission and slippage of one side
        ("round_trip_cost_multiplier", np.float64),
        ("cost_safety_multiplier", np.float64),
    ]
)


@njit
def past_volatility(close: Array, i: int, window: int) -> float:
    """Sample standard deviation of the simple returns up to bar i; 0 with too few of them."""
    count = min(i, window)
    if count < max(5, window // 4):
        return 0.0
    mean = 0.0
    for k in range(i - count + 1, i + 1):
        mean += (close[k] / close[k - 1] - 1.0) / count
    squares = 0.0
    for k in range(i - count + 1, i + 1):
        deviation = close[k] / close[k - 1] - 1.0 - mean
        squares += deviation * deviation
    return np.sqrt(squares / (count - 1))


@njit
def edge_row(close: Array, atr_ratio: Array, i: int, rule: NDArray[np.void]) -> float:
    """Edge of bar i as a fraction; a NaN ATR ratio (not warm yet) counts as 0."""
    r = rule[0]
    floor = max(r["min_move"], r["side_cost"] * r["round_trip_cost_multiplier"] * r["cost_safety_multiplier"])
    atr = 0.0 if np.isnan(atr_ratio[i]) else abs(atr_ratio[i])
    volatility = past_volatility(close, i, r["volatility_window"])
    edge = floor + r["volatility_multiplier"] * volatility + r["atr_multiplier"] * atr
    return min(max(edge, floor), r["max_move"])


@njit
def edge_label_row(
    close: Array, atr_ratio: Array, i: int, rule: NDArray[np.void], edges: Array, labels: Integers
) -> None:
    """Edge and label of bar i; the label looks `horizon_bars` ahead, the edge at the past only."""
    edges[i] = edge_row(close, atr_ratio, i, rule)
    ahead = i + rule[0]["horizon_bars"]
    if ahead >= len(close):
        labels[i] = UNKNOWN
        return
    move = close[ahead] / close[i] - 1.0
    labels[i] = BUY if move > edges[i] else (SELL if move < -edges[i] else HOLD)


@njit
def edge_label_batch(
    close: Array, atr_ratio: Array, rule: NDArray[np.void], edges: Array, labels: Integers
) -> None:
    """`edge_label_row` for all bars; `rule` is a one-element array of LABELLING."""
    for i in range(len(close)):
        edge_label_row(close, atr_ratio, i, rule, edges, labels)


def edge_labels(close: Array, atr_ratio: Array, rule: NDArray[np.void]) -> tuple[Integers, Array]:
    """Labels (-1 unknown, 0 SELL, 1 HOLD, 2 BUY) and edges of all bars, in new arrays."""
    labels = np.empty(len(close), dtype=np.int64)
    edges = np.empty(len(close))
    edge_label_batch(close, np.ascontiguousarray(atr_ratio), rule, edges, labels)
    return labels, edges
