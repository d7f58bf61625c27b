"""One connection to the WebSocket API: its answers, its user events, and the proof that it lives."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from bnml.core.clock import NS_PER_S
from bnml.core.errors import Retryable, UnknownOutcome
from bnml.venues.binance.convoy import depart
from bnml.venues.binance.errors import leaves
from bnml.venues.binance.overlap import Heard
from bnml.venues.binance.reports import api_frame
from bnml.venues.binance.socket import SocketClosed, VenueSocket
from bnml.venues.binance.wire import EMPTY, ApiFrame, EventKey

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from bnml.venues.binance.wsapi import ApiConnection

LAST_ANSWERS_S = 2.0  # for requests under way when the connection is replaced
SILENT_PROBES = 3  # a connection that did not answer so many probes is dead
REPORT_S = 2.0  # after the answer to an order its report must have come
REPORTS_REMEMBERED = 200
USER_STREAM_ENDED = b'"eventStreamTerminated"'

_key = msgspec.json.Decoder(EventKey)


class ApiLeg:
    """`exchange` sends a request and waits for its answer; user events go to the owner."""

    def __init__(self, owner: ApiConnection) -> None:
        self._owner = owner
        self.stands = asyncio.Event()
        self.ready = self.stands  # the answer to the subscription is the venue's word
        self.must_go = asyncio.Event()
        self._opened = asyncio.Event()
        self._held: deque[tuple[int, msgspec.Raw | None]] = deque()
        self._heard: Heard[msgspec.Raw] = Heard(event_key)
        self._is_watched = False
        self._socket: VenueSocket | None = None
        self._waiting: dict[str, asyncio.Future[ApiFrame]] = {}
        self._expected: dict[str, int] = {}
        self._reported: deque[str] = deque(maxlen=REPORTS_REMEMBERED)
        self._heard_ns = 0

    @property
    def silent_s(self) -> float:
        """Seconds since anything was heard."""
        return (self._owner.clock.monotonic_ns() - self._heard_ns) / NS_PER_S

    async def run(self) -> str:
        """Connect, subscribe and read until the connection breaks; returns why."""
        detail = "closed"
        try:
            async with VenueSocket(self._owner.url, self._alive, self._owner.turned_away) as socket:
                self._socket = socket
                self._alive()
                await self._serve(socket)
        except* (OSError, TimeoutError, Retryable) as group:
            detail = "; ".join(f"{type(error).__name__}: {error}" for error in leaves(group))
        finally:
            self._socket = None
            self._fail_waiting(detail)
        return detail

    async def exchange(
        self, request_id: str, method: str, params: Mapping[str, str | int], *, order: bool
    ) -> ApiFrame:
        """The frame that answers a request; without one in time, UnknownOutcome for orders, else Retryable."""
        if self._socket is None:
            raise Retryable(f"{method}: the WebSocket API is not connected")
        future: asyncio.Future[ApiFrame] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        unclear = UnknownOutcome if order else Retryable
        try:
            frame = msgspec.json.encode({"id": request_id, "method": method, "params": params})
            await depart(frame, self._write)
            async with asyncio.timeout(self._owner.timeout_s):
                return await future
        except (SocketClosed, TimeoutError) as error:
            raise unclear(f"{method}: no answer ({type(error).__name__})") from error
        finally:
            self._waiting.pop(request_id, None)

    async def _write(self, frames: Sequence[bytes]) -> None:
        if self._socket is None:
            raise SocketClosed("not connected any more")
        await self._socket.send(frames)

    def expect(self, params: Mapping[str, str]) -> None:
        """The venue has accepted this order, so a report of it must come."""
        name = params.get("newClientOrderId") or params.get("workingClientOrderId") or ""
        if name and name not in self._reported:
            self._expected[name] = self._owner.clock.monotonic_ns() + int(REPORT_S * NS_PER_S)

    def open_up(self) -> None:
        self._opened.set()

    def watched_by(self, successor: ApiLeg) -> None:  # noqa: ARG002 - whoever it is hears the same
        self._is_watched = True
        self._heard.clear()

    async def take_over(self, other: ApiLeg) -> None:
        """What came on both is told once."""
        for number, event in other._heard.news(self._held):
            if event is not None:
                await self._owner.on_event(number, event)
        self._opened.set()

    async def finish(self) -> None:
        if self._waiting:
            await asyncio.wait(set(self._waiting.values()), timeout=LAST_ANSWERS_S)
        if self._socket is not None:
            await self._socket.close()

    async def _serve(self, socket: VenueSocket) -> None:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read(socket))
            await self._owner.subscribe(self)
            self.stands.set()
            if self._owner.probe_s:
                group.create_task(self._probe())
            await reader

    async def _read(self, socket: VenueSocket) -> None:
        while True:
            text = await socket.receive()
            self._alive()
            try:
                frame = api_frame(text)
            except Retryable as error:
                if self._owner.oddities is None:
                    raise
                self._owner.oddities.take("account", text, error)
                if self._owner.on_garbled is not None:
                    self._owner.on_garbled()
                continue
            if frame.id is not None:
                self._answered(frame)
            elif frame.event != EMPTY:
                await self._event(frame.simSeq, frame.event)
                if USER_STREAM_ENDED in bytes(frame.event):
                    raise Retryable("the venue ended the user data stream")
            elif frame.error is not None:
                self._owner.refused(frame)

    def _answered(self, frame: ApiFrame) -> None:
        """To whoever waits for it; a refusal that nobody waits for, such as of a sign of life, may still be a ban."""
        future = self._waiting.get(str(frame.id))
        if future is not None and not future.done():
            future.set_result(frame)
            return
        if frame.simSeq:
            self._owner.on_number(frame.simSeq)
        if frame.error is not None:
            self._owner.punished(frame.status, frame.error)

    async def _event(self, number: int, event: msgspec.Raw) -> None:
        if self._owner.rotates:
            self._look(event)
        if not self._opened.is_set():
            self._held.append((number, event.copy()))
            return
        if self._is_watched:
            self._heard.add(event)
        await self._owner.on_event(number, event)

    def _look(self, event: msgspec.Raw) -> None:
        """Which orders have been reported, and whether the venue is about to hang up."""
        try:
            seen = _key.decode(event)
        except ValueError:
            return  # whoever reads the whole event counts it
        if seen.e == "executionReport":
            if self._expected.pop(seen.c, None) is None and seen.x == "NEW":
                self._reported.append(seen.c)  # it may have overtaken the answer to its order
        elif seen.e == "serverShutdown":
            self.must_go.set()

    async def _probe(self) -> None:
        """Raise when the connection no longer answers; tell of orders whose reports do not come."""
        owner, asked_ns, number = self._owner, 0, 0
        while self._socket is not None:
            now_ns = owner.clock.monotonic_ns()
            if self.silent_s > SILENT_PROBES * owner.probe_s + owner.probe_s:
                raise Retryable(f"the account's connection has been silent for {self.silent_s:.1f} s")
            if self.silent_s >= owner.probe_s and now_ns - asked_ns >= owner.probe_s * NS_PER_S:
                asked_ns, number = now_ns, number + 1
                await self._ask_for_life(self._socket, number)
            for name, until_ns in list(self._expected.items()):
                if until_ns < now_ns:
                    del self._expected[name]
                    self.must_go.set()
                    if owner.on_missing is not None:
                        owner.on_missing(name)
            await asyncio.sleep(owner.probe_s / 4)

    async def _ask_for_life(self, socket: VenueSocket, number: int) -> None:
        """By a request, which proves the venue behind the socket; by a mere frame where requests prolong a ban."""
        if self._owner.is_banned:
            await socket.ping()
        else:
            await socket.send((b'{"id":"probe-%d","method":"ping"}' % number,))

    def _alive(self) -> None:
        self._heard_ns = self._owner.clock.monotonic_ns()

    def _fail_waiting(self, detail: str) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(UnknownOutcome(f"the connection broke before the answer ({detail})"))
        self._waiting.clear()


def event_key(event: msgspec.Raw) -> Hashable:
    """What tells one user event from another, whichever connection brought it."""
    try:
        seen = _key.decode(event)
    except ValueError:
        return bytes(event)
    return ("report", seen.s, seen.I) if seen.e == "executionReport" and seen.I else bytes(event)
