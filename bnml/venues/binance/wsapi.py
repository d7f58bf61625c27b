"""The WebSocket API connection: orders out with the lowest latency, user events in, on one socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from bnml.core.clock import Clock
from bnml.core.errors import AccessRefused, Retryable
from bnml.venues.binance.api_leg import ApiLeg
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.endpoints import Endpoints
from bnml.venues.binance.errors import CLOCK_SKEW, error_of
from bnml.venues.binance.rest import Answer
from bnml.venues.binance.succession import NEVER_S, LinkSink, Succession
from bnml.venues.binance.weights import api_weight_of, orders_of

if TYPE_CHECKING:
    from bnml.venues.binance.errors import ErrorBody
    from bnml.venues.binance.oddities import Oddities
    from bnml.venues.binance.rest import RestClient
    from bnml.venues.binance.signing import Signer
    from bnml.venues.binance.wire import ApiFrame

EventSink = Callable[[int, msgspec.Raw], Awaitable[None]]


class ApiConnection:
    """Keeps one connection with a user-data subscription alive; requests wait for their answers by id.

    `on_event` gets each user event with its place in a stepped session (else 0). `on_link` is told when the
    connection with its subscription stands, and when it broke; every request without an answer then ends in
    UnknownOutcome, since the venue may have executed it. With `rotate_after_s` a connection is replaced by another
    one before it ends. With `probe_s` it is asked so often whether it lives. `rest` shares its budget and clock.
    """

    def __init__(
        self,
        url: str,
        signer: Signer,
        clock: Clock,
        *,
        timestamp_ms: Callable[[], int],
        on_event: EventSink,
        on_link: LinkSink,
        on_number: Callable[[int], None],
        timeout_s: float,
        receive_window_ms: int,
        rest: RestClient | None = None,
        rotate_after_s: Callable[[], float] | None = None,
        probe_s: float = 0.0,
        oddities: Oddities | None = None,
        time_scale: float = 1.0,
        more_urls: Sequence[str] = (),
    ) -> None:
        self.addresses = Endpoints((url, *more_urls))
        self.clock = clock
        self.on_event = on_event
        self.on_number = on_number
        self.timeout_s = timeout_s
        self.rotates = rotate_after_s is not None
        self.probe_s = probe_s
        self.oddities = oddities
        self._signer = signer
        self._timestamp_ms = timestamp_ms
        self._receive_window_ms = receive_window_ms
        self._rest = rest
        self._leg: ApiLeg | None = None
        self._last_id = 0
        self.on_missing: Callable[[str], None] | None = None
        """Told the client order id of an order whose report did not come after the venue's good answer."""
        self.on_garbled: Callable[[], None] | None = None
        """Told of a frame that nobody can read: it may have been about an order."""
        self.succession: Succession[ApiLeg] = Succession(
            lambda: ApiLeg(self),
            clock,
            on_link=on_link,
            announce=self._announced,
            time_scale=time_scale,
            rotate_after_s=rotate_after_s or (lambda: NEVER_S),
            admit=self._admitted,
            addresses=self.addresses,
        )

    @property
    def url(self) -> str:
        """The address of the next connection."""
        return self.addresses.current

    @property
    def up(self) -> bool:
        """Connected and subscribed."""
        return self._leg is not None

    @property
    def silent_s(self) -> float:
        """Seconds since the connection proved that it lives; endless without one."""
        return NEVER_S if self._leg is None else self._leg.silent_s

    @property
    def is_banned(self) -> bool:
        """The venue does not serve this address: nothing may be asked, not even for a sign of life."""
        return self._rest is not None and self._rest.budget.banned_s > 0

    async def run(self) -> None:
        """Connect, subscribe, read; again after each break, with growing pauses. Ends only by cancellation."""
        await self.succession.run()

    def replace(self) -> None:
        """Connect anew, the old connection going on until the new one stands."""
        if self._leg is not None:
            self._leg.must_go.set()

    def refused(self, frame: ApiFrame) -> None:
        """An error that answers no request: of a key that is not accepted any more."""
        self._answer("session", frame, hold=False)

    def punished(self, status: int, error: ErrorBody) -> None:
        """Take the pause that a refusal demands, also one of a mere sign of life."""
        if self._rest is not None:
            self._rest.penalties.punished(status, error)

    def turned_away(self, status: int, retry_after_s: float | None) -> None:
        """The venue did not let a connection in."""
        if self._rest is not None:
            self._rest.penalties.turned_away(status, retry_after_s)

    async def request(
        self,
        method: str,
        params: Mapping[str, str],
        *,
        order: bool = False,
        hold: bool = False,
        lane: Lane = Lane.RECONCILE,
        window_ms: int = 0,
    ) -> Answer:
        """Send one signed request and wait for its answer; `window_ms` is its receive window if not the usual one.

        With `hold` the caller owns the answer's number in a stepped session, and reports it when the answer's
        consequences are in. Raises by the error tree; without an answer in time, UnknownOutcome for orders.
        A read refused for clock skew is sent once more with the clock measured anew; with an order the caller
        does so.
        """
        try:
            return await self._ask(method, params, order=order, hold=hold, lane=lane, window_ms=window_ms)
        except Retryable as error:
            if error.code != CLOCK_SKEW or self._rest is None or order:
                raise
        await self._rest.synchronise_clock(lane)
        return await self._ask(method, params, order=order, hold=hold, lane=lane)

    async def subscribe(self, leg: ApiLeg) -> None:
        """Ask for the user events on this connection."""
        method = "userDataStream.subscribe.signature"
        self._answer(method, await self._exchange(leg, method, {}, order=False), hold=False)

    async def _ask(
        self,
        method: str,
        params: Mapping[str, str],
        *,
        order: bool,
        hold: bool,
        lane: Lane,
        window_ms: int = 0,
    ) -> Answer:
        orders = orders_of(method) if order else 0
        if self._rest is not None:
            await self._rest.penalties.wait(lane)
            await self._rest.budget.wait(lane, weight=api_weight_of(method), orders=orders)
        leg = self._leg
        if leg is None:
            raise Retryable(f"{method}: the WebSocket API is not connected")
        frame = await self._exchange(leg, method, params, order=order, window_ms=window_ms)
        answer = self._answer(method, frame, hold=hold)
        if orders and self.probe_s:
            leg.expect(params)
        return answer

    async def _exchange(
        self, leg: ApiLeg, method: str, params: Mapping[str, str], *, order: bool, window_ms: int = 0
    ) -> ApiFrame:
        signed, asked_ms = self.signed(params, window_ms), self._timestamp_ms()
        self._last_id += 1
        frame = await leg.exchange(str(self._last_id), method, signed, order=order)
        if frame.rateLimits and self._rest is not None:
            self._rest.budget.observe_rows(frame.rateLimits, asked_ms)
        return frame

    def signed(self, params: Mapping[str, str], window_ms: int = 0) -> dict[str, str | int]:
        """Parameters with receive window, time, key and signature, as they leave."""
        window_ms, now_ms = window_ms or self._receive_window_ms, self._timestamp_ms()
        window = {"recvWindow": str(window_ms), "timestamp": str(now_ms)}
        return {
            **self._signer.signed({**params, **window}),
            "timestamp": now_ms,
            "recvWindow": window_ms,
        }

    def _answer(self, method: str, frame: ApiFrame, *, hold: bool) -> Answer:
        if frame.simSeq and (frame.error is not None or not hold):
            self.on_number(frame.simSeq)
        if frame.error is not None:
            self.punished(frame.status, frame.error)
            error = error_of(frame.status, frame.error, method, now_ms=self._timestamp_ms())
            if isinstance(error, AccessRefused) and error.code:
                self._signer.lose(str(error))
            raise error
        return Answer(bytes(frame.result), frame.simSeq)

    def _announced(self, leg: ApiLeg | None) -> None:
        self._leg = leg

    async def _admitted(self) -> None:
        """A banned address opens no connection, and a key that was refused asks for no events."""
        await self._signer.usable()
        if self._rest is not None:
            await self._rest.penalties.admitted(api_weight_of("userDataStream.subscribe.signature"))
