"""How much to buy: risk over stop distance, capped by capital, and its split into protected tranches.

Quantities in lots, prices in ticks, money in 1e-8 of the quote asset; records as in `kernels.records`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import lean, njit
from bnml.kernels.fills import lots_for, mul_ppm, notional_e8, pending_lots

if TYPE_CHECKING:
    import numpy as np


@lean
def active_capital_e8(equity_e8: int, limits: np.void) -> int:
    """The part of equity that positions are sized from; never above the configured cap."""
    active = mul_ppm(max(0, equity_e8), limits["active_ppm"])
    cap = limits["max_quote_e8"]
    return min(active, cap) if cap > 0 else active


@lean
def exposure_left_e8(active_e8: int, exposure_e8: int, limits: np.void) -> int:
    """What may still be put into positions; negative when open ones have grown beyond the limit."""
    return mul_ppm(active_e8, limits["max_exposure_ppm"]) - exposure_e8


@lean
def cost_left_e8(money_e8: int, cost_e8: int, limits: np.void) -> int:
    """The part of some money that may still be paid; what was paid counts until it is sold, whatever it is worth."""
    most = limits["max_cost_e8"]
    return min(money_e8, most - cost_e8) if most > 0 else money_e8


@njit
def size_lots(
    equity_e8: int,
    free_quote_e8: int,
    exposure_e8: int,
    cost_e8: int,
    reference_ticks: int,
    stop_ticks: int,
    cap_ticks: int,
    limits: np.void,
    instrument: np.void,
) -> tuple[int, int]:
    """(lots wanted, lots affordable), both floored and never negative.

    Wanted is the least of: risk share of equity over the distance reference - stop, share of the active
    capital, exposure and cost left, the largest order; affordable also heeds the free quote. Prices of the caps
    are the entry limit, so the reservation covers any fill. Lots never rise when the stop is farther.
    A risk share of 0 is no bound, without a stop (0) the whole price is at risk.
    """
    active = active_capital_e8(equity_e8, limits)
    money = min(mul_ppm(active, limits["max_position_ppm"]), exposure_left_e8(active, exposure_e8, limits))
    money = cost_left_e8(money, cost_e8, limits)
    wanted = min(lots_for(money, cap_ticks, instrument), instrument["max_lots"])
    if limits["risk_per_trade_ppm"] > 0:
        risk = mul_ppm(max(0, equity_e8), limits["risk_per_trade_ppm"])
        wanted = min(wanted, lots_for(risk, reference_ticks - stop_ticks, instrument))
    if money <= free_quote_e8:
        return wanted, wanted
    return wanted, min(wanted, lots_for(free_quote_e8, cap_ticks, instrument))


@lean
def is_sellable(bought_lots: int, stop_ticks: int, commission_ppm: int, instrument: np.void) -> bool:
    """Whether the filters let a tranche of this size be sold at its stop after commission in base."""
    lots = pending_lots(bought_lots, commission_ppm, instrument["lot_e8"])
    return lots >= max(1, instrument["min_lots"]) and (
        notional_e8(stop_ticks, lots, instrument) >= instrument["min_notional_e8"]
    )


@njit
def minimum_lots(stop_ticks: int, commission_ppm: int, instrument: np.void) -> int:
    """The fewest lots that, bought as one tranche, can be sold at the stop."""
    lots = max(1, instrument["min_lots"], lots_for(instrument["min_notional_e8"], stop_ticks, instrument))
    lots += mul_ppm(lots, commission_ppm)
    while not is_sellable(lots, stop_ticks, commission_ppm, instrument):
        lots += 1
    return lots


@njit
def split_lots(
    lots: int, stop_ticks: int, commission_ppm: int, rules: np.void, instrument: np.void
) -> tuple[int, int, int]:
    """Lots of the tranches (target 1, target 2, runner): shares floored, the remainder to the last.

    A tranche of 0 lots is not sent. If one of the others could not be sold at its stop, everything is one
    tranche protected by target 1 and the stop.
    """
    first = mul_ppm(lots, rules["share1_ppm"])
    second = mul_ppm(lots, rules["share2_ppm"])
    rest = lots - first - second
    for part in (first, second, rest):
        if part > 0 and not is_sellable(part, stop_ticks, commission_ppm, instrument):
            return lots, 0, 0
    return first, second, rest
