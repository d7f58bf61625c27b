"""How much the market takes at once: fills in parts, orders that rest half filled, sales that find few buyers."""

from bnml.core.orders import Side, TimeInForce
from bnml.venues.sim.outside import Offer
from tests.e2e.matrix.units import above, below, whole

IN_PARTS = 0.4
PARTS_SEED = 9
TURNS = 0.35  # of the prints that would pass a resting order turn at it, and leave it half filled
HALF_FILLED = "half filled"
THIN = "found few on the other side"


def fill_in_parts(exchange, random):
    """Some orders meet several others at one price: a report for each, and each may be lost alone."""
    trades = exchange._matcher.trades
    at_once = trades.fill

    def fill(order, lots, price_ticks, trade_id, *, is_maker):
        if lots > 1 and random.random() < IN_PARTS:
            first = whole(int(random.integers(1, lots)), exchange.instruments[order.symbol])
            if first:
                at_once(order, first, price_ticks, trade_id, is_maker=is_maker)
                lots, trade_id = lots - first, trades.number()
        at_once(order, lots, price_ticks, trade_id, is_maker=is_maker)

    trades.fill = fill


class Liquidity:
    """A market that some orders find thin, and that turns at others."""

    def __init__(self, world, random, thin):
        """`thin`: how likely what takes at any price, or down to a limit, finds a part of what it asks for."""
        self._world = world
        self._random = random
        self._thin = thin
        self._turned = []
        self.is_gone = False  # nobody offers anything
        outside = world.exchange._matcher.outside
        self._whole, outside.offer = outside.offer, self._offer

    def _offer(self, order, lots, *, at_any_price):
        found = self._on_grid(order, self._whole(order, lots, at_any_price=at_any_price))
        if self.is_gone:
            return Offer(0, found.price_ticks)
        if order.time_in_force is TimeInForce.FOK or found.lots < 2 or self._random.random() >= self._thin:
            return found
        # What finds nobody at all is the rarer case.
        lots = 0 if self._random.random() < 0.2 else int(self._random.integers(1, found.lots))
        lots = whole(lots, self._world.instruments[order.symbol])
        told = f"{order.client_order_id} {THIN}: {lots} of {found.lots}"
        self._world.cover.note(order.symbol, told)
        return Offer(lots, found.price_ticks)

    def _on_grid(self, order, found):
        """Against whoever takes, as far as the limit."""
        instrument = self._world.instruments[order.symbol]
        if instrument.price_step == 1:
            return found
        if order.side is Side.BUY:
            price = above(found.price_ticks, instrument)
            limit = min(price, order.price_ticks) if order.price_ticks else price
        else:
            limit = max(below(found.price_ticks, instrument), order.price_ticks)
        return Offer(found.lots, limit)

    def calm(self):
        """There is enough of everything: a market that stands still would never find more."""
        self._thin = 0.0

    def turn(self, name, price):
        """The price that is printed instead of this one: short of an order that rests on the way to it, or the same."""
        book = self._world.exchange._desk.books[name]
        ask, bid = book.asks.nearest(), book.bids.nearest()
        if ask is not None and price >= ask and self._random.random() < TURNS:
            self._turned.append(book.asks.first(ask))
            return below(ask - 1, self._world.instruments[name])
        if bid is not None and price <= bid and self._random.random() < TURNS:
            self._turned.append(book.bids.first(bid))
            return above(bid + 1, self._world.instruments[name])
        return price

    def settle(self):
        """After the prints: orders at which the market turned have met somebody, and rest with what is left."""
        world, (turned, self._turned) = self._world, (self._turned, [])
        matcher = world.exchange._matcher
        for order in turned:
            if order.is_open and order.remaining_lots > 1 and _rests(order, world.prices[order.symbol]):
                lots = whole(
                    int(self._random.integers(1, order.remaining_lots)), world.instruments[order.symbol]
                )
                if not lots:
                    continue
                world.cover.note(order.symbol, f"{order.client_order_id} {HALF_FILLED}")
                number = matcher.trades.number()
                matcher.trades.fill(order, lots, order.price_ticks, number, is_maker=True)
                matcher.finish()
                world.exchange._end_request()
                world.venue.settle_request()


def _rests(order, price):
    """Whether the market is still on the side from which it came."""
    beyond = price < order.price_ticks if order.side is Side.SELL else price > order.price_ticks
    return beyond and order.seat and order.is_working
