"""Signed REST through aiohttp: one session, the venue's clock, the limits' budget, errors by code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

import aiohttp
import msgspec
import yarl

from bnml.core.clock import Clock
from bnml.core.errors import AccessRefused, BnmlError, Retryable, UnknownOutcome
from bnml.venues.binance.budget import Lane, WeightBudget
from bnml.venues.binance.departures import leaves_now
from bnml.venues.binance.endpoints import Endpoints
from bnml.venues.binance.errors import CLOCK_SKEW, ErrorBody, error_of
from bnml.venues.binance.penalties import Penalties
from bnml.venues.binance.reports import decoded
from bnml.venues.binance.venue_clock import SAMPLES, VenueClock
from bnml.venues.binance.weights import orders_of, weight_of
from bnml.venues.binance.wire import ServerTime

if TYPE_CHECKING:
    from types import TracebackType

    from bnml.venues.binance.signing import Signer

LARGE = frozenset({"/api/v3/exchangeInfo", "/api/v3/ticker/24hr"})
"""Answers of some megabytes."""

NOT_OF_THE_KEY = frozenset({"GET /sapi/v1/spot/delist-schedule"})
"""What a key may be refused although it is good: Binance's pages differ on whether this one is signed."""

NumberSink = Callable[[int], None]
AnswerSink = Callable[[int, Mapping[str, str], bytes], None]
# Refused before anything was sent: no outcome is in doubt.
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError)
# Nobody mends these by asking again soon: a firewall, a proxy, a certificate.
_OBSTRUCTED = (
    aiohttp.ClientSSLError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientProxyConnectionError,
)

_whole = msgspec.json.Decoder(msgspec.Raw)
_time = msgspec.json.Decoder(ServerTime)


class Answer(msgspec.Struct, frozen=True):
    """The body of a good answer; `number` is its place in a stepped session, else 0."""

    body: bytes
    number: int = 0


class RestClient:
    """Requests to one deployment; `on_number` learns the place of each answer that nobody holds back.

    `more_urls` are further addresses of the same deployment, used in turn when the one before does not answer.
    """

    def __init__(
        self,
        base_url: str,
        signer: Signer,
        clock: Clock,
        *,
        timeout_s: float,
        data_timeout_s: float = 0.0,
        receive_window_ms: int,
        stepper: str = "",
        on_number: NumberSink | None = None,
        more_urls: Sequence[str] = (),
        budget: WeightBudget | None = None,
        venue_clock: VenueClock | None = None,
    ) -> None:
        self.endpoints = Endpoints((base_url, *more_urls))
        self.signer = signer
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._data_timeout = aiohttp.ClientTimeout(total=data_timeout_s or timeout_s)
        self._receive_window_ms = receive_window_ms
        self._stepper = stepper
        self._on_number = on_number or _ignore
        self.on_answer: AnswerSink | None = None
        """Told status, headers and body of each answer as they came, good or bad."""
        self._session: aiohttp.ClientSession | None = None
        self.clock = venue_clock or VenueClock(clock)
        self.budget = budget or WeightBudget(clock, venue_ms=self.clock.now_ms)
        self.penalties = Penalties(clock, self.budget, self.clock.now_ms)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def timestamp_ms(self) -> int:
        """The venue's clock, as of the last look; it does not follow jumps of ours."""
        return self.clock.now_ms()

    async def synchronise_clock(self, lane: Lane = Lane.RECONCILE, samples: int = SAMPLES) -> int:
        """Measure how far the venue's clock is ahead of ours, in ms; the quickest of the answers counts."""

        async def ask() -> int:
            answer = await self.public("/api/v3/time", {}, lane)
            return decoded(_time, answer).server_time

        return await self.clock.measure(ask, samples)

    async def public(self, path: str, params: Mapping[str, str], lane: Lane = Lane.DATA) -> bytes:
        """GET without a signature."""
        query = "&".join(f"{key}={value}" for key, value in params.items())
        target = f"{path}?{query}" if query else path
        weight = weight_of("GET", path, params)
        return self._released(await self._asked("GET", lambda: target, lane, weight=weight, order=False))

    async def signed(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        lane: Lane,
        *,
        order: bool = False,
        window_ms: int = 0,
    ) -> Answer:
        """A signed request; `order` says that an unclear answer leaves an order's outcome unknown.

        A read refused for clock skew is sent once more with the clock measured anew; with an order the caller
        does so. `window_ms` is the receive window if it is to be another one than usual. The caller owns the
        answer's number (see `Inbox.complete`).
        """

        def target() -> str:
            return f"{path}?{self._query(params, window_ms)}"

        weight, orders = weight_of(method, path, params), orders_of(method, path)
        try:
            return await self._asked(method, target, lane, weight=weight, order=order, orders=orders)
        except Retryable as error:
            if error.code != CLOCK_SKEW or order:
                raise
        await self.synchronise_clock(lane)
        return await self._asked(method, target, lane, weight=weight, order=order, orders=orders)

    async def read(self, path: str, params: Mapping[str, str], lane: Lane = Lane.RECONCILE) -> bytes:
        """A signed GET whose place in a stepped session needs no care."""
        return self._released(await self.signed("GET", path, params, lane))

    def _query(self, params: Mapping[str, str], window_ms: int = 0) -> str:
        window = {
            "recvWindow": str(window_ms or self._receive_window_ms),
            "timestamp": str(self.timestamp_ms()),
        }
        return self.signer.query({**params, **window})

    def _headers(self) -> dict[str, str]:
        return {"X-SIM-STEPPER": self._stepper} if self._stepper else {}

    def _released(self, answer: Answer) -> bytes:
        if answer.number:
            self._on_number(answer.number)
        return answer.body

    async def _asked(
        self,
        method: str,
        target: Callable[[], str],
        lane: Lane,
        *,
        weight: int,
        order: bool,
        orders: int = 0,
    ) -> Answer:
        """One request, at the next address of the venue while it certainly did not leave from this one."""
        while True:
            await self.penalties.wait(lane)
            await self.budget.wait(lane, weight=weight, orders=orders)
            try:
                # Signed anew each time: the time of signing must not age while we wait.
                return await self._send(method, target(), order=order)
            except NotSent:
                if not self.endpoints.try_again():
                    raise

    async def _send(self, method: str, target: str, *, order: bool) -> Answer:
        if self._session is None:
            raise Retryable("the REST client is closed")
        base_url = self.endpoints.current
        path = target.partition("?")[0]
        what = f"{method} {path}"
        timeout = self._timeout if order or path in LARGE else self._data_timeout
        if order:
            leaves_now()
        asked_ms = self.timestamp_ms()
        try:
            # As signed: without `encoded` the percent-encoding would be decoded and made anew.
            url = yarl.URL(base_url + target, encoded=True)
            headers = self.signer.header()
            async with self._session.request(method, url, headers=headers, timeout=timeout) as response:
                body = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self.endpoints.failed()
            if isinstance(error, _OBSTRUCTED):
                self.penalties.obstructed(f"{what}: {type(error).__name__}: {error}")
            text = f"{what}: no answer from {base_url} ({type(error).__name__}: {error})"
            if isinstance(error, _NOT_SENT):
                raise NotSent(text) from error
            raise (UnknownOutcome if order else Retryable)(text) from error
        self.endpoints.answered()
        if self.on_answer is not None:
            self.on_answer(response.status, response.headers, body)
        self.budget.observe(response.headers, asked_ms)
        number = int(response.headers.get("X-SIM-SEQ", "0"))
        if response.status < 400:
            return self._served(body, number, what, order=order)
        if number:
            self._on_number(number)
        raise self._error(response.status, response.headers, body, what)

    def _served(self, body: bytes, number: int, what: str, *, order: bool) -> Answer:
        """A good answer, if it is JSON at all: a proxy in between may put a page of its own in its place."""
        try:
            _whole.decode(body)
        except ValueError as error:
            raise (UnknownOutcome if order else Retryable)(
                f"{what}: the answer is not JSON ({error}): {body[:80].decode('utf-8', 'replace')}"
            ) from error
        self.penalties.served()
        return Answer(body, number)

    def _error(self, status: int, headers: Mapping[str, str], body: bytes, what: str) -> BnmlError:
        text = headers.get("Retry-After", "")
        retry_after_s = float(text) if text.isdigit() else None
        found = error_body(body)
        if status == 403 and found.code == 0:
            return self.penalties.obstructed(f"{what}: 403 of a firewall: {found.msg}")
        self.penalties.punished(status, found, retry_after_s)
        error = error_of(status, found, what, retry_after_s=retry_after_s)
        if isinstance(error, AccessRefused) and error.code and what not in NOT_OF_THE_KEY:
            self.signer.lose(str(error))
        return error


class NotSent(Retryable):
    """The request did not leave this machine: nothing was executed."""


def error_body(body: bytes) -> ErrorBody:
    """The error in an answer; code 0 with the first characters where it is no JSON (a proxy's page)."""
    try:
        return msgspec.json.decode(body, type=ErrorBody)
    except ValueError:
        return ErrorBody(0, body[:80].decode("utf-8", "replace"))


def _ignore(_number: int) -> None:
    """Numbers mean nothing outside stepped mode."""
