"""What faults do to open sockets: hold back what goes out, lose it, break them off."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode

from bnml.venues.sim.faults.actions import Cut, NoPings, Reset, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.faults.actions import OnSocket, Sockets


class Line:
    """One socket that holds frames back or loses them; a stepped market waits for frames that are held."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: deque[Callable[[], None]] = deque()
        self._until_s = 0.0
        self._is_holding = False
        self.is_silent = False

    def hold(self, seconds: float) -> None:
        """From now on everything waits, for so long."""
        loop = asyncio.get_running_loop()
        self._until_s = max(self._until_s, loop.time() + seconds)
        if not self._is_holding:
            self._is_holding = True
            self._wait(1)
            loop.call_at(self._until_s, self._release)
        self.tend()

    def tend(self) -> None:
        """Stand in the connection's way exactly while there is a reason."""
        busy = self._is_holding or self.is_silent
        self._connection.gate = self._take if busy else None

    def end(self) -> None:
        """Send what is held, and leave the connection alone."""
        self.is_silent = False
        self._until_s = 0.0
        if self._is_holding:
            self._release()
        self.tend()

    def _take(self, frame: bytes) -> None:
        if self.is_silent:
            return
        self._held.append(lambda: self._connection.put(frame))

    def _release(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._is_holding:
            return
        if self._until_s > loop.time():
            loop.call_at(self._until_s, self._release)
            return
        while self._held:
            self._held.popleft()()
        self._is_holding = False
        self._wait(-1)
        self.tend()

    def _wait(self, count: int) -> None:
        if self._connection.stepper is not None:
            self._connection.stepper.in_flight += count


class Lines:
    """The lines of all sockets that a fault has touched."""

    def __init__(self, sockets: set[Connection]) -> None:
        self._sockets = sockets
        self._lines: dict[Connection, Line] = {}

    def of(self, connection: Connection) -> Line:
        """The line of a socket; lines of sockets that are closed are forgotten."""
        line = self._lines.get(connection)
        if line is None:
            for closed in [one for one in self._lines if one not in self._sockets and one is not connection]:
                self._lines.pop(closed).end()
            line = self._lines[connection] = Line(connection)
        return line

    def chosen(self, sockets: Sockets, these: Iterable[Connection]) -> list[Connection]:
        """The sockets that an action means."""
        if sockets == "these":
            return list(these)
        return [one for one in self._sockets if sockets in {"all", one.kind}]

    def strike(self, action: OnSocket, these: Iterable[Connection]) -> Callable[[], None] | None:
        """Do it to the sockets it means; returns what undoes it, where it can be undone."""
        chosen = self.chosen(action.sockets, these)
        for connection in chosen:
            match action:
                case Reset():
                    connection.reset()
                case Cut():
                    connection.finish(WSCloseCode.POLICY_VIOLATION, b"disconnected")
                case NoPings():
                    connection.sends_pings = False
                case Silent():
                    self._silence(connection, dead=not action.pings)
        if isinstance(action, Silent | NoPings):
            return lambda: self._restore(action, chosen)
        return None

    def end(self) -> None:
        """Leave every socket alone."""
        for line in self._lines.values():
            line.end()
        self._lines.clear()

    def _silence(self, connection: Connection, *, dead: bool) -> None:
        line = self.of(connection)
        line.is_silent = True
        line.tend()
        if dead:
            connection.sends_pings = False
            _listen(connection, hears=False)

    def _restore(self, action: Silent | NoPings, chosen: Iterable[Connection]) -> None:
        for connection in chosen:
            connection.sends_pings = True
            _listen(connection, hears=True)
            if isinstance(action, Silent) and connection in self._lines:
                line = self._lines[connection]
                line.is_silent = False
                line.tend()


def _listen(connection: Connection, *, hears: bool) -> None:
    """Stop, or go on, reading what the client sends, its pings too."""
    transport = connection.transport
    if transport is None or transport.is_closing():
        return
    if hears and not transport.is_reading():
        transport.resume_reading()
    elif not hears and transport.is_reading():
        transport.pause_reading()
