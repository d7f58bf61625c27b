"""What is not of our accounts: the liquidity of the market itself, as the fill tier shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from bnml.core.orders import Side

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder


class Offer(NamedTuple):
    """What the market gives at its best price; 0 lots: nothing within the limit of who asks."""

    lots: int
    price_ticks: int


class Outside(Protocol):
    """External liquidity as an arriving order meets it."""

    is_single: bool
    """Whether one offer is all that an order gets."""

    def offer(self, order: SimOrder, lots: int, *, at_any_price: bool) -> Offer:
        """The best offer for up to `lots` of an order."""
        ...

    def take(self, order: SimOrder, lots: int, price_ticks: int) -> None:
        """The offer was taken: it is gone."""
        ...

    def best(self, side: Side, symbol: str) -> int | None:
        """The best price that an order of `side` meets."""
        ...

    def total(self, order: SimOrder, lots: int, barrier: int) -> int:
        """How many lots there are within the limit of an order that wants `lots`; better than `barrier`, 0: none."""
        ...

    def levels(self, order: SimOrder) -> list[tuple[int, int]]:
        """(lots, price) of what an order at any price meets, the best first; empty where the book is not shown."""
        ...

    def at(self, side: Side, symbol: str, price_ticks: int) -> int:
        """Lots that rest at a price on the side of such an order."""
        ...


def is_better(side: Side, price_ticks: int, other: int) -> bool:
    """Whether an order of `side` would rather trade at one price than at another."""
    return price_ticks < other if side is Side.BUY else price_ticks > other


class TouchOutside:
    """F0 and F1: one price for any quantity, computed by `kernels.fills`; nothing is used up."""

    is_single = True

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def offer(self, order: SimOrder, lots: int, *, at_any_price: bool) -> Offer:
        """Lots and price at the last print."""
        state = self._desk.market[order.symbol].state
        got = self._desk.pricing.take(order, lots, state, at_any_price=at_any_price)
        return Offer(got.lots, got.price_ticks)

    def take(self, order: SimOrder, lots: int, price_ticks: int) -> None:
        """Nothing is used up."""

    def best(self, side: Side, symbol: str) -> int | None:
        """The touch."""
        desk = self._desk
        state = desk.market[symbol].state
        return desk.pricing.touch(side, state, desk.instruments[symbol], desk.now_ns)

    def total(self, order: SimOrder, lots: int, barrier: int) -> int:
        """What one order may take."""
        state = self._desk.market[order.symbol].state
        got = self._desk.pricing.most(order, lots, state)
        if barrier and not is_better(order.side, got.price_ticks, barrier):
            return 0
        return got.lots

    def levels(self, order: SimOrder) -> list[tuple[int, int]]:
        """No book is shown."""
        del order
        return []

    def at(self, side: Side, symbol: str, price_ticks: int) -> int:
        """Nobody waits."""
        del side, symbol, price_ticks
        return 0
