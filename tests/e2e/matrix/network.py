"""What lies between process and exchange: latency and faults on requests, answers and user events."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import unquote

import msgspec

from bnml.core.errors import Retryable, UnknownOutcome
from bnml.venues.binance.convoy import depart
from bnml.venues.binance.errors import ErrorBody, error_of
from bnml.venues.binance.reports import user_item
from bnml.venues.binance.rest import Answer
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Caller, Security, perform, refusal
from bnml.venues.sim.params import Params
from bnml.venues.sim.rest import ROUTES
from bnml.venues.sim.wsapi import METHODS
from tests.e2e.matrix.causes import BROKEN, BY_REST
from tests.e2e.matrix.market import API_KEY

TIMEOUT_S = 4.0
WINDOW_MS = 2_000
_ALL = ("lost", "late", "unanswered", "error_after", "error_before", "cut")
_OF_THE_WAY = ("lost", "late", "cut")
_OF_ONE = ("unanswered", "error_after", "error_before")
_UNANSWERED = {"late", "unanswered", "cut", "torn"}
TORN = 0.1  # of the broken writes of several requests
_UNTOLD = {
    *("symbol", "timestamp", "recvWindow", "newOrderRespType", "cancelRestrictions", "timeInForce"),
    *("signature", "apiKey"),
}
BROKEN_503 = (503, ErrorBody(0, "<html>"))
BODIES = (
    BROKEN_503,
    (504, ErrorBody(-1007, "Timeout waiting for response from backend server.")),
    (500, ErrorBody(-1006, "An unexpected response was received from the message bus.")),
)


@dataclass
class Faults:
    """Chances of each fault; all are 0 once the trial settles."""

    lost: float = 0.02  # a request that never arrives
    late: float = (
        0.02  # one that arrives when nobody waits for it any more, or not at all: it is too old then
    )
    unanswered: float = 0.03
    error_after: float = 0.02  # executed, and answered with a 5xx
    error_before: float = 0.02
    cut: float = 0.01  # the connection breaks with the request on its way
    half: float = 0.05  # of a cancelReplace: one half is refused
    event_lost: float = 0.02
    event_late: float = 0.08
    event_twice: float = 0.05

    def calm(self):
        for name in self.__dataclass_fields__:
            setattr(self, name, 0.0)


class Network:
    """Carries requests; what is under way when the process dies arrives all the same."""

    def __init__(self, world, random, faults):
        self.world = world
        self.random = random
        self.faults = faults
        self.loop = world.loop

    def latency_s(self):
        return 0.001 + float(self.random.exponential(0.02))

    def carry(self, operation, params, is_order):
        """A future for (status, body or error), which may never be done."""
        return self.carry_together([(operation, params)], is_order=is_order)[0]

    def carry_together(self, requests, *, is_order):
        """The same for several in one write: they share their way, and each has an answer of its own.

        The connection may break inside of the write: then only the first ones arrive.
        """
        way = self._fault(_ALL if len(requests) == 1 else _OF_THE_WAY) if is_order else None
        up_s, shared = self.latency_s(), way in _OF_THE_WAY
        if way == "late":
            up_s = float(self.random.uniform(0.5, 1.5 * WINDOW_MS / 1000))
        arriving = 0 if way == "lost" else len(requests)
        if len(requests) > 1 and way in {"lost", "cut"} and self.random.random() < TORN:
            arriving, way = int(self.random.integers(1, len(requests))), "torn"
        answers, carried = [], []
        for place, (operation, params) in enumerate(requests):
            fault = way if shared or len(requests) == 1 or not is_order else self._fault(_OF_ONE)
            if is_order:
                told = "" if fault is None else f" fault {fault}"
                self.world.cover.note(params.get("symbol", ""), f"sent {words(params)}{told}")
            answer = self.loop.create_future()
            answers.append(answer)
            if place < arriving:
                carried.append((operation, params, answer, fault, self.latency_s(), is_order))
        cut_after_s = up_s + self.latency_s()

        def arrive():
            for one in carried:
                self._arrive(*one)

        if way in {"cut", "torn"}:
            for answer in answers:
                self.loop.call_later(cut_after_s, _deliver, answer, "cut")
        self.loop.call_later(up_s, arrive)
        return answers

    def _fault(self, kinds):
        draw = self.random.random()
        for kind in _ALL:
            draw -= getattr(self.faults, kind)
            if draw < 0:
                return kind if kind in kinds else None
        return None

    def _arrive(self, operation, params, answer, fault, down_s, is_order):
        error = None
        if fault in {"error_after", "error_before"}:
            error = BODIES[self.random.integers(0, len(BODIES))]
        result = error if fault == "error_before" else self._execute(operation, params)
        if is_order:
            told = (result[1].code, result[1].msg) if isinstance(result, tuple) else "ok"
            self.world.cover.note(params.get("symbol", ""), f"executed {words(params)}: {told}")
        if fault not in _UNANSWERED:
            self.loop.call_later(down_s, _deliver, answer, error or result)

    def _execute(self, operation, params):
        venue = self.world.venue
        if self.random.random() < self.faults.half and "cancelReplaceMode" in params:
            self.world.exchange.refused_half = ("cancel", "new")[self.random.integers(0, 2)]
        try:
            caller = Caller(session_key=API_KEY)
            with self.world.reading(operation):
                result = perform(venue, operation, Params(dict(params)), caller)
        except VenueReject as reject:
            refused = refusal(venue, reject)
            data = msgspec.Raw(b"{}" if refused.data is None else msgspec.json.encode(refused.data))
            found = (refused.status, ErrorBody(refused.code, refused.text, data))
        else:
            found = msgspec.json.encode(result)
        self.world.exchange.refused_half = ""
        self.world.cover.look()
        return found


def _join(answer, future):
    answer.add_done_callback(lambda done: _deliver(future, done.result()))


def words(params):
    """A request of an order in short, for the notes."""
    return " ".join(
        f"{key}={value}" for key, value in params.items() if key not in _UNTOLD and not key.endswith("Type")
    )


def _deliver(answer, result):
    if not answer.done():
        answer.set_result(result)


class Socket:
    """The account's connection of one process: requests by method, user events with their own faults."""

    unit_ns = 1_000_000
    silent_s = 0.0  # it is down, or it lives
    on_missing = on_garbled = None  # set by who watches; no report is missed here by its own count

    def __init__(self, network, life, inbox, links, instruments):
        self.network = network
        self.life = life
        self.inbox = inbox
        self.links = links
        self.instruments = instruments
        self.up = False
        self._waiting = set()

    # -- as `ApiConnection` ----------------------------------------------------------------------------
    async def request(self, method, params, *, order=False, window_ms=0, **_):
        if not self.up:
            raise Retryable(f"{method}: the WebSocket API is not connected")
        found = await self.ask(METHODS[method], method, params, order=order, window_ms=window_ms)
        return Answer(found)

    async def ask(self, operation, what, params, *, order, window_ms=0):
        """One request, over whichever transport."""
        kind = "order" if order else "read"
        self.life.point(f"before_send_{kind}")
        stamped = dict(params)
        if operation.security is not Security.OPEN:
            stamped["timestamp"] = str(self.network.world.venue.wall_ms())
            stamped["recvWindow"] = str(window_ms or WINDOW_MS)
        future = self.network.loop.create_future()
        if order:
            await depart((operation, stamped, future), self._write)
        else:
            _join(self.network.carry(operation, stamped, False), future)
        self.life.point(f"after_send_{kind}")
        if order and ("ancel" in what):
            self.life.point("during_cancel")
        self._waiting.add(future)
        unclear = UnknownOutcome if order else Retryable
        try:
            found = await asyncio.wait_for(future, TIMEOUT_S)
        except TimeoutError as error:
            raise unclear(f"{what}: no answer") from error
        finally:
            self._waiting.discard(future)
        self.life.point(f"acked_{kind}")
        if found == "cut":
            if self.up:
                self.drop()
                self.life.spawn(self._break())
            raise unclear(f"{what}: the connection broke")
        if isinstance(found, tuple):
            raise error_of(*found, what)
        return found

    async def _write(self, frames):
        """What leaves in one piece; a process that dies has sent all or nothing."""
        if len(frames) > 1:
            self.life.point("before_send_chain")
        sent = self.network.carry_together([frame[:2] for frame in frames], is_order=True)
        for answer, frame in zip(sent, frames, strict=True):
            _join(answer, frame[2])
        if len(frames) > 1:
            self.life.point("after_send_chain")

    async def connect(self):
        """Stand, with the subscription."""
        self.network.world.venue.users.subscribe(ACCOUNT, self)
        self.up = True
        await self.links.account(True, "")

    def drop(self):
        self.network.world.venue.users.drop(self)
        self.up = False

    async def _break(self):
        self.network.world.cover.note("", BROKEN)
        for future in list(self._waiting):
            _deliver(future, "cut")
        await self.links.account(False, "reset")
        await asyncio.sleep(float(self.network.random.uniform(0.25, 2.0)))
        await self.connect()

    # -- as the exchange's `Connection` ----------------------------------------------------------------
    def send(self, frame):
        """A user event leaves the exchange."""
        network, faults = self.network, self.network.faults
        if network.random.random() < faults.event_lost:
            network.world.cover.note("", f"struck: drop {_kind(frame)}")
            return
        copies = 2 if network.random.random() < faults.event_twice else 1
        for _ in range(copies):
            delay_s = network.latency_s()
            if network.random.random() < faults.event_late:
                network.world.cover.note("", f"struck: delay {_kind(frame)}")
                delay_s += float(network.random.uniform(0.05, 3.0))
            network.loop.call_later(delay_s, self._hear, frame)

    def _hear(self, frame):
        if self.life.is_dead or not self.up:
            return
        event = msgspec.json.decode(frame, type=_Wrapped).event
        item = user_item(event, self.instruments)
        if item is not None:
            self.inbox.complete(0, (item,))


def _kind(frame):
    return "of executionReport" if b"executionReport" in frame else "of another event"


class _Wrapped(msgspec.Struct):
    event: msgspec.Raw


class Rest:
    """As `RestClient`, on the same connection to the world."""

    def __init__(self, socket):
        self.socket = socket
        self.signer = SimpleNamespace(lost=False)  # a key that the venue accepts
        self.clock = SimpleNamespace(round_trip_ns=0)  # the world has one
        self.budget = SimpleNamespace(delay_s=lambda *_, **__: 0.0, adopt=lambda _: None)  # of everything

    def timestamp_ms(self):
        return self.socket.network.world.venue.wall_ms()

    async def public(self, path, params, lane=None):
        decoded = {name: unquote(text) for name, text in params.items()}
        return await self.socket.ask(ROUTES[("GET", path)], path, decoded, order=False)

    async def read(self, path, params, lane=None):
        return await self.socket.ask(ROUTES[("GET", path)], path, params, order=False)

    async def signed(self, method, path, params, lane=None, *, order=False, window_ms=0):
        route, what = ROUTES[(method, path)], f"{method} {path}"
        if order and not path.endswith("cancelReplace"):  # that is one request
            self.socket.network.world.cover.note(params.get("symbol", ""), f"{method}{BY_REST}")
        return Answer(await self.socket.ask(route, what, params, order=order, window_ms=window_ms))

    async def synchronise_clock(self):
        """The world has one clock."""
