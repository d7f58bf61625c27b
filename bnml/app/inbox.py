"""The one bounded inbox: many producers, one pump; in stepped mode it restores the venue's own order."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Protocol

from bnml.core.events import Bar, Book
from bnml.venues.binance.codec import Beat, Print

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from bnml.app.gaps import Filled
    from bnml.app.silence import Tick
    from bnml.core.events import Event
    from bnml.venues.binance.codec import MarketItem
    from bnml.venues.binance.reports import UserItem

    Item = MarketItem | UserItem | Event | Filled | Tick

CAPACITY = 10_000
OF_THE_MARKET: Final = (Print, Book, Bar, Beat)


class Inbox(Protocol):
    """What producers and the pump need of an inbox."""

    async def put(self, number: int, item: Item | None) -> None:
        """Hand over what the venue sent; waits while the inbox is full (the socket then backs up)."""
        ...

    def complete(self, number: int, items: Sequence[Item] = ()) -> None:
        """An answer has been dealt with, with these consequences."""
        ...

    async def batch(self) -> list[Item]:
        """All that is ready, in order; waits for at least one."""
        ...

    def ready(self) -> list[Item]:
        """All that is ready now, possibly nothing."""
        ...

    def poke(self) -> None:
        """Wake whoever waits for a batch without bringing anything."""
        ...


class LiveInbox:
    """First come, first served; what concerns our orders and money goes before the market, and is never held up.

    A market that brings more than can be taken is thinned out before it has to wait: of books and beats the
    newest is kept, of prints the highest, the lowest and the last of each symbol. Closed bars are all kept.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._own: deque[Item] = deque()
        self._items: deque[Item] = deque()
        self._thin_at = max(capacity // 4, 1)
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.thinned = 0
        """Items of the market that were not worth keeping."""

    def __len__(self) -> int:
        return len(self._own) + len(self._items)

    async def put(self, number: int, item: Item | None) -> None:  # noqa: ARG002 - numbers order stepped mode only
        if item is None:
            return
        if not isinstance(item, OF_THE_MARKET):
            self.complete(0, (item,))
            return
        if len(self._items) >= self._thin_at:
            self._thin()
        while len(self._items) >= self._capacity:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._filled.set()

    def complete(self, number: int, items: Sequence[Item] = ()) -> None:  # noqa: ARG002 - as above
        self._own.extend(items)
        if items:
            self._filled.set()

    async def batch(self) -> list[Item]:
        await self._filled.wait()
        return self.ready()

    def poke(self) -> None:
        self._filled.set()

    def ready(self) -> list[Item]:
        found = [*self._own, *self._items]
        self._own.clear()
        self._items.clear()
        self._thin_at = max(self._capacity // 4, 1)
        self._filled.clear()
        self._room.set()
        return found

    def _thin(self) -> None:
        """Next time when there is twice as much as remains now, so that thinning out stays cheap."""
        before = len(self._items)
        self._items = deque(thinned(self._items))
        self.thinned += before - len(self._items)
        self._thin_at = max(2 * len(self._items), self._capacity // 4, 1)


def thinned(items: Iterable[Item]) -> list[Item]:
    """What remains worth knowing, in its order; prints of a symbol are told apart by the bars between them."""
    every = list(items)
    keep: dict[Hashable, int] = {}
    extremes: dict[
        tuple[str, int], tuple[int, int]
    ] = {}  # (symbol, bars before) -> places of highest and lowest
    bars: Counter[str] = Counter()
    kept: set[int] = set()
    for place, item in enumerate(every):
        match item:
            case Print():
                key = item.symbol, bars[item.symbol]
                keep[key] = place
                high, low = extremes.get(key, (place, place))
                extremes[key] = (
                    place if item.ticks > _ticks(every[high]) else high,
                    place if item.ticks < _ticks(every[low]) else low,
                )
            case Book():
                keep["book", item.symbol] = place
            case Beat():
                keep["beat"] = place
            case Bar():
                bars[item.symbol] += 1
                kept.add(place)
            case _:
                kept.add(place)
    kept.update(keep.values(), *extremes.values())
    return [every[place] for place in sorted(kept)]


def _ticks(item: Item) -> int:
    return item.ticks if isinstance(item, Print) else 0


class SteppedInbox:
    """Releases frames by their number without a gap; `processed` is the last number given to the pump.

    The number of an answer stays open until its consequences are in (`complete`), so that they are
    processed at its place. Everything is bounded by the venue: it sends nothing more until it is confirmed.
    """

    def __init__(self) -> None:
        self._held: dict[int, Sequence[Item]] = {}
        self._own: deque[Item] = deque()
        self._changed = asyncio.Event()
        self.processed = 0

    def __len__(self) -> int:
        return len(self._held) + len(self._own)

    async def put(self, number: int, item: Item | None) -> None:
        self.complete(number, () if item is None else (item,))

    def complete(self, number: int, items: Sequence[Item] = ()) -> None:
        if number == 0:
            self._own.extend(items)
        else:
            self._held[number] = items
        self._changed.set()

    async def batch(self) -> list[Item]:
        while not (found := self.ready()):
            await self.changed()
        return found

    def poke(self) -> None:
        self._changed.set()

    async def changed(self) -> None:
        """Wait until something arrives, in order or not."""
        await self._changed.wait()
        self._changed.clear()

    def ready(self) -> list[Item]:
        found: list[Item] = list(self._own)
        self._own.clear()
        while (items := self._held.pop(self.processed + 1, None)) is not None:
            self.processed += 1
            found.extend(items)
        return found
