"""What each feature column means, in words: meaning, unit, and its value where the formula has none."""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """One column; `idle` is the stated value of 0/0, empty where that cannot happen."""

    text: str
    unit: str
    idle: str = ""


BASE: dict[str, Meaning] = {
    "log_return_1": Meaning("natural logarithm of close over the close before", "fraction"),
    "roc_4": Meaning("change of the close over 4 bars", "percent"),
    "roc_16": Meaning("change of the close over 16 bars", "percent"),
    "roc_96": Meaning("change of the close over 96 bars", "percent"),
    "mean_return_2": Meaning("mean of the last 2 simple returns", "percent"),
    "mean_return_4": Meaning("mean of the last 4 simple returns", "percent"),
    "mean_return_8": Meaning("mean of the last 8 simple returns", "percent"),
    "mean_return_16": Meaning("mean of the last 16 simple returns", "percent"),
    "ema_distance_9": Meaning("close over its EMA 9, minus 1", "fraction"),
    "ema_distance_21": Meaning("close over its EMA 21, minus 1", "fraction"),
    "ema_distance_50": Meaning("close over its EMA 50, minus 1", "fraction"),
    "ema_distance_100": Meaning("close over its EMA 100, minus 1", "fraction"),
    "ema_distance_200": Meaning("close over its EMA 200, minus 1", "fraction"),
    "ema_spread_9_21": Meaning("EMA 9 over EMA 21, minus 1", "fraction"),
    "ema_spread_21_50": Meaning("EMA 21 over EMA 50, minus 1", "fraction"),
    "ema_spread_50_200": Meaning("EMA 50 over EMA 200, minus 1", "fraction"),
    "macd_line": Meaning("EMA 12 minus EMA 26, over the close", "fraction"),
    "macd_signal": Meaning("EMA 9 of EMA 12 minus EMA 26, over the close", "fraction"),
    "macd_histogram": Meaning("MACD line minus its signal, over the close", "fraction"),
    "rsi_14": Meaning("relative strength index, Wilder's average of 14", "0..100", "50"),
    "rsi_divergence": Meaning("change of rsi_14 over 4 bars, minus roc_4", "points"),
    "adx_14": Meaning("average directional index, Wilder's average of 14", "0..100", "0"),
    "plus_di_14": Meaning("directional indicator up, Wilder's average of 14", "0..100", "0"),
    "minus_di_14": Meaning("directional indicator down, Wilder's average of 14", "0..100", "0"),
    "stochastic_k": Meaning("close in the range of 14 bars, mean of 3", "0..100", "50"),
    "stochastic_d": Meaning("mean of the last 3 stochastic_k", "0..100", "50"),
    "williams_r_14": Meaning("close below the high of 14 bars, in their range", "-100..0", "-50"),
    "cci_20": Meaning("typical price off its mean of 20, over 0.015 mean deviations", "number", "0"),
    "mfi_14": Meaning("share of rising typical prices in 14 bars of money flow", "0..100", "50"),
    "atr_ratio_14": Meaning("mean true range of 14 bars, over the close", "fraction"),
    "atr_acceleration": Meaning("mean true range over that of 4 bars ago, minus 1", "fraction", "0"),
    "bollinger_middle_distance": Meaning("close over its mean of 20, minus 1", "fraction"),
    "bollinger_b": Meaning("close between the Bollinger bands 20/2: 0 lower, 1 upper", "ratio", "0.5"),
    "bollinger_bandwidth": Meaning("distance of the Bollinger bands, over their middle", "fraction"),
    "keltner_position": Meaning("close in the channel EMA 20 +- 1.5 ATR: 0 lower, 1 upper", "ratio", "0.5"),
    "volatility_regime_14_96": Meaning("deviation of 14 returns over that of 96, at most 100", "ratio", "1"),
    "supertrend_direction": Meaning("direction of SuperTrend 10/3 started 40 bars ago", "-1 or 1"),
    "volume_ratio_20": Meaning("volume over its mean of 20 bars", "ratio", "1"),
    "volume_acceleration": Meaning("change of volume_ratio_20 over 4 bars", "ratio"),
    "volume_balance_20": Meaning(
        "volume of rising closes minus that of falling ones, over all volume of 20 bars", "-1..1", "0"
    ),
    "accumulation_balance_20": Meaning(
        "volume weighted by the close's place in its candle, over all volume of 20 bars", "-1..1", "0"
    ),
    "vwap_distance_96": Meaning(
        "close over the volume-weighted mean close of 96 bars, minus 1", "fraction", "0"
    ),
    "high_distance_96": Meaning("close over the high of 96 bars, minus 1", "fraction, <= 0"),
    "low_distance_96": Meaning("close over the low of 96 bars, minus 1", "fraction, >= 0"),
    "efficiency_ratio_20": Meaning("net move over the path walked in 20 bars", "0..1", "0"),
    "efficiency_ratio_96": Meaning("net move over the path walked in 96 bars", "0..1", "0"),
    "variance_ratio_14_56": Meaning("variance of 56 returns over that of 14, at most 100", "ratio", "1"),
    "candle_body": Meaning("body of the candle over its range", "0..1", "0"),
    "upper_shadow": Meaning("upper shadow of the candle over its range", "0..1", "0"),
    "lower_shadow": Meaning("lower shadow of the candle over its range", "0..1", "0"),
}

HIGHER: dict[str, Meaning] = {
    "sma_distance_9": Meaning("close over its mean of 9, minus 1", "fraction"),
    "sma_distance_21": Meaning("close over its mean of 21, minus 1", "fraction"),
    "sma_distance_50": Meaning("close over its mean of 50, minus 1", "fraction"),
    "sma_macd_histogram": Meaning("MACD histogram of simple means 12/26/9, over the close", "fraction"),
    "rsi_simple_14": Meaning("relative strength index, simple mean of 14 (Cutler)", "0..100", "50"),
    "atr_ratio_14": BASE["atr_ratio_14"],
    "bollinger_b": BASE["bollinger_b"],
    "volume_ratio_20": BASE["volume_ratio_20"],
    "roc_4": BASE["roc_4"],
    "roc_16": BASE["roc_16"],
    "high_distance_48": Meaning("close over the high of 48 bars, minus 1", "fraction, <= 0"),
    "low_distance_48": Meaning("close over the low of 48 bars, minus 1", "fraction, >= 0"),
    "adx_simple_14": Meaning("average directional index, simple means of 14", "0..100", "0"),
    "stochastic_k": BASE["stochastic_k"],
    "cci_20": BASE["cci_20"],
    "keltner_position": Meaning("close in the channel SMA 20 +- 1.5 ATR: 0 lower, 1 upper", "ratio", "0.5"),
    "volatility_regime_14_48": Meaning("deviation of 14 returns over that of 48", "ratio", "1"),
    "supertrend_direction": BASE["supertrend_direction"],
}

CONFLUENCE: dict[str, Meaning] = {
    "mtf_trend_strength_mean": Meaning(
        "mean over the frames of fast over slow average (9, 21), minus 1", "percent"
    ),
    "mtf_trend_strength_std": Meaning("sample deviation of the same; 0 for a single frame", "percent"),
    "mtf_trend_consensus": Meaning("mean of the signs of the frames' trends", "-1..1"),
    "mtf_trend_conflict": Meaning("1 minus the absolute mtf_trend_consensus", "0..1"),
    "mtf_macd_consensus": Meaning("mean of the signs of the frames' MACD histograms", "-1..1"),
    "mtf_rsi_bias_mean": Meaning("mean over the frames of (RSI - 50) / 50", "-1..1"),
    "mtf_rsi_bias_std": Meaning("sample deviation of the same; 0 for a single frame", "0..1"),
    "mtf_confluence_score": Meaning("mean of trend consensus, MACD consensus and RSI bias", "-1..1"),
}
