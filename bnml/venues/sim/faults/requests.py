"""Faults of requests: what happens to one on its way in, and to its answer on the way out, on either wire."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from bnml.core.errors import Fatal
from bnml.venues.sim.faults import actions as acts
from bnml.venues.sim.faults import bodies
from bnml.venues.sim.faults.answers import http_answer, socket_answer
from bnml.venues.sim.faults.describe import account_of, request_event, rest_values
from bnml.venues.sim.faults.rules import Event, Seam
from bnml.venues.sim.seams import Unanswered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp import web

    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.faults.injector import Faults
    from bnml.venues.sim.faults.rules import Fired
    from bnml.venues.sim.seams import RequestId, SocketKind

LOOK_EVERY_S: Final = 0.1
_INFO: Final = frozenset({"GET /api/v3/exchangeInfo", "exchangeInfo"})


def seconds_of(fired: Fired, action: acts.Delay) -> float:
    """How long a delay is, with the part that was drawn."""
    return action.seconds + action.jitter_s * fired.draw


class RestFaults:
    """Around REST requests, and around the opening of sockets."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._opening: dict[object, list[Fired]] = {}

    async def request(
        self, request: web.BaseRequest, execute: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        """One REST request with everything that befalls it."""
        faults = self._faults
        values = await rest_values(request)
        account = account_of(faults.venue.keys, request.headers.get("X-MBX-APIKEY"))
        names = (f"{request.method} {request.path}", request.path)
        fired = faults.decide(request_event(names, values, account))
        response = await self._response(request, execute, values, fired)
        if faults.world.mask and names[0] in _INFO:
            response.body = faults.world.mask.masked(bodies.body_of(response))
        for one in fired:
            match one.action:
                case acts.Truncate():
                    response = bodies.cut_short(response, one.action)
                case acts.SlowBody():
                    response = bodies.slowed(response, one.action)
                case acts.Duplicate():
                    response = bodies.repeated(response, one.action)
        return response

    async def connect(self, request: web.BaseRequest, kind: SocketKind) -> web.Response | None:
        """The answer to a socket that is not opened."""
        faults = self._faults
        fired = faults.decide(Event(seam=Seam.CONNECT, names=(kind,)))
        late = [one for one in fired if isinstance(one.action, acts.Silent | acts.NoPings | acts.Cut)]
        refused = await self._strike(request, [one for one in fired if one not in late])
        if refused is None and (ban := faults.world.banned()) is not None:
            refused = http_answer(ban, faults.venue.wall_ms())
        if refused is None and late:
            self._opening[request.transport] = late
        return refused

    def opened(self, connection: Connection) -> None:
        """What befalls a socket from its first moment on."""
        for one in self._opening.pop(connection.transport, ()):
            self._faults.strike(one, (connection,))

    async def _response(
        self,
        request: web.BaseRequest,
        execute: Callable[[], Awaitable[web.Response]],
        values: Mapping[str, str],
        fired: list[Fired],
    ) -> web.Response:
        world, wall_ms = self._faults.world, self._faults.venue.wall_ms()
        answer = await self._strike(request, [one for one in fired if one.at == "before"])
        if answer is not None:
            return answer
        refused = world.banned() or (world.mask.refuses(values, world.last_price) if world.mask else None)
        if refused is not None:
            return http_answer(refused, wall_ms)
        response = await execute()
        return await self._strike(request, [one for one in fired if one.at == "after"]) or response

    async def _strike(self, request: web.BaseRequest, fired: Iterable[Fired]) -> web.Response | None:
        """Do what is to be done now; the answer, if one of them is an answer."""
        for one in fired:
            match one.action:
                case acts.Delay():
                    await asyncio.sleep(seconds_of(one, one.action))
                case acts.NoAnswer():
                    await _until_gone(request, one.action.seconds)
                    raise Unanswered
                case acts.Reset(sockets="these"):
                    raise Unanswered
                case acts.Answer():
                    return http_answer(one.action, self._faults.venue.wall_ms())
                case acts.Truncate() | acts.SlowBody() | acts.Duplicate():
                    pass  # of the answer, when there is one
                case _:
                    self._faults.strike(one, ())
        return None


class ApiCall:
    """One request of the WebSocket API; what is late leaves the others of its connection alone."""

    def __init__(
        self,
        faults: Faults,
        connection: Connection,
        request_id: RequestId,
        execute: Callable[[], bytes],
    ) -> None:
        self._faults = faults
        self._connection = connection
        self._id = request_id
        self._execute = execute
        self._copies = 1
        self._broken: acts.Truncate | None = None
        self._is_info = False

    def begin(self, method: str, values: Mapping[str, str]) -> None:
        """Find what befalls the request, and let it."""
        faults, name = self._faults, method.removeprefix("v3/")
        account = account_of(faults.venue.keys, values.get("apiKey") or self._connection.session_key)
        fired = faults.decide(request_event((name,), values, account))
        self._is_info = name in _INFO
        before = [one for one in fired if one.at == "before"]
        after = [one for one in fired if one.at == "after"]
        self._strike(before, partial(self._carry_out, values, after))

    def _strike(self, fired: list[Fired], then: Callable[[], None]) -> None:
        """Do what is to be done, and go on unless the request ends here."""
        for index, one in enumerate(fired):
            match one.action:
                case acts.Delay():
                    rest = fired[index + 1 :]
                    self._later(seconds_of(one, one.action), partial(self._strike, rest, then))
                    return
                case acts.NoAnswer():
                    if one.action.seconds:
                        self._later(one.action.seconds, self._connection.reset)
                    return
                case acts.Reset(sockets="these"):
                    self._connection.reset()
                    return
                case acts.Answer():
                    self._answer(one.action)
                    return
                case acts.Duplicate():
                    self._copies += one.action.copies
                case acts.Truncate():
                    self._broken = one.action
                case _:
                    self._faults.strike(one, (self._connection,))
        then()

    def _carry_out(self, values: Mapping[str, str], after: list[Fired]) -> None:
        world = self._faults.world
        refused = world.banned() or (world.mask.refuses(values, world.last_price) if world.mask else None)
        if refused is not None:
            self._answer(refused)
            return
        frame = self._execute()
        self._strike(after, partial(self._send, frame))

    def _answer(self, answer: acts.Answer) -> None:
        frame, is_json = socket_answer(answer, self._id, self._faults.venue.wall_ms())
        self._send(frame, is_json=is_json)

    def _send(self, frame: bytes, *, is_json: bool = True) -> None:
        mask = self._faults.world.mask
        if mask and self._is_info and is_json:
            frame = mask.masked(frame)
        if self._broken is not None:
            frame, is_json = frame[: int(len(frame) * self._broken.keep)], False
        for _ in range(self._copies):
            if is_json:
                self._connection.send(frame)
            else:
                self._connection.send_raw(frame)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        """Act when the time has come; a stepped market waits for it."""
        stepper, venue = self._connection.stepper, self._faults.venue
        if stepper is not None:
            stepper.in_flight += 1

        def run() -> None:
            if stepper is not None:
                stepper.in_flight -= 1
            try:
                act()
            except Fatal as error:
                if venue.door is None:
                    raise
                venue.door.fail(error)

        asyncio.get_running_loop().call_later(seconds, run)


async def _until_gone(request: web.BaseRequest, seconds: float) -> None:
    """Wait until the client has given up, or the time is over."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + seconds if seconds else float("inf")
    # Polled, because aiohttp tells a handler nothing of its client.
    while loop.time() < until_s and request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(min(LOOK_EVERY_S, max(until_s - loop.time(), 0)))
