"""What the feature tests share: recorded and invented bars as columns of doubles, and the whole batch."""

import numpy as np

from bnml.kernels.features import FeatureLayout, bar_floats, features_batch, new_state
from bnml.venues.history import load_history

HOUR_NS = 3_600_000_000_000
HOURLY = FeatureLayout(HOUR_NS, (4 * HOUR_NS, 24 * HOUR_NS))
DEFAULT = FeatureLayout(HOUR_NS // 4, (HOUR_NS, 4 * HOUR_NS, 24 * HOUR_NS))


def recorded(data_dir, symbol="BTCUSDT", frame="1h", rows=slice(None)):
    """(ts_open_ns, open, high, low, close, volume) of a recording."""
    history = load_history(data_dir / "binance_spot" / frame, [symbol])[symbol]
    bars = history.bars[rows]
    floats = bar_floats(bars, history.instrument.tick_e8, history.instrument.lot_e8)
    return (np.ascontiguousarray(bars["ts_open_ns"]), *floats)


def invented(count, seed=3, frame_ns=HOUR_NS, start=500_000):
    """A random walk with holes; open times are multiples of the frame."""
    generator = np.random.default_rng(seed)
    numbers = start + np.flatnonzero(generator.random(count * 2) < 0.97)[:count]
    close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, count)))
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) * (1 + generator.random(count) / 100)
    low = np.minimum(opened, close) * (1 - generator.random(count) / 100)
    return numbers * frame_ns, opened, high, low, close, generator.random(count) * 1000


def part(bars, rows):
    return tuple(np.ascontiguousarray(column[rows]) for column in bars)


def rows_of(layout, bars):
    out = np.full((len(bars[0]), layout.count), 7.0)
    features_batch(new_state(layout), layout.frames_ns, *bars, out)
    return out


def same_bytes(left, right):
    return left.tobytes() == right.tobytes()
