"""How a run is judged: each figure defined once, over equity points and results of closed positions.

Money in 1e-8 of the quote asset. 0/0 is 0; a profit without any loss has an infinite profit factor.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

NS_PER_DAY = 86_400_000_000_000
DAYS_PER_YEAR = 365.0
"""The market never closes: a year has 365 daily returns."""


@njit
def net_return(initial_e8: int, final_e8: int) -> float:
    """Share gained of the initial equity, after all costs."""
    return final_e8 / initial_e8 - 1.0 if initial_e8 > 0 else 0.0


@njit
def max_drawdown(equity_e8: NDArray[np.int64]) -> float:
    """Largest loss from a running peak, as a share of that peak (0..1)."""
    peak, worst = 0, 0.0
    for value in equity_e8:
        peak = max(peak, value)
        if peak > 0:
            worst = max(worst, (peak - value) / peak)
    return worst


@njit
def profit_factor(results_e8: NDArray[np.int64]) -> float:
    """Gross profit over gross loss of closed positions."""
    profit, loss = 0, 0
    for result in results_e8:
        if result > 0:
            profit += result
        else:
            loss -= result
    if loss == 0:
        return np.inf if profit > 0 else 0.0
    return profit / loss


@njit
def win_rate(results_e8: NDArray[np.int64]) -> float:
    """Share of closed positions with a result above 0."""
    wins = 0
    for result in results_e8:
        if result > 0:
            wins += 1
    return wins / len(results_e8) if len(results_e8) > 0 else 0.0


@njit
def expectancy_e8(results_e8: NDArray[np.int64]) -> float:
    """Mean result of a closed position."""
    total = 0
    for result in results_e8:
        total += result
    return total / len(results_e8) if len(results_e8) > 0 else 0.0


@njit
def daily_returns(
    ts_ns: NDArray[np.int64], equity_e8: NDArray[np.int64], initial_e8: int, out: NDArray[np.float64]
) -> int:
    """Returns of UTC calendar days by the last equity of each; days without a point return 0. Gives their count.

    `out` holds at least one value per day of the span. The first day is measured from `initial_e8`.
    """
    count, before = 0, initial_e8
    for i in range(len(ts_ns)):
        day = ts_ns[i] // NS_PER_DAY
        if i + 1 < len(ts_ns) and ts_ns[i + 1] // NS_PER_DAY == day:
            continue
        out[count] = equity_e8[i] / before - 1.0
        count, before = count + 1, equity_e8[i]
        if i + 1 < len(ts_ns):
            for _ in range(ts_ns[i + 1] // NS_PER_DAY - day - 1):
                out[count] = 0.0
                count += 1
    return count


@njit
def sharpe(returns: NDArray[np.float64], count: int) -> float:
    """Mean over sample deviation of daily returns, times sqrt(365); no risk-free rate; 0 without variation."""
    if count < 2:
        return 0.0
    mean = 0.0
    for i in range(count):
        mean += returns[i]
    mean /= count
    total = 0.0
    for i in range(count):
        total += (returns[i] - mean) ** 2
    deviation = sqrt(total / (count - 1))
    return mean / deviation * sqrt(DAYS_PER_YEAR) if deviation > 1e-15 else 0.0


@njit
def exposure(equity_e8: NDArray[np.int64], free_quote_e8: NDArray[np.int64]) -> float:
    """Mean share of equity that is in positions."""
    total = 0.0
    for i in range(len(equity_e8)):
        if equity_e8[i] > 0:
            total += (equity_e8[i] - free_quote_e8[i]) / equity_e8[i]
    return total / len(equity_e8) if len(equity_e8) > 0 else 0.0


@njit
def turnover(traded_e8: int, equity_e8: NDArray[np.int64]) -> float:
    """Notional of all fills, buys and sells, over the mean equity of the run."""
    total = 0.0
    for value in equity_e8:
        total += value
    return traded_e8 * len(equity_e8) / total if total > 0.0 else 0.0
