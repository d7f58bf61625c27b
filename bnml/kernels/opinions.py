"""What is thought of one closed bar before any limit is asked: action, reason, edge and scores, in one call."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit, part
from bnml.kernels.policy import (
    confidence,
    decide,
    directional_score,
    global_score,
    hold_measure,
    momentum_score,
    rule_decision,
    technical_score,
)
from bnml.kernels.records import Action, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

VIEW = np.dtype(
    [
        ("action", np.int64),  # Action
        ("reason", np.int64),  # Reason: NONE for a BUY, else why there is none
        ("expected_edge_ppm", np.float64),  # NaN from the rule strategy, which has no one value
        ("confidence", np.float64),  # 0..100
        ("score", np.float64),  # global score, 0..100
        ("momentum", np.float64),  # 0..100
        ("measured", np.float64),  # for a POLICY reason: what the decision rule saw
        ("limit", np.float64),  # and what it wanted
        ("p_sell", np.float64),
        ("p_hold", np.float64),
        ("p_buy", np.float64),
    ]
)
"""What is thought of one bar, whatever it is; `records.OPINION` is the part of it that asks for a trade."""

SCORE_COLUMNS = (
    "rsi_14",
    "macd_histogram",
    "bollinger_b",
    "roc_4",
    "roc_16",
    "volume_ratio_20",
    "atr_ratio_14",
)
"""Columns that scores, stops and the rule strategy read, besides what a bundle declares; in this order."""


class Model(IntEnum):
    """What decides for a symbol."""

    NONE = 0
    BUNDLE = 1
    RULE = 2


_NO_BUNDLE = int(Model.NONE)
_BUNDLE = int(Model.BUNDLE)
_HOLD = int(Action.HOLD)
_BUY = int(Action.BUY)
_NONE = int(Reason.NONE)
_POLICY = int(Reason.POLICY)
_NO_MODEL = int(Reason.NO_MODEL)
_FEATURES_INCOMPLETE = int(Reason.FEATURES_INCOMPLETE)


@njit
def is_complete(row: Floats, columns: Integers) -> bool:
    """Whether the row has a value in each of the columns."""
    missing = 0
    for column in columns:
        missing += np.isnan(row[column])
    return missing == 0


@part
def weigh(
    rsi: float,
    macd: float,
    band: float,
    roc_4: float,
    roc_16: float,
    volume: float,
    confident: float,
    weights: tuple[float, float, float],
) -> tuple[float, float]:
    """(global score, momentum score); `weights` are those of model, technical and momentum score."""
    technical = technical_score(rsi, macd, band)
    momentum = momentum_score(roc_4, roc_16, volume)
    return global_score(confident, technical, momentum, weights[0], weights[1], weights[2]), momentum


@part
def hold(reason: int, out: np.void) -> None:
    """The view of a bar on which there is nothing to think."""
    out["action"], out["reason"] = _HOLD, reason
    out["expected_edge_ppm"], out["confidence"], out["score"], out["momentum"] = 0.0, 0.0, 0.0, 0.0
    out["measured"], out["limit"] = 0.0, 0.0
    out["p_sell"], out["p_hold"], out["p_buy"] = 0.0, 0.0, 0.0


@part
def ask_policy(policy: np.void, p: Floats, out: np.void) -> None:
    """Action, edge and confidence from class probabilities; `measured` and `limit` as if it were no BUY."""
    out["p_sell"], out["p_hold"], out["p_buy"] = p[0], p[1], p[2]
    out["action"], out["expected_edge_ppm"] = decide(policy, p)
    out["confidence"] = confidence(policy, directional_score(p))
    out["measured"], out["limit"] = hold_measure(policy, p)


@part
def ask_rule(rsi: float, macd: float, out: np.void) -> None:
    """Action and confidence of the rule strategy, which knows no edge and no limit."""
    hold(_NONE, out)
    out["action"], out["confidence"] = rule_decision(rsi, macd)
    out["expected_edge_ppm"] = np.nan


@part
def conclude(out: np.void) -> None:
    """Say why it is no BUY, or that it is one."""
    out["reason"] = _POLICY
    if out["action"] == _BUY:
        out["reason"], out["measured"], out["limit"] = _NONE, 0.0, 0.0


@njit
def opinion_row(
    model: int,
    row: Floats,
    score_columns: Integers,
    model_columns: Integers,
    policies: NDArray[np.void],
    p: Floats,
    weights: tuple[float, float, float],
    out: np.void,
) -> None:
    """The VIEW of a bar with this feature row; a bundle's `policies` (one) and probabilities `p` are read for it only."""
    if model == _NO_BUNDLE:
        hold(_NO_MODEL, out)
        return
    hold(_FEATURES_INCOMPLETE, out)
    if not is_complete(row, score_columns):
        return
    rsi, macd, band = row[score_columns[0]], row[score_columns[1]], row[score_columns[2]]
    roc_4, roc_16, volume = row[score_columns[3]], row[score_columns[4]], row[score_columns[5]]
    if model == _BUNDLE:
        if not is_complete(row, model_columns):
            return
        ask_policy(policies[0], p, out)
    else:
        ask_rule(rsi, macd, out)
    out["score"], out["momentum"] = weigh(rsi, macd, band, roc_4, roc_16, volume, out["confidence"], weights)
    conclude(out)


@njit
def opinion_batch(
    model: int,
    rows: Floats,
    score_columns: Integers,
    model_columns: Integers,
    policies: NDArray[np.void],
    p: Floats,
    weights: tuple[float, float, float],
    out: NDArray[np.void],
) -> None:
    """`opinion_row` for each of `rows`[bars, columns] with its probabilities `p`[bars, 3], into `out`[bars]."""
    for i in range(len(rows)):
        opinion_row(model, rows[i], score_columns, model_columns, policies, p[i], weights, out[i])
