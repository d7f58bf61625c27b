"""Two connections that tell the same for a while: what the first told is not taken from the second again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from bnml.core.events import Bar, Book
from bnml.venues.binance.codec import Beat, Print

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Hashable, Iterator

T = TypeVar("T")

NEWEST: Final = "newest"
"""First part of the key of what is replaced by the next of its kind: only the last one is worth telling."""


class Heard(Generic[T]):
    """What one connection told while another listened, counted: two things may well be the same."""

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._counts: Counter[Hashable] = Counter()

    def clear(self) -> None:
        """A new listener has come."""
        self._counts.clear()

    def add(self, item: T) -> None:
        """It was told here."""
        key = self._key(item)
        if not _is_replaced(key):
            self._counts[key] += 1

    def news(self, held: deque[tuple[int, T | None]]) -> Iterator[tuple[int, T | None]]:
        """Empty `held` (which may grow meanwhile) and give what was not told yet, in its order."""
        keys = [self._key(item) for _, item in held if item is not None]
        replaced = Counter(key for key in keys if _is_replaced(key))
        while held:
            number, item = held.popleft()
            key = None if item is None else self._key(item)
            if replaced[key] > 0:
                replaced[key] -= 1
                if replaced[key] > 0:
                    continue
            elif self._counts[key] > 0:
                self._counts[key] -= 1
                continue
            yield number, item


def _is_replaced(key: Hashable) -> bool:
    return isinstance(key, tuple) and key[0] == NEWEST


def market_key(item: object) -> Hashable:
    """What tells one market event from another."""
    match item:
        case Print():
            return "print", item.symbol, item.trade_id
        case Bar():
            return "bar", item.symbol, item.ts_open_ns
        case Book():
            return NEWEST, item.symbol
        case Beat():
            return NEWEST, "beat"
        case _:
            return repr(item)
