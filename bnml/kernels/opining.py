"""What is thought of each bar of one symbol, by the functions that the live engine calls; nothing is traded here.

Three forms: `opine` keeps only what asks for something (a BUY, or a SELL where it closes a long), `explain`
says of every bar why it does or does not, `speak` what it adds to the mood of the market.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit, part
from bnml.kernels.fills import book_of_bar, spread_ppm
from bnml.kernels.mood import add_voice
from bnml.kernels.opinions import Model, ask_policy, ask_rule, conclude, hold, weigh
from bnml.kernels.policy import (
    confidence,
    decide,
    directional_score,
    may_ask,
    rule_decision,
    sell_rank,
    side,
)
from bnml.kernels.records import Action, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_BUNDLE = int(Model.NONE)
_BUNDLE = int(Model.BUNDLE)
_RULE = int(Model.RULE)
_SELL = int(Action.SELL)
_HOLD = int(Action.HOLD)
_BUY = int(Action.BUY)
_NONE = int(Reason.NONE)
_NO_MODEL = int(Reason.NO_MODEL)
_FEATURES_INCOMPLETE = int(Reason.FEATURES_INCOMPLETE)


class Mind(NamedTuple):
    """What opinions on one symbol are made of; arrays have one element per bar, NaN where nothing is known.

    `probabilities` (P(SELL), P(HOLD), P(BUY)) are read with a bundle only.
    """

    model: int  # opinions.Model
    policy: np.void
    weights: tuple[float, float, float]  # of model, technical and momentum score
    probabilities: NDArray[np.float64]
    rsi_14: NDArray[np.float64]
    macd_histogram: NDArray[np.float64]
    bollinger_b: NDArray[np.float64]
    roc_4: NDArray[np.float64]
    roc_16: NDArray[np.float64]
    volume_ratio_20: NDArray[np.float64]
    atr_ratio_14: NDArray[np.float64]


class Terms(NamedTuple):
    """One symbol's units and costs, and the clock of the scans."""

    instrument: np.void
    costs: np.void
    base_ns: int
    frame_ns: int


@part
def _is_incomplete(mind: Mind, t: int) -> bool:
    """Whether a value that scores, stops or the decision read is missing."""
    total = mind.rsi_14[t] + mind.macd_histogram[t] + mind.bollinger_b[t] + mind.roc_4[t]
    total += mind.roc_16[t] + mind.volume_ratio_20[t] + mind.atr_ratio_14[t]
    if mind.model == _BUNDLE:
        p = mind.probabilities[t]
        total += p[0] + p[1] + p[2]
    return np.isnan(total)


@part
def _decision(mind: Mind, t: int) -> tuple[int, float, int]:
    """(action, expected edge, Reason NONE or why nothing can be said) of bar `t`."""
    if mind.model == _NO_BUNDLE:
        return _HOLD, 0.0, _NO_MODEL
    if _is_incomplete(mind, t):
        return _HOLD, 0.0, _FEATURES_INCOMPLETE
    if mind.model == _RULE:
        action, _ = rule_decision(mind.rsi_14[t], mind.macd_histogram[t])
        return action, np.nan, _NONE
    action, edge = decide(mind.policy, mind.probabilities[t])
    return action, edge, _NONE


@part
def _scores(mind: Mind, t: int) -> tuple[float, float, float]:
    """(global score, confidence, momentum score) of a bar of which something can be said."""
    if mind.model == _RULE:
        _, confident = rule_decision(mind.rsi_14[t], mind.macd_histogram[t])
    else:
        confident = confidence(mind.policy, directional_score(mind.probabilities[t]))
    score, momentum = _weighed(mind, t, confident)
    return score, confident, momentum


@part
def _weighed(mind: Mind, t: int, confident: float) -> tuple[float, float]:
    rsi, macd, band = mind.rsi_14[t], mind.macd_histogram[t], mind.bollinger_b[t]
    roc_4, roc_16, volume = mind.roc_4[t], mind.roc_16[t], mind.volume_ratio_20[t]
    return weigh(rsi, macd, band, roc_4, roc_16, volume, confident, mind.weights)


@njit
def opine(mind: Mind, start: int, end: int, with_sells: bool, out: NDArray[np.void]) -> tuple[int, int]:
    """Write the OPINIONs on bars `start` to `end` into `out`; returns (rows written, bar to go on from).

    It stops early, to go on later, when `out` is full.
    """
    count, has_bundle = 0, mind.model == _BUNDLE
    for t in range(start, end):
        if has_bundle and not may_ask(mind.policy, mind.probabilities[t], with_sells):
            continue
        action, edge, reason = _decision(mind, t)
        if reason != _NONE or not (action == _BUY or (with_sells and action == _SELL)):
            continue
        if count == len(out):
            return count, t
        row = out[count]
        row["bar"] = t
        row["action"] = action
        row["expected_edge_ppm"] = edge
        row["atr_ratio"] = mind.atr_ratio_14[t]
        row["size_ppm"] = 0
        row["score"], row["confidence"], _ = _scores(mind, t)
        count += 1
    return count, end


@njit
def explain(mind: Mind, start: int, end: int, out: NDArray[np.void]) -> None:
    """Write the VIEW of bars `start` to `end` into `out`."""
    for t in range(start, end):
        row = out[t - start]
        if mind.model == _NO_BUNDLE:
            hold(_NO_MODEL, row)
        elif _is_incomplete(mind, t):
            hold(_FEATURES_INCOMPLETE, row)
        else:
            if mind.model == _BUNDLE:
                ask_policy(mind.policy, mind.probabilities[t], row)
            else:
                ask_rule(mind.rsi_14[t], mind.macd_histogram[t], row)
            row["score"], row["momentum"] = _weighed(mind, t, row["confidence"])
            conclude(row)


@njit
def speak(
    mind: Mind,
    bars: NDArray[np.void],
    terms: Terms,
    start: int,
    end: int,
    crowds: NDArray[np.void],
    late_bars: NDArray[np.int64],
    late_voices: NDArray[np.void],
) -> None:
    """Add what is thought of bars `start` to `end` to the crowds of their scans; `end` has a bar after it.

    A scan's crowd stands at the place of its closing time, in frames since `terms.base_ns`. A bar that is
    not published at its close (the next one is missing, or it is off the frames) may not be scanned then:
    its `mood.VOICE` and number are kept apart, one after the other.
    """
    has_bundle, kept = mind.model == _BUNDLE, 0
    sell_below = sell_rank(mind.policy) if has_bundle else 0.0
    ts_close_ns = bars[start]["ts_open_ns"] + terms.frame_ns
    before = bars[start - 1]["close"] if start > 0 else 0
    for t in range(start, end):
        bar, after = bars[t], bars[t + 1]
        own_ns, close = ts_close_ns, bar["close"]
        direction = (1 if close > before else 0) - (1 if close < before else 0)
        before = close
        ts_close_ns = after["ts_open_ns"] + terms.frame_ns
        at = (own_ns - terms.base_ns) // terms.frame_ns
        is_late = ts_close_ns - own_ns != terms.frame_ns or terms.base_ns + at * terms.frame_ns != own_ns
        spoke = mind.model != _NO_BUNDLE and not _is_incomplete(mind, t)
        if not spoke and not is_late:
            continue
        action, confident, score, momentum, spread, depth = _HOLD, 0.0, 0.0, 0.0, 0, 0
        if spoke:
            if has_bundle:
                p = mind.probabilities[t]
                confident = confidence(mind.policy, directional_score(p))
                action = side(mind.policy, p, confident, sell_below)
            else:
                action, confident = rule_decision(mind.rsi_14[t], mind.macd_histogram[t])
            bid, ask, _, _, depth = book_of_bar(after["open"], bar, terms.instrument, terms.costs)
            spread = spread_ppm(bid, ask)
            score, momentum = _weighed(mind, t, confident)
        atr_ratio = mind.atr_ratio_14[t]
        if not is_late:
            add_voice(crowds[at], action, confident, score, momentum, spread, depth, atr_ratio, direction)
            continue
        late_bars[kept] = t
        row = late_voices[kept]
        row["spoke"], row["action"], row["confidence"], row["score"] = spoke, action, confident, score
        row["momentum"], row["spread_ppm"], row["depth_e8"] = momentum, spread, depth
        row["atr_ratio"], row["direction"] = atr_ratio, direction
        kept += 1
