"""What a request can ask for, independent of the way it comes in: one row per operation."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from bnml.venues.sim.messages import ReplaceFailed, VenueReject
from bnml.venues.sim.params import Params
from bnml.venues.sim.weights import TooMany

if TYPE_CHECKING:
    from bnml.venues.sim.signing import ApiKey
    from bnml.venues.sim.venue import Venue


class Security(Enum):
    """Who may ask."""

    OPEN = "anybody"
    SIGNED = "the owner of an API key, with a signature"


class Call:
    """One request on its way to a handler; `account` is empty for open operations."""

    __slots__ = ("account", "params", "venue")

    def __init__(self, venue: Venue, params: Params, account: str = "") -> None:
        self.venue = venue
        self.params = params
        self.account = account


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
_PARTLY_DONE = -2021


def perform(venue: Venue, operation: Operation, params: Params, key: ApiKey | None, payload: bytes) -> Any:
    """Charge, authenticate and carry out one request; user events it causes are sent before this returns.

    A signed operation needs the `key` and the `payload` that was signed. Raises VenueReject.
    """
    venue.begin_request()
    now_ns = venue.window_ns
    weight = operation.weight if isinstance(operation.weight, int) else operation.weight(params)
    venue.limits.charge(weight, now_ns)
    account = ""
    if key is not None:
        venue.keys.verify(key, params, payload, venue.wall_ms())
        account = key.account
    if operation.orders:
        venue.limits.charge_orders(account, operation.orders, now_ns)
    try:
        result = operation.handler(Call(venue, params, account))
    finally:
        venue.settle_request()
    if operation.free_when_done:
        venue.limits.charge(-weight, now_ns)
    return result


def refusal(venue: Venue, error: VenueReject) -> Refusal:
    """The wire form of a refusal."""
    if isinstance(error, TooMany):
        return Refusal(429, error.reject_code, error.text, retry_after_ns=error.retry_after_ns)
    if isinstance(error, ReplaceFailed):
        status = 409 if error.reject_code == _PARTLY_DONE else 400
        return Refusal(
            status, error.reject_code, error.text, venue.account_payloads.replaced(error.replaced, "FULL")
        )
    status = 401 if error.reject_code in _UNAUTHORIZED else 400
    return Refusal(status, error.reject_code, error.text)
