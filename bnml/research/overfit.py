"""How much of a search's success is the search: PBO by CSCV, and what the neighbours of a candidate say.

Bailey, Borwein, Lopez de Prado and Zhu, The probability of backtest overfitting, Journal of Computational
Finance 20 (2017), 39-69.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.kernels.overfit import judge_splits

BLOCKS = 16
"""Parts of the days; half of them choose, half judge: 12,870 splits."""
THREADS = os.cpu_count() or 1

Array = NDArray[np.float64]


class Overfitting(msgspec.Struct, frozen=True):
    """What 12,870 ways of choosing on one half of the days and judging on the other say of the choice."""

    pbo: float  # share of the splits whose choice was not above the median of the other half
    splits: int
    combinations: int  # how many of the grid were compared
    loss: float  # share of the splits whose choice lost money on the other half
    chosen_sharpe: float  # median over splits, daily, of the choice where it was chosen
    judged_sharpe: float  # and where it was judged


class Neighbourhood(msgspec.Struct, frozen=True):
    """The combinations one step away on one axis: a plateau is believed, a needle is not."""

    neighbours: int
    profitable: float  # share of them that ended above the initial equity
    median_degradation: float  # share of the candidate's Sharpe that is lost there; below 0 = better there
    worst_degradation: float

    @property
    def is_plateau(self) -> bool:
        """At least 60 % profitable and less than half of the Sharpe lost, by the median."""
        return self.neighbours > 0 and self.profitable >= 0.6 and self.median_degradation < 0.5


def block_days(days: int) -> NDArray[np.int64]:
    """Number of days in each block; day d belongs to block d * 16 // days."""
    return np.bincount(np.arange(days) * BLOCKS // max(days, 1), minlength=BLOCKS)


def overfitting(sums: Array, squares: Array, days: NDArray[np.int64]) -> Overfitting:
    """PBO from the summed daily returns and their squares, (combinations, 16) each, and the days of each block.

    The figure compared is the daily Sharpe ratio; equal ones share their mean rank. A split and its
    mirror image are two splits, computed together.
    Raises ValueError with fewer than two combinations, or two days in half of the blocks.
    """
    if len(sums) < 2 or sums.shape != squares.shape or sums.shape[1] != BLOCKS:
        raise ValueError(f"CSCV compares rows of {BLOCKS} blocks, two or more; got {sums.shape}")
    if np.sort(days)[: BLOCKS // 2].sum() < 2:
        raise ValueError(f"CSCV needs two days in any half of the blocks; got {days.tolist()}")
    halves = np.array([half for half in combinations(range(BLOCKS), BLOCKS // 2) if half[0] == 0])
    outcomes = np.empty((2 * len(halves), 3))
    cuts = np.linspace(0, len(halves), THREADS + 1).astype(int)

    def judge(start: int, stop: int) -> None:
        scratch, out = np.empty((2, len(sums))), outcomes[2 * start : 2 * stop]
        judge_splits(sums, squares, days, halves[start:stop], scratch, out)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(judge, cuts[:-1], cuts[1:]))
    relative, chosen, judged = outcomes.T
    return Overfitting(
        pbo=float(np.mean(relative <= 0.5)),  # the logit of 1/2 is 0
        splits=len(relative),
        combinations=len(sums),
        loss=float(np.mean(judged < 0.0)),
        chosen_sharpe=float(np.median(chosen)),
        judged_sharpe=float(np.median(judged)),
    )


def neighbours_of(combination: int, shape: tuple[int, ...]) -> list[int]:
    """Numbers (row-major) of all combinations one step away on one axis."""
    place = np.unravel_index(combination, shape)
    found = []
    for axis, step in product(range(len(shape)), (-1, 1)):
        moved = [int(index) for index in place]
        moved[axis] += step
        if 0 <= moved[axis] < shape[axis]:
            found.append(int(np.ravel_multi_index(tuple(moved), shape)))
    return found


def neighbourhood(sharpe: float, neighbour_sharpes: Array, neighbour_returns: Array) -> Neighbourhood:
    """How a candidate of this Sharpe ratio stands among its neighbours (their Sharpe ratios and net returns)."""
    if len(neighbour_sharpes) == 0:
        return Neighbourhood(0, 0.0, 0.0, 0.0)
    lost = (sharpe - neighbour_sharpes) / abs(sharpe) if sharpe != 0.0 else np.zeros(len(neighbour_sharpes))
    return Neighbourhood(
        neighbours=len(neighbour_sharpes),
        profitable=float(np.mean(neighbour_returns > 0.0)),
        median_degradation=float(np.median(lost)),
        worst_degradation=float(np.max(lost)),
    )
