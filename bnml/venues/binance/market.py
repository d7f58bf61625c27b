"""Market streams that come back: subscribe, read, notice silence, reconnect with growing pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bnml.core.clock import NS_PER_MS, NS_PER_S, Clock
from bnml.core.errors import Retryable
from bnml.venues.binance.codec import MarketCodec, MarketItem, Shutdown
from bnml.venues.binance.errors import leaves

STREAMS_PER_SOCKET = 1000  # the venue allows 1024
STREAMS_PER_MESSAGE = 200
MESSAGE_PAUSE_S = 0.3  # the venue drops a client that sends more than five messages a second
FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 30.0
STEADY_NS = 10 * NS_PER_S  # a connection that stood so long was a good one: the next pause is short again
MAX_FRAME_BYTES = 8 * 1024 * 1024
FRAMES_BUFFERED = 4096
BREATH_NS = 2 * NS_PER_MS  # buffered frames are read for so long before others get the loop

ItemSink = Callable[[int, MarketItem | None], Awaitable[None]]
LinkSink = Callable[[bool, str], Awaitable[None]]


class MarketStream:
    """One socket with up to 1000 streams; `on_item` gets each frame with its place in a stepped session.

    A full inbox makes `on_item` wait, the socket's buffer fills, and at worst the venue drops us: then the
    stream connects again and the missing candles are read by REST. Nothing is dropped in silence.
    """

    def __init__(
        self,
        url: str,
        codec: MarketCodec,
        streams: Sequence[str],
        clock: Clock,
        *,
        on_item: ItemSink,
        on_link: LinkSink,
        stale_s: float,
    ) -> None:
        self._url = url
        self._codec = codec
        self._streams = streams
        self._clock = clock
        self._on_item = on_item
        self._on_link = on_link
        self._stale_s = stale_s
        self._last_frame_ns = 0

    async def run(self) -> None:
        """Read until cancelled."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            detail, was_up, began_ns = "closed", False, self._clock.monotonic_ns()
            try:
                async with connect(
                    self._url, max_size=MAX_FRAME_BYTES, max_queue=FRAMES_BUFFERED, compression=None
                ) as socket:
                    await self._subscribe(socket)
                    was_up = True
                    await self._on_link(True, "")
                    await self._serve(socket)
            except* (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, Retryable) as group:
                detail = "; ".join(f"{type(error).__name__}: {error}" for error in leaves(group))
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
            params = list(self._streams[start : start + STREAMS_PER_MESSAGE])
            request = {"method": "SUBSCRIBE", "params": params, "id": start // STREAMS_PER_MESSAGE + 1}
            await socket.send(msgspec.json.encode(request), text=True)

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
