"""The live view: owns the terminal while a session runs and repaints it; what it draws is `view_page`'s."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console

from bnml.app.logs import Line
from bnml.app.scene import Scene, add_session
from bnml.app.view_page import page

if TYPE_CHECKING:
    from pathlib import Path

    from bnml.app.runtime import Daemon
    from bnml.core.clock import Clock

REFRESH_S = 0.5
KEPT_LINES = 40
LEAST_WIDTH, LEAST_HEIGHT = 40, 10


class LiveView:
    """One screen from the first moment of a start to the last of a stop; logs go to a file meanwhile."""

    def __init__(self, market: str, log_file: Path, clock: Clock) -> None:
        self._market = market
        self.log_file = log_file
        self._clock = clock
        self._began_ns = clock.monotonic_ns()
        self._daemon: Daemon | None = None
        self.lines: deque[Line] = deque(maxlen=KEPT_LINES)
        self.is_stopping = False

    def follow(self, daemon: Daemon) -> None:
        """From now on there is a session to show."""
        self._daemon = daemon

    async def show(self) -> None:
        """Repaint until cancelled, then give the terminal back as it was."""
        console = Console(file=sys.stdout, highlight=False)
        with console.screen(hide_cursor=True) as screen:
            try:
                while True:
                    width, height = console.size
                    screen.update(page(self.scene(), max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)))
                    await asyncio.sleep(REFRESH_S)
            finally:
                console.clear()  # some terminals that were resized meanwhile would leave a rest of it behind

    def scene(self) -> Scene:
        """What there is to show at this moment."""
        made = Scene(
            market=self._market,
            log_file=str(self.log_file),
            elapsed_s=(self._clock.monotonic_ns() - self._began_ns) / 1e9,
            is_stopping=self.is_stopping,
            lines=tuple(self.lines),
        )
        if self._daemon is not None:
            add_session(made, self._daemon.picture, self._daemon.health(), self._daemon.trainer)
        return made


def fits_terminal() -> bool:
    """Whether stdout is a terminal that can be painted."""
    return sys.stdout.isatty() and not Console().is_dumb_terminal
