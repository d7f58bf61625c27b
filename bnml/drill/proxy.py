"""A proxy on this machine between a daemon and a venue, on which faults are made: the venue itself is left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
import msgspec
import yarl
from aiohttp import web

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.core.errors import Misconfigured
from bnml.drill.answers import BANNED_STATUS, TIMEOUT, TIMEOUT_STATUS, banned
from bnml.drill.link import Link
from bnml.drill.rules import Rule, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bnml.core.clock import Clock

API_PATH: Final = "/ws-api/v3"
TIME_PATH: Final = "/api/v3/time"
CONTROLS: Final = "/sim/"
"""Of the exchange that keeps paper money; no part of the protocol, and never struck."""
CLOCK_SKEW: Final = -1021
KEPT_AWAY: Final = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "content-encoding",
        "accept-encoding",
        "upgrade",
    }
)
"""Headers that belong to one connection and not to a request."""
HELD_S: Final = 15.0  # an answer that never comes: its connection ends after this, so that none piles up
REQUEST_S: Final = 60.0


class Addresses(msgspec.Struct, frozen=True):
    """Where a venue is; `api_url` is empty where only public data are read."""

    rest_url: str
    stream_url: str
    api_url: str = ""


class Proxy:
    """Plain HTTP and WebSocket on loopback; outward whatever the addresses say, TLS included."""

    def __init__(self, to: Addresses, clock: Clock) -> None:
        self.rules = Rules(clock.now_ns)
        self.port = 0
        self._to = to
        self._clock = clock
        self._links: set[Link] = set()
        self._deeds: list[asyncio.Task[None]] = []
        self._banned_until_ns = 0
        self._skew_ms = 0
        self._liar: Rule | None = None  # the rule that a wrong clock is told for
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S))
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.calm()
        self._cut_all()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def load(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Put a script of faults in; what strikes by time begins now."""
        self.calm()
        self.rules.load(rules)
        self._deeds = [asyncio.create_task(self._do(one)) for one in self.rules.all if one.is_timed]

    def calm(self) -> None:
        """No faults any more."""
        for deed in self._deeds:
            deed.cancel()
        self._deeds = []
        self.rules.load(())
        self._banned_until_ns = self._skew_ms = 0
        self._liar = None
        for link in self._links:
            link.is_silent = False

    @property
    def banned_s(self) -> float:
        """Seconds until requests pass again."""
        return max(0.0, (self._banned_until_ns - self._clock.now_ns()) / NS_PER_S)

    @property
    def banned_until_ms(self) -> int:
        return self._banned_until_ns // NS_PER_MS

    def look_at(self, body: Any) -> None:
        """The venue's own word that a clock is off ends the lie that made it so."""
        if isinstance(body, dict) and body.get("code") == CLOCK_SKEW and self._liar is not None:
            self._liar.matched += 1
            self._skew_ms = 0

    # ---- faults by time

    async def _do(self, rule: Rule) -> None:
        for number in range(rule.times or 1):
            if number or rule.every_s:
                await asyncio.sleep(rule.every_s)
            rule.fired += 1
            self.rules.note(rule, "time")
            await self._deed(rule)

    async def _deed(self, rule: Rule) -> None:
        action = rule.action
        name = action["action"]
        if name == "reset":
            self._cut_all()
        elif name == "ban":
            self._banned_until_ns = self._clock.now_ns() + int(float(action["seconds"]) * NS_PER_S)
        elif name == "clock_skew":
            self._skew_ms, self._liar = -int(action["ms"]), rule
        elif name == "silent":
            dead = [link for link in self._links if link.is_api]
            for link in dead:
                link.is_silent = True
            await asyncio.sleep(float(action["lasts_s"]))
            for link in dead:
                link.is_silent = False
        elif name == "server_shutdown":
            await self._shut_down(float(action["notice_s"]))
        else:
            raise Misconfigured(f"the proxy has no fault {name} that strikes by time")

    async def _shut_down(self, notice_s: float) -> None:
        event = {"e": "serverShutdown", "E": self._clock.now_ns() // NS_PER_MS}
        told = list(self._links)
        for link in told:
            await link.tell({"event": event} if link.is_api else {"stream": "!serverShutdown", "data": event})
        await asyncio.sleep(notice_s)
        for link in told:
            link.cut()

    def _cut_all(self) -> None:
        for link in list(self._links):
            link.cut()

    # ---- what passes

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        return await self._rest(request)

    async def _socket(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.banned_s:
            return self._ban()
        is_api = request.path == API_PATH
        base = self._to.api_url if is_api else f"{self._to.stream_url}{request.path}"
        url = yarl.URL(f"{base}?{request.query_string}" if request.query_string else base, encoded=True)
        try:
            theirs = await self._client.ws_connect(url, autoping=False, max_msg_size=0)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return web.Response(status=502, text=f"{type(error).__name__}: {error}")
        ours = web.WebSocketResponse(autoping=False, max_msg_size=0, compress=False)
        await ours.prepare(request)
        link = Link(self, request, ours, theirs, is_api=is_api)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)
        return ours

    async def _rest(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(CONTROLS):
            status, headers, body = await self._forward(request)
            return web.Response(status=status, headers=headers, body=body)
        struck = self.rules.struck("request", f"{request.method} {request.path}")
        if self.banned_s:
            return self._ban()
        if any(one.action["action"] == "reset" and not one.is_after for one in struck):
            return _broken_off(request)
        status, headers, body = await self._forward(request)
        for rule in struck:
            if rule.is_after and rule.action["action"] == "no_answer":
                await asyncio.sleep(HELD_S)
                return _broken_off(request)
            if rule.is_after and rule.action["action"] == "answer":
                return web.json_response(TIMEOUT, status=TIMEOUT_STATUS)
        if request.path == TIME_PATH and self._skew_ms:
            body = msgspec.json.encode(
                {"serverTime": msgspec.json.decode(body)["serverTime"] + self._skew_ms}
            )
        return web.Response(status=status, headers=headers, body=body)

    async def _forward(self, request: web.BaseRequest) -> tuple[int, dict[str, str], bytes]:
        """As it came, without what belongs to the connection."""
        url = yarl.URL(f"{self._to.rest_url}{request.raw_path}", encoded=True)
        try:
            async with self._client.request(
                request.method, url, headers=_passed(request.headers), data=await request.read() or None
            ) as response:
                body = await response.read()
                if response.status >= 400:
                    self.look_at(_decoded(body))
                return response.status, _passed(response.headers), body
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return 502, {}, f"{type(error).__name__}: {error}".encode()

    def _ban(self) -> web.Response:
        headers = {"Retry-After": str(int(self.banned_s) + 1)}
        return web.json_response(banned(self.banned_until_ms), status=BANNED_STATUS, headers=headers)

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise Misconfigured("the proxy is not open")
        return self._session


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: text
        for name, text in headers.items()
        if name.lower() not in KEPT_AWAY and not name.lower().startswith("sec-websocket")
    }


def _broken_off(request: web.BaseRequest) -> web.Response:
    """The connection ends without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
