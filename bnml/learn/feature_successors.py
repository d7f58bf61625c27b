"""What became of each column of BN-ML: its stationary successor here, or why it has none."""

from __future__ import annotations

from typing import NamedTuple


class Successor(NamedTuple):
    """`columns` are names of ours; empty where the column was dropped."""

    columns: tuple[str, ...]
    change: str


def _same(column: str, note: str = "same formula") -> Successor:
    return Successor((column,), note)


_LEVEL = "price level made a distance of the close from it"
_BACKFILL = "same formula; no value before the window is full"

BASE: dict[str, Successor] = {
    **{f"ema_{span}": _same(f"ema_distance_{span}", _LEVEL) for span in (9, 21, 50, 100, 200)},
    "ema_9_21_spread": _same("ema_spread_9_21"),
    "ema_21_50_spread": _same("ema_spread_21_50"),
    "ema_50_200_spread": _same("ema_spread_50_200"),
    "macd": _same("macd_line", "price level, divided by the close"),
    "macd_signal": _same("macd_signal", "price level, divided by the close"),
    "macd_hist": _same("macd_histogram", "price level, divided by the close"),
    "rsi_14": _same("rsi_14", "same formula; 50 when nothing moved, 100 when nothing fell"),
    "adx_14": _same("adx_14"),
    "plus_di_14": _same("plus_di_14"),
    "minus_di_14": _same("minus_di_14"),
    "stoch_k": _same("stochastic_k", _BACKFILL),
    "stoch_d": _same("stochastic_d", _BACKFILL),
    "williams_r": _same("williams_r_14", _BACKFILL),
    "cci_20": _same("cci_20", _BACKFILL),
    "mfi_14": _same("mfi_14", "same value written as a share, so that no falling bar gives 100, not a hole"),
    "rsi_divergence": _same("rsi_divergence"),
    "atr_14": _same("atr_ratio_14", "price level, divided by the close"),
    "atr_ratio": _same("atr_ratio_14"),
    "atr_acceleration": _same("atr_acceleration"),
    "bb_mid": _same("bollinger_middle_distance", _LEVEL),
    "bb_upper": Successor(
        ("bollinger_b", "bollinger_bandwidth"), "dropped: price level; follows from position and bandwidth"
    ),
    "bb_lower": Successor(
        ("bollinger_b", "bollinger_bandwidth"), "dropped: price level; follows from position and bandwidth"
    ),
    "bb_percent_b": _same("bollinger_b", _BACKFILL),
    "bb_bandwidth": _same("bollinger_bandwidth", _BACKFILL),
    "keltner_pct": _same("keltner_position"),
    "vol_regime_ratio": _same("volatility_regime_14_96", _BACKFILL),
    "supertrend_direction": _same(
        "supertrend_direction",
        "its direction could date from any time ago, so it depended on the fetch window; "
        "now SuperTrend with carried bands over the last 40 bars",
    ),
    "obv": _same("volume_balance_20", "sum since the first fetched bar made a share of 20 bars of volume"),
    "volume_ratio_20": _same("volume_ratio_20", _BACKFILL),
    "volume_acceleration": _same("volume_acceleration"),
    "ad_line": _same(
        "accumulation_balance_20", "sum since the first fetched bar made a share of 20 bars of volume"
    ),
    "dist_vwap_24h": _same("vwap_distance_96", "same formula; needs all 96 bars, not 20"),
    "roc_1h": _same("roc_4", "same formula; named by bars, since the base frame is a setting"),
    "roc_4h": _same("roc_16", "same formula; named by bars, since the base frame is a setting"),
    "roc_1d": _same("roc_96", "same formula; named by bars, since the base frame is a setting"),
    "dist_high_24h": _same("high_distance_96", _BACKFILL),
    "dist_low_24h": _same("low_distance_96", _BACKFILL),
    "efficiency_ratio_20": _same("efficiency_ratio_20", _BACKFILL),
    "efficiency_ratio_96": _same("efficiency_ratio_96", _BACKFILL),
    "variance_ratio": _same("variance_ratio_14_56", "without the constant divisor 4; at most 100"),
    "candle_body_ratio": _same("candle_body"),
    "upper_shadow_ratio": _same("upper_shadow"),
    "lower_shadow_ratio": _same("lower_shadow"),
    **{
        f"past_mean_return_{bars}": _same(f"mean_return_{bars}", "same formula, in percent")
        for bars in (2, 4, 8, 16)
    },
}

_SIMPLE = "simple means, whose memory ends, so that 51 days of history are enough for the daily frame"
_JOIN = "same formula"
_SHORTER = "48 candles in place of 96, so that 51 days of history are enough for the daily frame"

HIGHER: dict[str, Successor] = {
    "ema_9": _same("sma_distance_9", f"{_LEVEL}; {_SIMPLE}"),
    "ema_21": _same("sma_distance_21", f"{_LEVEL}; {_SIMPLE}"),
    "ema_50": _same("sma_distance_50", f"{_LEVEL}; {_SIMPLE}"),
    "macd_hist": _same("sma_macd_histogram", f"price level, divided by the close; {_SIMPLE}"),
    "rsi_14": _same("rsi_simple_14", _SIMPLE),
    "atr_ratio": _same("atr_ratio_14", _JOIN),
    "bb_percent_b": _same("bollinger_b", _JOIN),
    "volume_ratio_20": _same("volume_ratio_20", _JOIN),
    "roc_1h": _same("roc_4", "same formula: 4 candles of the higher frame, named as such"),
    "roc_4h": _same("roc_16", "same formula: 16 candles of the higher frame, named as such"),
    "dist_high_24h": _same("high_distance_48", _SHORTER),
    "dist_low_24h": _same("low_distance_48", _SHORTER),
    "adx_14": _same("adx_simple_14", _SIMPLE),
    "stoch_k": _same("stochastic_k", _JOIN),
    "cci_20": _same("cci_20", _JOIN),
    "keltner_pct": _same("keltner_position", _SIMPLE),
    "vol_regime_ratio": _same("volatility_regime_14_48", _SHORTER),
    "supertrend_direction": _same("supertrend_direction", "as on the base frame"),
}
"""Columns of BN-ML's `mtf_1h_`, `mtf_4h_` and `mtf_1d_`; successors carry the same prefix."""

CONFLUENCE: dict[str, Successor] = {
    name: _same(name, "same votes, from the successors; no value until every frame can vote")
    for name in (
        "mtf_trend_strength_mean",
        "mtf_trend_strength_std",
        "mtf_trend_consensus",
        "mtf_trend_conflict",
        "mtf_macd_consensus",
        "mtf_rsi_bias_mean",
        "mtf_rsi_bias_std",
        "mtf_confluence_score",
    )
}


def all_successors(prefixes: tuple[str, ...] = ("mtf_1h_", "mtf_4h_", "mtf_1d_")) -> dict[str, Successor]:
    """BN-ML's 114 columns in its order of families, each with our column names in full."""
    higher = {
        prefix + name: Successor(tuple(prefix + column for column in after.columns), after.change)
        for prefix in prefixes
        for name, after in HIGHER.items()
    }
    return {**BASE, **higher, **CONFLUENCE}
