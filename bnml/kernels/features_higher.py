"""The columns of a higher frame: candles put together from base bars, joined only when they are closed.

A candle is closed by the base bar that ends it or, if that bar is missing, by the first later bar; its
values are then available with that bar, never before. Simple averages stand in for exponential ones,
because their memory ends: 50 candles are enough, 51 days for the daily frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit
from bnml.kernels.rolling import back, put, ratio, window_max, window_min, window_sum
from bnml.kernels.technical import (
    BUCKET,
    CLOSE,
    CLOSES,
    COUNT,
    FAST_K,
    HIGH,
    HIGHS,
    LOW,
    LOWS,
    MINUS,
    OPEN,
    PLUS,
    RANGES,
    STRENGTH,
    VALUES,
    VOLUME,
    WHOLE,
    average_range,
    band_position,
    bollinger,
    change_percent,
    commodity_channel,
    fast_k,
    push,
    return_deviation,
    supertrend,
    volume_ratio,
)

Array = NDArray[np.float64]

HIGHER_COLUMNS: tuple[tuple[str, int], ...] = (
    ("sma_distance_9", 9),
    ("sma_distance_21", 21),
    ("sma_distance_50", 50),
    ("sma_macd_histogram", 34),
    ("rsi_simple_14", 15),
    ("atr_ratio_14", 15),
    ("bollinger_b", 20),
    ("volume_ratio_20", 20),
    ("roc_4", 5),
    ("roc_16", 17),
    ("high_distance_48", 48),
    ("low_distance_48", 48),
    ("adx_simple_14", 28),
    ("stochastic_k", 16),
    ("cci_20", 20),
    ("keltner_position", 20),
    ("volatility_regime_14_48", 49),
    ("supertrend_direction", 50),
)
"""Name (without the frame's prefix) and warm-up in closed candles of the higher frame."""

HIGHER_COUNT = len(HIGHER_COLUMNS)
HIGHER_WARMUPS = np.array([warmup for _, warmup in HIGHER_COLUMNS], dtype=np.int64)
IDLE, BUILDING = 0.0, 1.0


@njit
def simple_macd(state: Array, s: int, n: int) -> float:
    """MACD histogram of simple averages 12/26/9, in price."""
    line = 0.0
    signal = 0.0
    for age in range(8, -1, -1):
        line = (
            window_sum(state, s + CLOSES, n - age, 12) / 12.0
            - window_sum(state, s + CLOSES, n - age, 26) / 26.0
        )
        signal += line / 9.0
    return line - signal


@njit
def simple_strength(state: Array, s: int, n: int) -> float:
    """RSI 14 with a simple average (Cutler), 0..100; 50 when nothing moved."""
    gain = 0.0
    loss = 0.0
    for k in range(13, -1, -1):
        change = back(state, s + CLOSES, n, k) - back(state, s + CLOSES, n, k + 1)
        gain += max(change, 0.0)
        loss += max(-change, 0.0)
    return 100.0 * ratio(gain, gain + loss, 0.5)


@njit
def simple_directional(state: Array, s: int, n: int) -> float:
    """ADX 14 with simple averages, 0..100; 0 when nothing moved."""
    travel = window_sum(state, s + RANGES, n, 14)
    plus = ratio(window_sum(state, s + PLUS, n, 14), travel, 0.0)
    minus = ratio(window_sum(state, s + MINUS, n, 14), travel, 0.0)
    put(state, s + STRENGTH, n, 100.0 * ratio(abs(plus - minus), plus + minus, 0.0))
    return window_sum(state, s + STRENGTH, n, 14) / 14.0


@njit
def higher_values(state: Array, s: int, n: int) -> None:
    """Compute the HIGHER_COUNT columns of the last closed candle into the block's VALUES."""
    close = back(state, s + CLOSES, n, 0)
    at = s + VALUES
    state[at] = close / (window_sum(state, s + CLOSES, n, 9) / 9.0) - 1.0
    state[at + 1] = close / (window_sum(state, s + CLOSES, n, 21) / 21.0) - 1.0
    state[at + 2] = close / (window_sum(state, s + CLOSES, n, 50) / 50.0) - 1.0
    state[at + 3] = simple_macd(state, s, n) / close
    state[at + 4] = simple_strength(state, s, n)
    atr = average_range(state, s, n)
    state[at + 5] = atr / close
    mean, deviation = bollinger(state, s, n)
    state[at + 6] = band_position(close, mean, 2.0 * deviation)
    state[at + 7] = volume_ratio(state, s, n)
    state[at + 8] = change_percent(state, s, n, 4)
    state[at + 9] = change_percent(state, s, n, 16)
    state[at + 10] = close / window_max(state, s + HIGHS, n, 48) - 1.0
    state[at + 11] = close / window_min(state, s + LOWS, n, 48) - 1.0
    state[at + 12] = simple_directional(state, s, n)
    fast_k(state, s, n)
    state[at + 13] = window_sum(state, s + FAST_K, n, 3) / 3.0
    state[at + 14] = commodity_channel(state, s, n)
    state[at + 15] = band_position(close, mean, 1.5 * atr)
    state[at + 16] = ratio(return_deviation(state, s, n, 14), return_deviation(state, s, n, 48), 1.0)
    state[at + 17] = supertrend(state, s, n)
    for column in range(HIGHER_COUNT):
        if n < HIGHER_WARMUPS[column]:
            state[at + column] = np.nan


@njit
def close_candle(state: Array, s: int) -> None:
    """The candle under construction is complete: take it in, unless the recording began inside it."""
    if state[s + WHOLE] == BUILDING:
        n, _ = push(
            state,
            s,
            int(state[s + BUCKET]),
            state[s + HIGH],
            state[s + LOW],
            state[s + CLOSE],
            state[s + VOLUME],
        )
        higher_values(state, s, n)
    state[s + OPEN] = IDLE


@njit
def higher_step(
    state: Array, s: int, frame_ns: int, base_ns: int, ts_open_ns: int, h: float, l: float, c: float, v: float
) -> None:
    """Add a base bar to the candle of its bucket; close what it ends."""
    bucket = ts_open_ns // frame_ns
    if state[s + OPEN] == BUILDING and state[s + BUCKET] != bucket:
        close_candle(state, s)
    if state[s + OPEN] == IDLE:
        first_ever = state[s + BUCKET] == 0.0
        state[s + WHOLE] = IDLE if first_ever and ts_open_ns != bucket * frame_ns else BUILDING
        state[s + OPEN] = BUILDING
        state[s + BUCKET] = bucket
        state[s + HIGH] = h
        state[s + LOW] = l
        state[s + VOLUME] = 0.0
    state[s + HIGH] = max(state[s + HIGH], h)
    state[s + LOW] = min(state[s + LOW], l)
    state[s + CLOSE] = c
    state[s + VOLUME] += v
    if ts_open_ns + base_ns == (bucket + 1) * frame_ns:
        close_candle(state, s)


@njit
def higher_row(state: Array, s: int, out: Array, at: int) -> None:
    """Copy the values of the last closed candle into the row; NaN before the first."""
    if state[s + COUNT] == 0.0:
        for column in range(HIGHER_COUNT):
            out[at + column] = np.nan
    else:
        for column in range(HIGHER_COUNT):
            out[at + column] = state[s + VALUES + column]
