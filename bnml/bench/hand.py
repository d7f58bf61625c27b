"""Yardsticks: the least code that does the same work, written by hand for this one purpose."""

from __future__ import annotations

from math import erfc, exp, sqrt
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEE = 0.001
SLIPPAGE = 0.0005
STOP, TARGET, TRAIL, HOLD = 0.006, 0.02, 0.012, 240
BARS_PER_DAY = 1440
PATHS = 512
FIGURES = 24


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hand_backtest(  # noqa: PLR0917 - compiled functions are called by position
    o: NDArray[np.float64],
    h: NDArray[np.float64],
    l: NDArray[np.float64],  # noqa: E741 - the letters of the field
    c: NDArray[np.float64],
    entry: NDArray[np.bool_],
    leave: NDArray[np.bool_],
    levels: tuple[float, float, float, int],
    trades: NDArray[np.float64],
    equity: NDArray[np.float64],
    figures: NDArray[np.float64],
) -> int:
    """One symbol, one position: stop, target, trailing and time stop within the bar; returns the trades.

    `trades` is [rows, 7]: entry, exit, profit, best and worst price, bars held, value traded; `equity` one value
    per bar; the exposure goes to `figures`.
    """
    stop_share, target_share, trail_share, hold = levels
    cash, units, price, stop, target, top, bottom, since, count = 1e4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0
    exposed = 0.0
    for i in range(1, len(c)):
        if units > 0.0:
            out = 0.0
            if leave[i - 1] or i - since >= hold or o[i] <= stop:
                out = o[i]
            elif l[i] <= stop:
                out = stop
            elif h[i] >= target:
                out = max(target, o[i])
            top, bottom = max(top, h[i]), min(bottom, l[i])
            if out > 0.0:
                out *= 1.0 - SLIPPAGE
                got = units * out * (1.0 - FEE)
                trades[count, 0], trades[count, 1], trades[count, 2] = price, out, got - units * price
                trades[count, 3], trades[count, 4], trades[count, 5] = top, bottom, i - since
                trades[count, 6] = units * (price + out)
                count += 1
                cash, units = cash + got, 0.0
            else:
                stop = max(stop, h[i] * (1.0 - trail_share))
        elif entry[i - 1]:
            price = o[i] * (1.0 + SLIPPAGE)
            units = cash * (1.0 - FEE) / price
            cash -= units * price * (1.0 + FEE)
            stop, target = (
                max(price * (1.0 - stop_share), h[i] * (1.0 - trail_share)),
                price * (1.0 + target_share),
            )
            top, bottom, since = h[i], l[i], i
        equity[i] = cash + units * c[i]
        if units > 0.0:
            exposed += units * c[i] / equity[i]
    figures[7] = exposed / len(c)
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hand_metrics(
    equity: NDArray[np.float64],
    trades: NDArray[np.float64],
    count: int,
    out: NDArray[np.float64],
) -> None:
    """Every figure that bnml gives of a run, each in the plainest way; 365 days a year, `BARS_PER_DAY` bars a day."""
    bars = len(equity)
    daily = np.empty((bars - 1) // BARS_PER_DAY + 1)
    peak, trough, peak_at, day, before = equity[0], equity[0], 0, 0, equity[0]
    drop = drop_quote = total = 0.0
    longest = under = 0
    for i in range(bars):
        value = equity[i]
        total += value
        if value >= peak:
            if trough < peak:
                drop, drop_quote = max(drop, 1.0 - trough / peak), max(drop_quote, peak - trough)
                longest, under = max(longest, i - peak_at), under + i - peak_at
            peak = trough = value
            peak_at = i
        else:
            trough = min(trough, value)
        if i % BARS_PER_DAY == BARS_PER_DAY - 1 or i == bars - 1:
            daily[day] = value / before - 1.0
            day, before = day + 1, value
    if trough < peak:
        drop, drop_quote = max(drop, 1.0 - trough / peak), max(drop_quote, peak - trough)
        longest, under = max(longest, bars - 1 - peak_at), under + bars - 1 - peak_at
    annual = (equity[-1] / equity[0]) ** (365.0 * BARS_PER_DAY / bars) - 1.0
    out[0], out[1], out[2], out[3], out[4] = (
        equity[-1] / equity[0] - 1.0,
        annual,
        drop,
        drop_quote,
        annual / drop,
    )
    out[5], out[6] = longest / BARS_PER_DAY, under / bars
    _of_trades(trades, count, total / bars, equity[0], out)
    _of_days(daily, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _of_trades(
    trades: NDArray[np.float64], count: int, mean_equity: float, initial: float, out: NDArray[np.float64]
) -> None:
    """Turnover, win rate, mean win and loss, payoff, profit factor, expectancy, risk of ruin."""
    gain = loss = wins = traded = 0.0
    for k in range(count):
        profit = trades[k, 2]
        traded += trades[k, 6]
        if profit > 0.0:
            gain, wins = gain + profit, wins + 1.0
        else:
            loss -= profit
    rate, win, lost = wins / count, gain / wins, loss / (count - wins)
    odds = (1.0 - rate) / (rate * win / lost)
    out[8], out[9], out[10], out[11] = traded / mean_equity, rate, win, lost
    out[12], out[13], out[14] = win / lost, gain / loss, (gain - loss) / count
    out[15] = 1.0 if odds >= 1.0 else odds ** (initial / lost)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _of_days(daily: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Sharpe, Sortino, CVaR, probabilistic Sharpe (of one trial also the deflated), two bootstraps."""
    days = len(daily)
    mean, losses, second, third, fourth = daily.mean(), 0.0, 0.0, 0.0, 0.0
    for value in daily:
        losses += min(value, 0.0) ** 2
        second += (value - mean) ** 2
        third += (value - mean) ** 3
        fourth += (value - mean) ** 4
    deviation, variance = sqrt(second / (days - 1)), second / days
    ratio = mean / deviation
    spread = 1.0 - third / days / variance**1.5 * ratio
    spread += (fourth / days / variance**2 - 1.0) / 4.0 * ratio * ratio
    out[16], out[17] = ratio * sqrt(365.0), mean / sqrt(losses / days) * sqrt(365.0)
    out[18] = np.sort(daily)[: max(1, days // 20)].mean()
    out[19] = 0.5 * erfc(-ratio * sqrt(days - 1) / sqrt(spread) / sqrt(2.0))
    steps = np.log(1.0 + daily)
    out[20], out[21] = _bootstrap(steps, 1.0)
    out[22], out[23] = _bootstrap(steps, days ** (-1.0 / 3.0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _bootstrap(steps: NDArray[np.float64], fresh: float) -> tuple[float, float]:
    """(95 % quantile of the drawdown, 5 % quantile of the profit) of paths whose days are drawn anew with this chance."""
    days, state = np.uint64(len(steps)), np.uint64(1)
    choices = np.uint64(len(steps) / fresh)
    totals, falls = np.empty(PATHS), np.empty(PATHS)
    for path in range(PATHS):
        total = peak = fall = 0.0
        at = np.uint64(0)
        for _ in range(len(steps)):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            drawn = (state >> np.uint64(32)) * choices >> np.uint64(32)
            at = np.uint64(0) if at + np.uint64(1) == days else at + np.uint64(1)
            at = drawn if drawn < days else at
            total += steps[at]
            peak = max(peak, total)
            fall = max(fall, peak - total)
        totals[path], falls[path] = total, fall
    return 1.0 - exp(-np.sort(falls)[PATHS * 95 // 100]), exp(np.sort(totals)[PATHS * 5 // 100]) - 1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hand_final(
    o: NDArray[np.float64],
    h: NDArray[np.float64],
    l: NDArray[np.float64],  # noqa: E741 - the letters of the field
    entry: NDArray[np.bool_],
    levels: tuple[float, float, float, int],
) -> float:
    """`hand_backtest` without rows: what a combination of a grid costs when every bar is walked."""
    stop_share, target_share, trail_share, hold = levels
    cash, units, stop, target, since = 1e4, 0.0, 0.0, 0.0, 0
    for i in range(1, len(o)):
        if units > 0.0:
            out = 0.0
            if i - since >= hold or o[i] <= stop:
                out = o[i]
            elif l[i] <= stop:
                out = stop
            elif h[i] >= target:
                out = max(target, o[i])
            if out > 0.0:
                cash, units = cash + units * out * (1.0 - SLIPPAGE) * (1.0 - FEE), 0.0
            else:
                stop = max(stop, h[i] * (1.0 - trail_share))
        elif entry[i - 1]:
            price = o[i] * (1.0 + SLIPPAGE)
            units = cash * (1.0 - FEE) / price
            cash -= units * price * (1.0 + FEE)
            stop, target, since = (
                max(price * (1.0 - stop_share), h[i] * (1.0 - trail_share)),
                price * (1.0 + target_share),
                i,
            )
    return cash
