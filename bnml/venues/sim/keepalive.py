"""The life of a socket: a ping every 20 s, an end a minute after the last answered one, and an end after 24 h."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode

if TYPE_CHECKING:
    from aiohttp import web

    from bnml.venues.sim.connection import Connection

PING_EVERY_S: Final = 20.0
PONG_WITHIN_S: Final = 60.0
LIFE_S: Final = 24 * 3600.0
LEAST_PING_S: Final = 0.1
LEAST_PONG_S: Final = 0.5
"""However fast the time of sockets passes, a client gets this much wall time to answer."""
_REMEMBERED_PINGS: Final = 8


class Keepalive:
    """Pings one socket; `scale` is how many times as fast as on Binance its time passes."""

    def __init__(self, socket: web.WebSocketResponse, connection: Connection, scale: float) -> None:
        self._socket = socket
        self._connection = connection
        self._every_s = max(PING_EVERY_S / scale, LEAST_PING_S)
        self._within_s = max(PONG_WITHIN_S / scale, LEAST_PONG_S)
        self._life_s = LIFE_S / scale
        self._loop = asyncio.get_running_loop()
        self._born_s = self._answered_s = self._loop.time()
        self._sent: list[bytes] = []

    def pong(self, payload: bytes) -> None:
        """A pong came; only the copy of a ping's payload counts, an unasked one changes nothing."""
        if payload in self._sent:
            self._answered_s = self._loop.time()
            self._sent.clear()

    async def run(self) -> None:
        """Until the socket is over, or has to be."""
        while True:
            left_s = self._born_s + self._life_s - self._loop.time()
            await asyncio.sleep(min(self._every_s, max(left_s, 0.0)))
            now_s = self._loop.time()
            if now_s >= self._born_s + self._life_s:
                self._connection.finish(WSCloseCode.POLICY_VIOLATION, b"disconnected")
                return
            if now_s - self._answered_s >= self._within_s:
                self._connection.finish(WSCloseCode.POLICY_VIOLATION, b"Pong timeout")
                return
            if not self._connection.sends_pings:
                self._answered_s = now_s
                continue
            payload = b"%d" % int(now_s * 1000)
            self._sent = [*self._sent[1 - _REMEMBERED_PINGS :], payload]
            try:
                async with asyncio.timeout(self._within_s):
                    await self._socket.ping(payload)
            except (ConnectionError, TimeoutError):
                self._connection.finish(WSCloseCode.POLICY_VIOLATION, b"Pong timeout")
                return
