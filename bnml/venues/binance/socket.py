"""One WebSocket to the venue, by aiohttp's compiled client: frames in as they came, frames out in one write."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.http import WebSocketWriter

from bnml.core.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp.http import WSMessageNoDecodeText

MAX_FRAME_BYTES = 8 * 1024 * 1024
OPEN_S = 10.0
CLOSE_S = 1.0
"""For the venue's goodbye after ours."""


class SocketClosed(Retryable):
    """The connection is over; the text says how it ended."""


class VenueSocket:
    """A context in which the connection stands; Retryable where it does not come up. One task receives.

    `on_pong` is called when the venue has answered a `ping`; `on_refused` with the status of a venue that does not
    let us in, and the seconds that it names.
    """

    def __init__(
        self,
        url: str,
        on_pong: Callable[[], None] = lambda: None,
        on_refused: Callable[[int, float | None], None] = lambda _status, _seconds: None,
    ) -> None:
        self._url = url
        self._on_pong = on_pong
        self._on_refused = on_refused
        self._is_over = asyncio.Event()
        self._is_closing = False

    async def __aenter__(self) -> Self:
        # Of its own: the limit of the REST client's connections is not for those that stand for a day.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=OPEN_S), ws_response_class=_Connection
        )
        try:
            self._socket: _Connection = await self._session.ws_connect(  # type: ignore[assignment]
                self._url,
                max_msg_size=MAX_FRAME_BYTES,
                autoclose=False,
                autoping=False,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            )
        except BaseException as error:
            await self._session.close()
            if isinstance(error, aiohttp.WSServerHandshakeError):
                text = error.headers.get("Retry-After", "") if error.headers else ""
                self._on_refused(error.status, float(text) if text.isdigit() else None)
            if isinstance(error, aiohttp.ClientError | OSError | TimeoutError):
                raise Retryable(f"{self._url} does not open ({type(error).__name__}: {error})") from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over.set()
        try:
            await self._socket.close()
        finally:
            await self._session.close()

    @property
    def transport(self) -> asyncio.Transport:
        """What the frames go out by."""
        return self._socket.transport

    async def receive(self) -> bytes:
        """The next frame with data; SocketClosed after the last one. Pings of the venue are answered here."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                frame: bytes = message.data
                return frame
            if message.type is WSMsgType.PING:
                with suppress(ConnectionResetError):  # what came before the end is still told
                    await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._on_pong()
            else:
                self._is_over.set()
                raise SocketClosed(_ending(message))

    async def send(self, frames: Sequence[bytes]) -> None:
        """Hand all frames to the system in one piece: a process that dies has sent all of them or none."""
        if self._is_closing or self._is_over.is_set() or self.transport.is_closing():
            raise SocketClosed("the connection is closing")
        parcel, write = self._socket.parcel, self._socket.framing.send_frame
        for frame in frames:
            await write(frame, WSMsgType.TEXT)
        self.transport.write(parcel.taken())

    async def ping(self) -> None:
        """Ask for a sign of life that costs no request."""
        try:
            await self._socket.ping()
        except ConnectionResetError as error:
            raise SocketClosed("the connection is closing") from error

    async def close(self) -> None:
        """Say goodbye, and return when whoever receives has all that came before the venue's goodbye."""
        if self._is_over.is_set() or self._is_closing:
            return
        self._is_closing = True
        await self._socket.framing.close()
        self.transport.write(self._socket.parcel.taken())
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._is_over.wait()
        except TimeoutError:
            self.transport.abort()


def _ending(message: WSMessageNoDecodeText) -> str:
    if message.type is WSMsgType.CLOSE:
        return f"the venue closed the connection ({message.data} {message.extra or 'without a reason'})"
    return f"the connection broke ({message.data or 'without a goodbye'})"


class _Parcel(asyncio.Transport):
    """Takes the place of a transport, and keeps what it is given for one write."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._parts.append(data)

    def is_closing(self) -> bool:
        return False

    def taken(self) -> bytes:
        """All of it, once."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Connection(ClientWebSocketResponse):
    """Aiohttp's end of the connection, with a framing of its own for what has to leave together."""

    def __init__(self, reader: Any, writer: WebSocketWriter, *rest: Any, **options: Any) -> None:
        protocol, self.transport = writer.protocol, writer.transport
        # Nothing waits for a venue that does not read: half a parcel would leave with the next one.
        super().__init__(
            reader,
            WebSocketWriter(protocol, self.transport, use_mask=True, limit=sys.maxsize),
            *rest,
            **options,
        )
        self.parcel = _Parcel()
        self.framing = WebSocketWriter(protocol, self.parcel, use_mask=True, limit=sys.maxsize)
