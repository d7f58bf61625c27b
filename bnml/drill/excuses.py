"""What nobody could have protected during a drill: the times of dead daemons, and of faults that kept the venue from answering."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from bnml.drill.cover import Window

if TYPE_CHECKING:
    from bnml.core.clock import Clock
    from bnml.drill.exchange import Exchange
    from bnml.journal.schema import Health


class Place(Protocol):
    """What is asked of a stage."""

    exchange: Exchange
    speed: float

    @property
    def clock(self) -> Clock: ...

    @property
    def alive(self) -> bool: ...

    def health(self) -> Health | None: ...


class Excuses:
    """The windows of one drill, by the market's clock; `stage` is where it plays."""

    def __init__(self, stage: Place) -> None:
        self.windows: list[Window] = []
        self.from_ns = 0  # of the drill
        self._stage = stage
        self._launched_ns = 0  # by the machine's clock
        self._died_ns = 0  # 0: it lives, or never did

    async def begin(self) -> None:
        """From here on coverage is judged anew."""
        self.windows = []
        self.from_ns = await self._stage.exchange.market_ns() if self._stage.alive else 0

    async def strikes(self) -> None:
        """When the faults in force kept the venue from answering; asked before they are taken out."""
        now_ns = await self._stage.exchange.market_ns()
        for one in await self._stage.exchange.strikes(self._stage.speed):
            one.until_ns = min(one.until_ns, now_ns)
            self.windows.append(one)

    def launched(self) -> None:
        """The next daemon begins."""
        self._launched_ns = self._stage.clock.now_ns()

    async def death(self) -> None:
        """The daemon is dead from this moment on."""
        try:
            self._died_ns = await self._stage.exchange.market_ns()
        except OSError as error:  # there is no exchange either: the next drill begins with both anew
            sys.stderr.write(f"bnml: the time of a death is not known: {error}\n")
            self._died_ns = 0

    async def birth(self) -> None:
        """Whether the daemon after a death has said its first word."""
        now = self._stage.health() if self._died_ns else None
        if now is not None and self._stage.alive and now.ts_ns > self._launched_ns:
            until_ns = await self._stage.exchange.market_ns()
            self.windows.append(Window(self._died_ns, until_ns, "the daemon was dead"))
            self._died_ns = 0
