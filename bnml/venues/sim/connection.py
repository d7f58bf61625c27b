"""One client's WebSocket: an ordered, bounded queue of frames, numbered when the client is a stepper."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode, WSMsgType

if TYPE_CHECKING:
    from aiohttp import web

    from bnml.venues.sim.stepper import Stepper

MAX_QUEUED_FRAMES: Final = 50_000


class Connection:
    """Frames leave in the order of `send`; a client that lets too many pile up is cut off."""

    def __init__(self, socket: web.WebSocketResponse, stepper: Stepper | None) -> None:
        self._socket = socket
        self.stepper = stepper
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._is_over = False

    def send(self, frame: bytes) -> None:
        """Queue one JSON object; for a stepper its last field becomes `simSeq`, the frame's number."""
        if self._is_over:
            return
        if self.stepper is not None:
            frame = b'%b,"simSeq":%d}' % (frame[:-1], self.stepper.number())
        self._queue.append(frame)
        if len(self._queue) > MAX_QUEUED_FRAMES:
            self._is_over = True
        self._wake.set()

    def finish(self) -> None:
        """Let the writer send what is queued and then close."""
        self._is_over = True
        self._wake.set()

    async def write(self) -> None:
        """Send queued frames until the connection is over; owned by the handler of the socket."""
        queue, send_frame = self._queue, self._socket.send_frame
        while True:
            await self._wake.wait()
            self._wake.clear()
            if len(queue) > MAX_QUEUED_FRAMES:
                await self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")
                return
            while queue:
                await send_frame(queue.popleft(), WSMsgType.TEXT)
            if self._is_over:
                await self._socket.close(code=WSCloseCode.GOING_AWAY)
                return
