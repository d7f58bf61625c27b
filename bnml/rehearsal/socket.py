"""One connection to the WebSocket API whose frames are kept as they come: answers by id, user events in their order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import msgspec

from bnml.core.errors import Retryable, UnknownOutcome
from bnml.venues.binance.socket import SocketClosed, VenueSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from bnml.venues.binance.signing import Signer


class RawSocket:
    """Signs as the daemon does; `call` returns the whole frame of an answer, also of a refusal."""

    def __init__(
        self, url: str, signer: Signer, timestamp_ms: Callable[[], int], *, timeout_s: float, window_ms: int
    ) -> None:
        self._url = url
        self._signer = signer
        self._timestamp_ms = timestamp_ms
        self._timeout_s = timeout_s
        self._window_ms = window_ms
        self._stack = AsyncExitStack()
        self._socket: VenueSocket | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self.on_event: Callable[[Any], None] = lambda _event: None

    async def __aenter__(self) -> Self:
        self._socket = await self._stack.enter_async_context(VenueSocket(self._url))
        self._reading = asyncio.create_task(self._read(self._socket))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
        await self._stack.aclose()

    async def call(self, method: str, params: Mapping[str, str], *, order: bool = False) -> dict[str, Any]:
        """Send one signed request; UnknownOutcome without an answer to an order, else Retryable."""
        if self._socket is None or self._reading is None or self._reading.done():
            raise Retryable(f"{method}: the WebSocket API is not connected")
        window = {"recvWindow": str(self._window_ms), "timestamp": str(self._timestamp_ms())}
        signed: dict[str, Any] = {**self._signer.signed({**params, **window})}
        signed["timestamp"], signed["recvWindow"] = int(window["timestamp"]), self._window_ms
        self._last_id += 1
        name = str(self._last_id)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[name] = future
        unclear = UnknownOutcome if order else Retryable
        try:
            await self._socket.send([msgspec.json.encode({"id": name, "method": method, "params": signed})])
            async with asyncio.timeout(self._timeout_s):
                return await future
        except (SocketClosed, TimeoutError) as error:
            raise unclear(f"{method}: no answer ({type(error).__name__})") from error
        finally:
            self._waiting.pop(name, None)

    async def _read(self, socket: VenueSocket) -> None:
        async for frame in _frames(socket):
            waiting = self._waiting.get(str(frame.get("id")))
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
            elif "event" in frame:
                self.on_event(frame)


async def _frames(socket: VenueSocket) -> AsyncIterator[dict[str, Any]]:
    """The frames that can be read; the end of the connection is theirs."""
    try:
        while True:
            frame = msgspec.json.decode(await socket.receive())
            if isinstance(frame, dict):
                yield frame
    except SocketClosed:
        return


async def market_frames(url: str, seconds: float, enough: Callable[[str, Any], bool]) -> None:
    """Hand the name and the data of each market event to `enough`, until it says so or the time is over."""
    try:
        async with asyncio.timeout(seconds), VenueSocket(url) as socket:
            async for frame in _frames(socket):
                if enough(str(frame.get("stream")), frame.get("data")):
                    return
    except TimeoutError:
        return
