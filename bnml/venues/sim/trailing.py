"""Trailing stops: they follow the best price since they began, and are triggered a distance from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.core.orders import Side
from bnml.venues.sim.messages import Execution
from bnml.venues.sim.seating import seat

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder

BIPS: Final = 10_000


class Trailing:
    """Moves the triggers of the desk's trailing orders."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def begin(self, order: SimOrder) -> None:
        """Its stop price was reached: from here on it follows."""
        desk = self._desk
        desk.books[order.symbol].leave(order)
        order.trailing_ns = order.updated_ns = desk.now_ns
        self._set(order, desk.market[order.symbol].state.last_ticks)
        desk.report(order, Execution.NEW)
        seat(desk, order)

    def follow(self, symbol: str, price_ticks: int) -> None:
        """A print: those whose best price it betters move their triggers after it."""
        book = self._desk.books[symbol]
        if not book.trailing:
            return
        for order in list(book.trailing.values()):
            extreme = order.extreme_ticks
            is_better = price_ticks < extreme if order.side is Side.BUY else price_ticks > extreme
            if not extreme or is_better:
                book.leave(order)
                self._set(order, price_ticks)
                seat(self._desk, order)

    def _set(self, order: SimOrder, extreme_ticks: int) -> None:
        order.extreme_ticks = extreme_ticks
        order.trail_ticks = trigger_ticks(order.side, extreme_ticks, order.trailing_bips)
        self._desk.changes.orders.add(order.order_id)


def trigger_ticks(side: Side, extreme_ticks: int, bips: int) -> int:
    """The first tick at which the price has moved `bips` away from its extreme; at least 1."""
    if side is Side.BUY:
        return -(-extreme_ticks * (BIPS + bips) // BIPS)
    return max(1, extreme_ticks * (BIPS - bips) // BIPS)
