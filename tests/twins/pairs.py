"""Naive statistics of two series: each figure from the raw rows of its own window, with textbook least squares."""

import math

import numpy as np

NAN = math.nan


def last(values, i, size):
    """The last `size` rows, or None where one is missing or NaN."""
    rows = values[max(0, i - size + 1) : i + 1]
    return None if i + 1 < size or any(math.isnan(v) for v in rows) else rows


def at_row(i, size, figure, *series):
    """figure(*windows) at a row, NaN where a window is not whole."""
    parts = [last(values, i, size) for values in series]
    return NAN if any(part is None for part in parts) else figure(*parts)


def is_flat(values):
    return max(values) - min(values) < 1e-12


def least_squares(columns, y):
    """Coefficients, standard errors and residuals of y on the columns."""
    table = np.array(columns, dtype=float).T
    coefficients, *_ = np.linalg.lstsq(table, np.array(y, dtype=float), rcond=None)
    rest = np.array(y) - table @ coefficients
    variance = rest @ rest / (len(y) - table.shape[1])
    return coefficients, np.sqrt(variance * np.diag(np.linalg.inv(table.T @ table))), rest


def hedge(x, y):
    """Slope, intercept, last residual."""
    if is_flat(x):
        return NAN, NAN, NAN
    (alpha, beta), _, rest = least_squares([[1] * len(x), x], y)
    return beta, alpha, rest[-1]


def correlation(x, y):
    return NAN if is_flat(x) or is_flat(y) else float(np.corrcoef(x, y)[0, 1])


def z_score(values):
    return NAN if is_flat(values) else (values[-1] - np.mean(values)) / np.std(values, ddof=1)


def half_life(values):
    """values: one more than there are pairs."""
    if is_flat(values[:-1]):
        return NAN
    (_, slope), *_ = least_squares([[1] * (len(values) - 1), values[:-1]], values[1:])
    return -math.log(2) / math.log(slope) if 0 < slope < 1 else NAN


def dickey_fuller(values, lags):
    """t statistic of the level in the regression of the change on level, and on the change before with one lag."""
    change = np.diff(values)
    columns = [np.ones(len(change) - lags), values[lags:-1]] + ([change[:-1]] if lags else [])
    if is_flat(values):
        return NAN
    coefficients, errors, _ = least_squares(columns, change[lags:])
    return coefficients[1] / errors[1]


def hurst_by_variance(levels, lags):
    deviations = [np.std(np.array(levels[lag:]) - np.array(levels[:-lag]), ddof=1) for lag in lags]
    return NAN if min(deviations) < 1e-14 else clipped(np.polyfit(np.log(lags), np.log(deviations), 1)[0])


def hurst_by_range(levels):
    """levels: one more than there are increments."""
    increments = np.diff(levels)
    sizes = [len(increments) // part for part in (1, 2, 4, 8) if len(increments) // part >= 8]
    ratios = []
    for size in sizes:
        found = []
        for block in range(len(increments) // size):
            part = increments[len(increments) - (block + 1) * size : len(increments) - block * size]
            walk = [0.0, *np.cumsum(part - part.mean())]
            found.append((max(walk) - min(walk)) / part.std() if part.std() > 1e-14 else NAN)
        expected = sum(math.sqrt((size - i) / i) for i in range(1, size))
        expected *= math.gamma((size - 1) / 2) / math.sqrt(math.pi) / math.gamma(size / 2)
        ratios.append(np.mean(found) / expected)
    return clipped(0.5 + np.polyfit(np.log(sizes), np.log(ratios), 1)[0])


def clipped(value):
    return value if math.isnan(value) else min(0.99, max(0.01, value))


def kalman(x, y, noise, drifts, *, prior=1.0, adapt=0.0, gap=10.0, warmup=100):
    """alpha, beta, z of each row with matrices; a NaN row gives NaN and makes a hole."""
    state, covariance = np.array([0.0, 1.0]), np.eye(2) * prior
    out, rows, hole = [], 0, False
    for a, b in zip(x, y, strict=True):
        if math.isnan(a) or math.isnan(b):
            out.append((NAN, NAN, NAN))
            hole = rows > 0
            continue
        covariance = covariance * (gap if hole else 1)
        hole = False
        h = np.array([1.0, a])
        known = h @ covariance @ h
        innovation = b - h @ state
        gain = covariance @ h / (known + noise)
        state = state + gain * innovation
        rest = np.eye(2) - np.outer(gain, h)
        covariance = rest @ covariance @ rest.T + np.outer(gain, gain) * noise + np.diag(drifts)
        z = innovation / math.sqrt(known + noise)
        noise += adapt * (max(innovation**2 - known, 0.0) - noise)
        rows += 1
        out.append((state[1], state[0], z if rows > warmup else NAN))
    return out
