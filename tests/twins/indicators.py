"""Naive classic indicators in TA-Lib's definitions: seeds are plain means, deviations are of the population."""

import math
from itertools import pairwise

NAN = math.nan


def mean(values):
    return math.fsum(values) / len(values)


def windows(values, size, figure):
    return [figure(values[i - size + 1 : i + 1]) if i + 1 >= size else NAN for i in range(len(values))]


def sma(values, size):
    return windows(values, size, mean)


def deviation(values, size):
    return windows(values, size, lambda w: math.sqrt(mean([(v - mean(w)) ** 2 for v in w])))


def bollinger(values, size, width):
    middle, spread = sma(values, size), deviation(values, size)
    return (
        [m + width * s for m, s in zip(middle, spread, strict=True)],
        middle,
        [m - width * s for m, s in zip(middle, spread, strict=True)],
    )


def highest(values, size):
    return windows(values, size, max)


def lowest(values, size):
    return windows(values, size, min)


def average(values, size, weight, first=0):
    """Exponential average, seeded with the mean of `size` values from `first` on; NaN before."""
    out = [NAN] * len(values)
    start = first + size - 1
    if start >= len(values):
        return out
    out[start] = mean(values[first : first + size])
    for i in range(start + 1, len(values)):
        out[i] = out[i - 1] + weight * (values[i] - out[i - 1])
    return out


def ema(values, size, first=0):
    return average(values, size, 2 / (size + 1), first)


def rsi(values, size):
    changes = [0.0] + [b - a for a, b in pairwise(values)]
    gains = average([max(c, 0.0) for c in changes], size, 1 / size, 1)
    losses = average([max(-c, 0.0) for c in changes], size, 1 / size, 1)
    return [100 * g / (g + s) if g + s else g + s for g, s in zip(gains, losses, strict=True)]


def atr(high, low, close, size):
    ranges = [0.0] + [
        max(h, before) - min(lo, before) for h, lo, before in zip(high[1:], low[1:], close, strict=False)
    ]
    return average(ranges, size, 1 / size, 1)


def macd(values, fast, slow, smoothing):
    quick, slack = ema(values, fast, slow - fast), ema(values, slow)
    line = [a - b for a, b in zip(quick, slack, strict=True)]
    signal = ema(line, smoothing, slow - 1)
    shown = [a if not math.isnan(b) else NAN for a, b in zip(line, signal, strict=True)]
    return shown, signal, [a - b for a, b in zip(line, signal, strict=True)]
