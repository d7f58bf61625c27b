"""An arriving order against the book: other accounts and the market, best price first, then who came first."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, Protocol

from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.outside import Offer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.venues.sim.book import Levels
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder
    from bnml.venues.sim.outside import Outside
    from bnml.venues.sim.prevention import Prevention

NEVER_RESTS = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})


class Fills(Protocol):
    """Who carries out the trades that are found here."""

    def trade(self, taker: SimOrder, maker: SimOrder, lots: int) -> None:
        """Two accounts trade at the maker's price."""
        ...

    def take_outside(self, taker: SimOrder, offer: Offer) -> None:
        """An account trades with the market."""
        ...


class Taking:
    """Walks the book; it holds nothing of its own."""

    def __init__(self, desk: Desk, outside: Outside, prevention: Prevention, fills: Fills) -> None:
        self._desk = desk
        self._outside = outside
        self._prevention = prevention
        self._fills = fills

    def take(self, order: SimOrder) -> None:
        """Trade as much of the order as its limit, its money and the book allow; FOK wholly or not at all."""
        if order.time_in_force is TimeInForce.FOK and not self._is_enough(order):
            return
        at_any_price = order.type in NEVER_RESTS
        book = self._desk.books[order.symbol]
        makers = book.asks if order.side is Side.BUY else book.bids
        is_outside_left = True
        while order.is_open and (wanted := order.remaining_lots):
            offer = NOTHING
            if is_outside_left:
                offer = self._outside.offer(order, wanted, at_any_price=at_any_price)
            maker = self._maker(order, makers, offer, at_any_price=at_any_price)
            if maker is not None:
                ahead = min(maker.queue_lots, offer.lots) if maker.price_ticks == offer.price_ticks else 0
                if not ahead:
                    if not self._meet(order, maker, at_any_price=at_any_price):
                        return
                    continue
                offer = Offer(ahead, offer.price_ticks)
            if not self._take_outside(order, offer, at_any_price=at_any_price):
                return
            is_outside_left = not self._outside.is_single

    def _maker(self, order: SimOrder, makers: Levels, offer: Offer, *, at_any_price: bool) -> SimOrder | None:
        """The first of the other orders, unless the market offers a better price."""
        price = makers.nearest()
        if price is None or not (at_any_price or _is_within(price, order)):
            return None
        buys = order.side is Side.BUY
        if offer.lots and (price > offer.price_ticks if buys else price < offer.price_ticks):
            return None
        return makers.first(price)

    def _take_outside(self, order: SimOrder, offer: Offer, *, at_any_price: bool) -> bool:
        """Trade with the market; False when there is nothing, or nothing that can be paid."""
        lots = offer.lots
        if lots and at_any_price:
            lots = self._affordable(order, lots, offer.price_ticks)
        if lots:
            self._fills.take_outside(order, Offer(lots, offer.price_ticks))
        return lots > 0

    def would_match(self, order: SimOrder) -> bool:
        """Whether a limit order would take from the book as it stands."""
        book = self._desk.books[order.symbol]
        price = (book.asks if order.side is Side.BUY else book.bids).nearest()
        if price is not None and _is_within(price, order):
            return True
        best = self._outside.best(order.side, order.symbol)
        return best is not None and _is_within(best, order)

    def cost(self, order: SimOrder) -> tuple[int, int]:
        """(lots, quote in 1e-8) that a market order would get right now; by `quote_quantity_e8` where given."""
        desk = self._desk
        instrument = desk.instruments[order.symbol]
        by_quote = order.quote_quantity_e8
        left, spent, lots = order.quantity_lots, 0, 0
        for offered, price in self._offers(order):
            got = offered if by_quote else min(offered, left)
            if by_quote:
                got = min(got, desk.pricing.lots_for(by_quote - spent, price, instrument))
            lots, left = lots + got, left - got
            spent += instrument.notional_e8(price, got)
            if got < offered or (not by_quote and not left):
                break
        return lots, spent

    def _offers(self, order: SimOrder) -> Iterator[tuple[int, int]]:
        """(lots, price) of everybody that an order at any price would meet, the best first."""
        book = self._desk.books[order.symbol]
        buys = order.side is Side.BUY
        makers = (
            (one.remaining_lots, one.price_ticks)
            for one in (book.asks if buys else book.bids).orders()
            if not self._prevention.applies(order, one)
        )
        sign = 1 if buys else -1
        return merge(makers, self._outside.levels(order), key=lambda offered: sign * offered[1])

    def _meet(self, order: SimOrder, maker: SimOrder, *, at_any_price: bool) -> bool:
        """Trade with one maker, or prevent it; False when the order cannot pay for a lot."""
        if self._prevention.applies(order, maker):
            self._prevention.prevent(order, maker)
            return True
        lots = min(order.remaining_lots, maker.displayed_lots)
        if at_any_price:
            lots = self._affordable(order, lots, maker.price_ticks)
        if lots:
            self._fills.trade(order, maker, lots)
        return lots > 0

    def _affordable(self, order: SimOrder, lots: int, price_ticks: int) -> int:
        """Lots that a buy without a limit can pay; stops were locked at their stop price only."""
        if order.side is Side.SELL:
            return lots
        instrument = self._desk.instruments[order.symbol]
        available = self._desk.account(order.account).free(instrument.quote) + order.locked_e8
        return min(lots, self._desk.pricing.lots_for(available, price_ticks, instrument))

    def _is_enough(self, order: SimOrder) -> bool:
        """Whether a FOK order would be filled wholly: before it meets an order of its owner that would end it."""
        wanted = order.remaining_lots
        book = self._desk.books[order.symbol]
        makers = book.asks if order.side is Side.BUY else book.bids
        found, barrier = 0, 0
        for maker in makers.orders(order.price_ticks):
            if self._prevention.applies(order, maker):
                if order.prevention == "EXPIRE_MAKER":
                    continue
                barrier = maker.price_ticks
                break
            found += maker.remaining_lots
            if found >= wanted:
                return True
        return found + self._outside.total(order, wanted - found, barrier) >= wanted


NOTHING = Offer(0, 0)


def _is_within(price_ticks: int, order: SimOrder) -> bool:
    return price_ticks <= order.price_ticks if order.side is Side.BUY else price_ticks >= order.price_ticks
