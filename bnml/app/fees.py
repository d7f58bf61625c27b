"""The asset that pays the commissions: how long it will last by what was spent of it, and what to buy of it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from bnml.core.instrument import E8

if TYPE_CHECKING:
    from bnml.config import Settings
    from bnml.core.instrument import Instrument
    from bnml.trading.settings import CapitalSettings

FEE_ASSET: Final = "BNB"
LEAST_PPM: Final = 1_020_000
"""Of the least order: the venue values by an average price, and the market moves until it gets there."""
HOUR_NS: Final = 3_600_000_000_000
WINDOW_NS: Final = 24 * HOUR_NS
LEAST_NS: Final = HOUR_NS
"""So much must have been seen before anything is concluded."""
WARN_H: Final = 24.0


class FeePace:
    """Looks at one holding; what was added to it is no spending."""

    def __init__(self) -> None:
        self._spent: deque[tuple[int, int]] = deque()
        self._began_ns = 0
        self._held_e8: int | None = None

    def take(self, ts_ns: int, held_e8: int) -> float | None:
        """One look; how many hours it lasts at the pace of the last day, None while nothing can be said."""
        before, self._held_e8 = self._held_e8, held_e8
        if before is None:
            self._began_ns = ts_ns
            return None
        if held_e8 < before:
            self._spent.append((ts_ns, before - held_e8))
        while self._spent and self._spent[0][0] <= ts_ns - WINDOW_NS:
            self._spent.popleft()
        seen_ns = min(ts_ns - self._began_ns, WINDOW_NS)
        spent_e8 = sum(one for _, one in self._spent)
        if not spent_e8 or (seen_ns < LEAST_NS and held_e8):
            return None
        return held_e8 / spent_e8 * seen_ns / HOUR_NS


def fee_symbol(settings: Settings) -> str:
    """By what the fee reserve is bought; empty where it is not."""
    return f"{FEE_ASSET}{settings.universe.quote}" if settings.capital.fee_top_up else ""


def lots_to_buy(settings: CapitalSettings, instrument: Instrument, worth_e8: int, price_e8: int) -> int:
    """What restores the reserve: at least the venue's least order, at most what one purchase may cost; 0: neither."""
    lot_e8 = instrument.lot_e8 * instrument.lot_step
    least_e8 = instrument.min_notional_e8 * LEAST_PPM // 1_000_000
    missing_e8 = max(round(settings.fee_reserve_quote * E8) - worth_e8, least_e8)
    most_e8 = round(settings.fee_top_up_max_quote * E8)
    steps = min(-(-missing_e8 * E8 // (price_e8 * lot_e8)), most_e8 * E8 // (price_e8 * lot_e8))
    lots = min(max(steps * instrument.lot_step, instrument.min_lots), instrument.market_max_lots)
    cost_e8 = price_e8 * lots * instrument.lot_e8 // E8
    return lots if least_e8 <= cost_e8 <= most_e8 else 0
