"""Stretches of bars that can be passed at once: no high of theirs is new, and their lowest low is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPAN = 16
"""Bars whose lowest low is known."""
STRETCH = np.dtype(
    [
        ("next", np.int64),  # first later bar whose high is not below this one's; number of bars without one
        ("low", np.int64),  # the lowest of the bars after this one up to that one
        ("high", np.int64),  # of this bar
    ]
)


@njit
def find_stretches(highs: NDArray[np.int64], lows: NDArray[np.int64], stretches: NDArray[np.void]) -> None:
    """The stretch that begins at each bar, in O(bars)."""
    count = len(highs)
    for bar in range(count - 1, -1, -1):
        high, following, low = highs[bar], bar + 1, lows[bar]
        if following < count:
            low = lows[following]
        while following < count and highs[following] < high:
            low = min(low, stretches[following]["low"])
            following = stretches[following]["next"]
        stretch = stretches[bar]
        stretch["next"], stretch["low"], stretch["high"] = following, low, high


@njit
def first_low(level: int, bar: int, end: int, lows: NDArray[np.int64], span_lows: NDArray[np.int64]) -> int:
    """First bar from `bar` to before `end` whose low is at the level or below; `end` if there is none."""
    while bar < end and bar % SPAN != 0:
        if lows[bar] <= level:
            return bar
        bar += 1
    span = bar // SPAN
    while span < len(span_lows) and span_lows[span] > level and span * SPAN < end:
        span += 1
    bar = max(bar, span * SPAN)
    while bar < end and lows[bar] > level:
        bar += 1
    return min(bar, end)
