"""Blocks of a symbol's bars, all thought of at once: loops over plain columns, which the compiler turns into wide ones.

The same values to the last bit as the steps of `fills`, `opinions` and `policy` give bar by bar. A quotient is
taken in floats and mended by its remainder, so it is exact wherever it is below 2^50; `fits` asks for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import lean, part
from bnml.kernels.fills import DEPTH_SHARE_PPM, PPM
from bnml.kernels.mood import BLOCK, add_voice, weight_of
from bnml.kernels.policy import (
    directional_score,
    expected_edge_ppm,
    global_score,
    momentum_score,
    technical_score,
)
from bnml.kernels.prefetch import prefetch
from bnml.kernels.records import QUANTILES, Action, DecisionRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

AHEAD = 96
"""Bars by which memory is asked: farther than the processor looks by itself."""
CELLS = 1024
STEPS = 3
LARGEST = 2.0**50
_LAST = QUANTILES - 1
_SELL = int(Action.SELL)
_HOLD = int(Action.HOLD)
_BUY = int(Action.BUY)
_EXPECTED_EDGE = int(DecisionRule.EXPECTED_EDGE)

_ROW = BLOCK + 8
_OPENS, _CLOSES, _REACH, _VOLUME, _ACTION = (_ROW * i for i in range(5))
_RANKED, _CONFIDENCE, _SCORE, _MOMENTUM, _WEIGHT, _SPREAD, _KNOWN = (_ROW * i for i in range(7))


class Chorus(NamedTuple):
    """Scratch. Rows of one value for each bar of a block stand in one array: the compiler sees that they are apart."""

    ranks: NDArray[np.uint32]  # percentiles that lie in cells before this one
    whole: NDArray[np.int64]
    """Opens from the block's first bar to the one after it, closes from the one before it, high - low, volume, action."""
    real: NDArray[np.float64]
    """Directional score, confidence, global score, momentum, weight in the crowd, spread, NaN where a value is missing."""


def new_chorus() -> Chorus:
    """Scratch that fits."""
    return Chorus(
        np.empty(CELLS + 1, dtype=np.uint32), np.empty(5 * _ROW, dtype=np.int64), np.empty(7 * _ROW)
    )


@lean
def _quotient(amount: int, by: int) -> int:
    """Amount // by, of what is not negative."""
    found = int(float(amount) / float(by))
    rest = amount - found * by
    return found + (1 if rest >= by else 0) - (1 if rest < 0 else 0)


@lean
def _millionth(amount: int) -> int:
    """Amount // 1e6, of what is not negative."""
    found = int(float(amount) * 1e-6)
    rest = amount - found * PPM
    return found + (1 if rest >= PPM else 0) - (1 if rest < 0 else 0)


@lean
def _mul_ppm(amount: int, ppm: int) -> int:
    whole = _millionth(amount)
    return whole * ppm + _millionth((amount - whole * PPM) * ppm)


@lean
def _ceil_ppm(amount: int, ppm: int) -> int:
    whole = _millionth(amount)
    return whole * ppm + _millionth((amount - whole * PPM) * ppm + PPM - 1)


@part
def rank_cells(policy: np.void, ranks: NDArray[np.uint32]) -> int:
    """How many percentiles lie in one cell at most, if scores can be ranked by cells of equal width, else 0.

    `ranks` then says from which percentile to count on. A score never falls into a cell before that of a lower
    one, so what is counted for a cell is surely below it.
    """
    quantiles = policy["score_quantiles"]
    if policy["rule"] != _EXPECTED_EDGE or not quantiles[_LAST] > quantiles[0]:
        return 0
    scale, rank, most = CELLS / (quantiles[_LAST] - quantiles[0]), 1, 1
    for k in range(1, QUANTILES):
        if not quantiles[k] >= quantiles[k - 1]:
            return 0
    for cell in range(CELLS + 1):
        before = rank
        while rank < _LAST and int((quantiles[rank] - quantiles[0]) * scale) < cell:
            rank += 1
        ranks[cell] = rank - 1
        most = max(most, rank - before)
    return most


@part
def fits(
    bars: NDArray[np.void], start: int, count: int, frame_ns: int, costs: np.void, chorus: Chorus
) -> bool:
    """Read a block of bars; whether each is followed at once by the next, and no quotient will be too large."""
    whole = chorus.whole
    whole[_CLOSES] = bars[start - 1]["close"] if start > 0 else 0
    whole[_OPENS + count] = bars[start + count]["open"]
    lowest, highest, most = bars[start]["close"], whole[_OPENS + count], 0
    for i in range(count):
        prefetch(bars, start + i + AHEAD)
        bar = bars[start + i]
        whole[_OPENS + i], whole[_CLOSES + 1 + i] = bar["open"], bar["close"]
        whole[_REACH + i], whole[_VOLUME + i] = bar["high"] - bar["low"], bar["volume_lots"]
        highest = max(highest, bar["high"])
    for i in range(count):
        lowest = min(lowest, whole[_CLOSES + 1 + i], whole[_OPENS + 1 + i])
        highest = max(highest, whole[_OPENS + 1 + i])
        most = max(most, whole[_VOLUME + i])
    if bars[start + count]["ts_open_ns"] - bars[start]["ts_open_ns"] != count * frame_ns:
        return False
    if 2 * costs["spread_cap_ppm"] > PPM or highest * float(PPM) >= LARGEST * lowest:
        return False
    return float(highest) * float(most) < LARGEST * 0.25 * lowest  # no bid is below a quarter of its price


@part
def read_books(chorus: Chorus, count: int, instrument: np.void, costs: np.void) -> None:
    """Spread and weight after each bar of the block, as `fills.book_of_bar`, where a tick of a lot is whole money."""
    unit, cap_ppm = instrument["notional_num"], costs["spread_cap_ppm"]
    floor_ppm, range_ppm = costs["spread_floor_ppm"], costs["spread_range_ppm"]
    whole, real = chorus.whole, chorus.real
    for i in range(count):
        following, close = whole[_OPENS + 1 + i], whole[_CLOSES + 1 + i]
        half = min(cap_ppm, floor_ppm + _mul_ppm(_quotient(whole[_REACH + i] * PPM, close), range_ppm))
        away = _ceil_ppm(following, half)
        bid = max(1, following - away)
        ask = max(bid + 1, following + away)
        side_e8 = _mul_ppm(close * unit * whole[_VOLUME + i], DEPTH_SHARE_PPM) >> 1
        depth = bid * unit * max(1, _quotient(side_e8, bid * unit))
        real[_WEIGHT + i] = weight_of(depth + ask * unit * max(1, _quotient(side_e8, ask * unit)))
        real[_SPREAD + i] = float(_quotient((ask - bid) * (2 * PPM), ask + bid))


@part
def read_sides(
    chorus: Chorus,
    policy: np.void,
    sell_below: float,
    most: int,
    probabilities: NDArray[np.float64],
    start: int,
    count: int,
) -> None:
    """`policy.confidence` and `policy.side` of each bar of the block, after `rank_cells` has given `most`."""
    quantiles, cut, step = policy["score_quantiles"], policy["cut"], 100.0 / _LAST
    lowest, highest = quantiles[0], quantiles[_LAST]
    scale, whole, real, ranks = CELLS / (highest - lowest), chorus.whole, chorus.real, chorus.ranks
    shares = probabilities[start : start + count]
    for i in range(count):
        p = shares[i]
        real[_RANKED + i], real[_KNOWN + i] = directional_score(p), p[0] + p[1] + p[2]
    for i in range(count):
        inside = max(lowest, real[_RANKED + i])
        inside = inside if inside < highest else lowest
        low = np.uint32(ranks[np.uint32((inside - lowest) * scale)])
        for _ in range(min(most, STEPS)):  # steps that are always taken are not guessed wrongly
            low += np.uint32(quantiles[low + 1] <= inside)
        if most > STEPS:
            while quantiles[low + 1] <= inside:
                low += np.uint32(1)
        real[_CONFIDENCE + i] = step * (
            low + (inside - quantiles[low]) / (quantiles[low + 1] - quantiles[low])
        )
    for i in range(count):
        score, confident = real[_RANKED + i], real[_CONFIDENCE + i]
        confident = 100.0 if score >= highest else confident
        confident = confident if score >= lowest else 0.0
        real[_CONFIDENCE + i] = confident
        action = _SELL if score < 0.0 else _HOLD
        whole[_ACTION + i] = action if confident < sell_below else _HOLD
    for i in range(count):
        score = real[_RANKED + i]
        if score > cut and expected_edge_ppm(policy, score) > 0.0:
            whole[_ACTION + i] = _BUY


@part
def read_scores(
    chorus: Chorus,
    technical: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    momentum: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    weights: tuple[float, float, float],
    start: int,
    count: int,
) -> None:
    """Momentum and global score of each bar of the block, after `read_sides`; and which has them."""
    end, real, (weight_1, weight_2, weight_3) = start + count, chorus.real, weights
    rsi, macd, band = technical[0][start:end], technical[1][start:end], technical[2][start:end]
    roc_4, roc_16, volume = momentum[0][start:end], momentum[1][start:end], momentum[2][start:end]
    for i in range(count):
        real[_SCORE + i] = technical_score(rsi[i], macd[i], band[i])
        real[_KNOWN + i] += rsi[i] + macd[i] + band[i]
    for i in range(count):
        moved = momentum_score(roc_4[i], roc_16[i], volume[i])
        real[_MOMENTUM + i] = moved
        real[_KNOWN + i] += roc_4[i] + roc_16[i] + volume[i]
        real[_SCORE + i] = global_score(
            real[_CONFIDENCE + i], real[_SCORE + i], moved, weight_1, weight_2, weight_3
        )


@part
def add_block(
    crowds: NDArray[np.float64],
    at: int,
    chorus: Chorus,
    atr_ratio: NDArray[np.float64],
    start: int,
    count: int,
) -> None:
    """Add the block that was read to the crowds from `at` on."""
    whole, real, ratios = chorus.whole, chorus.real, atr_ratio[start : start + count]
    near = crowds[at:]
    for i in range(count):
        speaks = not np.isnan(real[_KNOWN + i] + ratios[i])
        close, before = whole[_CLOSES + 1 + i], whole[_CLOSES + i]
        direction = (1.0 if close > before else 0.0) - (1.0 if close < before else 0.0)
        add_voice(
            near,
            BLOCK,
            i,
            1.0 if speaks else 0.0,
            whole[_ACTION + i],
            real[_CONFIDENCE + i],
            real[_SCORE + i] if speaks else 0.0,
            real[_MOMENTUM + i] if speaks else 0.0,
            real[_SPREAD + i],
            real[_WEIGHT + i] if speaks else 0.0,
            ratios[i] if speaks else 0.0,
            direction if speaks else 0.0,
        )
