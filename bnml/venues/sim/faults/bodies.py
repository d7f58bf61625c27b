"""REST answers that come wrong over the wire: broken off, too short, slow, or twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from bnml.venues.sim.faults.actions import Duplicate, SlowBody, Truncate

PIECES: Final = 20
_KEPT: Final = ("Content-Type", "Content-Length", "Retry-After")


def body_of(response: web.Response) -> bytes:
    """What an answer says."""
    return response.body if isinstance(response.body, bytes) else b""


def cut_short(response: web.Response, action: Truncate) -> web.Response:
    """Only the first part of the body; its length promises the whole where it `breaks_off`."""
    body = body_of(response)
    kept = int(len(body) * action.keep)
    return _like(
        response, BrokenResponse(body, kept) if action.breaks_off else web.Response(body=body[:kept])
    )


def slowed(response: web.Response, action: SlowBody) -> web.Response:
    """The body in small pieces."""
    return _like(response, SlowResponse(body_of(response), action.seconds))


def repeated(response: web.Response, action: Duplicate) -> web.Response:
    """The same answer again behind the first, though nobody asked."""
    return _like(response, RepeatedResponse(body_of(response), action.copies))


class BrokenResponse(web.Response):
    """Promises more than it sends, and breaks off."""

    def __init__(self, body: bytes, kept: int) -> None:
        super().__init__(body=body)
        self._kept = kept

    async def write_eof(self, data: bytes = b"") -> None:
        del data
        writer, request = self._payload_writer, self._req
        if writer is not None and request is not None:
            await writer.write(body_of(self)[: self._kept])
            await writer.drain()
            if request.transport is not None:
                request.transport.close()  # in order, so that what was written arrives
        self._eof_sent = True


class SlowResponse(web.Response):
    """Sends its body in pieces, evenly over some seconds."""

    def __init__(self, body: bytes, seconds: float) -> None:
        super().__init__(body=body)
        self._seconds = seconds

    async def write_eof(self, data: bytes = b"") -> None:
        del data
        body, writer = body_of(self), self._payload_writer
        if writer is None:
            return
        size = max(1, -(-len(body) // PIECES))
        for start in range(0, len(body), size):
            await asyncio.sleep(self._seconds / PIECES)
            await writer.write(body[start : start + size])
            await writer.drain()
        await writer.write_eof()
        self._eof_sent = True


class RepeatedResponse(web.Response):
    """Writes itself again, head and all, after it was sent."""

    def __init__(self, body: bytes, copies: int) -> None:
        super().__init__(body=body)
        self._copies = copies

    async def write_eof(self, data: bytes = b"") -> None:
        request = self._req
        await super().write_eof(data)
        if request is not None and request.transport is not None:
            head = f"HTTP/1.1 {self.status} {self.reason}\r\n"
            head += "".join(f"{name}: {self.headers[name]}\r\n" for name in _KEPT if name in self.headers)
            request.transport.write((head.encode() + b"\r\n" + body_of(self)) * self._copies)


def _like(response: web.Response, made: web.Response) -> web.Response:
    made.set_status(response.status)
    headers: CIMultiDict[Any] = made.headers
    for name, value in response.headers.items():
        if name != "Content-Length":
            headers[name] = value
    return made
