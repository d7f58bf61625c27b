"""One WebSocket through the proxy: frames pass both ways unless a rule strikes at them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from aiohttp import WSMsgType

from bnml.drill.answers import banned_frame, timeout_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientWebSocketResponse, web

    from bnml.drill.rules import Rules

    Socket = web.WebSocketResponse | ClientWebSocketResponse


class Way(Protocol):
    """What a link asks of the proxy that it belongs to."""

    @property
    def rules(self) -> Rules: ...

    @property
    def banned_s(self) -> float: ...

    @property
    def banned_until_ms(self) -> int: ...

    def look_at(self, body: Any) -> None: ...


class Link:
    """`ours` is the client's side, `theirs` the venue's; `is_silent` keeps it open and dead."""

    def __init__(
        self,
        proxy: Way,
        request: web.BaseRequest,
        ours: web.WebSocketResponse,
        theirs: ClientWebSocketResponse,
        *,
        is_api: bool,
    ) -> None:
        self.is_api = is_api
        self.is_silent = False
        self._proxy = proxy
        self._request = request
        self._ours = ours
        self._theirs = theirs
        self._answers: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        """Until one side ends; then the other is ended, too."""
        ways = {
            asyncio.create_task(self._pass(self._ours, self._theirs, self._ask)),
            asyncio.create_task(self._pass(self._theirs, self._ours, self._hear)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await self._theirs.close()
            self.cut()

    def cut(self) -> None:
        """End the client's side without a farewell; `run` ends the other."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def tell(self, frame: Any) -> None:
        """A frame that the venue did not send."""
        await self._ours.send_str(msgspec.json.encode(frame).decode())

    async def _pass(self, source: Socket, sink: Socket, text: Callable[[str], Awaitable[None]]) -> None:
        """Carry what one side says to the other; what is text goes through a hand that may change it."""
        async for message in source:
            if self.is_silent:
                continue
            if message.type is WSMsgType.PING:
                await source.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                await text(message.data)
            elif message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)

    async def _ask(self, text: str) -> None:
        """A request of the client; those to the market streams only pass."""
        if self.is_api:
            frame = msgspec.json.decode(text)
            for rule in self._proxy.rules.struck("request", str(frame.get("method"))):
                if rule.is_after:
                    self._answers[str(frame.get("id"))] = rule.action
                elif rule.action["action"] == "reset":
                    self.cut()
                    return
            if self._proxy.banned_s:
                await self.tell(banned_frame(frame.get("id"), self._proxy.banned_until_ms))
                return
        await self._theirs.send_str(text)

    async def _hear(self, text: str) -> None:
        """A frame of the venue."""
        kept = self._heard(text)
        if kept is not None:
            await self._ours.send_str(kept)

    def _heard(self, text: str) -> str | None:
        """What goes on of a frame of the venue."""
        frame = msgspec.json.decode(text)
        if not isinstance(frame, dict):
            return text
        self._proxy.look_at(frame.get("error"))
        if self.is_api:
            action = self._answers.pop(str(frame.get("id")), None)
            if action is None:
                return text
            if action["action"] == "no_answer":
                return None
            return msgspec.json.encode(timeout_frame(frame.get("id"))).decode()
        name, data = str(frame.get("stream", "")), frame.get("data")
        is_closed = isinstance(data, dict) and bool(data.get("k", {}).get("x", False))
        is_dropped = any(
            rule.action["action"] == "drop"
            for rule in self._proxy.rules.struck("stream", name, is_closed=is_closed)
        )
        return None if is_dropped else text
