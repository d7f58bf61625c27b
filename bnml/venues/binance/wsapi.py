"""The WebSocket API connection: orders out with the lowest latency, user events in, on one socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bnml.core.clock import NS_PER_MS, NS_PER_S, Clock
from bnml.core.errors import AccessRefused, Retryable, UnknownOutcome
from bnml.venues.binance.errors import error_of, leaves
from bnml.venues.binance.reports import api_frame
from bnml.venues.binance.rest import Answer
from bnml.venues.binance.wire import EMPTY, ApiFrame

if TYPE_CHECKING:
    from bnml.venues.binance.signing import Signer

FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 30.0
STEADY_NS = 10 * NS_PER_S  # a connection that stood so long was a good one: the next pause is short again
MAX_FRAME_BYTES = 8 * 1024 * 1024

USER_STREAM_ENDED = b'"eventStreamTerminated"'

EventSink = Callable[[int, msgspec.Raw], Awaitable[None]]
LinkSink = Callable[[bool, str], Awaitable[None]]


class ApiConnection:
    """Keeps one connection with a user-data subscription alive; requests wait for their answers by id.

    `on_event` gets each user event with its place in a stepped session (else 0). `on_link` is told when the
    connection with its subscription stands, and when it broke; every request without an answer then ends in
    UnknownOutcome, since the venue may have executed it.
    """

    def __init__(
        self,
        url: str,
        signer: Signer,
        clock: Clock,
        *,
        timestamp_ms: Callable[[], int],
        on_event: EventSink,
        on_link: LinkSink,
        on_number: Callable[[int], None],
        timeout_s: float,
        receive_window_ms: int,
    ) -> None:
        self._url = url
        self._signer = signer
        self._clock = clock
        self._timestamp_ms = timestamp_ms
        self._on_event = on_event
        self._on_link = on_link
        self._on_number = on_number
        self._timeout_s = timeout_s
        self._receive_window_ms = receive_window_ms
        self._socket: ClientConnection | None = None
        self._waiting: dict[str, asyncio.Future[ApiFrame]] = {}
        self._last_id = 0
        self._up = False

    @property
    def up(self) -> bool:
        """Connected and subscribed."""
        return self._up

    async def run(self) -> None:
        """Connect, subscribe, read; again after each break, with growing pauses. Ends only by cancellation."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            await self._signer.usable()
            detail, began_ns = "closed", self._clock.monotonic_ns()
            try:
                async with connect(self._url, max_size=MAX_FRAME_BYTES, compression=None) as socket:
                    self._socket = socket
                    await self._serve(socket)
            except* (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, Retryable) as group:
                detail = "; ".join(f"{type(error).__name__}: {error}" for error in leaves(group))
            finally:
                was_up, self._up, self._socket = self._up, False, None
                self._fail_waiting(detail)
            if self._clock.monotonic_ns() - began_ns > STEADY_NS:
                backoff_s = FIRST_BACKOFF_S
            if was_up:
                await self._on_link(False, detail)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    async def request(
        self, method: str, params: Mapping[str, str], *, order: bool = False, hold: bool = False
    ) -> Answer:
        """Send one signed request and wait for its answer.

        With `hold` the caller owns the answer's number in a stepped session, and reports it when the answer's
        consequences are in. Raises by the error tree; without an answer in time, UnknownOutcome for orders.
        """
        if self._socket is None:
            raise Retryable(f"{method}: the WebSocket API is not connected")
        window = {"recvWindow": str(self._receive_window_ms), "timestamp": str(self._timestamp_ms())}
        signed: dict[str, str | int] = {**self._signer.signed({**params, **window})}
        signed["timestamp"] = int(window["timestamp"])
        signed["recvWindow"] = self._receive_window_ms
        self._last_id += 1
        request_id = str(self._last_id)
        future: asyncio.Future[ApiFrame] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        unclear = UnknownOutcome if order else Retryable
        try:
            await self._socket.send(
                msgspec.json.encode({"id": request_id, "method": method, "params": signed}), text=True
            )
            frame = await asyncio.wait_for(future, self._timeout_s)
        except (ConnectionClosed, TimeoutError) as error:
            raise unclear(f"{method}: no answer ({type(error).__name__})") from error
        finally:
            self._waiting.pop(request_id, None)
        return self._answer(method, frame, hold=hold)

    def _answer(self, method: str, frame: ApiFrame, *, hold: bool) -> Answer:
        if frame.simSeq and (frame.error is not None or not hold):
            self._on_number(frame.simSeq)
        if frame.error is not None:
            error = error_of(frame.status, frame.error, method, now_ms=self._clock.now_ns() // NS_PER_MS)
            if isinstance(error, AccessRefused) and error.code:
                self._signer.lose(str(error))
            raise error
        return Answer(bytes(frame.result), frame.simSeq)

    async def _serve(self, socket: ClientConnection) -> None:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read(socket))
            await self.request("userDataStream.subscribe.signature", {})
            self._up = True
            await self._on_link(True, "")
            await reader

    async def _read(self, socket: ClientConnection) -> None:
        async for text in socket:
            frame = api_frame(text)
            if frame.id is not None:
                future = self._waiting.get(str(frame.id))
                if future is not None and not future.done():
                    future.set_result(frame)
                elif frame.simSeq:
                    self._on_number(frame.simSeq)
            elif frame.event != EMPTY:
                await self._on_event(frame.simSeq, frame.event)
                if USER_STREAM_ENDED in bytes(frame.event):
                    raise Retryable("the venue ended the user data stream")
            elif frame.error is not None:  # answers no request: of a key that is not accepted any more
                self._answer("session", frame, hold=False)
        raise Retryable("the venue closed the WebSocket API connection")

    def _fail_waiting(self, detail: str) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(UnknownOutcome(f"the connection broke before the answer ({detail})"))
        self._waiting.clear()
