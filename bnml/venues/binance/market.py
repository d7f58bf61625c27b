"""Market streams that come back: subscribe, read, notice silence, reconnect with growing pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Generic, Protocol, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bnml.core.clock import NS_PER_MS, NS_PER_S, Clock
from bnml.core.errors import Retryable
from bnml.venues.binance.codec import Answered, Shutdown
from bnml.venues.binance.errors import leaves

STREAMS_PER_SOCKET = 1000  # the venue allows 1024
STREAMS_PER_MESSAGE = 200
MESSAGE_PAUSE_S = 0.3  # the venue drops a client that sends more than five messages a second
FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 30.0
STEADY_NS = 10 * NS_PER_S  # a connection that stood so long was a good one: the next pause is short again
MAX_FRAME_BYTES = 8 * 1024 * 1024
FRAMES_BUFFERED = 4096
RECEIVE_BYTES = 160 * 1024  # asked of the kernel: one read of a full default buffer held the loop for 10 ms
BREATH_NS = 2 * NS_PER_MS  # buffered frames are read for so long before others get the loop

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)
LinkSink = Callable[[bool, str], Awaitable[None]]


class Codec(Protocol[Item_co]):
    """Knows what a frame says, and its place in a stepped session (else 0)."""

    def decode(self, frame: str | bytes, /) -> tuple[int, Item_co | Answered | None]: ...


class MarketStream(Generic[Item]):
    """One socket with up to 1000 streams; `on_item` gets each frame with its place in a stepped session.

    A full inbox makes `on_item` wait, the socket's buffer fills, and at worst the venue drops us: then the
    stream connects again and the missing candles are read by REST. Nothing is dropped in silence.
    """

    def __init__(
        self,
        url: str,
        codec: Codec[Item],
        streams: Sequence[str],
        clock: Clock,
        *,
        on_item: Callable[[int, Item | None], Awaitable[None]],
        on_link: LinkSink,
        stale_s: float,
    ) -> None:
        self._url = url
        self._codec = codec
        self._streams = list(streams)
        self._socket: ClientConnection | None = None
        self._unanswered: dict[int | str, asyncio.Event] = {}
        self._requests = 0
        self._clock = clock
        self._on_item = on_item
        self._on_link = on_link
        self._stale_s = stale_s
        self._last_frame_ns = 0

    @property
    def room(self) -> int:
        """How many more streams this socket takes."""
        return STREAMS_PER_SOCKET - len(self._streams)

    async def subscribe(self, streams: Sequence[str]) -> None:
        """Read these, too; returns when the venue has agreed, or at once when the socket is down: it comes back with them."""
        self._streams += streams
        await self._ask("SUBSCRIBE", streams)

    async def unsubscribe(self, streams: Sequence[str]) -> None:
        """Read those of these that we read no longer."""
        mine = [name for name in streams if name in self._streams]
        self._streams = [name for name in self._streams if name not in mine]
        await self._ask("UNSUBSCRIBE", mine)

    async def run(self) -> None:
        """Read until cancelled."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            detail, was_up, began_ns = "closed", False, self._clock.monotonic_ns()
            try:
                async with connect(
                    self._url, max_size=MAX_FRAME_BYTES, max_queue=FRAMES_BUFFERED, compression=None
                ) as socket:
                    raw = socket.transport.get_extra_info("socket")
                    raw.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES)
                    await self._subscribe(socket)
                    was_up = True
                    await self._on_link(True, "")
                    self._socket = socket
                    await self._serve(socket)
            except* (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, Retryable) as group:
                detail = "; ".join(f"{type(error).__name__}: {error}" for error in leaves(group))
            self._hang_up()
            if was_up:
                await self._on_link(False, detail)
            if self._clock.monotonic_ns() - began_ns > STEADY_NS:
                backoff_s = FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    async def _subscribe(self, socket: ClientConnection) -> None:
        for start in range(0, len(self._streams), STREAMS_PER_MESSAGE):
            if start:
                await asyncio.sleep(MESSAGE_PAUSE_S)
            await self._send(socket, "SUBSCRIBE", self._streams[start : start + STREAMS_PER_MESSAGE])

    async def _ask(self, method: str, streams: Sequence[str]) -> None:
        """Send to the socket that stands now, a message at a time, each answered or the socket gone."""
        for start in range(0, len(streams), STREAMS_PER_MESSAGE):
            if (socket := self._socket) is None:
                return
            answered = asyncio.Event()
            self._unanswered[self._requests + 1] = answered
            try:
                await self._send(socket, method, streams[start : start + STREAMS_PER_MESSAGE])
            except ConnectionClosed:
                return  # `run` connects again, with what is wanted by then
            await answered.wait()
            await asyncio.sleep(MESSAGE_PAUSE_S)

    async def _send(self, socket: ClientConnection, method: str, streams: Sequence[str]) -> None:
        self._requests += 1
        request = {"method": method, "params": list(streams), "id": self._requests}
        await socket.send(msgspec.json.encode(request), text=True)

    def _hang_up(self) -> None:
        self._socket = None
        for answered in self._unanswered.values():
            answered.set()
        self._unanswered.clear()

    async def _serve(self, socket: ClientConnection) -> None:
        self._last_frame_ns = breathed_ns = self._clock.monotonic_ns()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            async for text in socket:
                self._last_frame_ns = self._clock.monotonic_ns()
                if self._last_frame_ns - breathed_ns > BREATH_NS:
                    await asyncio.sleep(0)  # reading what is buffered never waits by itself
                    breathed_ns = self._clock.monotonic_ns()
                number, item = self._codec.decode(text)
                if isinstance(item, Answered):
                    await self._on_item(number, None)
                    if (answered := self._unanswered.pop(item.id, None)) is not None:
                        answered.set()
                    continue
                await self._on_item(number, item)
                if isinstance(item, Shutdown):
                    break
            watch.cancel()
        raise Retryable("the venue closed the market stream")

    async def _watch(self) -> None:
        """Raise when the stream is open but silent."""
        while True:
            await asyncio.sleep(self._stale_s / 4)
            silent_s = (self._clock.monotonic_ns() - self._last_frame_ns) / NS_PER_S
            if silent_s > self._stale_s:
                raise Retryable(f"the market stream has been silent for {silent_s:.0f} s")


def shards(streams: Sequence[str]) -> list[Sequence[str]]:
    """Streams by socket."""
    return [
        streams[start : start + STREAMS_PER_SOCKET] for start in range(0, len(streams), STREAMS_PER_SOCKET)
    ]
