"""Trades: both sides of each are filled, the tape shows it, and lists hear of orders that end by it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from bnml.core.orders import Side
from bnml.venues.sim.messages import Print
from bnml.venues.sim.seating import show_more
from bnml.venues.sim.settlement import book_fill

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimList, SimOrder
    from bnml.venues.sim.outside import Offer, Outside


class ListRules(Protocol):
    """What matching tells order lists."""

    def leg_works(self, order: SimOrder) -> None:
        """An order is about to fill or has been triggered."""
        ...

    def order_over(self, order: SimOrder) -> None:
        """An order has reached a final state."""
        ...

    def cancel(self, order_list: SimList, cancel_id: str) -> None:
        """A list ends by request."""
        ...

    def sibling(self, order: SimOrder) -> SimOrder | None:
        """The other leg of the order's OCO pair."""
        ...


class Trades:
    """Carries out what was found to match; `printed` are prices that nobody has looked at for triggers yet."""

    def __init__(self, desk: Desk, outside: Outside) -> None:
        self._desk = desk
        self._outside = outside
        self._is_shown = desk.pricing.tier.has_book
        self.lists: ListRules
        self.printed: deque[tuple[str, int]] = deque()

    def leg_works(self, order: SimOrder) -> None:
        """An order loses quantity without a trade."""
        self.lists.leg_works(order)

    def order_over(self, order: SimOrder) -> None:
        """An order has ended without a trade."""
        self.lists.order_over(order)

    def fill(self, order: SimOrder, lots: int, price_ticks: int, trade_id: int, *, is_maker: bool) -> None:
        """One side of a trade."""
        desk = self._desk
        if not order.executed_lots and not order.triggered:
            self.lists.leg_works(order)
        if order.seat:
            desk.books[order.symbol].version += 1
        book_fill(desk, order, lots, price_ticks, trade_id, is_maker=is_maker)
        if not order.is_open:
            self.lists.order_over(order)
        elif order.iceberg_lots:
            show_more(self._desk, order, lots)

    def trade(self, taker: SimOrder, maker: SimOrder, lots: int) -> None:
        """Two accounts trade at the maker's price; everybody sees it."""
        price = maker.price_ticks
        number = self.print_own(taker.symbol, price, lots, buyer_is_maker=maker.side is Side.BUY)
        self.fill(taker, lots, price, number, is_maker=False)
        self.fill(maker, lots, price, number, is_maker=True)

    def take_outside(self, taker: SimOrder, offer: Offer) -> None:
        """An account trades with the market; with a displayed book, everybody sees it."""
        lots, price = offer
        self._outside.take(taker, lots, price)
        if self._is_shown:
            number = self.print_own(taker.symbol, price, lots, buyer_is_maker=taker.side is Side.SELL)
        else:
            number = self.number()
        self.fill(taker, lots, price, number, is_maker=False)

    def number(self) -> int:
        """The number of a trade that nobody else sees."""
        counters = self._desk.counters
        counters.trade_id += 1
        return counters.trade_id - 1

    def print_own(self, symbol: str, price_ticks: int, lots: int, *, buyer_is_maker: bool) -> int:
        """Show a trade of ours on the tape; it moves the last price. Returns the number that fills carry."""
        printed = Print(
            symbol,
            price_ticks,
            lots,
            self._desk.now_ns,
            jump=True,
            buyer_is_maker=buyer_is_maker,
            is_side_known=True,
            is_own=True,
        )
        market = self._desk.market[symbol]
        market.record(printed)
        self.printed.append((symbol, price_ticks))
        return market.state.next_trade_id - 1 if self._is_shown else self.number()
