"""Rules of a symbol, and of the exchange, that only the exchange itself needs; zero switches a limit off."""

from __future__ import annotations

from typing import Final

import msgspec

PPM: Final = 1_000_000
ALL_PREVENTIONS: Final = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER")


class PriceBand(msgspec.Struct, frozen=True):
    """Multipliers of the average price in ppm, for bids and asks; `minutes` 0 means the last price."""

    bid_up_ppm: int = 5 * PPM
    bid_down_ppm: int = PPM // 5
    ask_up_ppm: int = 5 * PPM
    ask_down_ppm: int = PPM // 5
    minutes: int = 0


class SymbolRules(msgspec.Struct, frozen=True, kw_only=True):
    """Filters and permissions of one symbol beside those of `core.instrument`."""

    band_by_side: PriceBand | None = PriceBand()  # PERCENT_PRICE_BY_SIDE
    band: PriceBand | None = None  # PERCENT_PRICE; its bid multipliers count
    notional_minutes: int = 0  # NOTIONAL: average that values market orders
    min_to_market: bool = True
    max_to_market: bool = True
    market_min_lots: int = 0
    iceberg_parts: int = 100
    max_icebergs: int = 0
    max_position_e8: int = 0
    trailing_above: tuple[int, int] = (10, 2000)  # TRAILING_DELTA, in hundredths of a per cent
    trailing_below: tuple[int, int] = (10, 2000)
    max_amends: int = 10
    max_lists: int = 20
    iceberg_allowed: bool = True
    trailing_allowed: bool = True
    amend_allowed: bool = True
    quote_market_allowed: bool = True
    prevention: str = "EXPIRE_MAKER"
    preventions: tuple[str, ...] = ALL_PREVENTIONS


class ExchangeRules(msgspec.Struct, frozen=True, kw_only=True):
    """EXCHANGE_MAX_*: open orders of one account over all symbols."""

    max_orders: int = 0
    max_algo_orders: int = 0
    max_icebergs: int = 0
    max_lists: int = 0


class Rulebook:
    """The rules in force; symbols without rules of their own have the default ones."""

    def __init__(self) -> None:
        self.exchange = ExchangeRules()
        self._default = SymbolRules()
        self._symbols: dict[str, SymbolRules] = {}

    def of(self, symbol: str) -> SymbolRules:
        """The rules of a symbol."""
        return self._symbols.get(symbol, self._default)

    def set(self, symbol: str, rules: SymbolRules) -> None:
        """Change the rules of a symbol, for orders to come."""
        self._symbols[symbol] = rules
