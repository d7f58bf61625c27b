"""Blocks of a symbol's bars, all thought of at once: loops over plain columns, which the compiler turns into wide ones.

The same values to the last bit as the steps of `fills`, `opinions` and `policy` give bar by bar. A quotient is
taken in floats and mended by its remainder, so it is exact wherever it is below 2^50; `fits` asks for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import lean, part
from bnml.kernels.fills import DEPTH_SHARE_PPM, PPM
from bnml.kernels.mood import (
    ATR_RATIO,
    BUYERS,
    GLOBAL_SCORE,
    MODEL,
    MOMENTUM,
    MOVED,
    SCORE,
    SELLERS,
    SPOKE,
    SPREAD_PPM,
    SQUARES,
    WEIGHT,
    belief,
    weighed,
    weight_of,
)
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

BLOCK = 256
AHEAD = 96
"""Bars by which memory is asked: farther than the processor looks by itself."""
CELLS = 1024
LARGEST = 2.0**50
_LAST = QUANTILES - 1
_SELL = int(Action.SELL)
_HOLD = int(Action.HOLD)
_BUY = int(Action.BUY)
_EXPECTED_EDGE = int(DecisionRule.EXPECTED_EDGE)


class Chorus(NamedTuple):
    """Scratch: one value for each bar of a block, and `ranks` of `CELLS` + 1."""

    ranks: NDArray[np.int64]  # percentiles that lie in cells before this one
    before: NDArray[np.int64]  # the close before it
    close: NDArray[np.int64]
    following: NDArray[np.int64]  # the open after it
    reach: NDArray[np.int64]  # high - low
    volume: NDArray[np.int64]
    spread_ppm: NDArray[np.int64]
    depth_e8: NDArray[np.int64]
    action: NDArray[np.int64]
    technical: NDArray[np.float64]
    momentum: NDArray[np.float64]
    confidence: NDArray[np.float64]
    score: NDArray[np.float64]
    weight: NDArray[np.float64]  # in the crowd; 0: does not speak
    known: NDArray[np.float64]  # NaN: a value is missing


def new_chorus() -> Chorus:
    """Scratch that fits."""
    integers, floats = np.empty((8, BLOCK), dtype=np.int64), np.empty((6, BLOCK))
    return Chorus(np.empty(CELLS + 1, dtype=np.int64), *integers, *floats)


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
def rank_cells(policy: np.void, ranks: NDArray[np.int64]) -> bool:
    """Whether scores can be ranked by cells of equal width; then `ranks` says from which percentile to count on.

    A score never falls into a cell before that of a lower one, so what is counted for a cell is surely below it.
    """
    quantiles = policy["score_quantiles"]
    if policy["rule"] != _EXPECTED_EDGE or not quantiles[_LAST] > quantiles[0]:
        return False
    scale, rank = CELLS / (quantiles[_LAST] - quantiles[0]), 1
    for k in range(1, QUANTILES):
        if not quantiles[k] >= quantiles[k - 1]:
            return False
    for cell in range(CELLS + 1):
        while rank < _LAST and int((quantiles[rank] - quantiles[0]) * scale) < cell:
            rank += 1
        ranks[cell] = rank - 1
    return True


@part
def fits(
    bars: NDArray[np.void], start: int, count: int, frame_ns: int, costs: np.void, chorus: Chorus
) -> bool:
    """Read a block of bars; whether each is followed at once by the next, and no quotient will be too large."""
    lowest, highest, most = bars[start]["close"], 0, 0
    before = bars[start - 1]["close"] if start > 0 else 0
    for i in range(count):
        prefetch(bars, start + i + AHEAD)
        bar, after = bars[start + i], bars[start + i + 1]["open"]
        chorus.close[i], chorus.following[i], chorus.volume[i] = bar["close"], after, bar["volume_lots"]
        chorus.reach[i], chorus.before[i] = bar["high"] - bar["low"], before
        before = bar["close"]
        lowest, highest = min(lowest, bar["close"], after), max(highest, bar["high"], after)
        most = max(most, bar["volume_lots"])
    if bars[start + count]["ts_open_ns"] - bars[start]["ts_open_ns"] != count * frame_ns:
        return False
    if 2 * costs["spread_cap_ppm"] > PPM or highest * float(PPM) >= LARGEST * lowest:
        return False
    return float(highest) * float(most) < LARGEST * 0.25 * lowest  # no bid is below a quarter of its price


@part
def read_books(chorus: Chorus, count: int, instrument: np.void, costs: np.void) -> None:
    """Spread and depth after each bar of the block, as `fills.book_of_bar`, where a tick of a lot is whole money."""
    unit, cap_ppm = instrument["notional_num"], costs["spread_cap_ppm"]
    floor_ppm, range_ppm = costs["spread_floor_ppm"], costs["spread_range_ppm"]
    close, following, reach = chorus.close[:count], chorus.following[:count], chorus.reach[:count]
    volume, spreads, depths = chorus.volume[:count], chorus.spread_ppm[:count], chorus.depth_e8[:count]
    for i in range(count):
        half = min(cap_ppm, floor_ppm + _mul_ppm(_quotient(reach[i] * PPM, close[i]), range_ppm))
        away = _ceil_ppm(following[i], half)
        bid = max(1, following[i] - away)
        ask = max(bid + 1, following[i] + away)
        side_e8 = _mul_ppm(close[i] * unit * volume[i], DEPTH_SHARE_PPM) >> 1
        depth = bid * unit * max(1, _quotient(side_e8, bid * unit))
        depths[i] = depth + ask * unit * max(1, _quotient(side_e8, ask * unit))
        spreads[i] = _quotient((ask - bid) * (2 * PPM), ask + bid)


@part
def read_scores(
    chorus: Chorus,
    technical: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    momentum: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    weights: tuple[float, float, float],
    start: int,
    count: int,
) -> None:
    """Technical, momentum and global score of each bar of the block, after `read_sides`; and which has them."""
    end, first, second, known = (
        start + count,
        chorus.technical[:count],
        chorus.momentum[:count],
        chorus.known[:count],
    )
    confident, score, (weight_1, weight_2, weight_3) = (
        chorus.confidence[:count],
        chorus.score[:count],
        weights,
    )
    rsi, macd, band = technical[0][start:end], technical[1][start:end], technical[2][start:end]
    roc_4, roc_16, volume = momentum[0][start:end], momentum[1][start:end], momentum[2][start:end]
    for i in range(count):
        first[i] = technical_score(rsi[i], macd[i], band[i])
        known[i] += rsi[i] + macd[i] + band[i]
    for i in range(count):
        second[i] = momentum_score(roc_4[i], roc_16[i], volume[i])
        known[i] += roc_4[i] + roc_16[i] + volume[i]
    for i in range(count):
        score[i] = global_score(confident[i], first[i], second[i], weight_1, weight_2, weight_3)


@part
def read_sides(
    chorus: Chorus,
    policy: np.void,
    sell_below: float,
    probabilities: NDArray[np.float64],
    start: int,
    count: int,
) -> None:
    """`policy.confidence` and `policy.side` of each bar of the block, after `rank_cells`."""
    quantiles, cut, step = policy["score_quantiles"], policy["cut"], 100.0 / _LAST
    lowest, highest = quantiles[0], quantiles[_LAST]
    scale = CELLS / (highest - lowest)
    for i in range(count):
        score = directional_score(probabilities[start + i])
        if not score >= lowest:
            confident = 0.0
        elif score >= highest:
            confident = 100.0
        else:
            low = chorus.ranks[int((score - lowest) * scale)]
            while quantiles[low + 1] <= score:
                low += 1
            confident = step * (low + (score - quantiles[low]) / (quantiles[low + 1] - quantiles[low]))
        action = _SELL if score < 0.0 and confident < sell_below else _HOLD
        if score > cut and expected_edge_ppm(policy, score) > 0.0:
            action = _BUY
        chorus.confidence[i], chorus.action[i] = confident, action
        p = probabilities[start + i]
        chorus.known[i] = p[0] + p[1] + p[2]


@part
def _add(crowd: NDArray[np.float64], values: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
    """Add the values of those who speak."""
    for i in range(len(crowd)):
        value = values[i]  # read whoever speaks: what is read always can be read for many at once
        crowd[i] += value if weight[i] > 0.0 else 0.0


@part
def add_block(
    crowds: NDArray[np.float64],
    place: int,
    chorus: Chorus,
    atr_ratio: NDArray[np.float64],
    start: int,
    count: int,
) -> None:
    """Add the block that was read to the crowds from column `place` on, as `mood.add_voice` adds one."""
    near, known, weight, values = (
        crowds[:, place : place + count],
        chorus.known,
        chorus.weight,
        chorus.technical,
    )
    score, action, close, before = chorus.score, chorus.action, chorus.close, chorus.before
    ratios, depth = atr_ratio[start : start + count], chorus.depth_e8
    for i in range(count):
        counted = weight_of(depth[i])
        weight[i] = 0.0 if np.isnan(known[i] + ratios[i]) else counted
    spoke, weights, buyers, sellers = near[SPOKE], near[WEIGHT], near[BUYERS], near[SELLERS]
    for i in range(count):
        spoke[i] += 1.0 if weight[i] > 0.0 else 0.0
        weights[i] += weight[i]
    for i in range(count):
        counted = weight[i]
        buyers[i] += counted if action[i] == _BUY else 0.0
        sellers[i] += counted if action[i] == _SELL else 0.0
    for i in range(count):
        values[i] = (1.0 if close[i] > before[i] else 0.0) - (1.0 if close[i] < before[i] else 0.0)
    _add(near[MOVED], values, weight)
    _add(near[SCORE], score, weight)
    for i in range(count):
        values[i] = score[i] * score[i]
    _add(near[SQUARES], values, weight)
    for i in range(count):
        values[i] = weighed(weight[i], chorus.momentum[i])
    _add(near[MOMENTUM], values, weight)
    for i in range(count):
        values[i] = weight[i] * belief(action[i], chorus.confidence[i])
    _add(near[MODEL], values, weight)
    for i in range(count):
        values[i] = weighed(weight[i], score[i])
    _add(near[GLOBAL_SCORE], values, weight)
    for i in range(count):
        values[i] = weight[i] * chorus.spread_ppm[i]
    _add(near[SPREAD_PPM], values, weight)
    for i in range(count):
        values[i] = weight[i] * ratios[i]
    _add(near[ATR_RATIO], values, weight)
