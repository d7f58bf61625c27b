"""After the word to stop: what the venue still answers is counted, and what the engine asks for because of it leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bnml.app.inbox import OF_THE_MARKET
from bnml.app.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.app.executor import Executor
    from bnml.app.inbox import Inbox
    from bnml.app.pump import Pump
    from bnml.trading.engine import Engine

PAUSE_S: Final = 0.02
"""Long enough for what has arrived to be read, and for what was asked for to leave."""


class Parting:
    """The last moments of a session, once no market data come any more; nothing is decided on those that wait.

    `pass_time` makes due what is timed; None: time stands still (stepped), so nothing would come of waiting.
    """

    def __init__(
        self,
        engine: Engine,
        pump: Pump,
        inbox: Inbox,
        executor: Executor,
        pass_time: Callable[[], object] | None,
    ) -> None:
        self._engine = engine
        self._pump = pump
        self._inbox = inbox
        self._executor = executor
        self._pass_time = pass_time

    async def end(self, longest_s: float) -> None:
        """Return when everything is settled and nothing came for a moment, or after `longest_s`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + longest_s
        while True:
            await asyncio.sleep(PAUSE_S)
            items = [item for item in self._inbox.ready() if not isinstance(item, OF_THE_MARKET)]
            for item in items:
                await self._pump.take(item)
            if self._pass_time is not None:
                self._pass_time()
            if (self._is_settled() and not items) or loop.time() >= until_s:
                break
        if bare := self._bare():
            logger().critical(
                "positions_left_bare", symbols=bare, way_out="start again, or sell them: bnml panic"
            )

    def _is_settled(self) -> bool:
        """Nothing is under way, and what is held has its stops: nobody mends that while the daemon is away.

        Nor has the price passed what rests, and nobody told what of it was filled: it is asked about in a moment.
        """
        is_whole = self._pass_time is None or not (self._bare() or self._is_overdue())
        return self._executor.idle and is_whole

    def _is_overdue(self) -> bool:
        return any(one.look_ns for one in self._engine.portfolio.positions.values())

    def _bare(self) -> list[str]:
        return [one.symbol for one in self._engine.coverage() if one.is_bare]
