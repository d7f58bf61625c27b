"""Looks that many sides ask for: one at a time with a pause after it, and another one for who asked meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAUSE_S: Final = 5.0
"""After each look: an accelerated market must not become a flood of requests."""
REPEATS: Final = 3
"""Of a look in a row that has not seen all; then the interval brings the next one."""


class Rechecking:
    """What is asked for during a look, or the pause after it, may be about what that look has not seen: a payment, say.

    `look` says whether it has seen all; if not it is repeated, a few times: an outage must not use up the minute's weight.
    """

    def __init__(self, look: Callable[[], Awaitable[bool]]) -> None:
        self._look = look
        self._is_due = False
        self.task: asyncio.Task[None] | None = None

    def soon(self, group: asyncio.TaskGroup) -> None:
        """At once, or after the pause of the look under way."""
        self._is_due = True
        if self.task is None or self.task.done():
            self.task = group.create_task(self._run())

    async def _run(self) -> None:
        left = REPEATS
        while self._is_due:
            self._is_due = False
            if await self._look():
                left = REPEATS
            elif left:
                left, self._is_due = left - 1, True
            await asyncio.sleep(PAUSE_S)
