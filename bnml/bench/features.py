"""The feature row of a new bar, one symbol and hundreds, and what a training set costs."""

from __future__ import annotations

import numpy as np

from bnml.bench.case import Effort, Figure, at_most, cpu_s
from bnml.bench.market import LOT, TICK, walk
from bnml.core.clock import NS_PER_HOUR
from bnml.kernels.features import (
    FeatureLayout,
    bar_floats,
    features_batch,
    features_step,
    features_step_many,
    new_state,
)
from bnml.learn.labels import compile_labelling, label_bars
from bnml.learn.settings import LearningSettings

SYMBOLS = 400
FRAME_NS = NS_PER_HOUR // 4
LAYOUT = FeatureLayout(FRAME_NS, (NS_PER_HOUR, 4 * NS_PER_HOUR, 24 * NS_PER_HOUR))


def new_bar(effort: Effort) -> list[Figure]:
    """All families on four frames, one bar."""
    bars = walk(4_000, frame_ns=FRAME_NS)
    prices = [values.tolist() for values in (bars.open, bars.high, bars.low, bars.close, bars.volume)]
    stamps = bars.bars["ts_open_ns"].tolist()
    state, out = new_state(LAYOUT), np.full(LAYOUT.count, np.nan)
    frames = LAYOUT.frames_ns

    def one_symbol() -> None:
        for ts_ns, o, h, low, c, v in zip(stamps, *prices, strict=True):
            features_step(state, frames, ts_ns, o, h, low, c, v, out)

    many = np.zeros((SYMBOLS, LAYOUT.state_size))
    rows = np.full((SYMBOLS, LAYOUT.count), np.nan)
    columns = [np.full(SYMBOLS, values[0]) for values in prices]
    opens = np.full(SYMBOLS, stamps[0])

    def all_symbols() -> None:
        opens[:] += FRAME_NS
        features_step_many(many, frames, opens, *columns, rows)  # type: ignore[call-arg]

    one_s, all_s = cpu_s(effort, one_symbol, all_symbols)
    return [
        at_most(
            8,
            name=f"feature row of {LAYOUT.count} columns, one symbol",
            bnml=one_s / len(stamps) * 1e6,
            yardstick=None,
            unit="us",
            against="-",
        ),
        at_most(
            3,
            name="feature row, 400 symbols in one call, each",
            bnml=all_s / SYMBOLS * 1e6,
            yardstick=one_s / len(stamps) * 1e6,
            unit="us",
            against="one symbol a call",
        ),
    ]


def training_set(effort: Effort) -> list[Figure]:
    """Feature rows and labels of 50,000 bars."""
    count = 50_000
    bars = walk(count, frame_ns=FRAME_NS)
    labelling = compile_labelling(LearningSettings(), 0.0012)
    out = np.full((count, LAYOUT.count), np.nan)
    atr = LAYOUT.column("atr_ratio_14")
    stamps = bars.bars["ts_open_ns"].copy()

    def product() -> None:
        prices = bar_floats(bars.bars, round(TICK * 1e8), round(LOT * 1e8))
        features_batch(new_state(LAYOUT), LAYOUT.frames_ns, stamps, *prices, out)
        label_bars(prices[3], out[:, atr].copy(), labelling)

    def touch() -> None:
        out[:] = 0.0
        out.sum()

    product_s, touch_s = cpu_s(effort, product, touch)
    return [
        at_most(
            0.15,
            name="features and labels of 50,000 bars",
            bnml=product_s,
            yardstick=touch_s,
            unit="s",
            against="writing and reading the same rows once",
        )
    ]
