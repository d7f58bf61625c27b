"""Requests that belong together: cancels, and the order that sells what they free."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.app.asking import cancelled_name
from bnml.core.commands import CancelList, CancelOrder, Submit
from bnml.core.events import CancelFailed
from bnml.venues.binance.convoy import Convoy, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.core.commands import Command
    from bnml.core.events import Event
    from bnml.venues.binance.requests import VenueCommand


def steps(commands: Sequence[Command]) -> list[Command | tuple[VenueCommand, ...]]:
    """The commands of one event in their order; what leaves together is one step, in the place of its last."""
    found: list[Command | tuple[VenueCommand, ...]] = []
    for command in commands:
        if not isinstance(command, Submit) or not command.after:
            found.append(command)
            continue
        cancels = [
            one
            for one in found
            if isinstance(one, CancelOrder | CancelList) and cancelled_name(one) in command.after
        ]
        found = [one for one in found if one not in cancels]
        found.append((*cancels, command))
    return found


class Chain:
    """One such group under way; `together`: in one write, else each waits for the one before it."""

    def __init__(self, cancels: int, *, together: bool) -> None:
        self._open = cancels
        self._convoy = Convoy(cancels + 1) if together else None
        self._freed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not cancels:
            self._freed.set_result(True)

    async def may_leave(self, *, is_follower: bool, place: int, attempt: int) -> bool:
        """Whether a request may go to the venue now; False when what it would sell has not been freed.

        A first attempt in one write with the others needs no leave: the venue decides.
        """
        if attempt == 1 and self._convoy is not None:
            join(self._convoy, place)
            return True
        return not is_follower or await asyncio.shield(self._freed)

    def attempted(self) -> None:
        """A first attempt is over; what follows goes alone."""
        join(None)
        if self._convoy is not None:
            self._convoy.part()

    def cancelled(self, events: Sequence[Event] | None) -> None:
        """A cancel has come to its end with these events; None: to none."""
        self._open -= 1
        failed = events is None or any(isinstance(event, CancelFailed) for event in events)
        if not self._freed.done() and (failed or not self._open):
            self._freed.set_result(not failed)


class Link:
    """One request's place in a chain."""

    __slots__ = ("_chain", "_is_follower", "_place")

    def __init__(self, chain: Chain, place: int, *, is_follower: bool) -> None:
        self._chain = chain
        self._place = place
        self._is_follower = is_follower

    async def may_leave(self, attempt: int) -> bool:
        """See `Chain.may_leave`."""
        return await self._chain.may_leave(is_follower=self._is_follower, place=self._place, attempt=attempt)

    def attempted(self) -> None:
        """See `Chain.attempted`."""
        self._chain.attempted()

    def ended(self, events: Sequence[Event] | None) -> None:
        """Nothing more comes of the request."""
        if not self._is_follower:
            self._chain.cancelled(events)
