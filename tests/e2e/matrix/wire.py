"""Sockets and requests without a network: the daemon's own clients on one end, the served exchange on the other."""

import asyncio
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf, nextafter
from types import SimpleNamespace
from unittest.mock import patch
from urllib.parse import parse_qsl

import aiohttp

from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Retryable
from bnml.venues.binance import api_leg
from bnml.venues.binance.socket import SocketClosed
from bnml.venues.sim import rest, wsapi
from bnml.venues.sim.faults.bodies import BrokenResponse, SlowResponse, body_of
from bnml.venues.sim.rest import handle
from bnml.venues.sim.seams import Unanswered
from bnml.venues.sim.wsapi import ApiSession
from tests.e2e.matrix.network import words
from tests.e2e.matrix.record import Asked, Record

ADDRESS = "127.0.0.1"
OPEN_S = 10.0
CLOSED, BROKEN = object(), object()
_WHERE = SimpleNamespace(host="exchange", port=443, is_ssl=True, ssl=True)


class Wires:
    """All that leads to one exchange; requests under way arrive, whatever becomes of who sent them."""

    def __init__(self, world, random):
        self.world = world
        self.random = random
        self.loop = world.loop
        self.tasks = set()
        self.life = None
        self.closed_until_s = 0.0
        self.record = Record(world.cover)
        world.venue.door = self
        world.venue.fault_log = self.record.fault

    def latency_s(self):
        return 0.001 + float(self.random.exponential(0.02))

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    @contextmanager
    def carry(self):
        """From here on the daemon's WebSocket connections end at this exchange."""
        with ExitStack() as stack:
            stack.enter_context(patch.object(api_leg, "VenueSocket", partial(Line, self)))
            for module in (rest, wsapi):
                stack.enter_context(patch.object(module, "perform", self.record.perform))
            yield

    def hang_up(self):
        """The process is gone: its sockets are."""
        for end in list(self.world.venue.sockets):
            end.reset()

    def refuse_if_closed(self):
        if self.loop.time() < self.closed_until_s:
            raise ConnectionRefusedError("the port is closed")

    # -- as the exchange's `Door` ----------------------------------------------------------------------
    def refuse_for(self, seconds, *, cut):
        self.closed_until_s = self.loop.time() + seconds
        if cut:
            self.hang_up()

    def fail(self, error):
        raise error


class Line:
    """The client's end of a WebSocket, as `VenueSocket`; frames arrive in the order of sending."""

    def __init__(self, wires, _url, on_pong, _on_refused):
        self.wires = wires
        self.on_pong = on_pong
        self.end = End(self)
        self._frames = deque()
        self._wake = asyncio.Event()
        self._due_s = [0.0, 0.0]
        self.asked = Asked(wires.record)

    async def __aenter__(self):
        wires, venue = self.wires, self.wires.world.venue
        await asyncio.sleep(wires.latency_s())
        wires.refuse_if_closed()
        if venue.faults is not None:
            asked = SimpleNamespace(transport=SimpleNamespace(is_closing=lambda: False))
            try:
                refused = await asyncio.wait_for(venue.faults.connect(asked, "api"), OPEN_S)
            except Unanswered as error:
                raise ConnectionResetError("the connection was reset") from error
            if refused is not None:
                raise Retryable(f"HTTP {refused.status}")
        self.end.open(venue)
        return self

    async def __aexit__(self, *_):
        self.end.close()

    async def send(self, frames):
        if self.end.is_over:
            raise SocketClosed("it is over")
        self._write(frames)

    def _write(self, frames):
        head = frames[0][:60]
        kind = "order" if b'"method":"order' in head and b"status" not in head else "read"
        self.wires.life.point(f"before_send_{kind}")
        for frame in frames:
            if kind == "order":
                self.asked.sent(frame)
            self.later(0, partial(self.end.receive, frame))
        self.wires.life.point(f"after_send_{kind}")

    async def ping(self):
        if self.end.is_over:
            raise SocketClosed("it is over")
        self.later(0, self.end.hear_ping)

    async def close(self):
        self.end.finish()

    async def receive(self):
        while not self._frames:
            self._wake.clear()
            await self._wake.wait()
        frame = self._frames.popleft()
        if frame is CLOSED or frame is BROKEN:
            self._frames.append(frame)
            raise SocketClosed("closed" if frame is CLOSED else "broken")
        return frame

    def later(self, way, act):
        loop = self.wires.loop
        # Of two that are due in the same moment, a loop may take the later one first.
        after_s = nextafter(self._due_s[way], inf)
        self._due_s[way] = max(after_s, loop.time() + self.wires.latency_s())
        loop.call_at(self._due_s[way], act)

    def arrived(self, frame):
        self.asked.answered(frame)
        self._frames.append(frame)
        self._wake.set()


class End:
    """The exchange's end, as its `Connection`."""

    kind = "api"
    stepper = transport = gate = flush = farewell = None
    unit_ns = NS_PER_MS
    session_key = ""
    sends_pings = True

    def __init__(self, line):
        self._line = line
        self._session = None
        self.is_over = False

    def open(self, venue):
        self._venue = venue
        self._session = ApiSession(venue, self, shows_limits=True, address=ADDRESS)
        venue.sockets.add(self)

    def send(self, frame):
        (self.gate or self.put)(frame)

    send_raw = send

    def put(self, frame, **_):
        if not self.is_over:
            self._line.later(1, partial(self._line.arrived, frame))

    def finish(self, *_):
        if not self.is_over:
            self.put(CLOSED)
            self.close()

    def reset(self):
        if not self.is_over:
            self.close()
            self._line.arrived(BROKEN)

    def close(self):
        self.is_over = True
        if self._session is not None:
            self._venue.sockets.discard(self)
            self._session.close()

    def hear_ping(self):
        if self.sends_pings and not self.is_over:  # not dead
            self._line.later(1, self._line.on_pong)

    def receive(self, text):
        if not self.is_over:
            self._session.receive(text)
            self._line.wires.world.cover.look()
        else:
            self._line.asked.lost(text)


@dataclass
class HttpRequest:
    """The part of an HTTP request that the exchange reads."""

    method: str
    raw_path: str
    headers: dict
    remote: str = ADDRESS
    can_read_body: bool = False
    is_given_up: bool = False
    transport: object = field(init=False)

    def __post_init__(self):
        self.path = self.raw_path.partition("?")[0]
        self.transport = SimpleNamespace(is_closing=lambda: self.is_given_up)

    def note(self, record, text):
        """Of an order, or a read of one."""
        params = dict(parse_qsl(self.raw_path.partition("?")[2]))
        if self.method != "GET" or "origClientOrderId" in params:
            record.note(params.get("symbol", ""), f"{text} {self.method}{self.path} {words(params)}")


class Http:
    """As `aiohttp.ClientSession`."""

    def __init__(self, wires):
        self.wires = wires

    def request(self, method, url, *, headers, timeout):
        return _Exchange(self.wires, HttpRequest(method, url.raw_path_qs, headers), timeout.total)

    async def close(self):
        """Nothing is open."""


class _Exchange:
    """One HTTP request and its answer."""

    def __init__(self, wires, asked, timeout_s):
        self._wires = wires
        self._asked = asked
        self._timeout_s = timeout_s

    async def __aenter__(self):
        asked, record = self._asked, self._wires.record
        try:
            self._wires.refuse_if_closed()
        except ConnectionRefusedError as error:
            asked.note(record, "not connected")
            raise aiohttp.ClientConnectorError(_WHERE, error) from error
        kind = "read" if asked.method == "GET" else "order"
        self._wires.life.point(f"before_send_{kind}")
        asked.note(record, "sent")
        task = self._wires.spawn(self._serve())
        self._wires.life.point(f"after_send_{kind}")
        try:
            found = await asyncio.wait_for(asyncio.shield(task), self._timeout_s)
        finally:
            asked.is_given_up = not task.done()
        if isinstance(found, BaseException):
            asked.note(record, "broken off")
            raise found
        asked.note(record, f"answered {found.status}")
        self._response = found
        self.status, self.headers = found.status, found.headers
        return self

    async def __aexit__(self, *_):
        return None

    async def read(self):
        if isinstance(self._response, BrokenResponse):
            raise aiohttp.ClientPayloadError("the body broke off")
        return body_of(self._response)

    async def _serve(self):
        wires = self._wires
        await asyncio.sleep(wires.latency_s())
        try:
            response = await handle(wires.world.venue, self._asked)
        except Unanswered:
            return aiohttp.ServerDisconnectedError()
        wires.world.cover.look()
        slow_s = response._seconds if isinstance(response, SlowResponse) else 0.0
        await asyncio.sleep(wires.latency_s() + slow_s)
        return response
