"""The charts over positions: return against the best and the worst they saw, and how returns are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.research.page.axes import Scale, Tick, decimals_for, padded, round_step, round_ticks
from bnml.research.page.charts import Plot
from bnml.research.page.words import number, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bnml.research.positions import Position

    Floats = NDArray[np.float64]

MOST_BINS = 40
FEW = 150
"""Up to so many dots do not cover each other."""
TAIL = 0.005
"""Share of positions on either side that may be put into the outermost bars."""


def scatter(positions: Sequence[Position], field: str) -> str:
    """Return of each position against its `favourable` or `adverse` excursion."""
    x = np.array([getattr(one, field) for one in positions])
    y = np.array([one.gain for one in positions])
    x_low, x_high = padded(min(0.0, float(x.min(initial=0.0))), max(0.0, float(x.max(initial=0.0))))
    y_low, y_high = padded(min(0.0, float(y.min(initial=0.0))), max(0.0, float(y.max(initial=0.0))))
    what = "best price seen (MFE)" if field == "favourable" else "worst price seen (MAE)"
    plot = Plot(
        Scale(x_low, x_high),
        Scale(y_low, y_high),
        f"Return of each position against the {what}",
        _percent_ticks(x_low, x_high, 5),
        _percent_ticks(y_low, y_high, 6),
        zero=0.0,
        kind="scatter" if len(positions) > FEW else "scatter few",
        attributes={
            "field": field,
            "from": repr(x_low),
            "to": repr(x_high),
            "low": repr(y_low),
            "high": repr(y_high),
        },
    )
    inside = [max(x_low, y_low), min(x_high, y_high)]
    if inside[0] < inside[1]:
        plot.segments("same", np.array([inside]), np.array([inside]))
    won = np.array([one.pnl_e8 > 0 for one in positions], dtype=bool)
    plot.dots("loss", x[~won], y[~won])
    plot.dots("win", x[won], y[won])
    return plot.html()


def _percent_ticks(low: float, high: float, count: int) -> list[Tick]:
    ticks = round_ticks(low, high, count)
    decimals = max(0, decimals_for(ticks) - 2)
    every = max(1, -(-len(ticks) // 4))
    middle = next((k for k, tick in enumerate(ticks) if abs(tick) < 1e-12), 0)
    return [Tick(at, percent(at, decimals), (k - middle) % every == 0) for k, at in enumerate(ticks)]


def bins(gains: Floats) -> tuple[list[float], list[int], bool]:
    """(edges, counts, whether the outermost bars hold all that lies beyond): round bars, an edge at zero.

    Width by Freedman and Diaconis (1981), at most `MOST_BINS` bars.
    """
    low, high = np.quantile(gains, [TAIL, 1.0 - TAIL])
    low, high = min(0.0, float(low)), max(0.0, float(high))
    quarter, three_quarters = np.quantile(gains, [0.25, 0.75])
    wanted = 2.0 * float(three_quarters - quarter) / len(gains) ** (1 / 3)
    span = (high - low) or 0.01
    count = min(MOST_BINS, max(8, int(span / wanted) if wanted > 0 else 8))
    step = round_step(span, count)
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    edges = step * np.arange(first, max(last, first + 1) + 1)
    at = np.clip(np.searchsorted(edges, gains, side="right") - 1, 0, len(edges) - 2)
    beyond = bool((gains < edges[0]).any() or (gains > edges[-1]).any())
    return edges.tolist(), np.bincount(at, minlength=len(edges) - 1).tolist(), beyond


def distribution(positions: Sequence[Position]) -> str:
    """How many positions had which return."""
    edges, counts, beyond = bins(np.array([one.gain for one in positions]))
    top = max(counts) * 1.06
    ticks = [at for at in round_ticks(0.0, top, 5) if at == int(at)]
    decimals = max(0, decimals_for(edges[:2]) - 2)
    plot = Plot(
        Scale(edges[0], edges[-1]),
        Scale(0.0, top),
        "Number of positions by return",
        _percent_ticks(edges[0], edges[-1], 8),
        [Tick(at, number(at, 0)) for at in ticks],
        zero=0.0,
        kind="histogram",
    )
    last = len(counts) - 1
    for k, count in enumerate(counts):
        left, right = edges[k], edges[k + 1]
        range_text = f"{percent(left, decimals)} to {percent(right, decimals)}"
        if beyond and k in {0, last}:
            range_text += " and beyond"
        name = "win" if left > -1e-12 else "loss"
        plot.bar(name, left, right, float(count), f"{range_text}: {count:,} positions")
    return plot.html()
