"""Requests that belong together: cancels or a purchase, and the order that sells what they free or bring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.app.asking import cancelled_name, new_names
from bnml.core.commands import CancelList, CancelOrder, ReplaceOrder, Submit
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.orders import OrderState
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
        first = [one for one in found if any(_name(part) in command.after for part in _parts(one))]
        found = [one for one in found if one not in first]
        found.append((*(part for one in first for part in _parts(one)), command))
    return found


def _parts(step: Command | tuple[VenueCommand, ...]) -> tuple[VenueCommand, ...]:
    if isinstance(step, tuple):
        return step
    return (step,) if isinstance(step, CancelOrder | CancelList | ReplaceOrder | Submit) else ()


def _name(command: VenueCommand) -> str:
    return (new_names(command) or [cancelled_name(command)])[0]


class Chain:
    """`size` requests of such a group under way, of which `first` are no followers.

    `together`: in one write, else each waits for the one before it.
    """

    def __init__(self, size: int, first: int, *, together: bool) -> None:
        self._open = first
        self._convoy = Convoy(size) if together else None
        self._freed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not first:
            self._freed.set_result(True)

    async def may_leave(self, *, is_follower: bool, place: int, attempt: int) -> bool:
        """Whether a request may go to the venue now; False when what it would sell is not there.

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

    def preceded(self, *, failed: bool) -> None:
        """One of those before the follower has come to its end."""
        self._open -= 1
        if not self._freed.done() and (failed or not self._open):
            self._freed.set_result(not failed)


class Link:
    """One request's place in a chain."""

    __slots__ = ("_chain", "_command", "_is_follower", "_place")

    def __init__(self, chain: Chain, place: int, command: VenueCommand, *, is_follower: bool) -> None:
        self._chain = chain
        self._place = place
        self._command = command
        self._is_follower = is_follower

    async def may_leave(self, attempt: int) -> bool:
        """See `Chain.may_leave`."""
        return await self._chain.may_leave(is_follower=self._is_follower, place=self._place, attempt=attempt)

    def attempted(self) -> None:
        """See `Chain.attempted`."""
        self._chain.attempted()

    def ended(self, events: Sequence[Event] | None) -> None:
        """Nothing more comes of the request than these events; None: nobody knows what."""
        if not self._is_follower:
            self._chain.preceded(failed=events is None or any(map(self._is_failure, events)))

    def _is_failure(self, event: Event) -> bool:
        """A cancel that did not happen, a purchase that ended without all that was asked for."""
        if isinstance(event, OrderReport) and isinstance(self._command, Submit):
            return event.state in _IN_VAIN
        return isinstance(event, CancelFailed)


_IN_VAIN = frozenset({OrderState.REJECTED, OrderState.EXPIRED, OrderState.CANCELED})
