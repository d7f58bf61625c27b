"""One request on its way: when it left, the place that it holds among those at once, and what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bnml.app.resolving import Truth
from bnml.core.errors import UnknownOutcome
from bnml.venues.binance.departures import Departure, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.core.events import Event
    from bnml.venues.binance.requests import VenueCommand
    from bnml.venues.binance.venue import Executed


class Venue(Truth, Protocol):
    """The part of a venue that executes."""

    def writes_together(self, spares: int = 0) -> bool: ...

    def window_ms(self, command: VenueCommand, attempt: int = 1) -> int: ...

    async def execute(self, command: VenueCommand, *, attempt: int = 1) -> Executed: ...

    async def resynchronise(self) -> None: ...

    async def fitted(self, symbol: str, command: VenueCommand) -> VenueCommand | None: ...


class Sent(NamedTuple):
    """A request under way, and since when."""

    task: asyncio.Task[Executed]
    departure: Departure


def send(venue: Venue, command: VenueCommand, attempt: int) -> Sent:
    """Let a request leave once; whoever called cancels it."""
    departure = Departure()
    return Sent(asyncio.create_task(_execute(venue, command, attempt, departure)), departure)


async def _execute(venue: Venue, command: VenueCommand, attempt: int, departure: Departure) -> Executed:
    watch(departure)
    try:
        return await venue.execute(command, attempt=attempt)
    except UnknownOutcome:
        departure.at_s = departure.at_s or asyncio.get_running_loop().time()
        raise


class Slot:
    """A place among the requests at once; given back when its request is answered, or in doubt."""

    __slots__ = ("_held", "_semaphore")

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore
        self._held = True

    def free(self) -> None:
        if self._held:
            self._held = False
            self._semaphore.release()


class Done:
    """Consequences of one command, and the places of its answers in a stepped session."""

    __slots__ = ("events", "numbers")

    def __init__(self, events: Sequence[Event], numbers: Sequence[int] = ()) -> None:
        self.events = events
        self.numbers = numbers
