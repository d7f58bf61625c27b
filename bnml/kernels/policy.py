"""From class probabilities to BUY, SELL or HOLD, and the scores by which candidates are ranked.

`policy` is a record of `records.POLICY`, calibrated out of fold and kept in the bundle;
`probabilities` are (P(SELL), P(HOLD), P(BUY)). Percent columns are in percent, RSI in 0..100.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit
from bnml.kernels.records import BUCKETS, QUANTILES, Action, DecisionRule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SELL = int(Action.SELL)
_HOLD = int(Action.HOLD)
_BUY = int(Action.BUY)
_ABSOLUTE = int(DecisionRule.ABSOLUTE)
_RULE_BUY_CONFIDENCE = 68.0
_RULE_SELL_CONFIDENCE = 66.0
_RULE_HOLD_CONFIDENCE = 55.0


@njit
def directional_score(probabilities: NDArray[np.float64]) -> float:
    """P(BUY) - P(SELL): the one number by which bars are told apart."""
    return probabilities[2] - probabilities[0]


@njit
def confidence(policy: np.void, score: float) -> float:
    """Rank (0..100) of a directional score among the out-of-fold scores, linear between percentiles."""
    quantiles = policy["score_quantiles"]
    last = QUANTILES - 1
    if not score >= quantiles[0]:
        return 0.0
    if score >= quantiles[last]:
        return 100.0
    low = 0
    for k in range(1, last):  # counting takes less time than a search that guesses wrongly at every turn
        low += 1 if quantiles[k] <= score else 0
    step = 100.0 / last
    return step * (low + (score - quantiles[low]) / (quantiles[low + 1] - quantiles[low]))


@njit
def bucket(policy: np.void, score: float) -> int:
    """Index of the bucket that holds a score: edges[i] <= score < edges[i + 1], the outer ones open-ended."""
    edges = policy["bucket_edges"]
    index = 0
    for k in range(1, BUCKETS):
        if score >= edges[k]:
            index = k
    return index


@njit
def expected_edge_ppm(policy: np.void, score: float) -> float:
    """Net expectation (ppm) of the real exit rules in the score's bucket, out of fold."""
    return policy["bucket_edge_ppm"][bucket(policy, score)]


@njit
def _absolute(policy: np.void, probabilities: NDArray[np.float64]) -> int:
    """BN-ML's thresholds: a lowest probability, a lead over the opposite, a margin of the first over the second."""
    sell, hold, buy = probabilities[0], probabilities[1], probabilities[2]
    top = max(sell, hold, buy)
    second = max(min(sell, hold), min(max(sell, hold), buy))
    if top - second < policy["min_margin"]:
        return _HOLD
    if buy >= policy["min_buy"] and buy >= sell + policy["hold_bias"]:
        return _BUY
    if sell >= policy["min_sell"] and sell >= buy + policy["hold_bias"]:
        return _SELL
    return _HOLD


@njit
def decide(policy: np.void, probabilities: NDArray[np.float64]) -> tuple[int, float]:
    """(Action, expected edge in ppm of the score's bucket).

    Expected edge: BUY when the score is above the bundle's cut and its bucket earned money out of fold;
    SELL when its rank is as low as the cut's is high. Absolute: fixed thresholds.
    """
    score = directional_score(probabilities)
    action = side(policy, probabilities, confidence(policy, score), sell_rank(policy))
    return action, expected_edge_ppm(policy, score)


@njit
def sell_rank(policy: np.void) -> float:
    """Rank below which a score says SELL: as low as the cut's is high."""
    return 100.0 - confidence(policy, policy["cut"])


@njit
def side(policy: np.void, probabilities: NDArray[np.float64], confident: float, sell_below: float) -> int:
    """The Action of `decide`, with the rank of the score and `sell_rank` known already."""
    if policy["rule"] == _ABSOLUTE:
        return _absolute(policy, probabilities)
    score = directional_score(probabilities)
    if score > policy["cut"] and expected_edge_ppm(policy, score) > 0.0:
        return _BUY
    if score < 0.0 and confident < sell_below:
        return _SELL
    return _HOLD


@njit
def may_ask(policy: np.void, probabilities: NDArray[np.float64], with_sells: bool) -> bool:
    """Whether `decide` can say BUY (or SELL, if that is asked for): false for most bars, and cheap."""
    if with_sells or policy["rule"] == _ABSOLUTE:
        return True
    return directional_score(probabilities) > policy["cut"]


@njit
def hold_measure(policy: np.void, probabilities: NDArray[np.float64]) -> tuple[float, float]:
    """(measured, limit) of a decision that is not BUY: the first condition of a BUY that it misses.

    Expected edge: score against the cut, or else the bucket's edge (ppm) against 0. Absolute: P(BUY)
    against its lowest value, or else its lead over the better of the other classes against the margin.
    """
    if policy["rule"] == _ABSOLUTE:
        buy = probabilities[2]
        if buy < policy["min_buy"]:
            return buy, policy["min_buy"]
        return buy - max(probabilities[0], probabilities[1]), policy["min_margin"]
    score = directional_score(probabilities)
    if score <= policy["cut"]:
        return score, policy["cut"]
    return expected_edge_ppm(policy, score), 0.0


@njit
def rule_decision(rsi: float, macd_histogram: float) -> tuple[int, float]:
    """(Action, confidence) of the strategy without a model: RSI and MACD as BN-ML falls back to."""
    if rsi < 35.0 and macd_histogram > 0.0:
        return _BUY, _RULE_BUY_CONFIDENCE
    if rsi > 70.0 and macd_histogram < 0.0:
        return _SELL, _RULE_SELL_CONFIDENCE
    return _HOLD, _RULE_HOLD_CONFIDENCE


@njit
def technical_score(rsi: float, macd_histogram: float, bollinger_b: float) -> float:
    """0..100 around 50: oversold and momentum turning up raise it (BN-ML's table)."""
    score = 50.0
    if rsi < 30.0:
        score += 20.0
    elif rsi > 70.0:
        score -= 20.0
    score += 10.0 if macd_histogram > 0.0 else -10.0
    if bollinger_b < 0.2:
        score += 10.0
    elif bollinger_b > 0.8:
        score -= 10.0
    return min(100.0, max(0.0, score))


@njit
def momentum_score(roc_4: float, roc_16: float, volume_ratio: float) -> float:
    """0..100 around 50, from returns over 4 and 16 bars in percent and volume over its mean of 20 bars."""
    score = 50.0 + 1.2 * roc_4 + 0.6 * roc_16 + 8.0 * (volume_ratio - 1.0)
    return min(100.0, max(0.0, score))


@njit
def global_score(
    ml: float,
    technical: float,
    momentum: float,
    weight_ml: float,
    weight_technical: float,
    weight_momentum: float,
) -> float:
    """0..100: the weighted sum by which candidates are ranked; `ml` is the confidence."""
    return weight_ml * ml + weight_technical * technical + weight_momentum * momentum
