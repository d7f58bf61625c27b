"""What a request can ask for, independent of the way it comes in: one row per operation."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from bnml.core.clock import NS_PER_MS
from bnml.venues.sim.messages import ReplaceFailed, VenueReject
from bnml.venues.sim.params import Params
from bnml.venues.sim.signing import ApiKey, check_age, check_time, receive_window_ms
from bnml.venues.sim.weights import LOOPBACK, Banned, TooMany

if TYPE_CHECKING:
    from bnml.venues.sim.payloads_account import AccountPayloads
    from bnml.venues.sim.venue import Venue


class Security(Enum):
    """Who may ask."""

    OPEN = "anybody"
    KEY = "the owner of an API key"
    SIGNED = "the owner of an API key that may read, with a signature"
    TRADE = "the owner of an API key that may trade, with a signature"

    @property
    def is_signed(self) -> bool:
        """Whether time and signature are checked."""
        return self in {Security.SIGNED, Security.TRADE}


class Caller(msgspec.Struct, frozen=True):
    """Who asks: from where, with which key, what was signed, and in which unit times are wanted.

    `session_key` is the key that the session has proved: a request that names none needs no signature.
    """

    address: str = LOOPBACK
    api_key: str | None = None
    session_key: str = ""
    payload: bytes = b""
    unit_ns: int = NS_PER_MS
    received_ms: int = 0  # wall time at which the request came in; 0: now


class Call:
    """One request on its way to a handler; `account` is empty for open operations."""

    __slots__ = ("account", "caller", "key", "params", "venue")

    def __init__(
        self, venue: Venue, params: Params, key: ApiKey | None = None, caller: Caller | None = None
    ) -> None:
        self.venue = venue
        self.params = params
        self.key = key
        self.account = "" if key is None else key.account
        self.caller = caller or Caller()

    @property
    def unit_ns(self) -> int:
        """The unit of times in the answer."""
        return self.caller.unit_ns

    @property
    def payloads(self) -> AccountPayloads:
        """Builds account payloads in the unit of the answer."""
        return self.venue.payloads[self.caller.unit_ns]


Handler = Callable[[Call], Any]
Weight = int | Callable[[Params], int]


class Operation(msgspec.Struct, frozen=True):
    """One request type: its weight, who may ask, how many new orders it may make, and what it does.

    Binance charges successful order requests no weight; `free_when_done` says so.
    """

    handler: Handler
    weight: Weight = 1
    security: Security = Security.OPEN
    orders: int = 0
    free_when_done: bool = False
    counts_itself: bool = False  # the handler counts its orders
    is_wallet: bool = False  # of /sapi/, with limits of its own


class ReplaceLimited(ReplaceFailed):
    """A cancelReplace whose new order was beyond the limit of orders, and for which the cancel decides all."""

    def __init__(self, failed: ReplaceFailed, limit: TooMany) -> None:
        super().__init__(failed.reject_code, failed.text, failed.replaced)
        self.limit = limit


class Refusal(msgspec.Struct, frozen=True):
    """An error ready for either wire: HTTP status, code, text, and more where Binance gives more."""

    status: int
    code: int
    text: str
    data: Any = None
    retry_after_ns: int = 0

    def body(self) -> dict[str, Any]:
        """The error object."""
        shown: dict[str, Any] = {"code": self.code, "msg": self.text}
        return shown if self.data is None else {**shown, "data": self.data}


_UNAUTHORIZED = frozenset({-2014, -2015, -1002})
_STATUSES = {**dict.fromkeys(_UNAUTHORIZED, 401), -1016: 503}
_COUNTED = frozenset({-2010, -2021})  # refused by the matching engine itself, so the order was one
_PARTLY_DONE = -2021
_SERVICE_OVER = "This service is no longer available."
_FROZEN = "This account may not place or cancel orders."


def perform(venue: Venue, operation: Operation, params: Params, caller: Caller) -> Any:
    """Charge, authenticate and carry out one request; user events it causes are sent before this returns.

    Raises VenueReject.
    """
    key = admit(venue, operation, params, caller)
    return carry_out(venue, operation, params, caller, key)


def admit(venue: Venue, operation: Operation, params: Params, caller: Caller) -> ApiKey | None:
    """What happens at the door: weight is charged, then key, time and signature are looked at."""
    venue.begin_request()
    charge = venue.limits.charge_wallet if operation.is_wallet else venue.limits.charge
    try:
        weight = _weight(operation, params)
    except VenueReject:
        charge(1, venue.window_ns, caller.address)
        raise
    charge(weight, venue.window_ns, caller.address)
    if operation.security is Security.OPEN:
        return None
    key = venue.keys.find(caller.api_key or caller.session_key)
    venue.keys.permit(key, caller.address, trading=operation.security is Security.TRADE)
    now_ms = caller.received_ms or venue.wall_ms()
    if not operation.security.is_signed:
        params.discard("timestamp", "recvWindow", "signature")
    elif not caller.api_key:
        check_time(params.integer("timestamp"), receive_window_ms(params), now_ms)
    else:
        venue.keys.verify(key, params, caller.payload, now_ms)
    if venue.access.in_maintenance and operation.security is Security.TRADE:
        raise VenueReject(-1016, _SERVICE_OVER)
    return key


def carry_out(venue: Venue, operation: Operation, params: Params, caller: Caller, key: ApiKey | None) -> Any:
    """What happens behind the door: orders are counted, the age is checked again, the handler acts."""
    now_ns = venue.window_ns
    call = Call(venue, params, key, caller)
    counted = 0 if operation.counts_itself else operation.orders
    if counted:
        venue.limits.charge_orders(call.account, counted, now_ns)
    if operation.security is Security.TRADE:
        check_age(params.integer("timestamp"), receive_window_ms(params), venue.wall_ms())
        if venue.access.is_frozen(call.account):
            raise VenueReject(-2010 if operation.orders else -2011, _FROZEN)
    try:
        result = operation.handler(call)
    except VenueReject as error:
        if counted and error.reject_code not in _COUNTED:
            venue.limits.add_orders(call.account, -counted, now_ns)
        raise
    finally:
        venue.settle_request()
    if operation.free_when_done:
        venue.limits.give_back(_weight(operation, params), now_ns, caller.address)
    return result


def _weight(operation: Operation, params: Params) -> int:
    return operation.weight if isinstance(operation.weight, int) else operation.weight(params)


def refusal(venue: Venue, error: VenueReject) -> Refusal:
    """The wire form of a refusal."""
    if isinstance(error, Banned):
        until_ms = venue.wall_ms() + 1000 * venue.wall_seconds(error.retry_after_ns)
        text = Banned.until(until_ms)
        return Refusal(418, error.reject_code, text, retry_after_ns=error.retry_after_ns)
    if isinstance(error, TooMany):
        return Refusal(429, error.reject_code, error.text, retry_after_ns=error.retry_after_ns)
    if isinstance(error, ReplaceFailed):
        status = 409 if error.reject_code == _PARTLY_DONE else 400
        shown = venue.account_payloads.replaced(error.replaced, "FULL")
        if isinstance(error, ReplaceLimited):
            limit = error.limit
            return Refusal(429, error.reject_code, error.text, shown, limit.retry_after_ns)
        return Refusal(status, error.reject_code, error.text, shown)
    return Refusal(_STATUSES.get(error.reject_code, 400), error.reject_code, error.text)
