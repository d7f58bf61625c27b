"""Order book levels by price: whole recorded books, and differences between two books."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnml.venues.sim.messages import DepthChange

Level = tuple[int, int]
"""Price in ticks, and a quantity."""
Levels = tuple[Level, ...]


class Side:
    """Quantities by price, and the prices in ascending order of distance from the middle (`sign` -1 for bids)."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._lots: dict[int, int] = {}
        self._keys: list[int] = []

    def set(self, price: int, lots: int) -> None:
        """Make `lots` the quantity at a price; 0 deletes the level."""
        key = self._sign * price
        if lots and price not in self._lots:
            insort(self._keys, key)
        elif not lots and price in self._lots:
            del self._keys[bisect_left(self._keys, key)]
        if lots:
            self._lots[price] = lots
        else:
            self._lots.pop(price, None)

    def lots(self, price: int) -> int:
        """The quantity at a price."""
        return self._lots.get(price, 0)

    def top(self, count: int) -> Levels:
        """The best levels, best first."""
        return tuple((self._sign * key, self._lots[self._sign * key]) for key in self._keys[:count])


class DepthBook:
    """A whole book from a snapshot and the differences that follow it; quantities in 1e-8."""

    def __init__(self) -> None:
        self.bids, self.asks = Side(-1), Side(1)
        self.update_id = 0

    def apply(self, change: DepthChange) -> bool:
        """Take a snapshot or a difference; False for one that leaves a hole, an old one changes nothing."""
        if not change.is_snapshot:
            if change.last_id <= self.update_id:
                return True
            if change.first_id > self.update_id + 1:
                return False
        for price, lots in change.bids:
            self.bids.set(price, lots)
        for price, lots in change.asks:
            self.asks.set(price, lots)
        self.update_id = change.last_id
        return True

    def top(self, count: int) -> tuple[Levels, Levels]:
        """The best bids and asks."""
        return self.bids.top(count), self.asks.top(count)


def changes(old: Levels, new: Levels) -> Levels:
    """Levels of `new` that are not in `old`, and those that are gone, with no lots."""
    kept, known = dict(new), set(old)
    gone = ((ticks, 0) for ticks, _ in old if ticks not in kept)
    return (*gone, *(level for level in new if level not in known))
