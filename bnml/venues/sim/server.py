"""The loopback server: one port for REST, market streams, the WebSocket API and the controls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode, WSMsgType, web

from bnml.core.errors import Fatal, Retryable
from bnml.venues.sim import rest, streams
from bnml.venues.sim.connection import Connection, reset_transport
from bnml.venues.sim.hub import Listener
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.seams import Unanswered
from bnml.venues.sim.weights import TooMany
from bnml.venues.sim.wsapi import ApiSession

if TYPE_CHECKING:
    from bnml.venues.sim.control import Control
    from bnml.venues.sim.seams import SocketKind
    from bnml.venues.sim.stepper import Stepper
    from bnml.venues.sim.venue import Venue

HOST: Final = "127.0.0.1"
API_PATH: Final = "/ws-api/v3"
CONNECT_WEIGHT: Final = 2
HEARTBEAT_S: Final = 40.0  # ping, then as long as half of it for the pong: Binance's 60 s
MAX_REQUEST_BYTES: Final = 1024 * 1024
SHUTDOWN_S: Final = 2.0

Session = tuple[Callable[[str | bytes], None], Callable[[], None]]
"""What to do with a message, and at the end."""
SessionOpener = Callable[[Connection], Session]


class Server:
    """Listens on the loopback address only; `port` 0 takes any free one."""

    def __init__(self, venue: Venue, control: Control) -> None:
        self._venue = venue
        self._control = control
        self._runner = web.ServerRunner(
            web.Server(self._guarded, access_log=None), shutdown_timeout=SHUTDOWN_S
        )
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when a request found the exchange's own state broken: its owner must stop serving."""

    async def start(self, port: int) -> int:
        """Open the port and return its number; a port in use is a sentence and exit code 4."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Retryable(
                f"port {port} of {HOST} cannot be opened ({error.strerror or error}); "
                "stop the program that has it, or choose another with --port (0 = any free one)"
            ) from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Tell every client that we go, and close the port."""
        for connection in list(self._venue.sockets):
            connection.finish()
        await self._runner.cleanup()

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handle(request)
        except Unanswered:
            reset_transport(request.transport)
            return web.Response()
        except Fatal as error:
            if not self.failed.done():
                self.failed.set_exception(error)
            raise

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith("/api/"):
            return await rest.handle(self._venue, request)
        if path.startswith("/sim/"):
            return await self._control.handle(request)
        if path == API_PATH:
            return await self._serve_api(request)
        names = _stream_names(path, request.query.get("streams", ""))
        if names is not None:
            return await self._serve_streams(request, names, combined=_is_combined(path))
        return web.Response(status=404, text=f"{path} does not exist")

    async def _serve_streams(
        self, request: web.BaseRequest, names: list[str], *, combined: bool
    ) -> web.StreamResponse:
        if self._venue.is_stale:
            return web.Response(status=503, text="the source of this market is not connected; try again")
        hub = self._venue.hub

        def open_session(connection: Connection) -> Session:
            listener = Listener(connection, combined=combined)
            budget = streams.MessageBudget()
            for name in names:
                hub.subscribe(listener, name)

            def receive(text: str | bytes) -> None:
                if budget.allows(asyncio.get_running_loop().time()):
                    connection.send(streams.answer(hub, listener, text))
                else:
                    connection.finish()

            return receive, lambda: hub.drop(listener)

        return await self._serve(request, open_session, "stream")

    async def _serve_api(self, request: web.BaseRequest) -> web.StreamResponse:
        shows_limits = request.query.get("returnRateLimits", "true") != "false"
        try:
            self._venue.begin_request()
            self._venue.limits.charge(CONNECT_WEIGHT, self._venue.window_ns)
        except TooMany as error:
            return web.Response(status=429, text=error.text)

        def open_session(connection: Connection) -> Session:
            session = ApiSession(self._venue, connection, shows_limits=shows_limits)
            return session.receive, session.close

        return await self._serve(request, open_session, "api")

    async def _serve(
        self, request: web.BaseRequest, open_session: SessionOpener, kind: SocketKind
    ) -> web.StreamResponse:
        """Own one socket from upgrade to close: a writer task, and this task reading."""
        try:
            stepper = self._venue.steppers.find(request.query.get("stepper"))
        except VenueReject as error:
            return web.Response(status=400, text=error.text)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MAX_REQUEST_BYTES)
        if not socket.can_prepare(request):
            return web.Response(status=426, text="this path speaks WebSocket only")
        faults = self._venue.faults
        if faults is not None and (refused := await faults.connect(request, kind)) is not None:
            return refused
        await socket.prepare(request)
        connection = Connection(socket, stepper, kind, request.transport)
        self._venue.sockets.add(connection)
        self._count(stepper, opened=True)
        if faults is not None:
            faults.opened(connection)
        receive, close = open_session(connection)
        writer = asyncio.create_task(connection.write())
        try:
            async for message in socket:
                if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    break
                receive(message.data)
        finally:
            close()
            self._venue.sockets.discard(connection)
            self._count(stepper, opened=False)
            await _end(writer)
            await socket.close(code=WSCloseCode.OK)
        return socket

    def _count(self, stepper: Stepper | None, *, opened: bool) -> None:
        if stepper is None:
            return
        if opened:
            self._venue.steppers.socket_opened(stepper)
        else:
            self._venue.steppers.socket_closed(stepper)


async def _end(writer: asyncio.Task[None]) -> None:
    """Stop the writer of a socket that is over; that its peer is gone already is no failure."""
    writer.cancel()
    await asyncio.wait({writer})
    error = None if writer.cancelled() else writer.exception()
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
