"""How much a candidate may buy, where its stop lies and how it is split: integers from kernels, in one plan."""

from __future__ import annotations

import msgspec
import numpy as np

from bnml.core.instrument import Instrument
from bnml.kernels import exits, fills, plain, sizing
from bnml.trading.compile import EngineConfig, instrument_record
from bnml.trading.entries import stop_price

_active_capital_e8 = plain(sizing.active_capital_e8)


class Capital(msgspec.Struct, frozen=True):
    """The account as a candidate meets it; 1e-8 of the quote asset."""

    equity_e8: int
    active_e8: int  # the part of equity that positions are sized from
    free_quote_e8: int  # after reservations of entries under way, also of this scan
    exposure_e8: int  # open positions at the scan's closes, and those reservations
    cost_e8: int  # what was paid for them, and those reservations


class SizedEntry(msgspec.Struct, frozen=True):
    """One candidate in lots and ticks; `lots` is what may be bought, `wanted_lots` before the free balance."""

    reference_ticks: int
    atr_ticks: int
    cap_ticks: int
    stop_ticks: int
    stop_reason: int
    wanted_lots: int
    lots: int
    minimum_lots: int
    risk_e8: int  # lost if the stop is hit at its level


def active_capital_e8(equity_e8: int, config: EngineConfig) -> int:
    """The part of equity that positions are sized from."""
    return int(_active_capital_e8(equity_e8, config.limits[0]))


def size_entry(
    reference_ticks: int, atr_ratio: float, instrument: Instrument, capital: Capital, config: EngineConfig
) -> SizedEntry:
    """Size an entry decided at a close of `reference_ticks`; every number of it comes from a kernel."""
    rules, limits, symbol = config.rules[0], config.limits[0], instrument_record(instrument)[0]
    atr_ticks = exits.atr_ticks(atr_ratio, reference_ticks)
    cap_ticks = exits.entry_cap(reference_ticks, rules)
    stop_ticks, stop_reason = exits.initial_stop(reference_ticks, atr_ticks, rules)
    wanted_lots, lots = sizing.size_lots(
        capital.equity_e8,
        capital.free_quote_e8,
        capital.exposure_e8,
        capital.cost_e8,
        reference_ticks,
        stop_ticks,
        cap_ticks,
        limits,
        symbol,
    )
    if 2 * instrument.notional_e8(int(cap_ticks), int(wanted_lots)) > instrument.max_notional_e8:
        most = _most_lots(instrument, max(cap_ticks, *_targets(reference_ticks, stop_ticks, rules)))
        wanted_lots, lots = min(wanted_lots, most), min(lots, most)
    worth_ticks = stop_price(instrument, int(stop_ticks))
    return SizedEntry(
        reference_ticks=int(reference_ticks),
        atr_ticks=int(atr_ticks),
        cap_ticks=int(cap_ticks),
        stop_ticks=int(stop_ticks),
        stop_reason=int(stop_reason),
        wanted_lots=int(wanted_lots),
        lots=int(lots),
        minimum_lots=int(sizing.minimum_lots(worth_ticks, config.costs[0]["taker_ppm"], symbol)),
        risk_e8=int(fills.notional_e8(reference_ticks - stop_ticks, lots, symbol)),
    )


def split(
    sized: SizedEntry, instrument: Instrument, config: EngineConfig
) -> tuple[tuple[int, int, int], ...]:
    """Tranches as (index, lots, target or 0); one tranche with target 1 where filters forbid the split.

    Three stops must fit under the symbol's count of algorithmic orders.
    """
    rules, symbol = config.rules[0], instrument_record(instrument)[0]
    worth_ticks = stop_price(instrument, sized.stop_ticks)
    first, second, rest = sizing.split_lots(
        sized.lots, worth_ticks, config.costs[0]["taker_ppm"], rules, symbol
    )
    if instrument.max_algo_orders < sum(part > 0 for part in (first, second, rest)):
        first, second, rest = sized.lots, 0, 0
    target1, target2 = _targets(sized.reference_ticks, sized.stop_ticks, rules)
    parts = ((1, int(first), target1), (2, int(second), target2), (3, int(rest), 0))
    return tuple(part for part in parts if part[1] > 0)


def _targets(reference_ticks: int, stop_ticks: int, rules: np.void) -> tuple[int, int]:
    first, second = (
        int(
            exits.target_level(
                reference_ticks,
                stop_ticks,
                rules[f"target{number}_ppm"],
                rules[f"target{number}_r_ppm"],
                rules,
            )
        )
        for number in (1, 2)
    )
    return first, second


def _most_lots(instrument: Instrument, price_ticks: int) -> int:
    """The largest order that the venue takes at a price."""
    return instrument.max_notional_e8 * instrument.notional_den // (price_ticks * instrument.notional_num)
