"""Random bars and signals for measuring: a seeded walk, in floats for yardsticks and in integers for bnml."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.core.clock import NS_PER_S
from bnml.kernels.records import BAR

if TYPE_CHECKING:
    from numpy.typing import NDArray

START_NS = 1_700_006_400_000_000_000
TICK = 0.01
LOT = 0.0001


class Walk(NamedTuple):
    """OHLC in quote units and volume in base units, and the same as BAR records in ticks and lots."""

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    bars: NDArray[np.void]


def walk(count: int, seed: int = 7, frame_ns: int = 60 * NS_PER_S, sigma: float = 0.0008) -> Walk:
    """Bars of a geometric random walk from 30,000 on; the open is the close before."""
    random = np.random.default_rng(seed)
    close = 30_000 * np.exp(np.cumsum(sigma * random.standard_normal(count)))
    opened = np.concatenate(([30_000.0], close[:-1]))
    reach = sigma * np.abs(random.standard_normal((2, count)))
    high = np.maximum(opened, close) * (1 + reach[0])
    low = np.minimum(opened, close) * (1 - reach[1])
    volume = random.exponential(40.0, count)
    bars = np.zeros(count, dtype=BAR)
    bars["ts_open_ns"] = START_NS + np.arange(count) * frame_ns
    for name, values in (("open", opened), ("high", high), ("low", low), ("close", close)):
        bars[name] = np.rint(values / TICK)
    bars["volume_lots"] = np.rint(volume / LOT) + 4
    opened, high, low, close = (bars[name] * TICK for name in ("open", "high", "low", "close"))
    return Walk(opened, high, low, close, bars["volume_lots"] * LOT, bars)
