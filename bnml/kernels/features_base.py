"""The columns of the base frame: families of indicators, each writing its own part of the row.

Every column is a ratio, a distance or an oscillator; no price level. Exponential averages (EMA, Wilder)
forget their first value: BASE_WARMUPS leaves them until its weight is below 1e-11.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit
from bnml.kernels.rolling import ZERO_VARIANCE, back, ratio, running_max, running_sum, smooth, window_sum
from bnml.kernels.technical import (
    ACTIVE,
    CLOSES,
    EMA,
    EXTREMES,
    FAST_K,
    HIGHS,
    LOWS,
    PATHS,
    RETURNS,
    SQUARES,
    STRENGTH,
    SUMS,
    TRADED,
    TYPICAL,
    VOLUMES,
    average_range,
    band_position,
    bollinger,
    change_percent,
    commodity_channel,
    directional,
    efficiency,
    fast_k,
    push,
    relative_strength,
    return_deviation,
    supertrend,
    volume_ratio,
)

Array = NDArray[np.float64]

MEMORY = 13  # an EMA of span p has forgotten its start to e^-26 after 13 (p + 1) bars
WILDER = 13 * 28  # Wilder's average of 14 is an EMA of span 27
RATIO_CAP = 100.0

BASE_COLUMNS: tuple[tuple[str, int], ...] = (
    ("log_return_1", 2),
    ("roc_4", 5),
    ("roc_16", 17),
    ("roc_96", 97),
    ("mean_return_2", 3),
    ("mean_return_4", 5),
    ("mean_return_8", 9),
    ("mean_return_16", 17),
    ("ema_distance_9", MEMORY * 10),
    ("ema_distance_21", MEMORY * 22),
    ("ema_distance_50", MEMORY * 51),
    ("ema_distance_100", MEMORY * 101),
    ("ema_distance_200", MEMORY * 201),
    ("ema_spread_9_21", MEMORY * 22),
    ("ema_spread_21_50", MEMORY * 51),
    ("ema_spread_50_200", MEMORY * 201),
    ("macd_line", MEMORY * 27),
    ("macd_signal", MEMORY * 37),
    ("macd_histogram", MEMORY * 37),
    ("rsi_14", WILDER),
    ("rsi_divergence", WILDER + 4),
    ("adx_14", WILDER + WILDER // 2),
    ("plus_di_14", WILDER),
    ("minus_di_14", WILDER),
    ("stochastic_k", 16),
    ("stochastic_d", 18),
    ("williams_r_14", 14),
    ("cci_20", 20),
    ("mfi_14", 15),
    ("atr_ratio_14", 15),
    ("atr_acceleration", 19),
    ("bollinger_middle_distance", 20),
    ("bollinger_b", 20),
    ("bollinger_bandwidth", 20),
    ("keltner_position", MEMORY * 21),
    ("volatility_regime_14_96", 97),
    ("supertrend_direction", 50),
    ("volume_ratio_20", 20),
    ("volume_acceleration", 24),
    ("volume_balance_20", 21),
    ("accumulation_balance_20", 20),
    ("vwap_distance_96", 96),
    ("high_distance_96", 96),
    ("low_distance_96", 96),
    ("efficiency_ratio_20", 21),
    ("efficiency_ratio_96", 97),
    ("variance_ratio_14_56", 57),
    ("candle_body", 1),
    ("upper_shadow", 1),
    ("lower_shadow", 1),
)
"""Name and warm-up in bars of the base frame, the current bar included."""

BASE_COUNT = len(BASE_COLUMNS)
BASE_WARMUPS = np.array([warmup for _, warmup in BASE_COLUMNS], dtype=np.int64)
BASE_WARMUP = int(BASE_WARMUPS.max())


@njit
def base_returns(state: Array, n: int, out: Array) -> None:
    """log_return_1, roc_*, mean_return_* (columns 0-7)."""
    out[0] = np.log(back(state, CLOSES, n, 0) / back(state, CLOSES, n, 1))
    out[1] = change_percent(state, 0, n, 4)
    out[2] = change_percent(state, 0, n, 16)
    out[3] = change_percent(state, 0, n, 96)
    out[4] = window_sum(state, RETURNS, n, 2) / 2.0 * 100.0
    out[5] = window_sum(state, RETURNS, n, 4) / 4.0 * 100.0
    out[6] = window_sum(state, RETURNS, n, 8) / 8.0 * 100.0
    out[7] = window_sum(state, RETURNS, n, 16) / 16.0 * 100.0


@njit
def base_averages(state: Array, n: int, close: float, out: Array) -> None:
    """EMA distances and spreads, MACD 12/26/9 relative to the close (columns 8-18), Keltner 20/1.5 (34)."""
    ema_9 = smooth(state, EMA, n, close, 2.0 / 10.0)
    ema_21 = smooth(state, EMA + 1, n, close, 2.0 / 22.0)
    ema_50 = smooth(state, EMA + 2, n, close, 2.0 / 51.0)
    ema_100 = smooth(state, EMA + 3, n, close, 2.0 / 101.0)
    ema_200 = smooth(state, EMA + 4, n, close, 2.0 / 201.0)
    out[8] = close / ema_9 - 1.0
    out[9] = close / ema_21 - 1.0
    out[10] = close / ema_50 - 1.0
    out[11] = close / ema_100 - 1.0
    out[12] = close / ema_200 - 1.0
    out[13] = ema_9 / ema_21 - 1.0
    out[14] = ema_21 / ema_50 - 1.0
    out[15] = ema_50 / ema_200 - 1.0
    fast = smooth(state, EMA + 5, n, close, 2.0 / 13.0)
    slow = smooth(state, EMA + 6, n, close, 2.0 / 27.0)
    signal = smooth(state, EMA + 7, n, fast - slow, 2.0 / 10.0)
    out[16] = (fast - slow) / close
    out[17] = signal / close
    out[18] = (fast - slow - signal) / close
    middle = smooth(state, EMA + 8, n, close, 2.0 / 21.0)
    out[34] = band_position(close, middle, 1.5 * average_range(state, 0, n))


@njit
def base_oscillators(state: Array, n: int, out: Array) -> None:
    """RSI, its divergence from the price, ADX and DI, stochastic, Williams %R, CCI, MFI (columns 19-28)."""
    out[19] = relative_strength(state, 0, n)
    out[20] = out[19] - back(state, STRENGTH, n, 4) - change_percent(state, 0, n, 4)
    adx, plus, minus = directional(state, 0, n)
    out[21] = adx
    out[22] = plus
    out[23] = minus
    raw_k = fast_k(state, 0, n)
    k_now = window_sum(state, FAST_K, n, 3) / 3.0
    k_past = window_sum(state, FAST_K, n - 1, 3) / 3.0
    out[24] = k_now
    out[25] = (k_now + k_past + window_sum(state, FAST_K, n - 2, 3) / 3.0) / 3.0
    out[26] = raw_k - 100.0
    out[27] = commodity_channel(state, 0, n)
    rising = 0.0
    falling = 0.0
    for k in range(13, -1, -1):
        typical = back(state, TYPICAL, n, k)
        flow = typical * back(state, VOLUMES, n, k)
        earlier = back(state, TYPICAL, n, k + 1)
        if typical > earlier:
            rising += flow
        elif typical < earlier:
            falling += flow
    out[28] = 100.0 * ratio(rising, rising + falling, 0.5)


@njit
def base_volatility(state: Array, n: int, anew: bool, out: Array) -> None:
    """ATR, Bollinger 20/2, volatility regime, SuperTrend, variance ratio (columns 29-33, 35, 36, 46)."""
    close = back(state, CLOSES, n, 0)
    atr = average_range(state, 0, n)
    out[29] = atr / close
    out[30] = ratio(atr, average_range(state, 0, n - 4), 1.0) - 1.0
    mean, deviation = bollinger(state, 0, n)
    out[31] = close / mean - 1.0
    out[32] = band_position(close, mean, 2.0 * deviation)
    out[33] = 4.0 * deviation / mean
    deviation_14 = return_deviation(state, 0, n, 14)
    variance_56 = running_variance(state, SUMS, n, 56, anew)
    variance_96 = running_variance(state, SUMS + 2, n, 96, anew)
    out[35] = min(RATIO_CAP, ratio(deviation_14, np.sqrt(variance_96), 1.0))
    out[36] = supertrend(state, 0, n)
    variance_14 = deviation_14 * deviation_14
    if variance_14 <= ZERO_VARIANCE:
        out[46] = 1.0 if variance_56 == 0.0 else RATIO_CAP
    else:
        out[46] = min(RATIO_CAP, variance_56 / variance_14)


@njit
def running_variance(state: Array, at: int, n: int, window: int, anew: bool) -> float:
    """Sample variance of simple returns from running sums at state[at:at+2]; a residue counts as 0."""
    total = running_sum(state, at, RETURNS, n, window, anew)
    squares = running_sum(state, at + 1, SQUARES, n, window, anew)
    variance = (squares - total * total / window) / (window - 1)
    return variance if variance > ZERO_VARIANCE else 0.0


@njit
def base_volume(state: Array, n: int, anew: bool, out: Array) -> None:
    """Volume ratio and its change, signed and accumulated volume, VWAP distance (columns 37-41)."""
    out[37] = volume_ratio(state, 0, n)
    out[38] = out[37] - volume_ratio(state, 0, n - 4)
    signed = 0.0
    accumulated = 0.0
    for k in range(19, -1, -1):
        close = back(state, CLOSES, n, k)
        volume = back(state, VOLUMES, n, k)
        high = back(state, HIGHS, n, k)
        low = back(state, LOWS, n, k)
        signed += volume if close >= back(state, CLOSES, n, k + 1) else -volume
        accumulated += volume * ratio((close - low) - (high - close), high - low, 0.0)
    total = window_sum(state, VOLUMES, n, 20)
    out[39] = ratio(signed, total, 0.0)
    out[40] = ratio(accumulated, total, 0.0)
    traded = running_sum(state, SUMS + 4, TRADED, n, 96, anew)
    volume_96 = running_sum(state, SUMS + 5, VOLUMES, n, 96, anew)
    # Counts of ones are exact, so an idle window is seen although the other sums keep a residue.
    idle = running_sum(state, SUMS + 6, ACTIVE, n, 96, anew) == 0.0
    out[41] = 0.0 if idle else back(state, CLOSES, n, 0) / (traded / volume_96) - 1.0


@njit
def base_shape(state: Array, n: int, anew: bool, opened: float, out: Array) -> None:
    """Distance to the extremes of 96 bars, efficiency, shape of the candle (columns 42-45, 47-49)."""
    close = back(state, CLOSES, n, 0)
    out[42] = close / running_max(state, EXTREMES, HIGHS, n, 96, 1.0) - 1.0
    out[43] = close / -running_max(state, EXTREMES + 2, LOWS, n, 96, -1.0) - 1.0
    out[44] = efficiency(state, 0, n, 20, window_sum(state, PATHS, n, 20))
    out[45] = efficiency(state, 0, n, 96, running_sum(state, SUMS + 7, PATHS, n, 96, anew))
    high = back(state, HIGHS, n, 0)
    low = back(state, LOWS, n, 0)
    out[47] = ratio(abs(close - opened), high - low, 0.0)
    out[48] = ratio(high - max(close, opened), high - low, 0.0)
    out[49] = ratio(min(close, opened) - low, high - low, 0.0)


@njit
def base_row(state: Array, number: int, o: float, h: float, l: float, c: float, v: float, out: Array) -> None:
    """Take in a base bar and write the BASE_COUNT columns of the row; NaN where warm-up is not over."""
    n, anew = push(state, 0, number, h, l, c, v)
    base_returns(state, n, out)
    base_averages(state, n, c, out)
    base_oscillators(state, n, out)
    base_volatility(state, n, anew, out)
    base_volume(state, n, anew, out)
    base_shape(state, n, anew, o, out)
    if n < BASE_WARMUP:
        for column in range(BASE_COUNT):
            if n < BASE_WARMUPS[column]:
                out[column] = np.nan
