"""How a run is judged: each figure defined once, over equity points, daily returns, and sums of closed positions.

The loops are compiled; what is a formula over a few numbers is plain Python, so that a grid's row and a
single run are judged by the same lines. Money in 1e-8 of the quote asset, shares as fractions, times in
ns. The market never closes: a year has 365 days, and every annual figure comes from UTC calendar days
or from the time that passed, never from a number of bars.
"""

from __future__ import annotations

from math import ceil, erfc, exp, frexp, inf, ldexp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import lean

if TYPE_CHECKING:
    from numpy.typing import NDArray

NS_PER_DAY = 86_400_000_000_000
DAYS_PER_YEAR = 365.0
NO_VARIATION = 1e-15
"""Deviations of daily returns up to this are rounding."""
TAIL = 0.05
EULER_GAMMA = 0.5772156649015329
_LARGEST_EXPONENT = 700.0


class EquityWalk(NamedTuple):
    """What one pass over the equity points finds."""

    days: int  # daily returns written
    max_drawdown: float  # share of the peak before it
    max_drawdown_e8: int
    longest_under_water_ns: int
    under_water_ns: int
    span_ns: int  # from the first point to the last
    exposure: float
    mean_equity_e8: float


class DailyMoments(NamedTuple):
    """Moments of daily returns; `deviation` is the sample's (n - 1), skew and kurtosis are the population's."""

    mean: float
    deviation: float
    downside: float  # root of the mean square of the losses, over all days (target 0)
    skew: float
    kurtosis: float  # 3 for the normal distribution


class Curve(NamedTuple):
    """Equity at each scan: its time (without the lag that all have), its value, and what is free from a scan on."""

    ts_ns: NDArray[np.int64]
    lag_ns: int
    equity_e8: NDArray[np.int64]
    changes: NDArray[np.void]  # kernels.account.CHANGE, the first at scan 0


@lean
def _first_from(ts_ns: NDArray[np.int64], start: int, end: int, limit_ns: int) -> int:
    """First place from `start` on whose time is `limit_ns` or later: steps that double, then halves."""
    low, step = start, 1
    while low + step < end and ts_ns[low + step] < limit_ns:
        low += step
        step *= 2
    high = min(low + step, end)
    while high - low > 1:
        middle = (low + high) // 2
        if ts_ns[middle] < limit_ns:
            low = middle
        else:
            high = middle
    return high


@lean
def add_alike(total: float, value: float, count: int) -> float:
    """What `total` becomes by adding `value` so often, in every bit: additions must wait for each other.

    As long as a sum keeps its exponent, each addition of the same value is rounded to the same step; only
    halfway between two floats it is now rounded up, now down.
    """
    step = (total + value) - total
    end, least = total + count * step, ldexp(0.5, frexp(total)[1])  # of the floats with this exponent
    if total > 0.0 and value > 0.0 and end < 2.0 * least and abs(value - step) != least * 2.0**-53:
        return end
    for _ in range(count):
        total += value
    return total


@lean
def _look_over(
    marks: NDArray[np.int64], free: int, shares: NDArray[np.float64], total: float, exposed: float
) -> tuple[float, float, int, int]:
    """(total with these marks, sum of shares in positions with theirs, lowest, highest); `shares` is scratch."""
    differ, low, high = 0, marks[0], marks[0]
    for k in range(len(marks)):
        differ |= marks[k] ^ free
        low, high = min(low, marks[k]), max(high, marks[k])
    if differ == 0:
        return add_alike(total, free, len(marks)), exposed, low, high
    for k in range(len(marks)):
        shares[k] = (marks[k] - free) / marks[k]
    for k in range(len(marks)):
        total += marks[k]
        exposed += shares[k]
    return total, exposed, low, high


@lean
def walk_equity(
    curve: Curve, initial_e8: int, final_e8: int, daily: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[int, float, int, int, int, int, float, float]:
    """Fields of `EquityWalk` from a curve in one pass; the return of each UTC day goes to `daily`.

    `final_e8`, the mark at the end of the run, belongs to the time and the day of the last point. A day's
    return is that of its last point over the last of the day before, the first day's over `initial_e8`;
    days without a point return 0, so the compounded returns are exactly final over initial. `daily`
    holds one value per calendar day of the span; `shares` is scratch of any length.

    Drawdown: loss from the running peak, in money and as a share of that peak, the largest of each.
    Under water: from a peak that is followed by less, to the first point that regains it, or to the end.
    Exposure: mean over the points of the share of equity that is in positions. Times are looked at only
    where a day turns or a peak is regained.
    """
    ts_ns, lag_ns, equity_e8, changes = curve
    count = len(equity_e8)
    if count == 0:
        return 0, 0.0, 0, 0, 0, 0, 0.0, 0.0
    span_ns = ts_ns[count - 1] - ts_ns[0]
    days, before, day = 0, initial_e8, (ts_ns[0] + lag_ns) // NS_PER_DAY
    peak, trough, peak_at, at, i = initial_e8, initial_e8, 0, 0, 0
    share, fall, longest_ns, under_ns = 0.0, 0, 0, 0
    exposed = total = 0.0
    while i < count:
        stop = _first_from(ts_ns, i, count, (day + 1) * NS_PER_DAY - lag_ns)
        while i < stop:
            while at + 1 < len(changes) and changes[at + 1]["scan"] <= i:
                at += 1
            free = changes[at]["free_quote_e8"]
            until = min(stop, changes[at + 1]["scan"]) if at + 1 < len(changes) else stop
            marks = equity_e8[i : min(until, i + len(shares))]
            total, exposed, low, high = _look_over(marks, free, shares, total, exposed)
            trough = min(trough, low) if high < peak else trough
            for k in range(len(marks) if high >= peak else 0):
                value = marks[k]
                if value < peak:
                    trough = min(trough, value)
                    continue
                if trough < peak:
                    share, fall = max(share, (peak - trough) / peak), max(fall, peak - trough)
                    spell_ns = ts_ns[i + k] - ts_ns[peak_at]
                    longest_ns, under_ns = max(longest_ns, spell_ns), under_ns + spell_ns
                peak = trough = value
                peak_at = i + k
            i += len(marks)
        if stop < count:
            daily[days] = equity_e8[stop - 1] / before - 1.0
            gap = (ts_ns[stop] + lag_ns) // NS_PER_DAY - day
            for empty in range(days + 1, days + gap):
                daily[empty] = 0.0
            days, before, day = days + gap, equity_e8[stop - 1], day + gap
    daily[days] = final_e8 / before - 1.0
    trough = min(trough, final_e8)
    if trough < peak:
        share, fall = max(share, (peak - trough) / peak), max(fall, peak - trough)
        spell_ns = ts_ns[count - 1] - ts_ns[peak_at]
        longest_ns, under_ns = max(longest_ns, spell_ns), under_ns + spell_ns
    return days + 1, share, fall, longest_ns, under_ns, span_ns, exposed / count, total / count


@lean
def daily_moments(returns: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Fields of `DailyMoments`; without variation skew is 0 and kurtosis 3, below two days so is the deviation."""
    count = len(returns)
    mean = losses = second = third = fourth = 0.0
    for value in returns:
        mean += value
        if value < 0.0:
            losses += value * value
    if count == 0:
        return 0.0, 0.0, 0.0, 0.0, 3.0
    mean /= count
    for value in returns:
        square = (value - mean) * (value - mean)
        second += square
        third += square * (value - mean)
        fourth += square * square
    deviation = sqrt(second / (count - 1)) if count > 1 else 0.0
    if deviation <= NO_VARIATION:
        return mean, 0.0, sqrt(losses / count), 0.0, 3.0
    variance = second / count
    return (
        mean,
        deviation,
        sqrt(losses / count),
        third / count / (variance * sqrt(variance)),
        fourth / count / (variance * variance),
    )


def net_return(initial_e8: int, final_e8: int) -> float:
    """Share gained of the initial equity, after all costs."""
    return final_e8 / initial_e8 - 1.0 if initial_e8 > 0 else 0.0


def annual_return(initial_e8: int, final_e8: int, elapsed_ns: int) -> float:
    """Compound annual growth rate over the time that passed; 0 below one day, -1 when nothing is left."""
    if elapsed_ns < NS_PER_DAY or initial_e8 <= 0:
        return 0.0
    if final_e8 <= 0:
        return -1.0
    years = elapsed_ns / (DAYS_PER_YEAR * NS_PER_DAY)
    return exp(min(log(final_e8 / initial_e8) / years, _LARGEST_EXPONENT)) - 1.0


def profit_factor(profit_e8: int, loss_e8: int) -> float:
    """Gross profit over gross loss of closed positions; a profit without any loss is infinite, 0/0 is 0."""
    if loss_e8 == 0:
        return inf if profit_e8 > 0 else 0.0
    return profit_e8 / loss_e8


def win_rate(wins: int, positions: int) -> float:
    """Share of closed positions with a result above 0; 0 of none."""
    return wins / positions if positions > 0 else 0.0


def expectancy_e8(profit_e8: int, loss_e8: int, positions: int) -> float:
    """Mean result of a closed position; 0 of none."""
    return (profit_e8 - loss_e8) / positions if positions > 0 else 0.0


def average_win_e8(profit_e8: int, wins: int) -> float:
    """Mean result of the positions above 0; 0 of none."""
    return profit_e8 / wins if wins > 0 else 0.0


def average_loss_e8(loss_e8: int, losses: int) -> float:
    """Mean result, 0 or less, of the positions that are no wins; 0 of none."""
    return -loss_e8 / losses if losses > 0 else 0.0


def payoff(average_win: float, average_loss: float) -> float:
    """Size of the mean win over that of the mean loss; infinite without a loss, 0/0 is 0."""
    if average_loss == 0.0:
        return inf if average_win > 0.0 else 0.0
    return average_win / -average_loss


def risk_of_ruin(share_won: float, payoff_ratio: float, capital_in_losses: float) -> float:
    """Chance that betting on like this ever loses the capital: (q / (p * payoff)) ^ (capital / mean loss), 0..1.

    The gambler's ruin against an infinitely rich bank (Feller 1968, XIV.2), which it is exactly when wins
    are as large as losses; for other payoffs the customary approximation. 1 without an edge, 0 without a
    loss or a position.
    """
    if share_won <= 0.0:
        return 0.0 if capital_in_losses == inf else 1.0
    if share_won >= 1.0 or payoff_ratio == inf:
        return 0.0
    odds = (1.0 - share_won) / (share_won * payoff_ratio) if payoff_ratio > 0.0 else inf
    return 1.0 if odds >= 1.0 else exp(capital_in_losses * log(odds))


def sharpe(mean: float, deviation: float) -> float:
    """Mean over sample deviation of daily returns, times sqrt(365) (Sharpe 1994); no risk-free rate; 0 without variation."""
    return mean / deviation * sqrt(DAYS_PER_YEAR) if deviation > NO_VARIATION else 0.0


def sortino(mean: float, downside: float) -> float:
    """Mean over downside deviation of daily returns, times sqrt(365), target 0 (Sortino & Price 1994).

    Without a losing day infinite for a gain, else 0.
    """
    if downside <= NO_VARIATION:
        return inf if mean > 0.0 else 0.0
    return mean / downside * sqrt(DAYS_PER_YEAR)


def calmar(annual: float, drawdown: float) -> float:
    """Annual growth over maximum drawdown of the whole run (Young 1991); without a drawdown infinite for a gain, else 0."""
    if drawdown <= 0.0:
        return inf if annual > 0.0 else 0.0
    return annual / drawdown


def cvar(returns: NDArray[np.float64]) -> float:
    """Mean of the worst 5 % of the daily returns, at least one of them (Acerbi & Tasche 2002); 0 of none."""
    worst = ceil(round(TAIL * len(returns), 9))
    return float(np.add.reduce(np.sort(returns)[:worst])) / worst if worst > 0 else 0.0


def turnover(traded_e8: float, mean_equity_e8: float) -> float:
    """Notional of all fills, buys and sells, over the mean equity of the run."""
    return traded_e8 / mean_equity_e8 if mean_equity_e8 > 0.0 else 0.0


def probabilistic_sharpe(moments: DailyMoments, days: int, benchmark: float = 0.0) -> float:
    """Chance that the true daily Sharpe ratio is above `benchmark` (a daily ratio): Bailey & Lopez de Prado 2012.

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)). 0, nothing shown, for less
    than two days or without variation.
    """
    if days < 2 or moments.deviation <= NO_VARIATION:
        return 0.0
    ratio = moments.mean / moments.deviation
    spread = 1.0 - moments.skew * ratio + (moments.kurtosis - 1.0) / 4.0 * ratio * ratio
    return normal_cdf((ratio - benchmark) * sqrt(days - 1) / sqrt(max(spread, NO_VARIATION)))


def deflated_sharpe(moments: DailyMoments, days: int, trials: int, sharpe_variance: float) -> float:
    """Probabilistic Sharpe ratio against the best that luck gives in so many trials: Bailey & Lopez de Prado 2014.

    SR* = sqrt(variance of the trials' daily ratios) * `expected_maximum(trials)`; of one trial it is 0.
    """
    return probabilistic_sharpe(moments, days, sqrt(max(sharpe_variance, 0.0)) * expected_maximum(trials))


def expected_maximum(trials: int) -> float:
    """Expected largest of so many independent standard normal numbers; 0 of one.

    (1 - g) z(1/N) + g z(1/(N e)) with Euler's g and z the upper quantile (Bailey & Lopez de Prado 2014, 3).
    """
    if trials <= 1:
        return 0.0
    return (1.0 - EULER_GAMMA) * upper_quantile(1.0 / trials) + EULER_GAMMA * upper_quantile(
        exp(-1.0) / trials
    )


def normal_cdf(value: float) -> float:
    """Chance that a standard normal number is below `value`."""
    return 0.5 * erfc(-value / sqrt(2.0))


def upper_quantile(tail: float) -> float:
    """The value that a standard normal number exceeds with chance `tail`, 0 < tail <= 0.5, by bisection."""
    low, high = 0.0, 40.0
    for _ in range(64):
        middle = 0.5 * (low + high)
        if normal_cdf(-middle) > tail:
            low = middle
        else:
            high = middle
    return high
