"""One split of CSCV: choose the best on one half of the days, rank it on the other, and the other way round.

Bailey, Borwein, Lopez de Prado and Zhu, The probability of backtest overfitting, Journal of Computational
Finance 20 (2017), 39-69.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT = 1e-12
"""A variance of daily returns below this is none (returns of a millionth)."""


@njit
def daily_sharpe(total: float, square: float, days: int) -> float:
    """Mean over sample deviation, from the sum and the sum of squares of `days` returns; 0 without variation."""
    mean = total / days
    variance = (square - total * mean) / (days - 1)
    return mean / sqrt(variance) if variance > FLAT else 0.0


@njit
def judge_choice(
    choosing: NDArray[np.float64], judging: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Relative rank in `judging` of the best of `choosing`, its figure there, and where it was judged.

    The rank is 1 for the worst, over the number of strategies plus 1; equal ones share their mean rank,
    the first of equal bests is chosen.
    """
    best = np.argmax(choosing)
    judged, below, equal = judging[best], 0, 0
    for value in judging:
        below += value < judged
        equal += value == judged
    out[0] = (below + (equal + 1) / 2.0) / (len(judging) + 1)
    out[1], out[2] = choosing[best], judged


@njit
def judge_splits(
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    days: NDArray[np.int64],
    halves: NDArray[np.int64],
    scratch: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Each half of the blocks and its complement, choosing and judging in turn.

    `sums` and `squares` are (strategies, blocks) daily returns summed, `halves` (pairs, blocks / 2) block
    numbers, `scratch` (2, strategies), `out` (2 * pairs, 3) as `judge_choice` writes it.
    """
    strategies, blocks = sums.shape
    here, there = scratch[0], scratch[1]
    all_days = days.sum()
    for k in range(len(halves)):
        half, half_days = halves[k], 0
        for block in half:
            half_days += days[block]
        for i in range(strategies):
            total, square, whole, whole_square = 0.0, 0.0, 0.0, 0.0
            for block in half:
                total += sums[i, block]
                square += squares[i, block]
            for block in range(blocks):
                whole += sums[i, block]
                whole_square += squares[i, block]
            here[i] = daily_sharpe(total, square, half_days)
            there[i] = daily_sharpe(whole - total, whole_square - square, all_days - half_days)
        judge_choice(here, there, out[2 * k])
        judge_choice(there, here, out[2 * k + 1])
