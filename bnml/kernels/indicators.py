"""The classic indicators in the definitions of TA-Lib (its seeds, its population deviation): steps in O(1), and batches.

A step takes its state, a tuple of numbers, and gives the next one with the value, NaN until there is one.
Tuples stay in registers: an average in memory costs three times its arithmetic. What a window must
remember lies in the caller's ring (`kernels.windows.new_ring`). Inputs are finite and `number` counts rows without
gaps from anywhere; sums are added up anew at multiples of ANCHOR, so rounding does not accumulate.
Averages have the weight of the newest value off the chain from row to row: a * average + b * value.
Sources: Wilder (1978) for RSI and ATR, Appel for MACD, Bollinger (2001).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bnml.kernels import lean
from bnml.kernels.windows import Array

ANCHOR = 1024
NAN = float("nan")


class Average(NamedTuple):
    """An exponential average; while it is seeded, `value` is the sum."""

    rows: int = 0
    value: float = 0.0


class Sums(NamedTuple):
    """Sum and squares of a window, around a value of it."""

    rows: int = 0
    middle: float = 0.0
    total: float = 0.0
    squares: float = 0.0


class Strength(NamedTuple):
    """Wilder's averages of gains and losses; while they are seeded, their sums."""

    rows: int = 0
    last: float = 0.0
    gain: float = 0.0
    loss: float = 0.0


class TrueRange(NamedTuple):
    """Wilder's average of the true range, now and one row ago, and the share of the last range in it."""

    rows: int = 0
    close: float = 0.0
    value: float = 0.0
    before: float = 0.0
    share: float = 0.0


class Macd(NamedTuple):
    """Two averages of the close and one of their distance."""

    rows: int = 0
    fast: float = 0.0
    slow: float = 0.0
    signal: float = 0.0


class Extremes(NamedTuple):
    """Place in the current block of `window` rows, and its highest and lowest so far."""

    place: int = 0
    highest: float = -np.inf
    lowest: float = np.inf


@lean
def ema_step(state: Average, period: int, value: float) -> tuple[Average, float]:
    """Exponential average with weight 2 / (period + 1), seeded with the mean of the first `period` values."""
    rows, weight = state.rows + 1, 2.0 / (period + 1.0)
    if rows > period:
        average = (1.0 - weight) * state.value + weight * value
        return Average(rows, average), average
    total = state.value + value
    if rows < period:
        return Average(rows, total), NAN
    return Average(rows, total / period), total / period


@lean
def ema_batch(state: Average, period: int, value: Array, out: Array) -> Average:
    """`ema_step` for row after row; gives the last state."""
    for i in range(len(value)):
        state, out[i] = ema_step(state, period, value[i])
    return state


@lean
def window_step(state: Sums, ring: Array, window: int, number: int, value: float) -> Sums:
    """Sum and squares of the last `window` values."""
    mask = len(ring) - 1
    ring[np.uint64(number & mask)] = value
    rows = state.rows + 1
    if rows <= window or (number & (ANCHOR - 1)) == 0:
        total = squares = 0.0
        for row in range(number - min(rows, window) + 1, number + 1):
            away = ring[np.uint64(row & mask)] - value
            total += away
            squares += away * away
        return Sums(rows, value, total, squares)
    new, old = value - state.middle, ring[np.uint64((number - window) & mask)] - state.middle
    return Sums(rows, state.middle, state.total + (new - old), state.squares + (new - old) * (new + old))


@lean
def sma_step(state: Sums, ring: Array, window: int, number: int, value: float) -> tuple[Sums, float]:
    """Mean of the last `window` values."""
    mask = len(ring) - 1
    ring[np.uint64(number & mask)] = value
    rows = state.rows + 1
    if rows <= window or (number & (ANCHOR - 1)) == 0:
        total = 0.0
        for row in range(number - min(rows, window) + 1, number + 1):
            total += ring[np.uint64(row & mask)]
    else:
        total = state.total + (value - ring[np.uint64((number - window) & mask)])
    return Sums(rows, 0.0, total, 0.0), total * (1.0 / window) if rows >= window else NAN


@lean
def sma_batch(state: Sums, ring: Array, window: int, first: int, value: Array, out: Array) -> Sums:
    """`sma_step` for row after row, numbered from `first`; gives the last state."""
    for i in range(len(value)):
        state, out[i] = sma_step(state, ring, window, first + i, value[i])
    return state


@lean
def deviation_step(
    state: Sums, ring: Array, window: int, number: int, value: float
) -> tuple[Sums, float, float]:
    """Population deviation (n) of the last `window` values, and their mean."""
    state = window_step(state, ring, window, number, value)
    share = 1.0 / window
    away = state.total * share
    variance = state.squares * share - away * away
    deviation = np.sqrt(max(0.0, variance))
    if state.rows < window:
        return state, NAN, NAN
    return state, deviation, state.middle + away


@lean
def deviation_batch(state: Sums, ring: Array, window: int, first: int, value: Array, out: Array) -> Sums:
    """The deviation of `deviation_step` for row after row, numbered from `first`; gives the last state."""
    for i in range(len(value)):
        state, out[i], _ = deviation_step(state, ring, window, first + i, value[i])
    return state


@lean
def bollinger_step(
    state: Sums, ring: Array, window: int, number: int, value: float, width: float
) -> tuple[Sums, float, float, float]:
    """Upper band, mean, lower band: `width` population deviations around the mean of the window."""
    state, deviation, mean = deviation_step(state, ring, window, number, value)
    return state, mean + width * deviation, mean, mean - width * deviation


@lean
def bollinger_batch(
    state: Sums,
    ring: Array,
    window: int,
    first: int,
    value: Array,
    width: float,
    upper: Array,
    middle: Array,
    lower: Array,
) -> Sums:
    """`bollinger_step` for row after row, numbered from `first`; gives the last state."""
    for i in range(len(value)):
        state, upper[i], middle[i], lower[i] = bollinger_step(state, ring, window, first + i, value[i], width)
    return state


@lean
def rsi_step(state: Strength, period: int, value: float) -> tuple[Strength, float]:
    """Relative strength index, 0..100: Wilder's averages seeded with the mean of the first `period` changes.

    0 when nothing moved.
    """
    change = value - state.last
    gain, loss = max(0.0, change), -change if change < 0.0 else 0.0
    rows, weight = state.rows + 1, 1.0 / period
    if rows > period + 1:
        gain = (1.0 - weight) * state.gain + weight * gain
        loss = (1.0 - weight) * state.loss + weight * loss
    elif rows > 1:
        gain, loss = state.gain + gain, state.loss + loss
        if rows == period + 1:
            gain, loss = gain * weight, loss * weight
    else:
        gain = loss = 0.0
    moved = gain + loss
    strength = 100.0 * gain / moved if moved > 0.0 else 0.0
    return Strength(rows, value, gain, loss), strength if rows > period else NAN


@lean
def rsi_batch(state: Strength, period: int, value: Array, out: Array) -> Strength:
    """`rsi_step` for row after row; gives the last state."""
    for i in range(len(value)):
        state, out[i] = rsi_step(state, period, value[i])
    return state


@lean
def atr_step(state: TrueRange, period: int, high: float, low: float, close: float) -> tuple[TrueRange, float]:
    """Average true range: Wilder's average, seeded with the mean of `period` ranges; the first row has none.

    Two rows at a stretch, a^2 * (average two rows ago) + a * b * (range before) + b * range, which halves
    the chain of dependent operations.
    """
    top = max(state.close, high)
    bottom = min(state.close, low)
    rows, weight = state.rows + 1, 1.0 / period
    kept = 1.0 - weight
    share = weight * (top - bottom)
    if rows > period + 2:
        average = (kept * kept) * state.before + (kept * state.share + share)
        return TrueRange(rows, close, average, state.value, share), average
    if rows == period + 2:
        average = kept * state.value + share
        return TrueRange(rows, close, average, state.value, share), average
    if rows == 1:
        return TrueRange(1, close, 0.0, 0.0, 0.0), NAN
    total = state.value + share
    return TrueRange(rows, close, total, total, share), total if rows == period + 1 else NAN


@lean
def atr_batch(state: TrueRange, period: int, high: Array, low: Array, close: Array, out: Array) -> TrueRange:
    """`atr_step` for row after row; gives the last state."""
    for i in range(len(close)):
        state, out[i] = atr_step(state, period, high[i], low[i], close[i])
    return state


@lean
def macd_step(
    state: Macd, fast: int, slow: int, smoothing: int, value: float
) -> tuple[Macd, float, float, float]:
    """MACD line, signal, histogram; all three are NaN until there is a signal.

    Both averages start with row `slow`, each with the mean of its last values, the signal with the mean of
    the first `smoothing` lines.
    """
    rows = state.rows + 1
    to_fast, to_slow, to_signal = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (smoothing + 1.0)
    if rows >= slow + smoothing:
        quick = (1.0 - to_fast) * state.fast + to_fast * value
        slack = (1.0 - to_slow) * state.slow + to_slow * value
        line = quick - slack
        signal = (1.0 - to_signal) * state.signal + to_signal * line
        return Macd(rows, quick, slack, signal), line, signal, line - signal
    if rows <= slow:
        quick = state.fast + (value / fast if rows > slow - fast else 0.0)
        slack = state.slow + value / slow
    else:
        quick = (1.0 - to_fast) * state.fast + to_fast * value
        slack = (1.0 - to_slow) * state.slow + to_slow * value
    line = quick - slack
    signal = state.signal + line / smoothing if rows >= slow else 0.0
    if rows < slow + smoothing - 1:
        return Macd(rows, quick, slack, signal), NAN, NAN, NAN
    return Macd(rows, quick, slack, signal), line, signal, line - signal


@lean
def macd_batch(
    state: Macd,
    fast: int,
    slow: int,
    smoothing: int,
    value: Array,
    line: Array,
    signal: Array,
    histogram: Array,
) -> Macd:
    """`macd_step` for row after row; gives the last state."""
    for i in range(len(value)):
        state, line[i], signal[i], histogram[i] = macd_step(state, fast, slow, smoothing, value[i])
    return state


def extremes_ring(window: int) -> Array:
    """Ring of `extremes_step`: highs and lows of a block, and what the block before reached from each place on.

    Before the first block that is NaN; beyond the last place it is nothing.
    """
    ring = np.full(4 * (window + 1), NAN)
    ring[2 * window + 1], ring[4 * window + 3] = -np.inf, np.inf
    return ring


@lean
def extremes_step(
    state: Extremes, ring: Array, window: int, high: float, low: float
) -> tuple[Extremes, float, float]:
    """Highest high and lowest low of the last `window` rows.

    Rows are cut into blocks of `window`; a window is the end of one block, known from its back, and the
    start of the next (van Herk 1992; Gil & Werman 1993): three comparisons a row, whatever the window.
    """
    place, size = state.place, window + 1
    highest = max(state.highest, high)
    lowest = min(state.lowest, low)
    ring[np.uint64(place)], ring[np.uint64(2 * size + place)] = high, low
    place += 1
    top, bottom = ring[np.uint64(size + place)], ring[np.uint64(3 * size + place)]
    top = max(top, highest)
    bottom = min(bottom, lowest)
    if place == window:
        highest, lowest = high, low
        for back in range(window - 1, 0, -1):
            high, low = ring[np.uint64(back)], ring[np.uint64(2 * size + back)]
            highest = max(highest, high)
            lowest = min(lowest, low)
            ring[np.uint64(size + back)], ring[np.uint64(3 * size + back)] = highest, lowest
        highest, lowest, place = -np.inf, np.inf, 0
    return Extremes(place, highest, lowest), top, bottom


@lean
def extremes_batch(
    state: Extremes, ring: Array, window: int, high: Array, low: Array, highest: Array, lowest: Array
) -> Extremes:
    """`extremes_step` for row after row; gives the last state."""
    for i in range(len(high)):
        state, highest[i], lowest[i] = extremes_step(state, ring, window, high[i], low[i])
    return state
