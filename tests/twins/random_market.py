"""Random bars with gaps, columns and signals, and records filled by name; what the twins are driven with."""

import numpy as np

from bnml.core.instrument import Instrument
from bnml.kernels import fills, records

HOUR_NS = 3_600 * 10**9
START_NS = 1_688_169_600 * 10**9  # 2023-07-01
COLUMNS = ("rsi_14", "macd_histogram", "bollinger_b", "roc_4", "roc_16", "volume_ratio_20", "atr_ratio_14")

BTC = Instrument("BTCUSDT", "BTC", "USDT", tick_e8=10**6, lot_e8=10**3)
ADA = Instrument("ADAUSDT", "ADA", "USDT", tick_e8=10**4, lot_e8=10**7)
DOGE = Instrument("DOGEUSDT", "DOGE", "USDT", tick_e8=10**3, lot_e8=10**8)
SHIB = Instrument("SHIBUSDT", "SHIB", "USDT", tick_e8=1, lot_e8=10**8)
FINE = Instrument("FINEUSDT", "FINE", "USDT", tick_e8=10**6, lot_e8=1)  # volume with 8 decimals
INSTRUMENTS = (BTC, ADA, DOGE, SHIB, FINE)

RULES = {
    "price_cap_ppm": 5_000,
    "stop_atr_ppm": 1_500_000,
    "hard_stop_ppm": 30_000,
    "trail_start_ppm": 20_000,
    "trail_atr_ppm": 1_000_000,
    "trail_step_ppm": 1_000,
    "target1_ppm": 20_000,
    "target2_ppm": 40_000,
    "share1_ppm": 500_000,
    "share2_ppm": 300_000,
    "time_stop_ns": 48 * HOUR_NS,
    "time_stop_band_ppm": 5_000,
    "dust_ppm": 10_000,
    "exit_on_sell": 0,
    "trail_ppm": 0,
    "target1_r_ppm": 0,
    "target2_r_ppm": 0,
    "from_fill": 0,
    "entry_taking": 0,
}
LIMITS = {
    "active_ppm": 600_000,
    "max_quote_e8": 0,
    "max_cost_e8": 0,
    "risk_per_trade_ppm": 5_000,
    "max_position_ppm": 200_000,
    "max_exposure_ppm": 700_000,
    "max_positions": 5,
    "min_confidence": 65.0,
    "min_global_score": 0.0,
    "top_n": 10,
    "max_spread_ppm": 1_500,
    "min_depth_e8": 50_000 * 10**8,
    "max_correlation": 0.85,
    "min_expected_edge_ppm": 0,
    "max_daily_loss_ppm": 50_000,
    "max_drawdown_ppm": 200_000,
    "drawdown_pause_ns": 168 * HOUR_NS,
    "max_losses_in_row": 3,
    "loss_pause_ns": 12 * HOUR_NS,
    "max_volatility_ratio": 1.5,
    "drift_ks": 0.24,
    "drift_p": 0.05,
    "drift_volatility_ratio": 1.8,
    "daily_budget_ppm": 20_000,
    "weekly_budget_ppm": 60_000,
    "mood_smoothing": 0.3,
    "mood_sell_score": -0.22,
    "mood_max_volatility": 1.35,
    "mood_max_spread_ppm": 1_800,
    "mood_sell_confidence": 70.0,
    "mood_min_score": -0.35,
}
COSTS = {
    "tier": 1,
    "seed": 42,
    "maker_ppm": 750,
    "taker_ppm": 1_000,
    "slippage_ppm": 200,
    "spread_floor_ppm": 100,
    "spread_range_ppm": 5_000,
    "spread_cap_ppm": 1_500,
    "volume_share_ppm": 100_000,
    "touch_ppm": 500_000,
}


def filled(dtype, values):
    """A one-element record; every field must be given."""
    made = records.record(dtype)
    assert set(values) == set(dtype.names)
    for name, value in values.items():
        made[name] = value
    return made


def instrument_values(instrument):
    names = [name for name in records.INSTRUMENT.names if name != "symbol_key"]
    return {
        **{name: getattr(instrument, name) for name in names},
        "symbol_key": fills.symbol_key(instrument.symbol),
    }


def instrument_record(instrument):
    return filled(records.INSTRUMENT, instrument_values(instrument))


def policy_values(rule=0, cut=0.2):
    """Scores ranked evenly over -0.6..0.6; buckets earn more the higher the score, the lowest ones lose."""
    edges = [-1.0 + 0.1 * k for k in range(records.BUCKETS + 1)]
    return {
        "rule": rule,
        "cut": cut,
        "min_buy": 0.42,
        "min_sell": 0.42,
        "min_margin": 0.07,
        "hold_bias": 0.02,
        "score_quantiles": [-0.6 + 0.012 * k for k in range(records.QUANTILES)],
        "bucket_edges": edges,
        "bucket_edge_ppm": [250.0 * (k - 12.5) for k in range(records.BUCKETS)],
        "bucket_lower_ppm": [0.0] * records.BUCKETS,
    }


def random_bars(
    generator, count, close, frame_ns=HOUR_NS, volatility=0.004, volume_lots=10**8, gap_chance=0.004
):
    """Bars of a random walk with outages, jumps at opens, still hours and hours without volume."""
    bars = np.zeros(count, records.BAR)
    ts_ns, last = START_NS, float(close)
    for k in range(count):
        ts_ns += frame_ns
        jump = generator.normal(0, 0.0005)
        if generator.random() < gap_chance:
            ts_ns += int(generator.integers(1, 40)) * frame_ns
            jump = generator.normal(0, 0.03)
        scale = volatility * (0.0 if generator.random() < 0.01 else generator.gamma(2.0, 0.5))
        opened = last * np.exp(jump)
        path = opened * np.exp(np.cumsum(generator.normal(0, scale, 8)))
        last = min(max(path[-1], close / 5), close * 5)
        prices = [round(p) for p in (opened, max(opened, *path, last), min(opened, *path, last), last)]
        volume = 0 if generator.random() < 0.005 else int(volume_lots * generator.lognormal(0, 1))
        bars[k] = (ts_ns, *prices, volume)
    return bars


def random_columns(generator, count, incomplete=0.01):
    """What scores and stops read; a few rows are NaN in one column."""
    columns = {
        "rsi_14": generator.uniform(15, 85, count),
        "macd_histogram": generator.normal(0, 1, count),
        "bollinger_b": generator.uniform(-0.2, 1.2, count),
        "roc_4": generator.normal(0, 2, count),
        "roc_16": generator.normal(0, 4, count),
        "volume_ratio_20": generator.gamma(2.0, 0.5, count),
        "atr_ratio_14": generator.uniform(0.004, 0.03, count),
    }
    for name in COLUMNS[:-1]:
        columns[name][generator.random(count) < incomplete / 6] = np.nan
    columns["atr_ratio_14"][:50] = np.nan
    return columns


def random_probabilities(generator, count):
    probabilities = generator.dirichlet([2, 3, 2], count)
    probabilities[generator.random(count) < 0.005] = np.nan
    return probabilities
