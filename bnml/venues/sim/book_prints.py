"""F2 and F3: a print is a trade that takes what rests in its way, by price then time, as much as it is large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.core.orders import Side
from bnml.venues.sim.ladder import LadderOutside

if TYPE_CHECKING:
    from bnml.venues.sim.book import Book
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.matching import Matcher
    from bnml.venues.sim.messages import BookLevels, Print
    from bnml.venues.sim.orders import SimOrder


class BookPrints:
    """Applies trades and snapshots of the market to the orders of the desk.

    A trade beyond an order's price went through it: the order is filled wholly. At its price it gets what
    the trade leaves after those before it; in F3 the market's own queue is before it, too.
    """

    def __init__(self, desk: Desk, matcher: Matcher) -> None:
        self._desk = desk
        self._matcher = matcher
        assert isinstance(matcher.outside, LadderOutside)  # noqa: S101 - the tier has both or none
        self._outside: LadderOutside = matcher.outside
        self._traded: dict[str, dict[int, int]] = {}  # of the market, by price, since its last snapshot

    def on_print(self, printed: Print) -> None:
        """A trade of the market."""
        desk, symbol = self._desk, printed.symbol
        book, market = desk.books[symbol], desk.market[symbol]
        if book.is_stale:
            book.refresh()
        price = printed.price_ticks
        rest = printed.quantity_lots
        state = market.state
        before = state.last_ticks
        if not book.low < price < book.high:
            jump = printed.jump or before == 0
            if jump:
                state.last_ticks = price
                self._outside.move(symbol, price, printed.ts_ns)
            self._matcher.trailing.follow(symbol, price)
            self._move(printed, book, before, jump=jump)
            self._outside.move(symbol, price, printed.ts_ns)
            rest = self._at_price(printed, book)
            self._matcher.trailing.follow(symbol, price)
            desk.settle()
        else:
            self._outside.move(symbol, price, printed.ts_ns)
        if rest == printed.quantity_lots:
            market.record(printed)
        elif rest:
            market.record(msgspec.structs.replace(printed, quantity_lots=rest))
        else:
            state.own_trades -= 1  # the recorded trade was ours altogether: its number is used

    def on_book(self, old: BookLevels | None, new: BookLevels) -> None:
        """A snapshot of the market: queues shrink with their levels, and what it crosses is filled."""
        book = self._desk.books[new.symbol]
        traded = self._traded.pop(new.symbol, {})
        if not book.bids and not book.asks:
            return
        if old is not None and self._matcher.queues:
            self._cancel_ahead(book, old, new, traded)
        self._uncross(new.symbol, book)
        self._desk.settle()

    def _move(self, printed: Print, book: Book, before: int, *, jump: bool) -> None:
        """What lies strictly on the way, and every stop up to the print."""
        matcher, price, symbol = self._matcher, printed.price_ticks, printed.symbol
        state = self._desk.market[symbol].state
        falling = price < before
        while True:
            order = book.next_reached(price, price + 1, price - 1, falling=falling)
            if order is None:
                return
            level = order.level_ticks
            on_way = not jump and min(before, price) <= level <= max(before, price)
            if on_way and level != state.last_ticks:
                state.last_ticks = level
                self._outside.move(symbol, level, printed.ts_ns)
            if order.waits_for_trigger:
                matcher.reach(order)
            else:
                self._fill(order, order.remaining_lots)
            matcher.finish()

    def _at_price(self, printed: Print, book: Book) -> int:
        """Share the trade among those at its price; returns what is left of it for the market itself."""
        left = printed.quantity_lots
        is_side_known = bool(printed.trade_id) or printed.is_side_known
        for levels in (book.bids, book.asks):
            if is_side_known and (levels is book.bids) != printed.buyer_is_maker:
                continue
            waiting = levels.at(printed.price_ticks)
            given = 0
            for order in waiting:
                able = left - order.queue_lots - given
                if able > 0 and order.seat:
                    lots = min(able, order.remaining_lots)
                    given += lots
                    self._fill(order, lots)
            for order in waiting:
                order.queue_lots = max(0, order.queue_lots - (left - given))
            left -= given
            self._matcher.finish()
        if self._matcher.queues:
            traded = self._traded.setdefault(printed.symbol, {})
            traded[printed.price_ticks] = traded.get(printed.price_ticks, 0) + left
        return left

    def _fill(self, order: SimOrder, lots: int) -> None:
        """The market takes from a resting order at its price, and the tape shows it."""
        matcher, price = self._matcher, order.price_ticks
        buys = order.side is Side.BUY
        number = matcher.trades.print_own(order.symbol, price, lots, buyer_is_maker=buys)
        matcher.trades.fill(order, lots, price, number, is_maker=True)

    def _uncross(self, symbol: str, book: Book) -> None:
        """Orders that the market's levels have come to are filled at their own price, as far as the levels reach."""
        for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
            while (price := levels.nearest()) is not None:
                best = self._outside.best(side, symbol)
                if best is None or (best > price if side is Side.BUY else best < price):
                    break
                order = levels.first(price)
                offered = self._outside.ladder(symbol).against(side)[0][1]
                lots = min(offered, order.remaining_lots)
                self._outside.take(order, lots, best)
                self._fill(order, lots)
                self._matcher.finish()

    def _cancel_ahead(self, book: Book, old: BookLevels, new: BookLevels, traded: dict[int, int]) -> None:
        """What a level lost without trades was canceled: before or behind an order in proportion to powers."""
        power = self._desk.pricing.model.queue_power
        for levels, then, now in ((book.bids, old.bids, new.bids), (book.asks, old.asks, new.asks)):
            sizes_then, sizes_now = dict(then), dict(now)
            for price in list(levels.prices()):
                before = max(0, sizes_then.get(price, 0) - traded.get(price, 0))
                size = sizes_now.get(price, 0)
                for order in levels.at(price):
                    queue = queue_after(order.queue_lots, before, before - size, power)
                    order.queue_lots = min(size, queue)


def queue_after(front: int, size: int, gone: int, power: int) -> int:
    """The queue before an order after `gone` lots of `size` were canceled: front^n / (front^n + back^n) of them."""
    if gone <= 0 or not front:
        return front
    back = max(0, size - front)
    share, rest = int(front**power), int(back**power)
    return max(0, front - gone * share // (share + rest))
