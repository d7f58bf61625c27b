"""F2 and F3: the displayed levels of the market, used up by own orders until the next snapshot shows them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bnml.core.events import Bar
from bnml.core.orders import Side
from bnml.kernels import fills
from bnml.venues.sim.messages import BookLevels
from bnml.venues.sim.outside import Offer, is_better

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder

Level = list[int]
"""Price in ticks, lots that are left."""
_PPM = 1_000_000
_DEEP = 1_000
"""Levels a side of a recorded book that orders may walk."""
_LEAST_SHARE = 250_000
"""A level of a generated ladder holds at least this much, in parts of what an even one would."""


class Anchor(NamedTuple):
    """What a generated ladder is made of: the market's own last print, and the bar that priced it then."""

    price_ticks: int
    ts_ns: int
    basis: Bar | None


class Ladder(msgspec.Struct):
    """What is left of one snapshot, best levels first; `source` is the recorded book, or the anchor it was made of."""

    bids: list[Level]
    asks: list[Level]
    source: BookLevels | Anchor
    version: int = 0  # rises when something is taken

    def against(self, side: Side) -> list[Level]:
        """The levels that an order of `side` takes from."""
        return self.asks if side is Side.BUY else self.bids

    def beside(self, side: Side) -> list[Level]:
        """The levels that an order of `side` rests among."""
        return self.bids if side is Side.BUY else self.asks


class LadderOutside:
    """Recorded books as they are; elsewhere ladders around the last print that the market itself made."""

    is_single = False

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ladders: dict[str, Ladder] = {}
        self._anchors: dict[str, Anchor] = {}
        self._keys: dict[str, int] = {}

    def move(self, symbol: str, price_ticks: int, ts_ns: int) -> None:
        """The market printed: a ladder that follows prints is a new one."""
        self._anchors[symbol] = Anchor(price_ticks, ts_ns, self._desk.market[symbol].state.basis)

    def ladder(self, symbol: str) -> Ladder:
        """The levels of a symbol as they stand."""
        state = self._desk.market[symbol].state
        ladder = self._ladders.get(symbol)
        if state.quoted is not None:
            if ladder is None or ladder.source is not state.quoted:
                depth = self._desk.market.depths.get(symbol)
                bids, asks = (state.quoted.bids, state.quoted.asks) if depth is None else depth.top(_DEEP)
                ladder = Ladder([list(one) for one in bids], [list(one) for one in asks], state.quoted)
                self._ladders[symbol] = ladder
            return ladder
        anchor = self._anchors.get(symbol)
        if anchor is None or (anchor.basis is None and state.basis is not None):
            anchor = Anchor(anchor.price_ticks if anchor else state.last_ticks, state.last_ns, state.basis)
            self._anchors[symbol] = anchor
        if ladder is None or ladder.source is not anchor:
            ladder = self._ladders[symbol] = self._generated(symbol, anchor)
        return ladder

    def offer(self, order: SimOrder, lots: int, *, at_any_price: bool) -> Offer:
        """The best level."""
        levels = self.ladder(order.symbol).against(order.side)
        if not levels:
            return Offer(0, 0)
        price, left = levels[0]
        if not at_any_price and (
            price > order.price_ticks if order.side is Side.BUY else price < order.price_ticks
        ):
            return Offer(0, price)
        return Offer(min(lots, left), price)

    def take(self, order: SimOrder, lots: int, price_ticks: int) -> None:
        """The level is smaller by it; so is what stands before others who wait there."""
        ladder = self.ladder(order.symbol)
        levels = ladder.against(order.side)
        ladder.version += 1
        level = next(one for one in levels if one[0] == price_ticks)
        level[1] -= lots
        if not level[1]:
            levels.remove(level)
        book = self._desk.books[order.symbol]
        for other in (book.asks if order.side is Side.BUY else book.bids).at(price_ticks):
            other.queue_lots = max(0, other.queue_lots - lots)

    def best(self, side: Side, symbol: str) -> int | None:
        """The best level that an order of `side` takes from."""
        levels = self.ladder(symbol).against(side)
        return levels[0][0] if levels else None

    def total(self, order: SimOrder, lots: int, barrier: int) -> int:
        """What lies within the limit."""
        del lots
        levels = self.ladder(order.symbol).against(order.side)
        return sum(
            left
            for price, left in levels
            if not is_better(order.side, order.price_ticks, price)
            and (not barrier or is_better(order.side, price, barrier))
        )

    def levels(self, order: SimOrder) -> list[tuple[int, int]]:
        """(lots, price) of the side that an order takes from."""
        return [(left, price) for price, left in self.ladder(order.symbol).against(order.side)]

    def at(self, side: Side, symbol: str, price_ticks: int) -> int:
        """Lots of the market at a price, on the side of such an order."""
        levels = self.ladder(symbol).beside(side)
        return next((left for price, left in levels if price == price_ticks), 0)

    def _generated(self, symbol: str, anchor: Anchor) -> Ladder:
        """Half the depth of `fills.book_of_bar` a side, over some levels of sizes drawn from seed, symbol and time."""
        desk = self._desk
        price, ts_ns, basis = anchor
        if basis is None:
            return Ladder([], [], anchor)
        instrument, model = desk.instruments[symbol], desk.pricing.model
        book = desk.pricing.book(instrument, price, basis, ts_ns)
        step = max(1, price * model.band_ppm // _PPM // model.levels)
        key = self._keys.setdefault(symbol, fills.symbol_key(symbol))
        sides: list[list[Level]] = []
        for number, ((best, lots),) in enumerate((book.bids, book.asks)):
            shares = [
                _LEAST_SHARE + int(fills.draw_ppm(desk.pricing.seed, key, ts_ns, 2 * at + number))
                for at in range(model.levels)
            ]
            whole = sum(shares)
            sign = 1 if number else -1
            made = [
                [best + sign * at * step, max(1, lots * share // whole)] for at, share in enumerate(shares)
            ]
            sides.append([level for level in made if level[0] > 0])
        return Ladder(sides[0], sides[1], anchor)
