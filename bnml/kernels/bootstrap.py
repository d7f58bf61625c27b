"""Days drawn again: paths of resampled daily steps, with numbers from a counter, never from a clock.

Each path has as many days as the run. A day is followed by the next day of the run or, with chance
1 / block, by one drawn anew; after the last day comes the first. Block 1 is the i.i.d. bootstrap (Efron
1979), a longer one the stationary bootstrap whose blocks have that many days in the mean (Politis &
Romano 1994): it keeps what days in a row have in common.
"""

from __future__ import annotations

from math import ceil, exp
from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import lean, njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATHS = 512
"""Paths of a bootstrap: a 5 % quantile then rests on 25 of them."""
SEED = 1
GOLDEN = 0x9E3779B97F4A7C15
SMALLEST_GROWTH = 1e-12
"""A day that loses everything leaves this share, so that its logarithm exists."""


@njit
def mix(value: np.uint64) -> np.uint64:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@lean
def next_day(chosen: np.uint64, choices: np.uint64, at: np.uint64, count: np.uint64) -> np.uint64:
    """The day after `at`, or one drawn anew: `chosen` (32 bits) is spread over `choices`, of which `count` are days."""
    drawn = (chosen * choices) >> np.uint64(32)
    following = at + np.uint64(1)
    following = np.uint64(0) if following == count else following
    return drawn if drawn < count else following


@lean
def resample(
    steps: NDArray[np.float64],
    block: int,
    seed: int,
    totals: NDArray[np.float64],
    drawdowns: NDArray[np.float64],
) -> None:
    """Sum of each resampled path and the deepest fall of its running sum; one path per element, an even number.

    A day is drawn anew with chance 1 / `block`. Each draw of splitmix64 serves a day of two paths: two
    chains of additions side by side cost little more than one.
    """
    count, low, half = np.uint64(len(steps)), np.uint64(0xFFFFFFFF), np.uint64(32)
    golden = np.uint64(GOLDEN)
    state = mix(np.uint64(seed) + golden)
    for path in range(0, len(totals), 2):
        here = there = np.uint64(0)
        choices = count  # the first day is always drawn
        total = peak = worst = 0.0
        other = other_peak = other_worst = 0.0
        for _ in range(len(steps)):
            state += golden
            bits = mix(state)
            here = next_day(bits & low, choices, here, count)
            there = next_day(bits >> half, choices, there, count)
            choices = count * np.uint64(block)
            total += steps[here]
            peak = max(peak, total)
            worst = max(worst, peak - total)
            other += steps[there]
            other_peak = max(other_peak, other)
            other_worst = max(other_worst, other_peak - other)
        totals[path], totals[path + 1] = total, other
        drawdowns[path], drawdowns[path + 1] = worst, other_worst


@lean
def resample_both(
    steps: NDArray[np.float64],
    block: int,
    seed: int,
    alone: NDArray[np.float64],
    blocks: NDArray[np.float64],
) -> None:
    """`resample` with blocks of one day and with longer ones, from the same draws.

    `alone` and `blocks` are [2, paths]: sums of the paths, and their deepest falls.
    """
    count, low, half = np.uint64(len(steps)), np.uint64(0xFFFFFFFF), np.uint64(32)
    golden, mean = np.uint64(GOLDEN), np.uint64(block)
    state = mix(np.uint64(seed) + golden)
    for path in range(0, alone.shape[1], 2):
        here = there = np.uint64(0)
        choices = count  # the first day is always drawn
        total = peak = worst = 0.0
        other = other_peak = other_worst = 0.0
        block_total = block_peak = block_worst = 0.0
        last_total = last_peak = last_worst = 0.0
        for _ in range(len(steps)):
            state += golden
            bits = mix(state)
            first, second = bits & low, bits >> half
            total += steps[(first * count) >> half]
            peak = max(peak, total)
            worst = max(worst, peak - total)
            other += steps[(second * count) >> half]
            other_peak = max(other_peak, other)
            other_worst = max(other_worst, other_peak - other)
            here = next_day(first, choices, here, count)
            there = next_day(second, choices, there, count)
            choices = count * mean
            block_total += steps[here]
            block_peak = max(block_peak, block_total)
            block_worst = max(block_worst, block_peak - block_total)
            last_total += steps[there]
            last_peak = max(last_peak, last_total)
            last_worst = max(last_worst, last_peak - last_total)
        alone[0, path], alone[0, path + 1] = total, other
        alone[1, path], alone[1, path + 1] = worst, other_worst
        blocks[0, path], blocks[0, path + 1] = block_total, last_total
        blocks[1, path], blocks[1, path + 1] = block_worst, last_worst


def block_days(days: int) -> int:
    """Mean length of a block: the cube root of the number of days, rounded up (Politis & Romano 1994, 4)."""
    return max(1, ceil(round(days ** (1.0 / 3.0), 9)))


def quantile(ordered: NDArray[np.float64], share: float) -> float:
    """Value below which a share of ascending values lies, straight between neighbours; 0 of nothing."""
    if len(ordered) == 0:
        return 0.0
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def bootstraps(
    returns: NDArray[np.float64], block: int, seed: int = SEED
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(95 % quantile of the maximum drawdown, 5 % quantile of the profit) of days drawn singly, and in blocks.

    Shares; returns are compounded. No day at all: no drawdown, no profit.
    """
    if len(returns) == 0:
        return (0.0, 0.0), (0.0, 0.0)
    growth = np.log(np.maximum(1.0 + returns, SMALLEST_GROWTH))
    if len(growth) == 1:  # drawn again it is itself
        only = 1.0 - exp(min(growth[0], 0.0)), exp(growth[0]) - 1.0
        return only, only
    alone, blocks = np.empty((2, PATHS)), np.empty((2, PATHS))
    resample_both(growth, block, seed, alone, blocks)
    return _tails(*alone), _tails(*blocks)


def _tails(totals: NDArray[np.float64], drawdowns: NDArray[np.float64]) -> tuple[float, float]:
    return 1.0 - exp(-_among(drawdowns, 0.95)), exp(_among(totals, 0.05)) - 1.0


def _among(values: NDArray[np.float64], share: float) -> float:
    """`quantile` of values in any order, which only its neighbours are put into."""
    below = int(share * (len(values) - 1))
    values.partition((below, below + 1))
    return quantile(values, share)
