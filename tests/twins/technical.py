"""Naive indicators: textbook formulas over plain lists, one series each, nothing shared with the kernels."""

import math

NAN = float("nan")


def series(length, first, value):
    """value(i) for each index from `first` on (0-based), NaN before."""
    return [value(i) if i >= first else NAN for i in range(length)]


def quotient(a, b, otherwise):
    return otherwise if b == 0 else a / b


def exponential(values, alpha):
    out = [values[0]]
    for value in values[1:]:
        out.append((1 - alpha) * out[-1] + alpha * value)
    return out


def ema(values, span):
    return exponential(values, 2 / (span + 1))


def mean(values):
    return math.fsum(values) / len(values)


def deviation(values):
    if len(values) < 2 or max(values) == min(values):
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


class Candles:
    """Columns of one frame as lists, with what several indicators need."""

    def __init__(self, o, h, low, c, v):
        self.o, self.h, self.l, self.c, self.v = o, h, low, c, v
        self.n = len(c)
        self.change = [0.0] + [c[i] - c[i - 1] for i in range(1, self.n)]
        self.ret = [0.0] + [c[i] / c[i - 1] - 1 for i in range(1, self.n)]
        self.tr = [h[0] - low[0]] + [
            max(h[i] - low[i], abs(h[i] - c[i - 1]), abs(low[i] - c[i - 1])) for i in range(1, self.n)
        ]
        self.tp = [(h[i] + low[i] + c[i]) / 3 for i in range(self.n)]
        ups = [0.0] + [h[i] - h[i - 1] for i in range(1, self.n)]
        downs = [0.0] + [low[i - 1] - low[i] for i in range(1, self.n)]
        self.plus = [u if u > d and u > 0 else 0.0 for u, d in zip(ups, downs, strict=True)]
        self.minus = [d if d > u and d > 0 else 0.0 for u, d in zip(ups, downs, strict=True)]

    def last(self, values, i, window):
        return values[i - window + 1 : i + 1]

    def atr(self, i):
        return mean(self.last(self.tr, i, 14))

    def roc(self, i, bars):
        return (self.c[i] / self.c[i - bars] - 1) * 100

    def bands(self, i, middle, half):
        return quotient(self.c[i] - (middle - half), 2 * half, 0.5)

    def bollinger(self, i):
        closes = self.last(self.c, i, 20)
        return mean(closes), deviation(closes)

    def raw_k(self, i):
        low, high = min(self.last(self.l, i, 14)), max(self.last(self.h, i, 14))
        return 100 * quotient(self.c[i] - low, high - low, 0.5)

    def slow_k(self, i):
        return mean([self.raw_k(j) for j in (i - 2, i - 1, i)])

    def cci(self, i):
        typical = self.last(self.tp, i, 20)
        if max(typical) == min(typical):
            return 0.0
        middle = mean(typical)
        return (self.tp[i] - middle) / (0.015 * mean([abs(x - middle) for x in typical]))

    def volume_ratio(self, i):
        return quotient(self.v[i], mean(self.last(self.v, i, 20)), 1.0)

    def regime(self, i, short, long):
        long_deviation = deviation(self.last(self.ret, i, long))
        return quotient(deviation(self.last(self.ret, i, short)), long_deviation, 1.0)

    def supertrend(self, i, memory=40):
        def band(j, sign):
            return (self.h[j] + self.l[j]) / 2 + sign * 3 * mean(self.last(self.tr, j, 10))

        j = i - memory + 1
        upper, lower = band(j, 1), band(j, -1)
        direction = 1 if self.c[j] >= (upper + lower) / 2 else -1
        for j in range(i - memory + 2, i + 1):
            new_upper, new_lower = band(j, 1), band(j, -1)
            if new_upper < upper or self.c[j - 1] > upper:
                upper = new_upper
            if new_lower > lower or self.c[j - 1] < lower:
                lower = new_lower
            if self.c[j] > upper:
                direction = 1
            elif self.c[j] < lower:
                direction = -1
        return direction

    def efficiency(self, i, window):
        path = math.fsum(abs(x) for x in self.last(self.change, i, window))
        return quotient(abs(self.c[i] - self.c[i - window]), path, 0.0)


def base_columns(o, h, low, c, v):
    """Every base column by name; values before warm-up are meaningless where a formula needs no history."""
    k = Candles(o, h, low, c, v)
    n = k.n

    def make(first, value):
        return series(n, first, value)

    out = {
        "log_return_1": make(1, lambda i: math.log(c[i]) - math.log(c[i - 1])),
        "rsi_14": wilder_rsi(k),
        "stochastic_k": make(15, k.slow_k),
        "stochastic_d": make(17, lambda i: mean([k.slow_k(j) for j in (i - 2, i - 1, i)])),
        "williams_r_14": make(13, lambda i: k.raw_k(i) - 100),
        "cci_20": make(19, k.cci),
        "mfi_14": make(14, lambda i: money_flow(k, i)),
        "atr_ratio_14": make(14, lambda i: k.atr(i) / c[i]),
        "atr_acceleration": make(18, lambda i: quotient(k.atr(i), k.atr(i - 4), 1.0) - 1),
        "bollinger_middle_distance": make(19, lambda i: c[i] / k.bollinger(i)[0] - 1),
        "bollinger_b": make(19, lambda i: k.bands(i, k.bollinger(i)[0], 2 * k.bollinger(i)[1])),
        "bollinger_bandwidth": make(19, lambda i: 4 * k.bollinger(i)[1] / k.bollinger(i)[0]),
        "volatility_regime_14_96": make(96, lambda i: k.regime(i, 14, 96)),
        "variance_ratio_14_56": make(56, lambda i: variance_ratio(k, i)),
        "supertrend_direction": make(49, k.supertrend),
        "volume_ratio_20": make(19, k.volume_ratio),
        "volume_acceleration": make(23, lambda i: k.volume_ratio(i) - k.volume_ratio(i - 4)),
        "volume_balance_20": make(20, lambda i: volume_balance(k, i)),
        "accumulation_balance_20": make(19, lambda i: accumulation(k, i)),
        "vwap_distance_96": make(95, lambda i: vwap_distance(k, i)),
        "high_distance_96": make(95, lambda i: c[i] / max(k.last(h, i, 96)) - 1),
        "low_distance_96": make(95, lambda i: c[i] / min(k.last(low, i, 96)) - 1),
        "efficiency_ratio_20": make(20, lambda i: k.efficiency(i, 20)),
        "efficiency_ratio_96": make(96, lambda i: k.efficiency(i, 96)),
        "candle_body": make(0, lambda i: quotient(abs(c[i] - o[i]), h[i] - low[i], 0.0)),
        "upper_shadow": make(0, lambda i: quotient(h[i] - max(c[i], o[i]), h[i] - low[i], 0.0)),
        "lower_shadow": make(0, lambda i: quotient(min(c[i], o[i]) - low[i], h[i] - low[i], 0.0)),
    }
    for bars in (4, 16, 96):
        out[f"roc_{bars}"] = make(bars, lambda i, bars=bars: k.roc(i, bars))
    for bars in (2, 4, 8, 16):
        out[f"mean_return_{bars}"] = make(bars, lambda i, bars=bars: 100 * mean(k.last(k.ret, i, bars)))
    averages = {span: ema(c, span) for span in (9, 12, 20, 21, 26, 50, 100, 200)}
    for span in (9, 21, 50, 100, 200):
        out[f"ema_distance_{span}"] = [c[i] / averages[span][i] - 1 for i in range(n)]
    for fast, slow in ((9, 21), (21, 50), (50, 200)):
        out[f"ema_spread_{fast}_{slow}"] = [averages[fast][i] / averages[slow][i] - 1 for i in range(n)]
    line = [averages[12][i] - averages[26][i] for i in range(n)]
    signal = ema(line, 9)
    out["macd_line"] = [line[i] / c[i] for i in range(n)]
    out["macd_signal"] = [signal[i] / c[i] for i in range(n)]
    out["macd_histogram"] = [(line[i] - signal[i]) / c[i] for i in range(n)]
    out["keltner_position"] = make(14, lambda i: k.bands(i, averages[20][i], 1.5 * k.atr(i)))
    rsi = out["rsi_14"]
    out["rsi_divergence"] = make(4, lambda i: rsi[i] - rsi[i - 4] - k.roc(i, 4))
    out.update(wilder_directional(k))
    return out


def wilder_rsi(k):
    gain = exponential([max(x, 0.0) for x in k.change], 1 / 14)
    loss = exponential([max(-x, 0.0) for x in k.change], 1 / 14)
    return [100 * quotient(g, g + s, 0.5) for g, s in zip(gain, loss, strict=True)]


def wilder_directional(k):
    travel, plus, minus = (exponential(values, 1 / 14) for values in (k.tr, k.plus, k.minus))
    up = [100 * quotient(p, t, 0.0) for p, t in zip(plus, travel, strict=True)]
    down = [100 * quotient(m, t, 0.0) for m, t in zip(minus, travel, strict=True)]
    strength = [100 * quotient(abs(u - d), u + d, 0.0) for u, d in zip(up, down, strict=True)]
    return {"adx_14": exponential(strength, 1 / 14), "plus_di_14": up, "minus_di_14": down}


def money_flow(k, i):
    days = range(i - 13, i + 1)
    rising = math.fsum(k.tp[j] * k.v[j] for j in days if k.tp[j] > k.tp[j - 1])
    falling = math.fsum(k.tp[j] * k.v[j] for j in days if k.tp[j] < k.tp[j - 1])
    return 100 * quotient(rising, rising + falling, 0.5)


def variance_ratio(k, i):
    long, short = deviation(k.last(k.ret, i, 56)) ** 2, deviation(k.last(k.ret, i, 14)) ** 2
    if short <= 1e-18:
        return 1.0 if long <= 1e-18 else 100.0
    return min(100.0, long / short)


def volume_balance(k, i):
    days = range(i - 19, i + 1)
    signed = math.fsum(k.v[j] if k.c[j] >= k.c[j - 1] else -k.v[j] for j in days)
    return quotient(signed, math.fsum(k.v[j] for j in days), 0.0)


def accumulation(k, i):
    days = range(i - 19, i + 1)
    flow = math.fsum(k.v[j] * quotient(2 * k.c[j] - k.l[j] - k.h[j], k.h[j] - k.l[j], 0.0) for j in days)
    return quotient(flow, math.fsum(k.v[j] for j in days), 0.0)


def vwap_distance(k, i):
    days = range(i - 95, i + 1)
    volume = math.fsum(k.v[j] for j in days)
    return 0.0 if volume == 0 else k.c[i] / (math.fsum(k.c[j] * k.v[j] for j in days) / volume) - 1


def higher_columns(o, h, low, c, v):
    """The columns of a higher frame over its closed candles."""
    k = Candles(o, h, low, c, v)

    def make(first, value):
        return series(k.n, first, value)

    def macd(i):
        def line(j):
            return mean(k.last(c, j, 12)) - mean(k.last(c, j, 26))

        return (line(i) - mean([line(j) for j in range(i - 8, i + 1)])) / c[i]

    def rsi(i):
        changes = k.last(k.change, i, 14)
        gain = math.fsum(x for x in changes if x > 0)
        return 100 * quotient(gain, gain - math.fsum(x for x in changes if x < 0), 0.5)

    def strength(i):
        travel, plus, minus = (math.fsum(k.last(x, i, 14)) for x in (k.tr, k.plus, k.minus))
        up, down = quotient(plus, travel, 0.0), quotient(minus, travel, 0.0)
        return 100 * quotient(abs(up - down), up + down, 0.0)

    out = {
        "sma_macd_histogram": make(33, macd),
        "rsi_simple_14": make(14, rsi),
        "atr_ratio_14": make(14, lambda i: k.atr(i) / c[i]),
        "bollinger_b": make(19, lambda i: k.bands(i, k.bollinger(i)[0], 2 * k.bollinger(i)[1])),
        "volume_ratio_20": make(19, k.volume_ratio),
        "roc_4": make(4, lambda i: k.roc(i, 4)),
        "roc_16": make(16, lambda i: k.roc(i, 16)),
        "high_distance_48": make(47, lambda i: c[i] / max(k.last(h, i, 48)) - 1),
        "low_distance_48": make(47, lambda i: c[i] / min(k.last(low, i, 48)) - 1),
        "adx_simple_14": make(27, lambda i: mean([strength(j) for j in range(i - 13, i + 1)])),
        "stochastic_k": make(15, k.slow_k),
        "cci_20": make(19, k.cci),
        "keltner_position": make(19, lambda i: k.bands(i, mean(k.last(c, i, 20)), 1.5 * k.atr(i))),
        "volatility_regime_14_48": make(48, lambda i: k.regime(i, 14, 48)),
        "supertrend_direction": make(49, k.supertrend),
    }
    for span in (9, 21, 50):
        out[f"sma_distance_{span}"] = make(span - 1, lambda i, s=span: c[i] / mean(k.last(c, i, s)) - 1)
    return out
