"""How long the asset that pays the commissions will last, by what was spent of it: no setting is needed to be warned."""

from __future__ import annotations

from collections import deque
from typing import Final

HOUR_NS: Final = 3_600_000_000_000
WINDOW_NS: Final = 24 * HOUR_NS
LEAST_NS: Final = HOUR_NS
"""So much must have been seen before anything is concluded."""
WARN_H: Final = 24.0


class FeePace:
    """Looks at one holding; what was added to it is no spending."""

    def __init__(self) -> None:
        self._spent: deque[tuple[int, int]] = deque()
        self._began_ns = 0
        self._held_e8: int | None = None

    def take(self, ts_ns: int, held_e8: int) -> float | None:
        """One look; how many hours it lasts at the pace of the last day, None while nothing can be said."""
        before, self._held_e8 = self._held_e8, held_e8
        if before is None:
            self._began_ns = ts_ns
            return None
        if held_e8 < before:
            self._spent.append((ts_ns, before - held_e8))
        while self._spent and self._spent[0][0] <= ts_ns - WINDOW_NS:
            self._spent.popleft()
        seen_ns = min(ts_ns - self._began_ns, WINDOW_NS)
        spent_e8 = sum(one for _, one in self._spent)
        if not spent_e8 or (seen_ns < LEAST_NS and held_e8):
            return None
        return held_e8 / spent_e8 * seen_ns / HOUR_NS
