"""What the operator of the exchange sets: commissions of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.venues.sim.accounts import Account
    from bnml.venues.sim.desk import Desk


class Management:
    """Accounts keep what is set."""

    def __init__(self, desk: Desk, save: Callable[[], None]) -> None:
        self._desk = desk
        self._save = save

    def set_rates(self, account: str, maker_ppm: int, taker_ppm: int) -> None:
        """Commission rates of an account."""
        changed = self._changed(account)
        changed.maker_ppm, changed.taker_ppm = maker_ppm, taker_ppm
        self._save()

    def _changed(self, account: str) -> Account:
        found = self._desk.account(account)
        self._desk.changes.accounts.add(account)
        return found
