"""Requests that leave together: all of them in one write, or none."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from bnml.core.errors import Retryable, UnknownOutcome
from bnml.venues.binance.departures import leaves_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Convoy:
    """Meets in front of the socket until all of `size` requests are there; each of them runs in a task of its own.

    A process that dies has sent all or none of them. One that cannot leave keeps the others from leaving.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._frames: dict[int, Any] = {}
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def leave(
        self, place: int, frame: object, write: Callable[[Sequence[Any]], Awaitable[None]]
    ) -> None:
        """Return when the frame has been written with the others, in the order of places."""
        if self._gone.done():
            raise Retryable("what should leave with this request cannot")
        self._frames[place] = frame
        if len(self._frames) < self._size:
            await asyncio.shield(self._gone)
            return
        try:
            await write([self._frames[one] for one in sorted(self._frames)])
        except BaseException as error:
            # Whoever ends this request does not end the others: they may have left, and have to find out.
            shared = error if isinstance(error, Exception) else UnknownOutcome("the write was given up")
            self._gone.set_exception(shared)
            self._gone.exception()
            raise
        self._gone.set_result(None)

    def part(self) -> None:
        """A request is over; if it never came to the socket, no other one leaves."""
        if not self._gone.done():
            self._gone.set_exception(Retryable("what should leave with this request cannot"))
            self._gone.exception()  # perhaps nobody waits


_current: ContextVar[tuple[Convoy, int] | None] = ContextVar("convoy", default=None)


def join(convoy: Convoy | None, place: int = 0) -> None:
    """What this task (and what it starts) sends from now on leaves with the others; None: alone."""
    _current.set(None if convoy is None else (convoy, place))


async def depart(frame: object, write: Callable[[Sequence[Any]], Awaitable[None]]) -> None:
    """Write a frame, together with those that leave with it."""
    current = _current.get()
    if current is None:
        leaves_now()
        await write([frame])
        return
    convoy, place = current
    await convoy.leave(place, frame, write)
    leaves_now()
