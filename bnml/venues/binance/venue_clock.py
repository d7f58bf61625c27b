"""The venue's clock as seen from here: measured by the quickest of some questions, carried on by the steady clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_MS, Clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SAMPLES: Final = 5
SLOW_NS: Final = 500 * NS_PER_MS


class VenueClock:
    """Tells the venue's time; a wall clock that jumps here does not move it.

    Until the first measurement it is the wall clock of this machine.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ns: int | None = None  # of the steady clock
        self.round_trip_ns = 0

    def now_ms(self) -> int:
        """UTC milliseconds at the venue."""
        if self._ahead_ns is None:
            return self._clock.now_ns() // NS_PER_MS
        return (self._clock.monotonic_ns() + self._ahead_ns) // NS_PER_MS

    @property
    def skew_ms(self) -> int:
        """How far the venue is ahead of this machine's wall clock."""
        return self.now_ms() - self._clock.now_ns() // NS_PER_MS

    async def measure(self, ask: Callable[[], Awaitable[int]], samples: int = SAMPLES) -> int:
        """Ask the venue for its time (ms) so many times; the answer with the least round trip counts.

        The venue is taken to have looked at its clock half-way, so half the round trip is how wrong that can be: a slow
        answer does not replace what is known and within its doubt. Returns the skew in ms.
        """
        best_ns: int | None = None
        for _ in range(samples):
            before_ns = self._clock.monotonic_ns()
            venue_ms = await ask()
            after_ns = self._clock.monotonic_ns()
            if best_ns is None or after_ns - before_ns < best_ns:
                best_ns = after_ns - before_ns
                ahead_ns = venue_ms * NS_PER_MS - (before_ns + after_ns) // 2
        known_ns = self._ahead_ns
        if best_ns is not None and (
            known_ns is None or best_ns <= SLOW_NS or abs(ahead_ns - known_ns) > best_ns // 2
        ):
            self._ahead_ns, self.round_trip_ns = ahead_ns, best_ns
        return self.skew_ms
