"""One client's WebSocket: an ordered, bounded queue of frames, numbered when the client is a stepper."""

from __future__ import annotations

import asyncio
import socket as sockets
import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode, WSMsgType

from bnml.core.clock import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from bnml.venues.sim.seams import SocketKind
    from bnml.venues.sim.stepper import Stepper

MAX_QUEUED_FRAMES: Final = 50_000
MAX_QUEUED_BYTES: Final = 32 * 1024 * 1024
CLOSE_TIMEOUT_S: Final = 5.0
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Connection:
    """Frames leave in the order of `send`; a client that lets too many pile up is cut off.

    `gate`, where set, takes what is sent instead of the queue: a fault that holds frames back, or loses them.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        stepper: Stepper | None,
        kind: SocketKind = "stream",
        transport: asyncio.Transport | None = None,
    ) -> None:
        self._socket = socket
        self.stepper = stepper
        self.kind: SocketKind = kind
        self.transport = transport
        self.gate: Callable[[bytes], None] | None = None
        self.flush: Callable[[], None] | None = None  # called before frames leave
        self.unit_ns = NS_PER_MS  # of the times in its frames
        self.session_key = ""  # API key that the session is logged on with
        self.farewell: Callable[[int], bytes] | None = None  # the serverShutdown frame at a time in ns
        self.sends_pings = True
        self._close = (int(WSCloseCode.GOING_AWAY), b"")
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_over

    def send(self, frame: bytes) -> None:
        """Queue one JSON object; for a stepper its last field becomes `simSeq`, the frame's number."""
        if self.gate is None:
            self.put(frame)
        else:
            self.gate(frame)

    def send_raw(self, frame: bytes) -> None:
        """Queue a text that is no JSON object, so that it cannot be numbered."""
        if self.gate is None:
            self.put(frame, numbered=False)
        else:
            self.gate(frame)

    def put(self, frame: bytes, *, numbered: bool = True) -> None:
        """Queue one frame past the gate."""
        if self._is_over:
            return
        if numbered and self.stepper is not None:
            frame = b'%b,"simSeq":%d}' % (frame[:-1], self.stepper.number())
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        if self._is_behind:
            self.finish(WSCloseCode.TRY_AGAIN_LATER, b"too slow")
        self._wake.set()

    @property
    def _is_behind(self) -> bool:
        return len(self._queue) > MAX_QUEUED_FRAMES or self._queued_bytes > MAX_QUEUED_BYTES

    def finish(self, code: int = WSCloseCode.GOING_AWAY, reason: bytes = b"") -> None:
        """Let the writer send what is queued and then close; a peer that does not read is cut off soon."""
        if self._is_over:
            return
        self._close = (int(code), reason)
        self._is_over = True
        self._wake.set()
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._cut)

    def _cut(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()

    def reset(self) -> None:
        """Cut the connection as a broken line does: no closing frame, and a reset instead of an end."""
        self._is_over = True
        reset_transport(self.transport)

    async def write(self) -> None:
        """Send queued frames until the connection is over; owned by the handler of the socket."""
        queue, send_frame = self._queue, self._socket.send_frame
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._is_behind:
                queue.clear()
                await self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")
                return
            while queue:
                if self.flush is not None:
                    self.flush()
                frame = queue.popleft()
                self._queued_bytes -= len(frame)
                await send_frame(frame, WSMsgType.TEXT)
            if self._is_over:
                code, reason = self._close
                await self._socket.close(code=code, message=reason)
                return


def reset_transport(transport: asyncio.Transport | None) -> None:
    """Close a transport at once; the peer sees "connection reset"."""
    if transport is None or transport.is_closing():
        return
    line = transport.get_extra_info("socket")
    if line is not None:
        line.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _NO_LINGER)
    transport.abort()
