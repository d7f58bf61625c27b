"""F0 and F1: a print fills what it reaches, in the order in which the price passes the levels on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnml.venues.sim.book import Book
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.matching import Matcher
    from bnml.venues.sim.messages import Print


class TouchPrints:
    """Applies prints of the market to the orders of the desk."""

    def __init__(self, desk: Desk, matcher: Matcher) -> None:
        self._desk = desk
        self._matcher = matcher

    def on_print(self, printed: Print) -> None:
        """Move the last price to the print; everything that the move reaches happens on the way."""
        book = self._desk.books[printed.symbol]
        if book.is_stale:
            book.refresh()
        market = self._desk.market[printed.symbol]
        if not book.low < printed.price_ticks < book.high:
            state = market.state
            before = state.last_ticks
            jump = printed.jump or before == 0
            state.last_ticks = printed.price_ticks if jump else before
            self._matcher.trailing.follow(printed.symbol, printed.price_ticks)
            self._move(printed, book, before, jump=jump)
            self._matcher.trailing.follow(printed.symbol, printed.price_ticks)
            self._desk.settle()
            state.last_ticks = before
        market.record(printed)

    def _move(self, printed: Print, book: Book, before: int, *, jump: bool) -> None:
        matcher, price = self._matcher, printed.price_ticks
        state = self._desk.market[printed.symbol].state
        falling = price < before
        touched = self._touch(printed)
        while True:
            order = book.next_reached(price, price + 1 - touched, price - 1 + touched, falling=falling)
            if order is None:
                return
            level = order.level_ticks
            if not jump and min(before, price) <= level <= max(before, price):
                state.last_ticks = level
            if order.waits_for_trigger:
                matcher.reach(order)
            else:
                matcher.trades.fill(
                    order, order.remaining_lots, level, matcher.trades.number(), is_maker=True
                )
            matcher.finish()

    def _touch(self, printed: Print) -> bool:
        """Whether orders at the very price of the print fill."""
        instrument = self._desk.instruments[printed.symbol]
        return self._desk.pricing.touch_fills(printed.price_ticks, printed.ts_ns, instrument)
