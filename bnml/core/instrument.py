"""One tradable symbol with its filters, and the one converter between Decimal, integers and floats.

Inside: price in ticks, quantity in lots, money in 1e-8 of the quote asset. Notional of p ticks and
q lots is p * q * notional_num // notional_den (rounded down; on Binance the division is exact).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from functools import lru_cache
from math import gcd
from typing import Literal

import msgspec

from bnml.core.errors import Rejected

E8 = 100_000_000
DELISTED = "DELISTED"
"""Status of a symbol that the venue does not name any more; a position in it is parked: shown, and left alone."""
Rounding = Literal["down", "up", "exact"]


class Instrument(msgspec.Struct, frozen=True, gc=False):
    """Filters as integers; `tick_e8` and `lot_e8` are tick and lot in 1e-8 of quote and base."""

    symbol: str
    base: str
    quote: str
    tick_e8: int
    lot_e8: int
    min_lots: int = 1
    max_lots: int = 2**53
    market_max_lots: int = 2**53
    min_ticks: int = 1
    max_ticks: int = 2**53
    min_notional_e8: int = 5 * E8
    max_notional_e8: int = 2**62
    max_algo_orders: int = 5
    max_orders: int = 200
    status: str = "TRADING"
    oto_allowed: bool = True
    oco_allowed: bool = True
    opo_allowed: bool = True
    cancel_replace_allowed: bool = True
    stop_loss_allowed: bool = True  # STOP_LOSS (market) offered, else only STOP_LOSS_LIMIT
    max_lists: int = 20
    price_step: int = (
        1  # ticks; above 1 where the venue's grid became coarser while a position kept its units
    )
    lot_step: int = 1  # lots; the same

    @property
    def notional_num(self) -> int:
        product = self.tick_e8 * self.lot_e8
        return product // gcd(product, E8)

    @property
    def notional_den(self) -> int:
        return E8 // gcd(self.tick_e8 * self.lot_e8, E8)

    def notional_e8(self, price_ticks: int, quantity_lots: int) -> int:
        """Quote value in 1e-8, rounded down."""
        return price_ticks * self.tick_e8 * quantity_lots * self.lot_e8 // E8

    def price_ticks(self, price: Decimal | str, rounding: Rounding = "exact") -> int:
        """Price at the wire as ticks; `exact` raises Rejected for a price off the tick."""
        return _to_units(Decimal(price), self.tick_e8, rounding, f"{self.symbol}: price")

    def quantity_lots(self, quantity: Decimal | str, rounding: Rounding = "exact") -> int:
        """Quantity at the wire as lots; `exact` raises Rejected for a quantity off the lot."""
        return _to_units(Decimal(quantity), self.lot_e8, rounding, f"{self.symbol}: quantity")

    def price_decimal(self, price_ticks: int) -> Decimal:
        return Decimal(price_ticks * self.tick_e8).scaleb(-8)

    def quantity_decimal(self, quantity_lots: int) -> Decimal:
        return Decimal(quantity_lots * self.lot_e8).scaleb(-8)

    def price_text(self, price_ticks: int) -> str:
        """Plain decimal for the wire: no exponent, no trailing zeros beyond the tick."""
        return plain(price_ticks * self.tick_e8, decimals_of(self.tick_e8))

    def quantity_text(self, quantity_lots: int) -> str:
        return plain(quantity_lots * self.lot_e8, decimals_of(self.lot_e8))

    def price_float(self, price_ticks: int) -> float:
        """The double nearest to the decimal price; what feature kernels see."""
        return (price_ticks * self.tick_e8) / 1e8

    def quantity_float(self, quantity_lots: int) -> float:
        return (quantity_lots * self.lot_e8) / 1e8


def _to_units(value: Decimal, unit_e8: int, rounding: Rounding, what: str) -> int:
    units = value.scaleb(8) / unit_e8
    mode = {"down": ROUND_FLOOR, "up": ROUND_CEILING, "exact": ROUND_DOWN}[rounding]
    whole = units.to_integral_value(rounding=mode)
    if rounding == "exact" and whole != units:
        message = f"{what} {value} is not a multiple of {Decimal(unit_e8).scaleb(-8)}"
        raise Rejected(message)
    return int(whole)


@lru_cache(maxsize=64)
def decimals_of(unit_e8: int) -> int:
    """Decimals needed to write any multiple of the unit."""
    decimals = 8
    while decimals and unit_e8 % 10 == 0:
        unit_e8 //= 10
        decimals -= 1
    return decimals


def plain(amount_e8: int, decimals: int = 8) -> str:
    """An amount of 1e-8 units as a plain decimal text with exactly `decimals` decimals (digits beyond are cut)."""
    if amount_e8 < 0:
        return f"-{plain(-amount_e8, decimals)}"
    digits = str(amount_e8).zfill(9)
    return f"{digits[:-8]}.{digits[-8:][:decimals]}" if decimals else digits[:-8]


def money_e8(text: Decimal | str | int) -> int:
    """A wire amount as 1e-8 units; anything finer than 1e-8 is cut."""
    return int(Decimal(text).scaleb(8).to_integral_value(rounding=ROUND_DOWN))
