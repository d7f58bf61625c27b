"""Candles that no stream brought are read beside the pump: a venue that answers slowly holds up nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from bnml.app.logs import logger
from bnml.core.errors import BnmlError
from bnml.core.events import Bar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Filled(msgspec.Struct, frozen=True):
    """What was found of a gap, oldest first; nothing where the venue could not be asked."""

    symbol: str
    bars: tuple[Bar, ...]


class Gaps:
    """`read(symbol, from, to)` asks the venue; `give` gets the end of each request, whatever it was."""

    def __init__(
        self, read: Callable[[str, int, int], Awaitable[list[Bar]]], give: Callable[[Filled], None]
    ) -> None:
        self._read = read
        self._give = give
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, symbol: str, start_ns: int, end_ns: int) -> None:
        """Begin to read what opened from `start_ns` on and before `end_ns`."""
        task = asyncio.create_task(self._fill(symbol, start_ns, end_ns))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Nobody waits any more."""
        for task in self._tasks:
            task.cancel()

    async def _fill(self, symbol: str, start_ns: int, end_ns: int) -> None:
        bars: list[Bar] = []
        try:
            bars = await self._read(symbol, start_ns, end_ns)
        except BnmlError as error:
            logger().warning("gap_not_filled", symbol=symbol, error=str(error))
        finally:
            self._give(Filled(symbol, tuple(bars)))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger().error("gap_reader_failed", error=repr(error))
