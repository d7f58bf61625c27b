"""When each stream was last heard of: one that is silent for three times its interval is stale, whatever others bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.core.clock import Clock

INTERVALS: Final = 3
MEMORY: Final = 0.98  # with each event an interval learned loses 2 %, so that a quiet night is forgotten


class _Pulse:
    __slots__ = ("interval_ns", "is_stale", "last_ns")

    def __init__(self, now_ns: int) -> None:
        self.last_ns = now_ns
        self.interval_ns = 0.0
        self.is_stale = False


class Freshness:
    """Expects each followed stream at least each `interval_s`, or as seldom as it has come lately."""

    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._clock = clock
        self._interval_ns = interval_s * NS_PER_S
        self._pulses: dict[str, _Pulse] = {}

    def follow(self, streams: Iterable[str]) -> None:
        """Expect these from now on."""
        for name in streams:
            self._pulses[name] = _Pulse(self._clock.monotonic_ns())

    def forget(self, streams: Iterable[str]) -> None:
        """Expect these no longer."""
        for name in streams:
            self._pulses.pop(name, None)

    def touch(self, stream: str) -> None:
        """It has brought something."""
        pulse = self._pulses.get(stream)
        if pulse is None:
            return
        now_ns = self._clock.monotonic_ns()
        if not pulse.is_stale:  # an outage is not how often it comes
            pulse.interval_ns = max(now_ns - pulse.last_ns, pulse.interval_ns * MEMORY)
        pulse.last_ns, pulse.is_stale = now_ns, False

    def stale(self) -> dict[str, float]:
        """Streams that are silent for too long, with the seconds since they were last heard."""
        now_ns, found = self._clock.monotonic_ns(), {}
        for name, pulse in self._pulses.items():
            age_ns = now_ns - pulse.last_ns
            if age_ns > INTERVALS * max(pulse.interval_ns, self._interval_ns):
                pulse.is_stale = True
                found[name] = age_ns / NS_PER_S
        return found
