"""The public book of F2 and F3: what the market has left, and what our accounts show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.venues.sim.ladder import LadderOutside
from bnml.venues.sim.messages import BookLevels

if TYPE_CHECKING:
    from bnml.venues.sim.book import Levels
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.outside import Outside

Sides = tuple[dict[int, int], dict[int, int]]
_BAND_PPM = 5_000  # of the middle, each way: what counts as depth
_PPM = 1_000_000


class Displayed:
    """Merges both; the book's number rises whenever ours changes it."""

    def __init__(self, desk: Desk, outside: Outside) -> None:
        assert isinstance(outside, LadderOutside)  # noqa: S101 - the tier has both or none
        self._desk = desk
        self._outside = outside
        self._seen: dict[str, tuple[object, int, int]] = {}
        self._own: dict[str, tuple[int, Sides]] = {}

    def displayed(self, symbol: str) -> Sides:
        """Lots by price of our accounts' resting orders: bids and asks; of icebergs what they show."""
        book = self._desk.books[symbol]
        known = self._own.get(symbol)
        if known is None or known[0] != book.version:
            known = self._own[symbol] = (book.version, (_shown(book.bids), _shown(book.asks)))
        return known[1]

    def book(self, symbol: str, ts_ns: int) -> BookLevels:
        """The whole book."""
        state = self._desk.market[symbol].state
        ladder, own = self._outside.ladder(symbol), self.displayed(symbol)
        seen = (ladder.source, ladder.version, self._desk.books[symbol].version)
        if self._seen.get(symbol, seen) != seen:
            state.own_updates += 1
        self._seen[symbol] = seen
        bids = _merged(ladder.bids, own[0], -1)
        asks = _merged(ladder.asks, own[1], 1)
        number = self._number(symbol)
        depth_e8 = self._depth(symbol, bids, asks)
        return BookLevels(symbol, ts_ns, bids, asks, depth_e8, number + state.own_updates)

    def _number(self, symbol: str) -> int:
        """The market's own number of its book."""
        state, depth = self._desk.market[symbol].state, self._desk.market.depths.get(symbol)
        if state.quoted is None:
            return state.update_id
        return state.quoted.update_id if depth is None else depth.update_id

    def _depth(
        self, symbol: str, bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...]
    ) -> int:
        if not bids or not asks:
            return 0
        instrument = self._desk.instruments[symbol]
        middle = bids[0][0] + asks[0][0]  # twice
        near = [one for one in (*bids, *asks) if abs(2 * one[0] - middle) * _PPM <= _BAND_PPM * middle]
        return sum(instrument.notional_e8(price, lots) for price, lots in near)


def _shown(levels: Levels) -> dict[int, int]:
    return {price: sum(order.displayed_lots for order in levels.at(price)) for price in levels.prices()}


def _merged(ladder: list[list[int]], own: dict[int, int], sign: int) -> tuple[tuple[int, int], ...]:
    if not own:
        return tuple((price, lots) for price, lots in ladder)
    lots_at = dict(own)
    for price, lots in ladder:
        lots_at[price] = lots_at.get(price, 0) + lots
    return tuple(sorted(lots_at.items(), key=lambda level: sign * level[0]))
