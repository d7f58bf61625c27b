"""Lets time go on for what is timed while the market says nothing: no stop waits for a print that does not come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.logs import logger
from bnml.core.clock import NS_PER_S
from bnml.core.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LOOK_S: Final = 0.25
SILENT_S: Final = 1.0
"""The venue's clock stream speaks each second."""
EACH_S: Final = 0.5


class Tick(msgspec.Struct, frozen=True):
    """Market time went on by so much although no stream said so; no scan becomes due by it."""

    ts_ns: int


class Silence:
    """`now_ns` is market time as far as it is known; `give` gets a tick each half second while it stands still.

    How far market time is by now follows from the monotonic clock, so that a clock that is set moves nothing; a
    market that runs at another speed tells it by `ask`.
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        give: Callable[[Tick], None],
        ask: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._now_ns = now_ns
        self._give = give
        self._ask = ask
        self._known_ns = 0
        self._base_ns = 0
        self._base_s = 0.0
        self._told_s = 0.0
        self._can_ask = True

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Post a tick if one is due."""
        loop_s, now_ns = asyncio.get_running_loop().time(), self._now_ns()
        if now_ns > self._known_ns:
            self._known_ns = self._base_ns = now_ns
            self._base_s = self._told_s = loop_s
            return
        if loop_s < self._base_s + SILENT_S or loop_s < self._told_s + EACH_S:
            return
        self._told_s = loop_s
        ts_ns = self._base_ns + round((loop_s - self._base_s) * NS_PER_S)
        if self._ask is not None:
            try:
                ts_ns = await self._ask()
            except Retryable as error:
                if self._can_ask:
                    logger().warning("market_time_unknown", error=str(error))
                self._can_ask = False
                return
            self._can_ask = True
        if ts_ns > self._known_ns:
            self._known_ns = ts_ns
            self._give(Tick(ts_ns))
