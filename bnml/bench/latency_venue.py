"""A venue of its own process that tells how long an order took to come: `python -m bnml.bench.latency_venue`.

It knows just enough of Binance for one client: a clock, one symbol, market streams, the WebSocket API. `POST /measure`
takes frames and sends each of them, in turn with a message that the client only has to echo.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from bnml.bench.latency_orders import filled_reports, replaced_reports
from bnml.core.clock import NS_PER_MS, LiveClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

HOST = "127.0.0.1"
SYMBOL = "R00USDT"
SIGNED_ORDER = ('"method":"order', '"signature":"')
QUIET_S = 0.003
"""Before a message, so that the client waits as one does whose bar has not closed yet."""
ANSWER_S = 30.0
NO_MONEY = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
PLENTY = 10_000_000  # of everything that a venue limits


class Asked(msgspec.Struct, frozen=True):
    """What to send: before each of `frames` some of `quiet`, which ask for nothing; `accepts`: orders are filled."""

    frames: list[str]
    quiet: list[list[str]]
    accepts: bool = False
    settle_s: float = 0.015


class Noted(msgspec.Struct):
    """Nanoseconds from a message out to what came back, in the order of the frames; -1 where nothing came."""

    echo_ns: list[int] = []
    order_ns: list[int] = []


class StubVenue:
    """One client's exchange: what it sends and when is told by `measure`."""

    def __init__(self) -> None:
        self._clock = LiveClock()
        self._streams: web.WebSocketResponse | None = None
        self._echo: web.WebSocketResponse | None = None
        self._echoed: asyncio.Future[int] | None = None
        self._ordered: asyncio.Future[int] | None = None
        self._accepts = False
        self._numbers = 0

    def app(self) -> web.Application:
        """All its addresses."""
        app = web.Application(client_max_size=64 * 2**20)
        app.add_routes(
            [
                web.get("/api/v3/time", self._time),
                web.get("/api/v3/exchangeInfo", self._info),
                web.get("/ws-api/v3", self._api),
                web.get("/stream", self._stream),
                web.get("/echo", self._bare),
                web.post("/measure", self._measure),
            ]
        )
        return app

    async def _time(self, _: web.Request) -> web.Response:
        return _json({"serverTime": self._now_ms()})

    async def _info(self, _: web.Request) -> web.Response:
        return _json(_exchange_info())

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            asked = msgspec.json.decode(message.data)
            await socket.send_str(f'{{"result":null,"id":{asked["id"]}}}')
            self._streams = socket
        return socket

    async def _bare(self, request: web.Request) -> web.WebSocketResponse:
        socket = self._echo = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            now_ns = self._clock.monotonic_ns()
            if message.type is WSMsgType.TEXT:
                _note(self._echoed, now_ns)
        return socket

    async def _api(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            now_ns = self._clock.monotonic_ns()
            if all(part in message.data for part in SIGNED_ORDER):
                _note(self._ordered, now_ns)
            await self._answer(socket, msgspec.json.decode(message.data))
        return socket

    async def _answer(self, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        method, params = asked["method"], asked.get("params", {})
        head: dict[str, Any] = {"id": asked["id"], "status": 200}
        if not method.startswith("order"):
            await socket.send_bytes(msgspec.json.encode({**head, "result": {}}))
            return
        # A stop placed alone is a spare: what it left with has been taken.
        if not self._accepts or (method == "order.place" and params.get("type") == "STOP_LOSS"):
            await socket.send_bytes(msgspec.json.encode({**head, "status": 400, "error": NO_MONEY}))
            return
        await socket.send_bytes(msgspec.json.encode({**head, "result": {}}))
        reports = replaced_reports if method == "order.cancelReplace" else filled_reports
        for report in reports(params, self._now_ms()):
            self._numbers += 1
            event = {**report, "i": self._numbers, "I": self._numbers}
            await socket.send_bytes(msgspec.json.encode({"subscriptionId": 0, "event": event}))

    async def _measure(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=Asked)
        self._accepts = asked.accepts
        noted = Noted()
        for quiet, frame in zip(asked.quiet, asked.frames, strict=True):
            noted.echo_ns.append(await self._echo_ns(frame))
            await asyncio.sleep(QUIET_S)
            for one in quiet:
                await _opened(self._streams).send_str(one)
            await asyncio.sleep(QUIET_S)
            noted.order_ns.append(await self._order_ns(frame))
            if noted.order_ns[-1] < 0:
                break
            await asyncio.sleep(asked.settle_s)
        return _json(noted)

    async def _echo_ns(self, frame: str) -> int:
        """The way out and back of a message as long as the frame."""
        self._echoed = asyncio.get_running_loop().create_future()
        sent_ns = self._clock.monotonic_ns()
        await _opened(self._echo).send_str(frame)
        return await _passed(self._echoed, sent_ns)

    async def _order_ns(self, frame: str) -> int:
        self._ordered = asyncio.get_running_loop().create_future()
        sent_ns = self._clock.monotonic_ns()
        await _opened(self._streams).send_str(frame)
        return await _passed(self._ordered, sent_ns)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // NS_PER_MS


async def _passed(arrival: asyncio.Future[int], sent_ns: int) -> int:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await arrival - sent_ns
    except TimeoutError:
        return -1


def _note(waiting: asyncio.Future[int] | None, now_ns: int) -> None:
    """The first arrival counts."""
    if waiting is not None and not waiting.done():
        waiting.set_result(now_ns)


def _opened(socket: web.WebSocketResponse | None) -> web.WebSocketResponse:
    if socket is None:
        raise web.HTTPConflict(text="the client's sockets are not open yet")
    return socket


def _json(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")


def _exchange_info() -> dict[str, Any]:
    limit = {"intervalNum": 1, "limit": PLENTY}
    return {
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", **limit},
            {"rateLimitType": "ORDERS", "interval": "DAY", **limit},
        ],
        "symbols": [
            {
                "symbol": SYMBOL,
                "status": "TRADING",
                "baseAsset": SYMBOL.removesuffix("USDT"),
                "quoteAsset": "USDT",
                "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "TAKE_PROFIT"],
                "ocoAllowed": True,
                "otoAllowed": True,
                "opoAllowed": True,
                "cancelReplaceAllowed": True,
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": "0.01", "minPrice": "0.01"},
                    {"filterType": "LOT_SIZE", "stepSize": "0.0001", "minQty": "0.0001"},
                    {"filterType": "NOTIONAL", "minNotional": "5"},
                ],
            }
        ],
    }


async def serve() -> None:
    """Listen on any free port, which is told on the standard output, until our input ends."""
    runner = web.AppRunner(StubVenue().app(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    port = runner.addresses[0][1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    with suppress(asyncio.CancelledError):
        await asyncio.to_thread(sys.stdin.read)  # its end is that of the process that started us
    await runner.cleanup()


def on_fast_loop(run: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Uvloop where it exists, as the daemon does."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(run())
    return uvloop.run(run())


if __name__ == "__main__":
    on_fast_loop(serve)
