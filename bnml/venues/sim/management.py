"""What the operator of the exchange sets: rules of symbols, commissions of accounts, trade groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.venues.sim.accounts import Account
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.rules import ExchangeRules, SymbolRules


class Management:
    """Rules hold for orders to come and are forgotten by a restart; accounts keep what is set."""

    def __init__(self, desk: Desk, save: Callable[[], None]) -> None:
        self._desk = desk
        self._save = save

    def set_rates(self, account: str, maker_ppm: int, taker_ppm: int) -> None:
        """Commission rates of an account."""
        changed = self._changed(account)
        changed.maker_ppm, changed.taker_ppm = maker_ppm, taker_ppm
        self._save()

    def rules(self, symbol: str) -> SymbolRules:
        """Filters and permissions of a symbol beside those of its instrument."""
        return self._desk.rulebook.of(symbol)

    def set_rules(self, symbol: str, rules: SymbolRules) -> None:
        """Change the filters and permissions of a symbol."""
        instrument = self._desk.instrument(symbol)
        self._desk.instruments[symbol] = msgspec.structs.replace(
            instrument
        )  # what is kept of it is out of date
        self._desk.rulebook.set(symbol, rules)

    @property
    def limits(self) -> ExchangeRules:
        """Filters of the exchange."""
        return self._desk.rulebook.exchange

    def set_limits(self, rules: ExchangeRules) -> None:
        """Change the filters of the exchange."""
        self._desk.rulebook.exchange = rules

    def commission(self, account: str, symbol: str) -> tuple[int, int]:
        """Maker and taker rate of an account on a symbol, in ppm."""
        return self._desk.account(account).rates_on(symbol)

    def set_commission(self, account: str, symbol: str, maker_ppm: int, taker_ppm: int) -> None:
        """Rates of an account on one symbol."""
        self._desk.instrument(symbol)
        self._changed(account).rates[symbol] = (maker_ppm, taker_ppm)
        self._save()

    def pays_in_bnb(self, account: str) -> bool:
        """Whether commissions are paid in BNB where there is enough of it."""
        return self._desk.account(account).pays_in_bnb

    def set_discount(self, account: str, *, is_on: bool) -> None:
        """Pay commissions in BNB, at a discount, where there is enough of it."""
        self._changed(account).pays_in_bnb = is_on
        self._save()

    def group(self, account: str) -> int:
        """The trade group within which self-trade prevention acts; -1 is none."""
        return self._desk.account(account).trade_group

    def set_group(self, account: str, group: int) -> None:
        """Put an account into a trade group."""
        self._changed(account).trade_group = group
        self._save()

    def _changed(self, account: str) -> Account:
        found = self._desk.account(account)
        self._desk.changes.accounts.add(account)
        return found
