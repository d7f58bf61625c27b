"""Indicators on one frame, each a compiled function of its own: push a candle, then ask for values.

A frame's state is a block of BLOCK floats: a header, then rings. `s` is the index of the block's first
float. All indicators read rings that `push` has filled; none sees anything but closed candles.
Sources: Wilder (1978) for RSI, ATR, ADX; Bollinger (2001); Lane for the stochastic; Lambert for CCI.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit
from bnml.kernels.rolling import (
    ANCHOR,
    RING,
    back,
    put,
    ratio,
    smooth,
    window_deviation,
    window_max,
    window_min,
    window_squares,
    window_sum,
)

Array = NDArray[np.float64]

# Header of a block.
COUNT = 0  # candles pushed
BLOCK_NUMBER = 1  # absolute block of ANCHOR candles that the last candle lay in
BUCKET, OPEN, HIGH, LOW, CLOSE, VOLUME, WHOLE = 2, 3, 4, 5, 6, 7, 8  # the candle being built (higher frames)
EMA = 10  # exponential averages of the close, and the MACD signal
GAIN, LOSS = 20, 21
TR_AVERAGE, PLUS_AVERAGE, MINUS_AVERAGE, DX_AVERAGE = 22, 23, 24, 25
SUMS = 26  # running sums of the base frame
EXTREMES = 36
VALUES = 42  # last values of a higher frame
HEADER = 64

# Rings.
CLOSES = HEADER
HIGHS = HEADER + RING
LOWS = HEADER + 2 * RING
VOLUMES = HEADER + 3 * RING
RETURNS = HEADER + 4 * RING  # simple returns
SQUARES = HEADER + 5 * RING  # of the returns
PATHS = HEADER + 6 * RING  # absolute change of the close
RANGES = HEADER + 7 * RING  # true range
TYPICAL = HEADER + 8 * RING  # (high + low + close) / 3
TRADED = HEADER + 9 * RING  # close * volume
ACTIVE = HEADER + 10 * RING  # 1 where volume is above zero
PLUS = HEADER + 11 * RING  # directional movement up
MINUS = HEADER + 12 * RING
UPPER = HEADER + 13 * RING  # basic SuperTrend bands
LOWER = HEADER + 14 * RING
FAST_K = HEADER + 15 * RING
STRENGTH = HEADER + 16 * RING  # RSI (base frame) or DX (higher frames)
BLOCK = HEADER + 17 * RING

SUPERTREND_MEMORY = 40


@njit
def push(state: Array, s: int, number: int, h: float, l: float, c: float, v: float) -> tuple[int, bool]:
    """Take in a closed candle (`number` = open time / frame).

    Returns the count of candles so far and whether running sums must be added up anew.
    """
    n = int(state[s + COUNT]) + 1
    state[s + COUNT] = n
    previous_close = back(state, s + CLOSES, n, 1) if n > 1 else c
    up = h - back(state, s + HIGHS, n, 1) if n > 1 else 0.0
    down = back(state, s + LOWS, n, 1) - l if n > 1 else 0.0
    change = c / previous_close - 1.0
    put(state, s + CLOSES, n, c)
    put(state, s + HIGHS, n, h)
    put(state, s + LOWS, n, l)
    put(state, s + VOLUMES, n, v)
    put(state, s + RETURNS, n, change)
    put(state, s + SQUARES, n, change * change)
    put(state, s + PATHS, n, abs(c - previous_close))
    put(state, s + RANGES, n, max(h, previous_close) - min(l, previous_close))
    put(state, s + TYPICAL, n, (h + l + c) / 3.0)
    put(state, s + TRADED, n, c * v)
    put(state, s + ACTIVE, n, 1.0 if v > 0.0 else 0.0)
    put(state, s + PLUS, n, up if up > down and up > 0.0 else 0.0)
    put(state, s + MINUS, n, down if down > up and down > 0.0 else 0.0)
    band = 3.0 * window_sum(state, s + RANGES, n, 10) / 10.0
    put(state, s + UPPER, n, (h + l) / 2.0 + band)
    put(state, s + LOWER, n, (h + l) / 2.0 - band)
    block = number // ANCHOR
    anew = state[s + BLOCK_NUMBER] != block
    state[s + BLOCK_NUMBER] = block
    return n, anew


@njit
def change_percent(state: Array, s: int, n: int, bars: int) -> float:
    """Percent change of the close over `bars` candles."""
    return (back(state, s + CLOSES, n, 0) / back(state, s + CLOSES, n, bars) - 1.0) * 100.0


@njit
def average_range(state: Array, s: int, n: int) -> float:
    """ATR 14: simple mean of the true range, in price."""
    return window_sum(state, s + RANGES, n, 14) / 14.0


@njit
def bollinger(state: Array, s: int, n: int) -> tuple[float, float]:
    """Mean and sample standard deviation of the last 20 closes; a flat window has deviation 0."""
    mean = window_sum(state, s + CLOSES, n, 20) / 20.0
    if window_max(state, s + CLOSES, n, 20) == window_min(state, s + CLOSES, n, 20):
        return back(state, s + CLOSES, n, 0), 0.0
    return mean, np.sqrt(window_squares(state, s + CLOSES, n, 20, mean) / 19.0)


@njit
def band_position(close: float, middle: float, half_width: float) -> float:
    """0 at the lower band, 1 at the upper; 0.5 when the bands coincide."""
    return ratio(close - (middle - half_width), 2.0 * half_width, 0.5)


@njit
def fast_k(state: Array, s: int, n: int) -> float:
    """Raw stochastic 14, 0..100: the close in the range of the window; 50 in a flat window."""
    lowest = window_min(state, s + LOWS, n, 14)
    highest = window_max(state, s + HIGHS, n, 14)
    value = 100.0 * ratio(back(state, s + CLOSES, n, 0) - lowest, highest - lowest, 0.5)
    put(state, s + FAST_K, n, value)
    return value


@njit
def commodity_channel(state: Array, s: int, n: int) -> float:
    """CCI 20; 0 in a flat window."""
    mean = window_sum(state, s + TYPICAL, n, 20) / 20.0
    if window_max(state, s + TYPICAL, n, 20) == window_min(state, s + TYPICAL, n, 20):
        return 0.0
    deviation = window_deviation(state, s + TYPICAL, n, 20, mean) / 20.0
    return ratio(back(state, s + TYPICAL, n, 0) - mean, 0.015 * deviation, 0.0)


@njit
def volume_ratio(state: Array, s: int, n: int) -> float:
    """Volume against its mean of 20; 1 when nothing was traded in the window."""
    return ratio(back(state, s + VOLUMES, n, 0), window_sum(state, s + VOLUMES, n, 20) / 20.0, 1.0)


@njit
def return_deviation(state: Array, s: int, n: int, window: int) -> float:
    """Sample standard deviation of the simple returns of a short window."""
    mean = window_sum(state, s + RETURNS, n, window) / window
    return np.sqrt(window_squares(state, s + RETURNS, n, window, mean) / (window - 1))


@njit
def supertrend(state: Array, s: int, n: int) -> float:
    """Direction (+1, -1) of SuperTrend 10/3 started SUPERTREND_MEMORY candles ago: its memory ends."""
    k = SUPERTREND_MEMORY - 1
    upper = back(state, s + UPPER, n, k)
    lower = back(state, s + LOWER, n, k)
    previous = back(state, s + CLOSES, n, k)
    direction = 1.0 if previous >= (upper + lower) / 2.0 else -1.0
    for age in range(SUPERTREND_MEMORY - 2, -1, -1):
        close = back(state, s + CLOSES, n, age)
        basic_upper = back(state, s + UPPER, n, age)
        basic_lower = back(state, s + LOWER, n, age)
        upper = basic_upper if basic_upper < upper or previous > upper else upper
        lower = basic_lower if basic_lower > lower or previous < lower else lower
        if close > upper:
            direction = 1.0
        elif close < lower:
            direction = -1.0
        previous = close
    return direction


@njit
def efficiency(state: Array, s: int, n: int, window: int, path: float) -> float:
    """Net move over the path walked, 0..1; 0 when nothing moved."""
    net = abs(back(state, s + CLOSES, n, 0) - back(state, s + CLOSES, n, window))
    return min(1.0, ratio(net, path, 0.0))


@njit
def relative_strength(state: Array, s: int, n: int) -> float:
    """RSI 14 with Wilder's average, 0..100; 50 when nothing moved."""
    change = back(state, s + CLOSES, n, 0) - back(state, s + CLOSES, n, 1) if n > 1 else 0.0
    gain = smooth(state, s + GAIN, n, max(change, 0.0), 1.0 / 14.0)
    loss = smooth(state, s + LOSS, n, max(-change, 0.0), 1.0 / 14.0)
    value = 100.0 * ratio(gain, gain + loss, 0.5)
    put(state, s + STRENGTH, n, value)
    return value


@njit
def directional(state: Array, s: int, n: int) -> tuple[float, float, float]:
    """ADX, +DI, -DI of 14 with Wilder's average, 0..100; 0 when nothing moved."""
    range_average = smooth(state, s + TR_AVERAGE, n, back(state, s + RANGES, n, 0), 1.0 / 14.0)
    plus_average = smooth(state, s + PLUS_AVERAGE, n, back(state, s + PLUS, n, 0), 1.0 / 14.0)
    minus_average = smooth(state, s + MINUS_AVERAGE, n, back(state, s + MINUS, n, 0), 1.0 / 14.0)
    plus = 100.0 * ratio(plus_average, range_average, 0.0)
    minus = 100.0 * ratio(minus_average, range_average, 0.0)
    strength = 100.0 * ratio(abs(plus - minus), plus + minus, 0.0)
    return smooth(state, s + DX_AVERAGE, n, strength, 1.0 / 14.0), plus, minus


ATR_BARS = 15


@njit
def atr_ratio_step(state: Array, number: int, h: float, l: float, c: float) -> float:
    """ATR 14 over the close after one more bar, as the feature row has it; NaN for the first 14 bars."""
    n, _ = push(state, 0, number, h, l, c, 0.0)
    return average_range(state, 0, n) / c if n >= ATR_BARS else np.nan


@njit
def atr_ratio_batch(state: Array, h: Array, l: Array, c: Array, out: Array) -> None:
    """`atr_ratio_step` for bar after bar; `state` is BLOCK zeros."""
    for i in range(len(h)):
        out[i] = atr_ratio_step(state, i, h[i], l[i], c[i])
