"""Classic indicators beside TA-Lib: one by one over history, six in one pass, and six for one new bar."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bnml.bench.case import Effort, Figure, Work, cpu_s, ratio_at_least, ratio_at_most
from bnml.bench.market import Walk, walk
from bnml.kernels import indicators as kernel
from bnml.kernels.indicator_row import SIX, new_six, six_batch, six_step
from bnml.kernels.windows import new_ring

if TYPE_CHECKING:
    Pair = tuple[Work, Work]

ROWS = 331_000
HISTORY = 500
"""Bars that TA-Lib is given for one new bar."""
AGAINST = "TA-Lib (extra `bench`)"


def over_history(effort: Effort) -> list[Figure]:
    """Each indicator alone, then six of them in one pass."""
    rows = effort.size(ROWS, 100_000)
    bars, library = walk(rows), _library()
    works = _works(bars, library)
    shared = {"unit": "ns a row", "against": AGAINST}
    figures, together_s = [], 0.0
    for name, (product, yardstick) in works.items():
        product_s, library_s = cpu_s(effort, product, yardstick)
        together_s += library_s if name in SIX_NAMES else 0.0
        figures.append(
            ratio_at_most(
                1.3,
                name=name,
                bnml=product_s / rows * 1e9,
                yardstick=_per(library, library_s, rows),
                **shared,
            )
        )
    out = np.empty((rows, len(SIX)))
    (fused_s,) = cpu_s(effort, lambda: six_batch(new_six(), bars.high, bars.low, bars.close, out))
    figures.append(
        ratio_at_most(
            0.9,
            name="six indicators in one pass",
            bnml=fused_s / rows * 1e9,
            yardstick=_per(library, together_s, rows),
            **shared,
        )
    )
    return figures


def new_bar(effort: Effort) -> list[Figure]:
    """The six of one symbol, one new bar: a call of ours, six calls over the last 500 bars of theirs."""
    bars, library = walk(HISTORY), _library()
    state, out = new_six(), np.empty(len(SIX))
    high, low, close = bars.high.tolist(), bars.low.tolist(), bars.close.tolist()

    def product() -> None:
        for at in range(HISTORY):
            six_step(state, high[at], low[at], close[at], out)

    works = _works(bars, library)

    def yardstick() -> None:
        for name in SIX_NAMES:
            works[name][1]()

    product_s, library_s = cpu_s(effort, product, yardstick)
    return [
        ratio_at_least(
            20,
            name="six indicators of one new bar",
            bnml=product_s / HISTORY * 1e6,
            yardstick=None if library is None else library_s * 1e6,
            unit="us",
            against=AGAINST,
        )
    ]


SIX_NAMES = ("SMA 20", "EMA 20", "RSI 14", "ATR 14", "MACD 12/26/9", "deviation 100")


def ours(bars: Walk) -> dict[str, Work]:
    """Each indicator over the bars, into arrays made here."""
    high, low, close = bars.high, bars.low, bars.close
    one, two, three = (np.empty(len(close)) for _ in range(3))
    ring = new_ring(100, 1)
    blocks = kernel.extremes_ring(20)
    return {
        "SMA 20": lambda: kernel.sma_batch(kernel.Sums(), ring, 20, 0, close, one),
        "EMA 20": lambda: kernel.ema_batch(kernel.Average(), 20, close, one),
        "RSI 14": lambda: kernel.rsi_batch(kernel.Strength(), 14, close, one),
        "ATR 14": lambda: kernel.atr_batch(kernel.TrueRange(), 14, high, low, close, one),
        "MACD 12/26/9": lambda: kernel.macd_batch(kernel.Macd(), 12, 26, 9, close, one, two, three),
        "Bollinger 20": lambda: kernel.bollinger_batch(
            kernel.Sums(), ring, 20, 0, close, 2.0, one, two, three
        ),
        "deviation 100": lambda: kernel.deviation_batch(kernel.Sums(), ring, 100, 0, close, one),
        "highest and lowest 20": lambda: kernel.extremes_batch(
            kernel.Extremes(), blocks, 20, high, low, one, two
        ),
    }


def _works(bars: Walk, library: Any) -> dict[str, Pair]:
    high, low, close = bars.high, bars.low, bars.close
    mine = ours(bars)
    if library is None:
        return {name: (work, lambda: None) for name, work in mine.items()}
    theirs: dict[str, Work] = {
        "SMA 20": lambda: library.SMA(close, 20),
        "EMA 20": lambda: library.EMA(close, 20),
        "RSI 14": lambda: library.RSI(close, 14),
        "ATR 14": lambda: library.ATR(high, low, close, 14),
        "MACD 12/26/9": lambda: library.MACD(close, 12, 26, 9),
        "Bollinger 20": lambda: library.BBANDS(close, 20, 2.0, 2.0),
        "deviation 100": lambda: library.STDDEV(close, 100),
        "highest and lowest 20": lambda: (library.MAX(high, 20), library.MIN(low, 20)),
    }
    return {name: (work, theirs[name]) for name, work in mine.items()}


def _library() -> Any:
    """TA-Lib, or None where it is not installed: it is no part of the product."""
    try:
        return importlib.import_module("talib")
    except ImportError:
        return None


def _per(library: Any, seconds: float, rows: int) -> float | None:
    return None if library is None else seconds / rows * 1e9
