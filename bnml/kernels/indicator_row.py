"""Six indicators of one symbol in one pass: SMA 20, EMA 20, RSI 14, ATR 14, MACD 12/26/9, deviation 100.

The steps are those of `kernels.indicators`; here their tuples are kept in a flat array of the caller's, so
that a new bar is one call: a header, then the ring of closes. `number` is kept too.
"""

from __future__ import annotations

import numpy as np

from bnml.kernels import lean
from bnml.kernels.indicators import (
    Average,
    Macd,
    Strength,
    Sums,
    TrueRange,
    atr_step,
    deviation_step,
    ema_step,
    macd_step,
    rsi_step,
    sma_step,
)
from bnml.kernels.windows import Array

SIX = ("sma_20", "ema_20", "rsi_14", "atr_14", "macd", "macd_signal", "macd_histogram", "deviation_100")
"""Columns of a row."""

ROWS, SMA, EMA, RSI, ATR, MACD, DEVIATION = 0, 1, 2, 3, 6, 10, 13  # where each tuple begins
HEADER = 16
RING = 128


def new_six() -> Array:
    """State of a symbol before its first bar."""
    return np.zeros(HEADER + RING)


@lean
def six_step(state: Array, high: float, low: float, close: float, out: Array) -> None:
    """Take in a bar and write its row."""
    rows = int(state[ROWS])
    ring = state[HEADER:]
    mean, out[0] = sma_step(Sums(rows, 0.0, state[SMA], 0.0), ring, 20, rows, close)
    average, out[1] = ema_step(Average(rows, state[EMA]), 20, close)
    strength, out[2] = rsi_step(Strength(rows, state[RSI], state[RSI + 1], state[RSI + 2]), 14, close)
    ranges = TrueRange(rows, state[ATR], state[ATR + 1], state[ATR + 2], state[ATR + 3])
    ranges, out[3] = atr_step(ranges, 14, high, low, close)
    trend = Macd(rows, state[MACD], state[MACD + 1], state[MACD + 2])
    trend, out[4], out[5], out[6] = macd_step(trend, 12, 26, 9, close)
    spread = Sums(rows, state[DEVIATION], state[DEVIATION + 1], state[DEVIATION + 2])
    spread, out[7], _ = deviation_step(spread, ring, 100, rows, close)
    state[ROWS] = rows + 1.0
    state[SMA], state[EMA] = mean.total, average.value
    state[RSI], state[RSI + 1], state[RSI + 2] = strength.last, strength.gain, strength.loss
    state[ATR], state[ATR + 1] = ranges.close, ranges.value
    state[ATR + 2], state[ATR + 3] = ranges.before, ranges.share
    state[MACD], state[MACD + 1], state[MACD + 2] = trend.fast, trend.slow, trend.signal
    state[DEVIATION], state[DEVIATION + 1], state[DEVIATION + 2] = spread.middle, spread.total, spread.squares


@lean
def six_batch(state: Array, high: Array, low: Array, close: Array, out: Array) -> None:
    """`six_step` for bar after bar of one symbol; out[bars, 8]."""
    for i in range(len(close)):
        six_step(state, high[i], low[i], close[i], out[i])


@lean
def six_step_many(states: Array, high: Array, low: Array, close: Array, out: Array) -> None:
    """`six_step` for one bar of each symbol; states[symbols, :], out[symbols, 8]."""
    for i in range(len(close)):
        six_step(states[i], high[i], low[i], close[i], out[i])
