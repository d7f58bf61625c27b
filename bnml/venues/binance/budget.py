"""The request weight of one minute, as the venue counts it, shared out by importance."""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import TYPE_CHECKING

from bnml.core.clock import NS_PER_MS, Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE_MS = 60_000
LONGEST_PAUSE_S = 300.0  # a longer Retry-After is waited for in parts, so that stopping stays possible


class Lane(IntEnum):
    """Who may use how much of the budget; a lower lane goes first."""

    CANCEL = 0
    EXIT = 1
    ENTRY = 2
    RECONCILE = 3
    DATA = 4


# Share of the minute's weight at which a lane has to wait for the next minute: exits keep a reserve.
_CEILING_PERCENT: Mapping[Lane, int] = {
    Lane.CANCEL: 100,
    Lane.EXIT: 95,
    Lane.ENTRY: 80,
    Lane.RECONCILE: 80,
    Lane.DATA: 60,
}


class WeightBudget:
    """Follows the venue's `X-MBX-USED-WEIGHT-1M`; never guesses weights of its own."""

    def __init__(self, clock: Clock, limit: int = 6000) -> None:
        self._clock = clock
        self.limit = limit
        self._used = 0
        self._minute = -1
        self._paused_until_ns = 0

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take the used weight from the headers of any answer."""
        text = headers.get("X-MBX-USED-WEIGHT-1M")
        if text is not None and text.isdigit():
            self._minute = self._minute_now()
            self._used = int(text)

    def pause(self, duration_s: float) -> None:
        """The venue told everybody to wait (429, 418)."""
        self._paused_until_ns = max(
            self._paused_until_ns, self._clock.monotonic_ns() + int(duration_s * 1_000_000_000)
        )

    async def wait(self, lane: Lane) -> None:
        """Return when a request of this lane may leave."""
        while (delay_s := self.delay_s(lane)) > 0:  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(min(delay_s, LONGEST_PAUSE_S))

    def delay_s(self, lane: Lane) -> float:
        """Seconds that a request of this lane has to wait now."""
        pause_s = (self._paused_until_ns - self._clock.monotonic_ns()) / 1e9
        if pause_s > 0:
            return pause_s
        if self._minute != self._minute_now() or self._used * 100 < self.limit * _CEILING_PERCENT[lane]:
            return 0.0
        now_ms = self._clock.now_ns() // NS_PER_MS
        return (MINUTE_MS - now_ms % MINUTE_MS + 1) / 1000

    def _minute_now(self) -> int:
        return self._clock.now_ns() // NS_PER_MS // MINUTE_MS
