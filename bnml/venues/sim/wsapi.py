"""The WebSocket API: the same operations by method name, and the user data subscriptions of a connection."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.clock import NS_PER_MS
from bnml.core.orders import ListKind
from bnml.venues.sim import operations_account as account
from bnml.venues.sim import operations_lists as lists
from bnml.venues.sim import operations_market as market
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Operation, Security, perform, refusal
from bnml.venues.sim.params import Params, json_text
from bnml.venues.sim.signing import socket_payload

if TYPE_CHECKING:
    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.operations import Call
    from bnml.venues.sim.venue import Venue

METHODS: Final[dict[str, Operation]] = {
    "ping": market.PING,
    "time": market.TIME,
    "exchangeInfo": market.EXCHANGE_INFO,
    "depth": market.DEPTH,
    "klines": market.KLINES,
    "uiKlines": market.KLINES,
    "trades.recent": market.TRADES,
    "trades.historical": market.HISTORICAL_TRADES,
    "trades.aggregate": market.AGGREGATE_TRADES,
    "avgPrice": market.AVERAGE_PRICE,
    "ticker.24hr": market.TICKER_24H,
    "ticker.price": market.TICKER_PRICE,
    "ticker.book": market.BOOK_TICKER,
    "order.place": account.PLACE,
    "order.test": account.TEST_ORDER,
    "order.status": account.QUERY,
    "order.cancel": account.CANCEL,
    "order.cancelReplace": account.REPLACE,
    "openOrders.status": account.OPEN_ORDERS,
    "openOrders.cancelAll": account.CANCEL_ALL,
    "allOrders": account.ALL_ORDERS,
    "myTrades": account.MY_TRADES,
    "account.status": account.ACCOUNT,
    "account.commission": account.COMMISSION,
    "account.rateLimits.orders": account.ORDER_LIMITS,
    **{f"orderList.place.{kind.lower()}": lists.PLACE[kind] for kind in ListKind},
    "orderList.status": lists.QUERY,
    "orderList.cancel": lists.CANCEL,
    "openOrderLists.status": lists.OPEN_LISTS,
    "allOrderLists": lists.ALL_LISTS,
}
_encode = msgspec.json.Encoder().encode


class ApiRequest(msgspec.Struct, frozen=True):
    """One request; the id comes back with the answer."""

    method: str
    id: int | str | None = None
    params: dict[str, Any] = {}


class ApiSession:
    """One connection to the WebSocket API."""

    def __init__(self, venue: Venue, connection: Connection, *, shows_limits: bool) -> None:
        self._venue = venue
        self._connection = connection
        self._shows_limits = shows_limits
        self._own = {
            "userDataStream.subscribe.signature": Operation(self._subscribe, 2, Security.SIGNED),
            "userDataStream.unsubscribe": Operation(self._unsubscribe, 2),
            "session.subscriptions": Operation(self._subscriptions, 2),
            "session.status": Operation(self._status, 2),
            "session.logon": Operation(self._logon, 2),
            "session.logout": Operation(self._logout, 2),
        }

    def receive(self, text: str | bytes) -> None:
        """Carry out one request; its answer follows the user events it caused."""
        try:
            request = msgspec.json.decode(text, type=ApiRequest)
        except msgspec.DecodeError:
            error = {"code": -1135, "msg": "Invalid JSON Request"}
            self._connection.send(_encode({"id": None, "status": 400, "error": error}))
            return
        if self._venue.faults is None:
            self._connection.send(self._answer(request))
            return
        values = {name: json_text(value) for name, value in request.params.items()}
        self._venue.faults.api(self._connection, request.method, values, partial(self._answer, request))

    def close(self) -> None:
        """The socket is gone."""
        self._venue.users.drop(self._connection)

    def _answer(self, request: ApiRequest) -> bytes:
        venue = self._venue
        values = {name: json_text(value) for name, value in request.params.items()}
        shows_limits = values.get("returnRateLimits", "true" if self._shows_limits else "false") == "true"
        account_name = ""
        try:
            result, account_name = self._perform(request.method, values)
        except VenueReject as error:
            refused = refusal(venue, error)
            body = refused.body()
            if refused.retry_after_ns:
                after_ms = venue.wall_ms() + 1000 * venue.wall_seconds(refused.retry_after_ns)
                body["data"] = {"serverTime": venue.wall_ms(), "retryAfter": after_ms}
            answer: dict[str, Any] = {"id": request.id, "status": refused.status, "error": body}
        else:
            answer = {"id": request.id, "status": 200, "result": result}
        if shows_limits:
            answer["rateLimits"] = self._limits(account_name)
        return _encode(answer)

    def _perform(self, method: str, values: dict[str, str]) -> tuple[Any, str]:
        """The result, and the account whose order counts the answer shows (if it placed an order)."""
        name = method.removeprefix("v3/")
        operation = METHODS.get(name) or self._own.get(name)
        if operation is None:
            raise VenueReject(-1000, f"Unknown method: {method}")
        params = Params(values)
        params.discard("returnRateLimits")
        key, payload = None, b""
        if operation.security is Security.SIGNED:
            key = self._venue.keys.find(values.get("apiKey"))
            params.discard("apiKey", "signature")
            payload = socket_payload(values)
        result = perform(self._venue, operation, params, key, payload)
        return result, key.account if key is not None and operation.orders else ""

    def _limits(self, account_name: str) -> list[dict[str, Any]]:
        now_ns = self._venue.window_ns
        orders = self._venue.limits.order_counts(account_name, now_ns) if account_name else []
        return [*(limit.row(count) for limit, count in orders), self._venue.limits.weight_row(now_ns)]

    def _subscribe(self, call: Call) -> dict[str, Any]:
        call.params.finish()
        return {"subscriptionId": self._venue.users.subscribe(call.account, self._connection)}

    def _unsubscribe(self, call: Call) -> dict[str, Any]:
        subscription_id = call.params.optional_integer("subscriptionId")
        call.params.finish()
        ts_ms = self._venue.now_ns // NS_PER_MS
        self._venue.users.unsubscribe(self._connection, subscription_id, ts_ms)
        return {}

    def _subscriptions(self, call: Call) -> list[dict[str, int]]:
        call.params.finish()
        return [{"subscriptionId": one} for one in self._venue.users.subscriptions(self._connection)]

    def _status(self, call: Call) -> dict[str, Any]:
        """Never logged on: a session needs an Ed25519 key, and the keys of this exchange are HMAC."""
        call.params.finish()
        return {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": None,
            "returnRateLimits": self._shows_limits,
            "serverTime": self._venue.wall_ms(),
            "userDataStream": bool(self._venue.users.subscriptions(self._connection)),
        }

    def _logon(self, call: Call) -> dict[str, Any]:
        self._venue.keys.find(call.params.optional("apiKey"))
        raise VenueReject(-4056, "HMAC_SHA256 API key is not supported.")

    def _logout(self, call: Call) -> dict[str, Any]:
        return self._status(call)
