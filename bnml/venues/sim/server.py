"""The loopback server: one port for REST, market streams, the WebSocket API and the controls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from bnml.core.clock import NS_PER_S
from bnml.core.errors import Fatal, Retryable
from bnml.venues.sim import rest, streams
from bnml.venues.sim.connection import Connection, reset_transport
from bnml.venues.sim.hub import MAX_STREAMS
from bnml.venues.sim.keepalive import Keepalive
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import refusal
from bnml.venues.sim.page import page
from bnml.venues.sim.seams import Unanswered
from bnml.venues.sim.venue import announce_shutdown
from bnml.venues.sim.weights import LOOPBACK, TooMany
from bnml.venues.sim.wsapi import ApiSession

if TYPE_CHECKING:
    from bnml.venues.sim.control import Control
    from bnml.venues.sim.seams import SocketKind
    from bnml.venues.sim.stepper import Stepper
    from bnml.venues.sim.venue import Venue

HOST: Final = "127.0.0.1"
API_PATH: Final = "/ws-api/v3"
CONNECT_WEIGHT: Final = 2
TOO_MANY_CONNECTIONS: Final = -1034
MAX_LINE_BYTES: Final = 64 * 1024  # a URL may name 1,024 streams
MAX_REQUEST_BYTES: Final = 1024 * 1024
SHUTDOWN_S: Final = 2.0
LAST_WORDS_S: Final = 0.02  # for the answer of whoever has all connections broken off


class Session(Protocol):
    """What a socket is for."""

    def allows_frame(self, now_s: float) -> bool:
        """Count one frame of the client; False when it sends too many."""
        ...

    def receive(self, text: str | bytes) -> None:
        """Act on one message."""
        ...

    def close(self) -> None:
        """The socket is gone."""
        ...


SessionOpener = Callable[[Connection], Session]


class Server:
    """Listens on the loopback address only; `port` 0 takes any free one."""

    def __init__(self, venue: Venue, control: Control) -> None:
        self._venue = venue
        self._control = control
        self._runner = web.ServerRunner(
            web.Server(self._guarded, access_log=None, max_line_size=MAX_LINE_BYTES),
            shutdown_timeout=SHUTDOWN_S,
        )
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when a request found the exchange's own state broken: its owner must stop serving."""
        self._site: web.TCPSite | None = None
        self._port = 0
        self._shut: asyncio.Task[None] | None = None
        venue.door = self
        if venue.ledger is not None:
            venue.flush = venue.ledger.flush
            venue.ledger.group(self._flush_soon)

    async def start(self, port: int) -> int:
        """Open the port and return its number; a port in use is a sentence and exit code 4."""
        await self._runner.setup()
        try:
            await self._open(port)
        except OSError as error:
            await self._runner.cleanup()
            raise Retryable(
                f"port {port} of {HOST} cannot be opened ({error.strerror or error}); "
                "stop the program that has it, or choose another with --port (0 = any free one)"
            ) from error
        self._port = int(self._runner.addresses[0][1])
        return self._port

    def refuse_for(self, seconds: float, *, cut: bool) -> None:
        """Close the port to new connections for so long; those that stand stay, or are broken off (`cut`)."""
        if self._shut is not None:
            self._shut.cancel()
        self._shut = asyncio.create_task(self._shut_for(seconds, cut=cut))

    def fail(self, error: Fatal) -> None:
        """The exchange's own state is broken: the owner of this server must stop it."""
        if not self.failed.done():
            self.failed.set_exception(error)

    async def stop(self) -> None:
        """Tell every client that we go, and close the port."""
        if self._shut is not None:
            self._shut.cancel()
        announce_shutdown(self._venue)
        for connection in list(self._venue.sockets):
            connection.finish()
        await self._runner.cleanup()

    async def _open(self, port: int) -> None:
        self._site = web.TCPSite(self._runner, HOST, port)
        await self._site.start()

    async def _shut_for(self, seconds: float, *, cut: bool) -> None:
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()
        served = self._runner.server
        if cut and served is not None:
            await asyncio.sleep(LAST_WORDS_S)
            for connection in list(self._venue.sockets):
                connection.reset()
            for handler in served.connections:
                reset_transport(handler.transport)
        await asyncio.sleep(seconds)
        try:
            await self._open(self._port)
        except OSError as error:
            self.fail(Fatal(f"port {self._port} was taken while it was closed by a fault: {error}"))

    def _flush_soon(self) -> None:
        """Save what a request or step did when those that came in with it are done too."""
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        try:
            self._venue.flush()
        except Fatal as error:
            self.fail(error)

    def _written(self, connection: Connection, writer: asyncio.Task[None]) -> None:
        """The end of a writer; what could not be saved is told to nobody, so the client hears no more."""
        error = None if writer.cancelled() else writer.exception()
        if isinstance(error, Fatal):
            self.fail(error)
            connection.reset()

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handle(request)
        except Unanswered:
            reset_transport(request.transport)
            return web.Response()
        except Fatal as error:
            self.fail(error)
            raise

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith(("/api/", "/sapi/")):
            return await rest.handle(self._venue, request)
        if path.startswith("/sim/"):
            return await self._control.handle(request)
        if path == API_PATH:
            return await self._serve_api(request)
        if path == "/":
            return web.Response(
                text=page(self._venue, request.host, self._control.routes), content_type="text/html"
            )
        names = _stream_names(path, request.query.get("streams", ""))
        if names is not None:
            return await self._serve_streams(request, names, combined=_is_combined(path))
        return web.Response(status=404, text=f"{path} does not exist")

    async def _serve_streams(
        self, request: web.BaseRequest, names: list[str], *, combined: bool
    ) -> web.StreamResponse:
        if self._venue.is_stale:
            return web.Response(status=503, text="the source of this market is not connected; try again")
        if len(names) > MAX_STREAMS:
            return web.Response(status=400, text=f"too many streams, at most {MAX_STREAMS}")
        hub = self._venue.hub

        def open_session(connection: Connection) -> Session:
            return streams.StreamSession(hub, connection, names, combined=combined)

        return await self._serve(request, open_session, "stream")

    async def _serve_api(self, request: web.BaseRequest) -> web.StreamResponse:
        shows_limits = request.query.get("returnRateLimits", "true") != "false"
        address = request.remote or LOOPBACK
        try:
            self._venue.begin_request()
            self._venue.limits.charge(CONNECT_WEIGHT, self._venue.window_ns, address)
        except TooMany as error:
            return rest.failure(self._venue, refusal(self._venue, error), address)

        def open_session(connection: Connection) -> Session:
            return ApiSession(self._venue, connection, shows_limits=shows_limits, address=address)

        return await self._serve(request, open_session, "api")

    async def _serve(
        self, request: web.BaseRequest, open_session: SessionOpener, kind: SocketKind
    ) -> web.StreamResponse:
        """Own one socket from upgrade to close: a writer, a task that pings, and this task reading."""
        venue = self._venue
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_REQUEST_BYTES)
        try:
            stepper = venue.steppers.find(request.query.get("stepper"))
            unit_ns = rest.time_unit(request.query.get("timeUnit"))
            if not socket.can_prepare(request):
                return web.Response(status=426, text="this path speaks WebSocket only")
            self._admit(request)
        except VenueReject as error:
            return self._refused(error, request)
        faults = venue.faults
        if faults is not None and (refused := await faults.connect(request, kind)) is not None:
            return refused
        await socket.prepare(request)
        connection = Connection(socket, stepper, kind, request.transport)
        connection.unit_ns = unit_ns
        connection.flush = venue.flush
        venue.sockets.add(connection)
        self._count(stepper, opened=True)
        if faults is not None:
            faults.opened(connection)
        session = open_session(connection)
        life = Keepalive(socket, connection, venue.socket_time_scale)
        writer = asyncio.create_task(connection.write())
        writer.add_done_callback(partial(self._written, connection))
        tasks = {writer, asyncio.create_task(life.run())}
        try:
            await self._read(socket, connection, session, life, request.remote or LOOPBACK)
        finally:
            session.close()
            venue.sockets.discard(connection)
            self._count(stepper, opened=False)
            await _end(tasks)
            await socket.close(code=WSCloseCode.OK)
        return socket

    def _admit(self, request: web.BaseRequest) -> None:
        """Refuse a banned address, and one that opens too many sockets."""
        venue, address = self._venue, request.remote or LOOPBACK
        venue.limits.check_ban(venue.window_ns, address)
        venue.limits.connect(venue.socket_ns, address)

    def _refused(self, error: VenueReject, request: web.BaseRequest) -> web.Response:
        address = request.remote or LOOPBACK
        refused = refusal(self._venue, error)
        if error.reject_code != TOO_MANY_CONNECTIONS or not isinstance(error, TooMany):
            return rest.failure(self._venue, refused, address)
        wait_s = max(1, ceil(error.retry_after_ns / NS_PER_S / self._venue.socket_time_scale))
        return rest.failure(self._venue, refused, address, wait_s)

    async def _read(
        self,
        socket: web.WebSocketResponse,
        connection: Connection,
        session: Session,
        life: Keepalive,
        address: str,
    ) -> None:
        """Take the client's frames until it goes, or sends more than it may."""
        loop = asyncio.get_running_loop()
        async for message in socket:
            if not session.allows_frame(loop.time()):
                if not connection.is_over:
                    self._venue.limits.address(address).bans.strike(self._venue.window_ns)
                connection.finish(WSCloseCode.POLICY_VIOLATION, b"Too many requests")
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                life.pong(message.data)
            elif message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                session.receive(message.data)
            else:
                break

    def _count(self, stepper: Stepper | None, *, opened: bool) -> None:
        if stepper is None:
            return
        if opened:
            self._venue.steppers.socket_opened(stepper)
        else:
            self._venue.steppers.socket_closed(stepper)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Stop the tasks of a socket that is over; that its peer is gone already is no failure."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConnectionError):
            raise error


def _is_combined(path: str) -> bool:
    return path.rstrip("/") == "/stream"


def _stream_names(path: str, query: str) -> list[str] | None:
    """Names that a market data path subscribes to; None when it is no such path."""
    if _is_combined(path):
        return streams.path_streams("", query)
    for root in ("/stream/ws", "/ws"):
        if path == root or path.startswith(root + "/"):
            return streams.path_streams(path.removeprefix(root), "")
    return None
