"""Looks that many sides ask for: one at a time with a pause after it, and another one for who asked meanwhile."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from bnml.app.logs import logger
from bnml.app.resolving import LAG_S
from bnml.core.errors import Rejected, Retryable
from bnml.core.events import Timer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bnml.core.events import Event

PAUSE_S: Final = 5.0
"""After each look: an accelerated market must not become a flood of requests."""
FREE_PAUSE_S: Final = 1.0
"""The same after a look at what is free: something has no stop until it is known, and else nothing is read."""
REPEATS: Final = 3
"""Of a look in a row that has not seen all; then the interval brings the next one."""
FREE_REPEATS: Final = 7
"""Of one at what is free: until what it shows is younger than the stop that was asked for by what the first one showed."""


class Rechecking:
    """What is asked for during a look, or the pause after it, may be about what that look has not seen: a payment, say.

    Nor need a look have seen it that began so soon after the asking that what it read may be older: another one follows.
    `look` says whether it has seen all; if not it is repeated, a few times: an outage must not use up the minute's weight.
    """

    def __init__(
        self, look: Callable[[], Awaitable[bool]], pause_s: float = PAUSE_S, repeats: int = REPEATS
    ) -> None:
        self._look = look
        self._pause_s = pause_s
        self._repeats = repeats
        self._is_due = False
        self._asked_s = 0.0
        self.task: asyncio.Task[None] | None = None

    def soon(self, group: asyncio.TaskGroup) -> None:
        """At once, or after the pause of the look under way."""
        self._is_due = True
        self._asked_s = asyncio.get_running_loop().time()
        if self.task is None or self.task.done():
            self.task = group.create_task(self._run())

    async def _run(self) -> None:
        left = self._repeats
        while self._is_due:
            self._is_due = False
            began_s = asyncio.get_running_loop().time()
            if await self._look():
                left = self._repeats
                self._is_due |= began_s < self._asked_s + LAG_S
            elif left:
                left, self._is_due = left - 1, True
            await asyncio.sleep(self._pause_s)


class Comparisons:
    """Of our orders with the venue's, of the ledger with the account, and of what is `free` with what has no stop for want of it.

    Apart, since the second takes as long as reads may lag. What a look finds is passed to `tell`, and looked for once more:
    something may have waited for what had been missed.
    """

    def __init__(
        self,
        orders: Callable[[], Awaitable[Sequence[Event]]],
        account: Callable[[], Awaitable[Sequence[Event] | None]],
        free: Callable[[], Awaitable[Sequence[Event]]],
        tell: Callable[[Sequence[Event]], None],
    ) -> None:
        self._loops = [
            *(Rechecking(partial(self._look, read)) for read in (orders, account)),
            Rechecking(partial(self._look, free), FREE_PAUSE_S, FREE_REPEATS),
        ]
        self._tell = tell

    @property
    def tasks(self) -> list[asyncio.Task[None] | None]:
        return [one.task for one in self._loops]

    def soon(self, group: asyncio.TaskGroup) -> None:
        """All, each at once or after the pause of its look under way."""
        for one in self._loops:
            one.soon(group)

    async def _look(self, read: Callable[[], Awaitable[Sequence[Event] | None]]) -> bool:
        try:
            found = await read()
        except (Retryable, Rejected) as error:
            logger().warning("reconciliation_postponed", error=str(error))
            return False
        if found is None:  # it came to no end
            return False
        self._tell(found)
        return all(isinstance(one, Timer) for one in found)
