"""What is thought of each bar of one symbol, by the functions that the live engine calls; nothing is traded here.

Three forms: `opine` keeps only what asks for something (a BUY, or a SELL where it closes a long), `explain`
says of every bar why it does or does not, `speak` what it adds to the mood of the market.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import part
from bnml.kernels.chorus import Chorus, add_block, fits, rank_cells, read_books, read_scores, read_sides
from bnml.kernels.fills import book_of_bar, spread_ppm
from bnml.kernels.mood import BLOCK, add_voice, place_of, weight_of
from bnml.kernels.opinions import Model, ask_policy, ask_rule, conclude, hold, weigh
from bnml.kernels.policy import (
    confidence,
    directional_score,
    expected_edge_ppm,
    may_ask,
    rule_decision,
    sell_rank,
    side,
)
from bnml.kernels.prefetch import prefetch
from bnml.kernels.records import Action, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_BUNDLE = int(Model.NONE)
_BUNDLE = int(Model.BUNDLE)
_RULE = int(Model.RULE)
_SELL = int(Action.SELL)
_HOLD = int(Action.HOLD)
_BUY = int(Action.BUY)
_NO_MODEL = int(Reason.NO_MODEL)
_FEATURES_INCOMPLETE = int(Reason.FEATURES_INCOMPLETE)


AHEAD = 200
"""Bars by which memory is asked before an opinion is made."""


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
def _weighed(mind: Mind, t: int, confident: float) -> tuple[float, float]:
    rsi, macd, band = mind.rsi_14[t], mind.macd_histogram[t], mind.bollinger_b[t]
    roc_4, roc_16, volume = mind.roc_4[t], mind.roc_16[t], mind.volume_ratio_20[t]
    return weigh(rsi, macd, band, roc_4, roc_16, volume, confident, mind.weights)


@part
def _prefetch(mind: Mind, t: int) -> None:
    """Ask memory for what the opinion on a bar is made of: few bars are asked for, so no stream brings it."""
    prefetch(mind.rsi_14, t)
    prefetch(mind.macd_histogram, t)
    prefetch(mind.bollinger_b, t)
    prefetch(mind.roc_4, t)
    prefetch(mind.roc_16, t)
    prefetch(mind.volume_ratio_20, t)
    prefetch(mind.atr_ratio_14, t)


@part
def opine(mind: Mind, start: int, end: int, with_sells: bool, out: NDArray[np.void]) -> tuple[int, int]:
    """Write the OPINIONs on bars `start` to `end` into `out`; returns (rows written, bar to go on from).

    It stops early, to go on later, when `out` is full.
    """
    policy, count, has_bundle = mind.policy, 0, mind.model == _BUNDLE
    sell_below = sell_rank(policy) if has_bundle else 0.0
    for t in range(start, end if mind.model != _NO_BUNDLE else start):
        soon = t + AHEAD
        if has_bundle and soon < end and may_ask(policy, mind.probabilities[soon], with_sells):
            _prefetch(mind, soon)
        if has_bundle and not may_ask(policy, mind.probabilities[t], with_sells):
            continue
        if _is_incomplete(mind, t):
            continue
        if has_bundle:
            p = mind.probabilities[t]
            ranked = directional_score(p)
            confident, edge = confidence(policy, ranked), expected_edge_ppm(policy, ranked)
            action = side(policy, p, confident, sell_below)
        else:
            action, confident = rule_decision(mind.rsi_14[t], mind.macd_histogram[t])
            edge = np.nan
        if not (action == _BUY or (with_sells and action == _SELL)):
            continue
        if count == len(out):
            return count, t
        row = out[count]
        row["bar"] = t
        row["action"] = action
        row["expected_edge_ppm"] = edge
        row["atr_ratio"] = mind.atr_ratio_14[t]
        row["size_ppm"] = 0
        row["score"], _ = _weighed(mind, t, confident)
        row["confidence"] = confident
        count += 1
    return count, end


@part
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


@part
def speak(
    mind: Mind,
    bars: NDArray[np.void],
    terms: Terms,
    start: int,
    end: int,
    crowds: NDArray[np.float64],
    chorus: Chorus,
    late_bars: NDArray[np.int64],
    late_voices: NDArray[np.void],
) -> None:
    """Add what is thought of bars `start` to `end` to the crowds of their scans; `end` has a bar after it.

    A scan's crowd stands in the place of its closing time, in frames since `terms.base_ns`. A bar that is not
    published at its close (the next one is missing, or it is off the frames) may not be scanned then: its `mood.VOICE` and number are kept apart, one after the other.
    """
    has_bundle, kept, t = mind.model == _BUNDLE, 0, start
    sell_below = sell_rank(mind.policy) if has_bundle else 0.0
    most = rank_cells(mind.policy, chorus.ranks) if has_bundle else 0
    in_blocks = terms.instrument["notional_den"] == 1 and most > 0
    while t < end:
        since_ns = bars[t]["ts_open_ns"] + terms.frame_ns - terms.base_ns
        at = since_ns // terms.frame_ns
        count = min(BLOCK - at % BLOCK, end - t)
        is_framed = at * terms.frame_ns == since_ns
        if in_blocks and is_framed and fits(bars, t, count, terms.frame_ns, terms.costs, chorus):
            _speak_together(mind, terms, sell_below, most, t, count, crowds, place_of(at), chorus)
        else:
            for one in range(t, t + count):
                kept += _speak_alone(mind, bars, terms, sell_below, one, crowds, kept, late_bars, late_voices)
        t += count


@part
def _direction(bars: NDArray[np.void], t: int) -> int:
    """Of the close against the one before it; before the first there was 0."""
    close, before = bars[t]["close"], bars[t - 1]["close"] if t > 0 else 0
    return (1 if close > before else 0) - (1 if close < before else 0)


@part
def _speak_together(
    mind: Mind,
    terms: Terms,
    sell_below: float,
    most: int,
    start: int,
    count: int,
    crowds: NDArray[np.float64],
    at: int,
    chorus: Chorus,
) -> None:
    """Add a block of bars, none of them late, that `chorus` has read, to the crowds from `at` on."""
    read_books(chorus, count, terms.instrument, terms.costs)
    read_sides(chorus, mind.policy, sell_below, most, mind.probabilities, start, count)
    technical = (mind.rsi_14, mind.macd_histogram, mind.bollinger_b)
    momentum = (mind.roc_4, mind.roc_16, mind.volume_ratio_20)
    read_scores(chorus, technical, momentum, mind.weights, start, count)
    add_block(crowds, at, chorus, mind.atr_ratio_14, start, count)


@part
def _speak_alone(
    mind: Mind,
    bars: NDArray[np.void],
    terms: Terms,
    sell_below: float,
    t: int,
    crowds: NDArray[np.float64],
    kept: int,
    late_bars: NDArray[np.int64],
    late_voices: NDArray[np.void],
) -> int:
    """Add one bar, or keep it if it is late; returns how many were kept."""
    bar, after = bars[t], bars[t + 1]
    own_ns, next_ns = bar["ts_open_ns"] + terms.frame_ns, after["ts_open_ns"] + terms.frame_ns
    at, direction = (own_ns - terms.base_ns) // terms.frame_ns, _direction(bars, t)
    is_late = next_ns - own_ns != terms.frame_ns or terms.base_ns + at * terms.frame_ns != own_ns
    spoke = mind.model != _NO_BUNDLE and not _is_incomplete(mind, t)
    if not spoke and not is_late:
        return 0
    action, confident, score, momentum, spread, depth = _HOLD, 0.0, 0.0, 0.0, 0, 0
    if spoke:
        if mind.model == _BUNDLE:
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
        weight = weight_of(depth)
        add_voice(
            crowds,
            BLOCK,
            place_of(at),
            1.0,
            action,
            confident,
            score,
            momentum,
            float(spread),
            weight,
            atr_ratio,
            float(direction),
        )
        return 0
    late_bars[kept] = t
    row = late_voices[kept]
    row["spoke"], row["action"], row["confidence"], row["score"] = spoke, action, confident, score
    row["momentum"], row["spread_ppm"], row["depth_e8"] = momentum, spread, depth
    row["atr_ratio"], row["direction"] = atr_ratio, direction
    return 1
