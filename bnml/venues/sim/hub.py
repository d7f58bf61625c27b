"""Who listens to which market stream; each event is encoded once and its bytes go to every listener."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_MS

if TYPE_CHECKING:
    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.seams import Injector

MAX_STREAMS: Final = 1_024
MICROSECONDS: Final = "|us"
"""Ends the name of a stream as those hear it who want times in microseconds."""
_SPEED: Final = re.compile(r"@(100|250|1000|2000|3000)ms$")
_FAST_BOOK: Final = re.compile(r"@depth(5|10|20)?@100ms$")
_Callback = Callable[[str], None]


def canonical(name: str) -> str:
    """One name for all spellings of a stream: a speed makes a difference to books only, where 1000 ms is usual."""
    name = name.replace("@ 0", "@+0")  # a plus sign that a query string turned into a space
    return name if _FAST_BOOK.search(name) else _SPEED.sub("", name)


class Listener:
    """A market data connection: raw payloads, or the combined wrapper `{stream,data}`."""

    def __init__(self, connection: Connection, *, combined: bool) -> None:
        self.connection = connection
        self.combined = combined
        self.names: dict[str, str] = {}  # canonical name -> name as asked for

    def key(self, name: str) -> str:
        """The stream that a name means to this connection."""
        return canonical(name) + ("" if self.connection.unit_ns == NS_PER_MS else MICROSECONDS)

    def deliver(self, name: str, payload: bytes) -> None:
        """One event of stream `name`. Arrays go to steppers wrapped: a number needs an object to live in."""
        if self.combined or (self.connection.stepper is not None and payload[:1] == b"["):
            payload = b'{"stream":"%b","data":%b}' % (self.names[name].encode(), payload)
        self.connection.send(payload)


class Hub:
    """The subscriptions of all market data connections; `watch` tells of streams that get or lose all listeners."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[Listener, None]] = {}
        self._watchers: list[tuple[_Callback, _Callback]] = []
        self.faults: Injector | None = None
        self.heard = asyncio.Event()  # set for ever by the first subscription

    def watch(self, opened: _Callback, closed: _Callback) -> None:
        """Call back with the stream that got its first listener, or lost its last one."""
        self._watchers.append((opened, closed))

    def wanted(self, name: str) -> bool:
        """Whether anybody listens: what nobody hears is not encoded."""
        return name in self._listeners

    def subscribe(self, listener: Listener, name: str) -> None:
        """Add one stream; a second subscription of the same stream changes nothing."""
        key = listener.key(name)
        listener.names.setdefault(key, name)
        if key not in self._listeners:
            self._listeners[key] = {}
            for opened, _ in self._watchers:
                opened(key)
        self._listeners[key][listener] = None
        self.heard.set()

    def unsubscribe(self, listener: Listener, name: str) -> None:
        """Drop one stream; an unknown one changes nothing."""
        key = listener.key(name)
        if listener.names.pop(key, None) is None:
            return
        listeners = self._listeners[key]
        del listeners[listener]
        if not listeners:
            del self._listeners[key]
            for _, closed in self._watchers:
                closed(key)

    def drop(self, listener: Listener) -> None:
        """Forget a closed connection."""
        for name in list(listener.names.values()):
            self.unsubscribe(listener, name)

    def publish(self, name: str, payload: bytes) -> None:
        """Send one encoded event to everybody who listens to the canonical stream `name`."""
        listeners = self._listeners.get(name, ())
        if self.faults is not None and listeners:
            self.faults.frame(name, payload, tuple(listeners))
            return
        for listener in listeners:
            listener.deliver(name, payload)
