"""Moves the market: at real or accelerated pace by itself, or one step at a time when steppers say so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from bnml.core.clock import NS_PER_S, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.venues.sim.feed import Feed
    from bnml.venues.sim.messages import Step
    from bnml.venues.sim.venue import Venue

MAX_LAG_S: Final = 5.0
"""Wall time the market may fall behind its pace before the pace is set anew from where it stands."""


TICK_S: Final = 0.1
"""Wall time between two looks at what streams owe their listeners, and at the pace."""


class Driver(Protocol):
    """Whoever moves the market; 0 is the speed of one that waits to be stepped."""

    @property
    def speed(self) -> float: ...

    @property
    def is_done(self) -> bool:
        """Whether the market has ended."""
        ...

    def market_now_ns(self) -> int:
        """Market time right now."""
        ...


def steps_of(feed: Feed, ordinal: int) -> Iterator[Step]:
    """The steps of a feed from number `ordinal` on."""
    while (step := feed.step(ordinal)) is not None:
        yield step
        ordinal += 1


def first_of(venue: Venue, steps: Iterator[Step]) -> Step | None:
    """The next step; a market that never moved begins at its time, so that its history is in the past."""
    first = next(steps, None)
    if first is not None and venue.now_ns == 0:
        venue.exchange.set_time(first.ts_ns)
    return first


class Stepping:
    """Stepped time: the market stands still until it is asked to take its next step."""

    speed = 0.0

    def __init__(self, venue: Venue, steps: Iterator[Step]) -> None:
        self._venue = venue
        self._steps = steps
        self._next = first_of(venue, steps)

    @property
    def is_done(self) -> bool:
        """Whether the feed has no further step."""
        return self._next is None

    def market_now_ns(self) -> int:
        """Market time between steps: that of the last one."""
        return self._venue.now_ns

    def step(self) -> bool:
        """Advance by one step; False when there is none left."""
        if self._next is None:
            return False
        step, self._next = self._next, next(self._steps, None)
        self._venue.advance(step)
        return True


class Pacing:
    """Market time runs `speed` times as fast as wall time, once `begin` (if given) is set."""

    def __init__(
        self,
        venue: Venue,
        steps: Iterator[Step],
        speed: float,
        clock: Clock,
        begin: asyncio.Event | None = None,
    ) -> None:
        self._venue = venue
        self._steps = steps
        self._clock = clock
        self._next = first_of(venue, steps)
        self.speed = speed
        self._wall_ns = clock.monotonic_ns()
        self._market_ns = venue.now_ns
        self._begin = begin

    @property
    def is_done(self) -> bool:
        """Whether the feed has no further step."""
        return self._next is None

    def set_speed(self, speed: float) -> None:
        """Change the pace from here on."""
        self._anchor(self._due_ns())
        self.speed = speed

    def market_now_ns(self) -> int:
        """Market time between steps; it never runs into the next one."""
        due_ns = self._due_ns()
        return due_ns if self._next is None else min(due_ns, self._next.ts_ns)

    async def run(self) -> None:
        """Take each step when its time has come, until the feed ends."""
        if self._begin is not None:
            await self._begin.wait()
            self._anchor(self._venue.now_ns)
        while self._next is not None:
            wait_s = (self._next.ts_ns - self._due_ns()) / (self.speed * NS_PER_S)
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, TICK_S))
                self._venue.tick()
                continue
            if wait_s < -MAX_LAG_S:
                self._anchor(self._next.ts_ns)
            step, self._next = self._next, next(self._steps, None)
            self._venue.advance(step)
            await asyncio.sleep(0)  # sockets are served between steps, however late the market is

    def _due_ns(self) -> int:
        return self._market_ns + round((self._clock.monotonic_ns() - self._wall_ns) * self.speed)

    def _anchor(self, market_ns: int) -> None:
        self._wall_ns, self._market_ns = self._clock.monotonic_ns(), market_ns
