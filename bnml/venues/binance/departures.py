"""When a request really leaves: waiting for a limit or a ban is no doubt about what the venue did."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar


class Departure:
    """Noted by the transports, read by who has to know since when an answer is due; the last of several counts."""

    __slots__ = ("at_s",)

    def __init__(self) -> None:
        self.at_s: float | None = None  # time of the loop


_current: ContextVar[Departure | None] = ContextVar("departure", default=None)


def watch(departure: Departure) -> None:
    """What this task sends from now on is noted in `departure`."""
    _current.set(departure)


def leaves_now() -> None:
    """A request is about to be written to its socket."""
    departure = _current.get()
    if departure is not None:
        departure.at_s = asyncio.get_running_loop().time()
