"""Signed REST through aiohttp: one session, the venue's clock, the weight budget, errors by code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Self

import aiohttp
import msgspec
import yarl

from bnml.core.clock import NS_PER_MS, Clock
from bnml.core.errors import AccessRefused, BnmlError, Retryable, UnknownOutcome
from bnml.venues.binance.budget import Lane, WeightBudget
from bnml.venues.binance.errors import CLOCK_SKEW, ErrorBody, error_of
from bnml.venues.binance.wire import ServerTime

if TYPE_CHECKING:
    from types import TracebackType

    from bnml.venues.binance.signing import Signer

DEFAULT_PAUSE_S = 30.0  # after 429 or 418 without Retry-After

NumberSink = Callable[[int], None]


class Answer(msgspec.Struct, frozen=True):
    """The body of a good answer; `number` is its place in a stepped session, else 0."""

    body: bytes
    number: int = 0


class RestClient:
    """Requests to one deployment; `on_number` learns the place of each answer that nobody holds back."""

    def __init__(
        self,
        base_url: str,
        signer: Signer,
        clock: Clock,
        *,
        timeout_s: float,
        receive_window_ms: int,
        stepper: str = "",
        on_number: NumberSink | None = None,
    ) -> None:
        self._base_url = base_url
        self.signer = signer
        self._clock = clock
        self._timeout_s = timeout_s
        self._receive_window_ms = receive_window_ms
        self._stepper = stepper
        self._on_number = on_number or _ignore
        self._session: aiohttp.ClientSession | None = None
        self._offset_ms = 0
        self.budget = WeightBudget(clock)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        self._session = aiohttp.ClientSession(timeout=timeout, headers=self._headers())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def timestamp_ms(self) -> int:
        """The venue's wall clock, as of the last look."""
        return self._clock.now_ns() // NS_PER_MS + self._offset_ms

    async def synchronise_clock(self) -> int:
        """Measure how far the venue's clock is ahead of ours, in ms."""
        before_ms = self._clock.now_ns() // NS_PER_MS
        answer = await self.public("/api/v3/time", {})
        after_ms = self._clock.now_ns() // NS_PER_MS
        server_ms = msgspec.json.decode(answer, type=ServerTime).server_time
        self._offset_ms = server_ms - (before_ms + after_ms) // 2
        return self._offset_ms

    async def public(self, path: str, params: Mapping[str, str], lane: Lane = Lane.DATA) -> bytes:
        """GET without a signature."""
        await self.budget.wait(lane)
        query = "&".join(f"{key}={value}" for key, value in params.items())
        return self._released(await self._send("GET", f"{path}?{query}" if query else path, order=False))

    async def signed(
        self, method: str, path: str, params: Mapping[str, str], lane: Lane, *, order: bool = False
    ) -> Answer:
        """A signed request; `order` says that an unclear answer leaves an order's outcome unknown.

        A refusal for clock skew was not executed, so it is sent once more with the clock measured anew.
        The caller owns the answer's number (see `Inbox.complete`).
        """
        await self.budget.wait(lane)
        try:
            return await self._send(method, f"{path}?{self._query(params)}", order=order)
        except Retryable as error:
            if error.code != CLOCK_SKEW:
                raise
        await self.synchronise_clock()
        return await self._send(method, f"{path}?{self._query(params)}", order=order)

    async def read(self, path: str, params: Mapping[str, str], lane: Lane = Lane.RECONCILE) -> bytes:
        """A signed GET whose place in a stepped session needs no care."""
        return self._released(await self.signed("GET", path, params, lane))

    def _query(self, params: Mapping[str, str]) -> str:
        window = {"recvWindow": str(self._receive_window_ms), "timestamp": str(self.timestamp_ms())}
        return self.signer.query({**params, **window})

    def _headers(self) -> dict[str, str]:
        return {"X-SIM-STEPPER": self._stepper} if self._stepper else {}

    def _released(self, answer: Answer) -> bytes:
        if answer.number:
            self._on_number(answer.number)
        return answer.body

    async def _send(self, method: str, target: str, *, order: bool) -> Answer:
        if self._session is None:
            raise Retryable("the REST client is closed")
        what = f"{method} {target.partition('?')[0]}"
        unclear = UnknownOutcome if order else Retryable
        try:
            # As signed: without `encoded` the percent-encoding would be decoded and made anew.
            url = yarl.URL(self._base_url + target, encoded=True)
            async with self._session.request(method, url, headers=self.signer.header()) as response:
                body = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise unclear(
                f"{what}: no answer from {self._base_url} ({type(error).__name__}: {error})"
            ) from error
        self.budget.observe(response.headers)
        number = int(response.headers.get("X-SIM-SEQ", "0"))
        if response.status < 400:
            return Answer(body, number)
        if number:
            self._on_number(number)
        raise self._error(response.status, response.headers, body, what)

    def _error(self, status: int, headers: Mapping[str, str], body: bytes, what: str) -> BnmlError:
        text = headers.get("Retry-After", "")
        retry_after_s = float(text) if text.isdigit() else None
        if status in {418, 429}:
            self.budget.pause(retry_after_s or DEFAULT_PAUSE_S)
        error = error_of(status, error_body(body), what, retry_after_s=retry_after_s)
        if isinstance(error, AccessRefused) and error.code:
            self.signer.lose(str(error))
        return error


def error_body(body: bytes) -> ErrorBody:
    """The error in an answer; code 0 with the first characters where it is no JSON (a proxy's page)."""
    try:
        return msgspec.json.decode(body, type=ErrorBody)
    except msgspec.DecodeError:
        return ErrorBody(0, body[:80].decode("utf-8", "replace"))


def _ignore(_number: int) -> None:
    """Numbers mean nothing outside stepped mode."""
