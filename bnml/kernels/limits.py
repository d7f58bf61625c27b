"""Every rule that can refuse an entry, each as (refused, measured, limit), and the order they are asked in.

`facts` is a record of `records.FACTS`, `limits` of `records.LIMITS`. Comparisons of money and ppm are
made in integers; `measured` and `limit` are for the operator: shares and spreads in percent, money
in quote units, scores in points of 100, else plain numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import lean, njit
from bnml.kernels.fills import E8, PPM, mul_ppm
from bnml.kernels.records import MoodRegime, Reason

if TYPE_CHECKING:
    import numpy as np

_PPM_PER_PERCENT = PPM / 100.0
_NONE = int(Reason.NONE)
_ALREADY_HELD = int(Reason.ALREADY_HELD)
_NOT_ACTIVE = int(Reason.NOT_ACTIVE)
_GLOBAL_SCORE = int(Reason.GLOBAL_SCORE)
_NOT_IN_TOP = int(Reason.NOT_IN_TOP)
_CONFIDENCE = int(Reason.CONFIDENCE)
_SPREAD = int(Reason.SPREAD)
_DEPTH = int(Reason.DEPTH)
_EXPECTED_EDGE = int(Reason.EXPECTED_EDGE)
_MAX_POSITIONS = int(Reason.MAX_POSITIONS)
_DAILY_LOSS = int(Reason.DAILY_LOSS)
_DRAWDOWN = int(Reason.DRAWDOWN)
_LOSS_STREAK = int(Reason.LOSS_STREAK)
_VOLATILITY = int(Reason.VOLATILITY)
_DRIFT = int(Reason.DRIFT)
_MARKET_SELL = int(Reason.MARKET_SELL)
_MARKET_RISK_OFF = int(Reason.MARKET_RISK_OFF)
_MARKET_SCORE = int(Reason.MARKET_SCORE)
_CORRELATION = int(Reason.CORRELATION)
_DAILY_BUDGET = int(Reason.DAILY_BUDGET)
_WEEKLY_BUDGET = int(Reason.WEEKLY_BUDGET)
_EXPOSURE = int(Reason.EXPOSURE)
_MINIMUM_SIZE = int(Reason.MINIMUM_SIZE)
_CAPITAL = int(Reason.CAPITAL)
_INSUFFICIENT_DATA = int(MoodRegime.INSUFFICIENT_DATA)
_RISK_OFF = int(MoodRegime.RISK_OFF)


@lean
def _percent(part_e8: int, whole_e8: int) -> float:
    return 100.0 * part_e8 / whole_e8 if whole_e8 > 0 else 0.0


@lean
def already_held(facts: np.void, _limits: np.void) -> tuple[bool, float, float]:
    """One position per symbol; one being closed still counts."""
    return facts["held"] != 0, float(facts["held"]), 0.0


@njit
def not_active(facts: np.void, _limits: np.void) -> tuple[bool, float, float]:
    """Halted, reducing, or the venue not fully connected."""
    return facts["active"] == 0, float(facts["active"]), 1.0


@njit
def global_score(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Points of 100, at least."""
    return (
        facts["global_score"] < limits["min_global_score"],
        facts["global_score"],
        limits["min_global_score"],
    )


@njit
def not_in_top(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Place among the candidates of the scan, at most."""
    return facts["rank"] > limits["top_n"], float(facts["rank"]), float(limits["top_n"])


@njit
def confidence(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Points of 100, at least."""
    return facts["confidence"] < limits["min_confidence"], facts["confidence"], limits["min_confidence"]


@njit
def spread(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Percent of the mid, at most."""
    measured, limit = facts["spread_ppm"], limits["max_spread_ppm"]
    return measured > limit, measured / _PPM_PER_PERCENT, limit / _PPM_PER_PERCENT


@njit
def depth(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Quote units near the mid, at least."""
    measured, limit = facts["depth_e8"], limits["min_depth_e8"]
    return measured < limit, measured / E8, limit / E8


@njit
def expected_edge(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Percent after costs, more than the limit; an unknown edge (NaN) passes."""
    measured, limit = facts["expected_edge_ppm"], float(limits["min_expected_edge_ppm"])
    return measured <= limit, measured / _PPM_PER_PERCENT, limit / _PPM_PER_PERCENT


@lean
def max_positions(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Open positions must be fewer than the limit."""
    measured, limit = facts["open_positions"], limits["max_positions"]
    return measured >= limit, float(measured), float(limit)


@njit
def daily_loss(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Loss since the day's first scan, open losses included, in percent of that equity; below the limit."""
    start = facts["day_start_equity_e8"]
    loss = start - facts["equity_e8"]
    refused = loss > 0 and loss >= mul_ppm(start, limits["max_daily_loss_ppm"])
    return refused, _percent(loss, start), limits["max_daily_loss_ppm"] / _PPM_PER_PERCENT


@njit
def drawdown(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Pause after a drawdown from the peak; measured is the drawdown (percent) that tripped it."""
    refused = facts["ts_ns"] < facts["drawdown_until_ns"]
    return refused, facts["drawdown_ppm"] / _PPM_PER_PERCENT, limits["max_drawdown_ppm"] / _PPM_PER_PERCENT


@njit
def loss_streak(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Pause after losing positions in a row, counted from the last loss."""
    losses, limit = facts["losses_in_row"], limits["max_losses_in_row"]
    return losses >= limit and facts["ts_ns"] < facts["loss_until_ns"], float(losses), float(limit)


@njit
def volatility(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Benchmark's ATR ratio over its median, at most."""
    measured, limit = facts["volatility_ratio"], limits["max_volatility_ratio"]
    return measured > limit, measured, limit


@njit
def drift(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Benchmark's returns changed their distribution (KS distance, significant) or their volatility."""
    if facts["ks"] >= limits["drift_ks"] and facts["ks_p"] <= limits["drift_p"]:
        return True, facts["ks"], limits["drift_ks"]
    measured, limit = facts["drift_volatility_ratio"], limits["drift_volatility_ratio"]
    return measured >= limit, measured, limit


@njit
def market_sell(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """The market says SELL; measured is how sure of it, in points of 100, and must be below the limit."""
    measured, limit = facts["mood_confidence"], limits["mood_sell_confidence"]
    return facts["mood_side"] < 0 and measured >= limit, measured, limit


@njit
def market_risk_off(facts: np.void, _limits: np.void) -> tuple[bool, float, float]:
    """Volatility or spread of the whole market beyond what is borne (1), and the sellers not the weaker side."""
    return facts["mood_regime"] == _RISK_OFF, facts["mood_risk"], 1.0


@njit
def market_score(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Smoothed score of the market (-1..1), above the limit."""
    measured, limit = facts["mood_score"], limits["mood_min_score"]
    return facts["mood_regime"] != _INSUFFICIENT_DATA and measured <= limit, measured, limit


@njit
def correlation(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Largest correlation with an open position, at most."""
    measured, limit = facts["correlation"], limits["max_correlation"]
    return measured > limit, measured, limit


@njit
def _budget(start_e8: int, facts: np.void, budget_ppm: int) -> tuple[bool, float, float]:
    """Loss so far plus what the new entry may lose, in percent of the starting equity, at most."""
    used = max(0, start_e8 - facts["equity_e8"]) + facts["risk_e8"]
    return used > mul_ppm(start_e8, budget_ppm), _percent(used, start_e8), budget_ppm / _PPM_PER_PERCENT


@njit
def daily_budget(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """See `_budget`, since the day's first scan."""
    return _budget(facts["day_start_equity_e8"], facts, limits["daily_budget_ppm"])


@njit
def weekly_budget(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """See `_budget`, since the week's first scan."""
    return _budget(facts["week_start_equity_e8"], facts, limits["weekly_budget_ppm"])


@lean
def exposure(facts: np.void, limits: np.void) -> tuple[bool, float, float]:
    """Positions plus the smallest possible entry, in percent of active capital, at most."""
    needed = facts["exposure_e8"] + facts["minimum_e8"]
    refused = needed > mul_ppm(facts["active_e8"], limits["max_exposure_ppm"])
    return refused, _percent(needed, facts["active_e8"]), limits["max_exposure_ppm"] / _PPM_PER_PERCENT


@lean
def minimum_size(facts: np.void, _limits: np.void) -> tuple[bool, float, float]:
    """Quote units that sizing wants, at least what filters and protection need."""
    return facts["wanted_e8"] < facts["minimum_e8"], facts["wanted_e8"] / E8, facts["minimum_e8"] / E8


@lean
def capital(facts: np.void, _limits: np.void) -> tuple[bool, float, float]:
    """Quote units that the free balance pays for, at least what filters and protection need."""
    return facts["size_e8"] < facts["minimum_e8"], facts["size_e8"] / E8, facts["minimum_e8"] / E8


@njit
def _of_candidate(facts: np.void, limits: np.void) -> tuple[int, float, float]:
    """Rules that look at the candidate alone."""
    refused, measured, limit = already_held(facts, limits)
    if refused:
        return _ALREADY_HELD, measured, limit
    refused, measured, limit = not_active(facts, limits)
    if refused:
        return _NOT_ACTIVE, measured, limit
    refused, measured, limit = global_score(facts, limits)
    if refused:
        return _GLOBAL_SCORE, measured, limit
    refused, measured, limit = not_in_top(facts, limits)
    if refused:
        return _NOT_IN_TOP, measured, limit
    refused, measured, limit = confidence(facts, limits)
    if refused:
        return _CONFIDENCE, measured, limit
    refused, measured, limit = spread(facts, limits)
    if refused:
        return _SPREAD, measured, limit
    refused, measured, limit = depth(facts, limits)
    if refused:
        return _DEPTH, measured, limit
    refused, measured, limit = expected_edge(facts, limits)
    if refused:
        return _EXPECTED_EDGE, measured, limit
    return _NONE, 0.0, 0.0


@njit
def _of_account(facts: np.void, limits: np.void) -> tuple[int, float, float]:
    """Rules that look at the account and the market."""
    refused, measured, limit = max_positions(facts, limits)
    if refused:
        return _MAX_POSITIONS, measured, limit
    refused, measured, limit = daily_loss(facts, limits)
    if refused:
        return _DAILY_LOSS, measured, limit
    refused, measured, limit = drawdown(facts, limits)
    if refused:
        return _DRAWDOWN, measured, limit
    refused, measured, limit = loss_streak(facts, limits)
    if refused:
        return _LOSS_STREAK, measured, limit
    refused, measured, limit = volatility(facts, limits)
    if refused:
        return _VOLATILITY, measured, limit
    refused, measured, limit = drift(facts, limits)
    if refused:
        return _DRIFT, measured, limit
    return _of_market(facts, limits)


@njit
def _of_market(facts: np.void, limits: np.void) -> tuple[int, float, float]:
    """Rules that look at all symbols together, and at those held."""
    refused, measured, limit = market_sell(facts, limits)
    if refused:
        return _MARKET_SELL, measured, limit
    refused, measured, limit = market_risk_off(facts, limits)
    if refused:
        return _MARKET_RISK_OFF, measured, limit
    refused, measured, limit = market_score(facts, limits)
    if refused:
        return _MARKET_SCORE, measured, limit
    refused, measured, limit = correlation(facts, limits)
    if refused:
        return _CORRELATION, measured, limit
    return _NONE, 0.0, 0.0


@njit
def _of_size(facts: np.void, limits: np.void) -> tuple[int, float, float]:
    """Rules that look at what the entry would take."""
    refused, measured, limit = daily_budget(facts, limits)
    if refused:
        return _DAILY_BUDGET, measured, limit
    refused, measured, limit = weekly_budget(facts, limits)
    if refused:
        return _WEEKLY_BUDGET, measured, limit
    refused, measured, limit = exposure(facts, limits)
    if refused:
        return _EXPOSURE, measured, limit
    refused, measured, limit = minimum_size(facts, limits)
    if refused:
        return _MINIMUM_SIZE, measured, limit
    refused, measured, limit = capital(facts, limits)
    if refused:
        return _CAPITAL, measured, limit
    return _NONE, 0.0, 0.0


@njit
def first_refusal(facts: np.void, limits: np.void) -> tuple[int, float, float]:
    """(Reason, measured, limit) of the first rule that refuses, in the order of `Reason`; NONE if none does."""
    reason, measured, limit = _of_candidate(facts, limits)
    if reason == _NONE:
        reason, measured, limit = _of_account(facts, limits)
    if reason == _NONE:
        reason, measured, limit = _of_size(facts, limits)
    return reason, measured, limit


@njit
def first_refusal_of_rules(facts: np.void, limits: np.void) -> tuple[int, float, float]:
    """The same without the rules of risk: one position a symbol, how many at once, exposure, size and money."""
    refused, measured, limit = already_held(facts, limits)
    if refused:
        return _ALREADY_HELD, measured, limit
    refused, measured, limit = max_positions(facts, limits)
    if refused:
        return _MAX_POSITIONS, measured, limit
    refused, measured, limit = exposure(facts, limits)
    if refused:
        return _EXPOSURE, measured, limit
    refused, measured, limit = minimum_size(facts, limits)
    if refused:
        return _MINIMUM_SIZE, measured, limit
    refused, measured, limit = capital(facts, limits)
    if refused:
        return _CAPITAL, measured, limit
    return _NONE, 0.0, 0.0
