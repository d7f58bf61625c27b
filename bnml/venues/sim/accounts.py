"""Balances: free and locked of each asset of each account, in integers, never below zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.core.errors import Fatal
from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from collections.abc import Mapping

INSUFFICIENT = "Account has insufficient balance for requested action."


class Account(msgspec.Struct):
    """One account; `balances` holds [free, locked], `commissions` what was paid so far, by asset."""

    name: str
    maker_ppm: int
    taker_ppm: int
    balances: dict[str, list[int]] = {}
    commissions: dict[str, int] = {}
    updated_ns: int = 0
    rates: dict[str, tuple[int, int]] = {}  # maker and taker ppm on symbols that differ
    pays_in_bnb: bool = False
    trade_group: int = -1

    def rates_on(self, symbol: str) -> tuple[int, int]:
        """Maker and taker rate in ppm on a symbol."""
        own = self.rates.get(symbol)
        return (self.maker_ppm, self.taker_ppm) if own is None else own

    def free(self, asset: str) -> int:
        """Amount that new orders may lock or spend."""
        held = self.balances.get(asset)
        return 0 if held is None else held[0]

    def require(self, asset: str, amount_e8: int) -> None:
        """Refuse with Binance's text when less than `amount_e8` is free."""
        if self.free(asset) < amount_e8:
            raise VenueReject(-2010, INSUFFICIENT)

    def credit(self, asset: str, amount_e8: int) -> None:
        """Add to the free balance; a negative amount is taken from it."""
        held = self.balances.setdefault(asset, [0, 0])
        held[0] += amount_e8
        if held[0] < 0:
            raise Fatal(f"account {self.name}: free {asset} would become {held[0]} (1e-8)")

    def lock(self, asset: str, amount_e8: int) -> None:
        """Move between free and locked; a negative amount gives back."""
        held = self.balances.setdefault(asset, [0, 0])
        held[0] -= amount_e8
        held[1] += amount_e8
        if held[0] < 0 or held[1] < 0:
            raise Fatal(f"account {self.name}: {asset} would become {held} (free, locked, 1e-8)")

    def pay_commission(self, asset: str, amount_e8: int) -> None:
        """Book a commission that was already withheld from what a fill paid out."""
        self.commissions[asset] = self.commissions.get(asset, 0) + amount_e8

    def position(self, assets: set[str]) -> dict[str, tuple[int, int]]:
        """(free, locked) of `assets`, in alphabetical order."""
        return {asset: _pair(self.balances.get(asset)) for asset in sorted(assets)}


def open_account(name: str, balances: Mapping[str, int], maker_ppm: int, taker_ppm: int) -> Account:
    """A new account with everything free."""
    held = {asset: [amount_e8, 0] for asset, amount_e8 in balances.items()}
    return Account(name=name, maker_ppm=maker_ppm, taker_ppm=taker_ppm, balances=held)


def _pair(held: list[int] | None) -> tuple[int, int]:
    return (0, 0) if held is None else (held[0], held[1])
