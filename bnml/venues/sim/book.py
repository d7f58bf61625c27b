"""The book of one symbol over all accounts: resting orders by price then time, and stops by trigger price."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.venues.sim.orders import SimOrder

OFF, RESTING, TRIGGER, TRACKING = 0, 1, 2, 3
"""Where an order sits: nowhere, in the book, by its trigger price, or following the market without one yet."""
NO_LOW: Final = -1
NO_HIGH: Final = 2**63


class Levels:
    """Orders by price and, within a price, by time; the nearest price is the highest, or with `rising` the lowest.

    Finding the nearest is O(1), entering and leaving O(log levels) comparisons.
    """

    __slots__ = ("_keys", "_orders", "_sign")

    def __init__(self, *, rising: bool) -> None:
        self._sign = -1 if rising else 1
        self._keys: list[int] = []  # sign * price, ascending: the nearest is the last
        self._orders: dict[int, OrderedDict[int, SimOrder]] = {}

    def __len__(self) -> int:
        """How many prices there are."""
        return len(self._keys)

    def add(self, price: int, order: SimOrder) -> None:
        """Enter behind everybody at this price."""
        level = self._orders.get(price)
        if level is None:
            level = self._orders[price] = OrderedDict()
            key = self._sign * price
            if self._keys and key < self._keys[-1]:
                insort(self._keys, key)
            else:
                self._keys.append(key)
        level[order.order_id] = order

    def remove(self, price: int, order: SimOrder) -> None:
        """Leave."""
        level = self._orders[price]
        del level[order.order_id]
        if not level:
            del self._orders[price]
            key = self._sign * price
            if key == self._keys[-1]:
                self._keys.pop()
            else:
                del self._keys[bisect_left(self._keys, key)]

    def nearest(self) -> int | None:
        """The price that the market reaches first."""
        return self._sign * self._keys[-1] if self._keys else None

    def first(self, price: int) -> SimOrder:
        """Who came first of those at a price."""
        return next(iter(self._orders[price].values()))

    def lowest_id(self, price: int) -> SimOrder:
        """Whose number is the lowest of those at a price."""
        level = self._orders[price]
        return level[min(level)] if len(level) > 1 else next(iter(level.values()))

    def at(self, price: int) -> list[SimOrder]:
        """Everybody at a price, by time."""
        return list(self._orders.get(price, {}).values())

    def prices(self) -> Iterator[int]:
        """All prices, the nearest first; the levels must not change meanwhile."""
        sign = self._sign
        return (sign * key for key in reversed(self._keys))

    def orders(self, limit: int | None = None) -> Iterator[SimOrder]:
        """All orders in the order in which they would be met, up to the price `limit`."""
        for price in self.prices():
            if limit is not None and self._sign * price < self._sign * limit:
                return
            yield from self._orders[price].values()

    def reached(self, bound: int, *, falling: bool) -> int | None:
        """Of the prices not beyond `bound` the one that a falling (rising) market passes first."""
        keys = self._keys
        key = self._sign * bound
        if not keys or keys[-1] < key:
            return None
        if falling == (self._sign > 0):
            return self._sign * keys[-1]
        return self._sign * keys[bisect_left(keys, key)]


class Book:
    """Bids and asks, stops that wait for a rise (`ups`) and for a fall (`downs`), and trailing ones.

    No last price strictly between `low` and `high` concerns any order here; `refresh` brings both up to date.
    """

    __slots__ = ("asks", "bids", "downs", "high", "is_stale", "low", "trailing", "ups", "version")

    def __init__(self) -> None:
        self.bids, self.downs = Levels(rising=False), Levels(rising=False)
        self.asks, self.ups = Levels(rising=True), Levels(rising=True)
        self.trailing: dict[int, SimOrder] = {}
        self.low, self.high = NO_LOW, NO_HIGH
        self.is_stale = False
        self.version = 0  # rises with every change of what rests here

    def enter(self, order: SimOrder, seat: int, price: int = 0) -> None:
        """Seat an order: RESTING and TRIGGER at a price, TRACKING at none."""
        order.seat, order.seat_ticks = seat, price
        if seat == TRACKING or (order.trailing_ns >= 0 and not order.triggered):
            self.trailing[order.order_id] = order
        if seat != TRACKING:
            self._levels(order).add(price, order)
        self.is_stale = True
        self.version += seat == RESTING

    def leave(self, order: SimOrder) -> None:
        """Take an order out, wherever it sits."""
        if order.seat == OFF:
            return
        if order.seat != TRACKING:
            self._levels(order).remove(order.seat_ticks, order)
        self.trailing.pop(order.order_id, None)
        self.is_stale = True
        self.version += order.seat == RESTING
        order.seat = OFF

    def requeue(self, order: SimOrder) -> None:
        """Put a resting order behind the others at its price."""
        levels = self._levels(order)
        levels.remove(order.seat_ticks, order)
        levels.add(order.seat_ticks, order)
        self.version += 1

    def refresh(self) -> None:
        """Find `low` and `high`; while something follows the market every price counts."""
        self.is_stale = False
        if self.trailing:
            self.low, self.high = NO_HIGH, NO_LOW
            return
        bid, down, ask, up = (one.nearest() for one in (self.bids, self.downs, self.asks, self.ups))
        self.low = max(NO_LOW if bid is None else bid, NO_LOW if down is None else down)
        self.high = min(NO_HIGH if ask is None else ask, NO_HIGH if up is None else up)

    def next_reached(self, price: int, bids_from: int, asks_to: int, *, falling: bool) -> SimOrder | None:
        """The order that a move to `price` meets next; at one level the one with the lowest number.

        Bids count from `bids_from` up, asks from `asks_to` down, stops from `price` on.
        """
        found: SimOrder | None = None
        best = 0
        for levels, bound in (
            (self.bids, bids_from),
            (self.asks, asks_to),
            (self.ups, price),
            (self.downs, price),
        ):
            level = levels.reached(bound, falling=falling)
            if level is None:
                continue
            key = -level if falling else level
            if found is None or key < best:
                found, best = levels.lowest_id(level), key
            elif key == best:
                other = levels.lowest_id(level)
                found = other if other.order_id < found.order_id else found
        return found

    def next_triggered(self, price: int) -> SimOrder | None:
        """A stop that the last price has reached: the nearest to be reached, rising ones first."""
        for levels in (self.ups, self.downs):
            level = levels.nearest()
            if level is not None and (level <= price if levels is self.ups else level >= price):
                return levels.lowest_id(level)
        return None

    def _levels(self, order: SimOrder) -> Levels:
        if order.seat == TRIGGER:
            return self.ups if order.acts_from_below else self.downs
        return self.asks if order.acts_from_below else self.bids
