"""One venue at a rehearsal: requests as the daemon makes them, and the shape of all that comes back, by step."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.errors import BnmlError, UnknownOutcome
from bnml.core.orders import ApprovedOrder, ListKind, ListTicket, OrderTicket, OrderType, Side, TimeInForce
from bnml.rehearsal.shapes import Shape, merged, shape_of
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.codec import exchange_info, instrument_of
from bnml.venues.binance.requests import request_of
from bnml.venues.binance.weights import api_weight_of, orders_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.core.instrument import Instrument
    from bnml.rehearsal.socket import RawSocket
    from bnml.venues.binance.rest import RestClient

EVENT: Final = "event "
COUNTERS: Final = ("X-MBX-USED-WEIGHT-", "X-MBX-ORDER-COUNT-", "RETRY-AFTER")
SOCKET, REST = "WebSocket API", "REST"
QUIET_S: Final = 0.05  # on this machine events come before the answer, or just after it
EVENTS_S: Final = 3.0  # for events that have to come
PREFIX: Final = "rehearse"

Record = dict[str, dict[str, Shape]]
"""Shapes by step and by what they are the shape of."""


class _Best(msgspec.Struct, rename="camel"):
    bid_price: str
    ask_price: str


class Desk:
    """Records under the step that is played; `expected` is the record of the exchange that was asked before."""

    def __init__(self, rest: RestClient, socket: RawSocket, symbol: str, expected: Record | None) -> None:
        self.rest = rest
        # An exchange of our own has no daemon that a part of its limits must be left to.
        self._lane = Lane.RECONCILE if expected is not None else Lane.CANCEL
        self.socket = socket
        self.symbol = symbol
        self.transport = SOCKET
        self.record: Record = {}
        self.instrument: Instrument
        self.amends = False
        self.prefix = f"{PREFIX}{secrets.token_hex(4)}-"
        self._expected = expected
        self._step = ""
        self._made = 0
        self._answers: list[tuple[int, Mapping[str, str], bytes]] = []
        self._heard = asyncio.Event()
        rest.on_answer = self._answered
        socket.on_event = self._event

    async def begin(self) -> None:
        """Learn the symbol's rules; Rejected where the venue does not have it."""
        body = await self.rest.public("/api/v3/exchangeInfo", {"symbol": self.symbol})
        info = exchange_info(body)
        self.instrument = instrument_of(info.symbols[0])
        self.rest.budget.adopt(info.rate_limits)
        self.amends = b'"amendAllowed":true' in body.replace(b" ", b"")

    # ---- what is asked

    async def ask(self, method: str, path: str, params: Mapping[str, str], *, signed: bool = True) -> None:
        """One REST request, its answer recorded whatever it says; raises when none came, or a pause is asked for."""
        self._answers.clear()
        try:
            if signed:
                await self.rest.signed(method, path, params, self._lane, order=method != "GET")
            else:
                await self.rest.public(path, params)
        except BnmlError:
            if not self._answers or _is_no_word(self._answers[-1][0]):
                raise
        status, headers, body = self._answers[-1]
        self.note(f"{method} {path}", {"http": status, "body": msgspec.json.decode(body)})
        counted = {name.upper(): text for name, text in headers.items() if name.upper().startswith(COUNTERS)}
        self.note(f"headers of {method} {path}", counted)

    async def call(self, method: str, params: Mapping[str, str], *, order: bool = True) -> None:
        """One request over the WebSocket API, its frame recorded."""
        await self.rest.budget.wait(
            self._lane, weight=api_weight_of(method), orders=orders_of(method) if order else 0
        )
        frame = await self.socket.call(method, params, order=order)
        if _is_no_word(int(frame.get("status") or 0)):
            raise UnknownOutcome(f"{method}: the venue answered {frame.get('error')}")
        self.note(method, frame)

    async def send(self, command: Submit | CancelOrder | CancelList | ReplaceOrder | QueryOrder) -> None:
        """A command exactly as the daemon sends it, by the transport of this round."""
        request = request_of(command, {self.symbol: self.instrument})
        if self.transport == SOCKET:
            await self.call(request.api_method, request.params)
        else:
            await self.ask(request.http_method, request.path, request.params)

    async def place(self, **params: str) -> None:
        """An order that the daemon would not send."""
        full = {"symbol": self.symbol, **params}
        if self.transport == SOCKET:
            await self.call("order.place", full)
        else:
            await self.ask("POST", "/api/v3/order", full)

    async def best(self) -> tuple[int, int]:
        """Best bid and ask in ticks, not recorded."""
        body = await self.rest.public("/api/v3/ticker/bookTicker", {"symbol": self.symbol})
        found = msgspec.json.decode(body, type=_Best)
        bid = self.instrument.price_ticks(found.bid_price, "down")
        return bid, self.instrument.price_ticks(found.ask_price, "up")

    # ---- orders

    def name(self) -> str:
        """A client order id that no daemon takes for its own."""
        self._made += 1
        return f"{self.prefix}{self._made}"

    def order(
        self,
        side: Side,
        kind: OrderType,
        lots: int,
        *,
        price: int = 0,
        stop: int = 0,
        force: TimeInForce | None = None,
    ) -> OrderTicket:
        """An order with prices in ticks."""
        return OrderTicket(self.symbol, self.name(), side, kind, lots, price, stop, force)

    async def submit(self, ticket: OrderTicket | ListTicket) -> None:
        await self.send(Submit(ApprovedOrder(ticket, PREFIX)))

    def order_list(self, kind: ListKind, working: OrderTicket | None, *pending: OrderTicket) -> ListTicket:
        """An order list."""
        return ListTicket(self.symbol, self.name(), kind, working, pending)

    # ---- what is recorded

    def step(self, name: str) -> None:
        """All that comes from here on belongs to this step."""
        self._step = name
        self.record[name] = {}

    def note(self, label: str, value: Any) -> None:
        """Record a shape; several of one label become one."""
        seen = self.record.setdefault(self._step, {})
        seen[label] = merged(seen.get(label), shape_of(value))

    def forget(self) -> None:
        """The step is not played here."""
        self.record.pop(self._step, None)

    async def settle(self) -> None:
        """Wait for the events that the step must bring, and for those that come unasked."""
        wanted = {one for one in (self._expected or {}).get(self._step, {}) if one.startswith(EVENT)}
        try:
            async with asyncio.timeout(EVENTS_S):
                while not wanted <= self.record[self._step].keys():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            return  # what did not come is a difference
        await asyncio.sleep(QUIET_S)

    def _answered(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._answers.append((status, headers, body))

    def _event(self, frame: Any) -> None:
        event = frame["event"]
        if isinstance(event, dict) and self._step:
            words = [str(event.get(name)) for name in ("e", "x", "l") if isinstance(event.get(name), str)]
            # The letter l is the last quantity of an executionReport, and a word in a listStatus.
            label = " ".join(words[:2] if event.get("e") == "executionReport" else words)
            self.note(EVENT + label, frame)
        self._heard.set()


def _is_no_word(status: int) -> bool:
    """Limits, firewalls and failures inside the venue say nothing of the request."""
    return status in {403, 418, 429} or status >= 500
