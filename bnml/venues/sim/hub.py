"""Who listens to which market stream; each event is encoded once and its bytes go to every listener."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.seams import Injector

MAX_STREAMS: Final = 1_024
_SPEED: Final = re.compile(r"@(100|250|1000|2000|3000)ms$")


def canonical(name: str) -> str:
    """One name for all spellings of a stream: update speeds differ on Binance, not here."""
    return _SPEED.sub("", name)


class Listener:
    """A market data connection: raw payloads, or the combined wrapper `{stream,data}`."""

    def __init__(self, connection: Connection, *, combined: bool) -> None:
        self.connection = connection
        self.combined = combined
        self.names: dict[str, str] = {}  # canonical name -> name as asked for

    def deliver(self, name: str, payload: bytes) -> None:
        """One event of stream `name`. Arrays go to steppers wrapped: a number needs an object to live in."""
        if self.combined or (self.connection.stepper is not None and payload[:1] == b"["):
            payload = b'{"stream":"%b","data":%b}' % (self.names[name].encode(), payload)
        self.connection.send(payload)


class Hub:
    """The subscriptions of all market data connections."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[Listener, None]] = {}
        self.faults: Injector | None = None
        self.heard = asyncio.Event()  # set for ever by the first subscription

    def wanted(self, name: str) -> bool:
        """Whether anybody listens: what nobody hears is not encoded."""
        return name in self._listeners

    def subscribe(self, listener: Listener, name: str) -> None:
        """Add one stream; a second subscription of the same stream changes nothing."""
        key = canonical(name)
        listener.names.setdefault(key, name)
        self._listeners.setdefault(key, {})[listener] = None
        self.heard.set()

    def unsubscribe(self, listener: Listener, name: str) -> None:
        """Drop one stream; an unknown one changes nothing."""
        key = canonical(name)
        if listener.names.pop(key, None) is None:
            return
        listeners = self._listeners[key]
        del listeners[listener]
        if not listeners:
            del self._listeners[key]

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
