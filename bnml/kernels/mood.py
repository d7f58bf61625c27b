"""The mood of the market: one score from what is thought of all symbols in one scan, and what kind of market that is.

Source: the market intelligence of BN-ML, as far as it follows from the scan alone. What it learns online
(a classifier of the benchmark's next move, blended into the score) is not here: that belongs to learning.

How to call it, once per scan, after all opinions are made and before the first limit is asked: fill one
`VOICE` per symbol of the scan, in order of name (sums of floats depend on the order), add them up in an
empty crowd (`SUMS` zeros), then `hear(crowd, 1, 0, count, breakers, limits)` with the account's `records.BREAKERS`,
which remembers between scans, and the account's own `records.LIMITS` (a symbol's differ in spread, depth and correlation only).
`breakers.copy_to_facts` brings the result to the candidates. With fewer than three voices nothing is
known, and nothing is refused: a run over one symbol need not call it at all.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import lean, njit, part
from bnml.kernels.fills import E8
from bnml.kernels.records import Action, MoodRegime

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOICE = np.dtype(
    [
        ("spoke", np.int64),  # 1: features complete, a model or the rule strategy answered, its book is known
        ("action", np.int64),  # Action; this and all that follows is read only of those who spoke
        ("confidence", np.float64),  # 0..100
        ("score", np.float64),  # global score, 0..100
        ("momentum", np.float64),  # policy.momentum_score, 0..100
        ("spread_ppm", np.int64),
        ("depth_e8", np.int64),
        ("atr_ratio", np.float64),  # column atr_ratio_14
        ("direction", np.int64),  # of the close against the close before it: -1, 0, 1
    ]
)
"""What one symbol adds to the mood of a scan."""

MIN_VOICES = 3
MIN_COVERAGE = 0.35  # least share of the scan's symbols that must have spoken
WARM_SCANS = 96  # the ATR ratio is held against its running mean of so many, and not before there are as many
STREAK = 2  # scans that agree before the market says BUY or SELL

_WEIGHT_BREADTH, _WEIGHT_MOMENTUM, _WEIGHT_ML, _WEIGHT_SCORE = 0.48, 0.22, 0.20, 0.10
_WEIGHT_ATR, _WEIGHT_SPREAD, _WEIGHT_TOGETHER = 0.45, 0.35, 0.20
_RISK_PENALTY = 0.30
_TOGETHER_FROM = 0.75
_MAX_PRESSURE = 3.0
_SELL = int(Action.SELL)
_BUY = int(Action.BUY)
_INSUFFICIENT_DATA = int(MoodRegime.INSUFFICIENT_DATA)
_NEUTRAL = int(MoodRegime.NEUTRAL)
_MEAN_REVERSION = int(MoodRegime.MEAN_REVERSION)
_BULL_ACCELERATION = int(MoodRegime.BULL_ACCELERATION)
_BEAR_PRESSURE = int(MoodRegime.BEAR_PRESSURE)
_HIGH_RISK_NEUTRAL = int(MoodRegime.HIGH_RISK_NEUTRAL)
_RISK_OFF = int(MoodRegime.RISK_OFF)


SUMS = 12
(
    SPOKE,
    MOVED,  # how many closed higher, less those that closed lower
    SCORE,  # sums of global scores and of their squares
    SQUARES,
    WEIGHT,  # all that follow are sums weighted by depth
    BUYERS,
    SELLERS,
    MOMENTUM,  # -1..1, as the two after it
    MODEL,
    GLOBAL_SCORE,
    SPREAD_PPM,
    ATR_RATIO,
) = range(SUMS)
"""A crowd: the voices of one scan added up, in order of name. Of several crowds in one array, each sum of
crowd `at` stands `step` after the one before: `crowds[SCORE * step + at]`."""
BLOCK = 256
"""Step of the crowds of a backtest, which stand in blocks of so many scans, one after the other."""


@lean
def place_of(scan: int) -> int:
    """Where the crowd of a scan of a backtest stands."""
    return scan // BLOCK * (SUMS * BLOCK) + scan % BLOCK


@lean
def weight_of(depth_e8: int) -> float:
    """Voices count by the depth of their market in quote units."""
    return max(depth_e8 / E8, 1.0)


@lean
def weighed(weight: float, points: float) -> float:
    """Points of 100 as -1..1, by weight."""
    return weight * (points - 50.0) / 50.0


@lean
def belief(action: int, confidence: float) -> float:
    """-1..1; a SELL that is sure of itself speaks against the market, however its confidence is made."""
    found = (confidence - 50.0) / 50.0
    return -abs(found) if action == _SELL else found


@lean
def add_voice(
    crowds: NDArray[np.float64],
    step: int,
    at: int,
    spoke: float,
    action: int,
    confidence: float,
    score: float,
    momentum: float,
    spread_ppm: float,
    weight: float,
    atr_ratio: float,
    direction: float,
) -> None:
    """Add a voice, see `VOICE`, of this weight to a crowd; with `spoke`, score, momentum, weight, ratio and direction 0 nothing."""
    crowds[SPOKE * step + at] += spoke
    crowds[MOVED * step + at] += direction
    crowds[SCORE * step + at] += score
    crowds[SQUARES * step + at] += score * score
    crowds[WEIGHT * step + at] += weight
    crowds[BUYERS * step + at] += weight if action == _BUY else 0.0
    crowds[SELLERS * step + at] += weight if action == _SELL else 0.0
    crowds[MOMENTUM * step + at] += weighed(weight, momentum)
    crowds[MODEL * step + at] += weight * belief(action, confidence)
    crowds[GLOBAL_SCORE * step + at] += weighed(weight, score)
    crowds[SPREAD_PPM * step + at] += weight * spread_ppm
    crowds[ATR_RATIO * step + at] += weight * atr_ratio


@njit
def add_voices(crowd: NDArray[np.float64], voices: NDArray[np.void], count: int) -> None:
    """Add up the first `count` voices, whether they spoke or not, in one crowd."""
    for i in range(count):
        voice = voices[i]
        if voice["spoke"] == 1:
            add_voice(
                crowd,
                1,
                0,
                1.0,
                voice["action"],
                voice["confidence"],
                voice["score"],
                voice["momentum"],
                float(voice["spread_ppm"]),
                weight_of(voice["depth_e8"]),
                voice["atr_ratio"],
                float(voice["direction"]),
            )


@njit
def _pressure(memory: np.void, limits: np.void, atr: float, spread_ppm: float, together: float) -> float:
    """Risk pressure (0..3) beyond what is borne; also moves the running mean of the ATR ratio and `mood_risk`.

    Correlation is measured by the share of symbols that moved the same way over the last bar: one pass,
    where pairwise correlations would take n squared of them.
    """
    volatility = 1.0
    if memory["mood_scans"] >= WARM_SCANS and memory["mood_atr"] > 0.0:
        volatility = atr / memory["mood_atr"]
    memory["mood_scans"] += 1
    memory["mood_atr"] += (atr - memory["mood_atr"]) / min(memory["mood_scans"], WARM_SCANS)
    volatility /= limits["mood_max_volatility"]
    spread = spread_ppm / limits["mood_max_spread_ppm"]
    alike = max(0.0, together - _TOGETHER_FROM) / (1.0 - _TOGETHER_FROM)
    pressure = _WEIGHT_ATR * max(0.0, volatility - 1.0) + _WEIGHT_SPREAD * max(0.0, spread - 1.0)
    pressure = min(_MAX_PRESSURE, pressure + _WEIGHT_TOGETHER * alike)
    memory["mood_risk"] = max(volatility, spread, pressure)
    return pressure


@njit
def _lean(memory: np.void, limits: np.void) -> None:
    """What the market says, once `STREAK` scans have agreed on it."""
    score, leaning = memory["mood_score"], 0
    if score >= -limits["mood_sell_score"]:
        leaning = 1
    elif score <= limits["mood_sell_score"]:
        leaning = -1
    memory["mood_streak"] = memory["mood_streak"] + 1 if leaning == memory["mood_leaning"] else 1
    memory["mood_leaning"] = leaning
    memory["mood_side"] = leaning if memory["mood_streak"] >= STREAK else 0


@njit
def _regime(memory: np.void, limits: np.void, buyers: float, sellers: float, pressure: float) -> int:
    score, side = memory["mood_score"], memory["mood_side"]
    if memory["mood_risk"] >= 1.0 and sellers >= 0.9 * buyers:
        return _RISK_OFF
    if side > 0 and pressure < 0.85:
        return _BULL_ACCELERATION
    if side < 0 and pressure < 1.45:
        return _BEAR_PRESSURE
    if abs(score) < -0.75 * limits["mood_sell_score"] and pressure < 0.65:
        return _MEAN_REVERSION
    return _HIGH_RISK_NEUTRAL if pressure >= 1.0 else _NEUTRAL


@njit
def _forget(memory: np.void) -> None:
    """Too few spoke: no score, no side; the next score is not smoothed. The scale of the ATR ratio stays."""
    memory["mood_score"], memory["mood_confidence"], memory["mood_risk"] = 0.0, 0.0, 0.0
    memory["mood_side"], memory["mood_leaning"], memory["mood_streak"] = 0, 0, 0
    memory["mood_regime"] = _INSUFFICIENT_DATA


@njit
def hear(
    crowds: NDArray[np.float64], step: int, at: int, count: int, memory: np.void, limits: np.void
) -> None:
    """Move the mood by the voices of a scan of `count` symbols, added up; `memory` is a record of BREAKERS.

    Score: breadth (buyers less sellers), momentum, model and global score, less the risk pressure, damped
    where symbols are silent, clipped to -1..1 and smoothed over scans. Confidence (0..100): high for a
    clear score and breadth of nearly all symbols, low where their scores disagree or risk is high.
    """
    spoke, weight = crowds[SPOKE * step + at], crowds[WEIGHT * step + at]
    if limits["mood_smoothing"] <= 0.0 or spoke < MIN_VOICES or spoke < MIN_COVERAGE * count:
        _forget(memory)
        return
    mean = crowds[SCORE * step + at] / spoke
    deviation = sqrt(max(0.0, crowds[SQUARES * step + at] / spoke - mean * mean))
    buyers, sellers = crowds[BUYERS * step + at] / weight, crowds[SELLERS * step + at] / weight
    together, spread_ppm = abs(crowds[MOVED * step + at]) / spoke, crowds[SPREAD_PPM * step + at] / weight
    pressure = _pressure(memory, limits, crowds[ATR_RATIO * step + at] / weight, spread_ppm, together)
    breadth, coverage = buyers - sellers, spoke / count
    trend = _WEIGHT_BREADTH * breadth + _WEIGHT_MOMENTUM * (crowds[MOMENTUM * step + at] / weight)
    trend += _WEIGHT_ML * (crowds[MODEL * step + at] / weight)
    trend += _WEIGHT_SCORE * (crowds[GLOBAL_SCORE * step + at] / weight)
    raw = (trend - _RISK_PENALTY * pressure) * (0.5 + 0.5 * coverage)
    raw = min(1.0, max(-1.0, raw))
    share = 1.0 if memory["mood_regime"] == _INSUFFICIENT_DATA else limits["mood_smoothing"]
    memory["mood_score"] += share * (raw - memory["mood_score"])
    sure = 95.0 * abs(raw) + 24.0 * abs(breadth) + 18.0 * max(0.0, coverage - 0.4)
    sure -= min(22.0, 0.35 * deviation) + min(20.0, 7.5 * pressure)
    memory["mood_confidence"] = min(100.0, max(0.0, sure))
    _lean(memory, limits)
    memory["mood_regime"] = _regime(memory, limits, buyers, sellers, pressure)


@part
def hear_voices(
    voices: NDArray[np.void], crowd: NDArray[np.float64], memory: NDArray[np.void], limits: NDArray[np.void]
) -> None:
    """`hear` all voices of a scan; `crowd` is scratch. For Python: first records, as in `breakers.roll_memory`."""
    for i in range(SUMS):
        crowd[i] = 0.0
    add_voices(crowd, voices, len(voices))
    hear(crowd, 1, 0, len(voices), memory[0], limits[0])


def index_of(score: float) -> float:
    """The score as an index of 0 (everything falls) to 100; 50 is neutral."""
    return 50.0 * (score + 1.0)
