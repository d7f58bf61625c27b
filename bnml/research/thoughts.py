"""What is thought of the bars, kept between configurations that think the same."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy as np
    from numpy.typing import NDArray

MOST_BYTES = 256 << 20
Arrays = TypeVar("Arrays", bound="tuple[NDArray[np.generic] | NDArray[np.void], ...]")


class Thoughts:
    """Arrays by what they depend on, the latest asked for; no one may write to them. Several threads may ask."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, tuple[NDArray[np.generic] | NDArray[np.void], ...]] = OrderedDict()
        self._lock = Lock()
        self.made = 0
        """How often something was thought rather than remembered."""

    def of(self, key: Hashable, think: Callable[[], Arrays]) -> Arrays:
        """What `think` gives, remembered by the key."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast("Arrays", self._kept[key])
        made = think()
        with self._lock:
            self.made += 1
            self._kept[key] = made
            while len(self._kept) > 1 and self._bytes() > self._most_bytes:
                self._kept.popitem(last=False)
        return made

    def _bytes(self) -> int:
        return sum(array.nbytes for arrays in self._kept.values() for array in arrays)
