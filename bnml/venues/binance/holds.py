"""Pauses and bans until a moment: kept by the steady clock, and written down for other processes and later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from bnml.core.clock import Clock
    from bnml.venues.binance.shared_numbers import SharedNumbers

LONGEST_BAN_MS: Final = 4 * 24 * 3_600_000  # the venue bans for three days at most: more is a damaged ledger


class Hold:
    """One reason to send nothing; number `place` of `numbers` is its end, UTC ms by this machine's clock."""

    def __init__(self, clock: Clock, numbers: SharedNumbers, place: int) -> None:
        self._clock = clock
        self._numbers = numbers
        self._place = place
        self._until_ns = 0
        self._seen_ms = 0

    def extend(self, duration_s: float) -> None:
        """Hold for so long from now on, or longer if that is known already."""
        until_ns = self._clock.monotonic_ns() + int(duration_s * NS_PER_S)
        self._until_ns = max(self._until_ns, until_ns)
        until_ms = self._clock.now_ns() // NS_PER_MS + int(duration_s * 1000)
        with self._numbers.locked():
            self._take_over()  # before it is marked as seen: it may last longer than this
            self._numbers[self._place] = max(until_ms, self._sane_ms(self._numbers[self._place]))
            self._seen_ms = self._numbers[self._place]

    @property
    def left_s(self) -> float:
        """Seconds until it is over; what another process (or an earlier one) wrote is taken over once.

        From then on the steady clock counts: a wall clock that jumps neither shortens nor lengthens it.
        """
        self._take_over()
        return max(0.0, (self._until_ns - self._clock.monotonic_ns()) / NS_PER_S)

    def _take_over(self) -> None:
        written_ms = self._numbers[self._place]
        if written_ms != self._seen_ms:
            self._seen_ms = written_ms
            left_ms = self._sane_ms(written_ms) - self._clock.now_ns() // NS_PER_MS
            self._until_ns = max(self._until_ns, self._clock.monotonic_ns() + left_ms * NS_PER_MS)

    def _sane_ms(self, until_ms: int) -> int:
        return until_ms if until_ms - self._clock.now_ns() // NS_PER_MS < LONGEST_BAN_MS else 0
