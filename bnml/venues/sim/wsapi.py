"""The WebSocket API: the same operations by method name, and the user data subscriptions of a connection."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import WSCloseCode

from bnml.core.orders import ListKind
from bnml.venues.sim import operations_account as account
from bnml.venues.sim import operations_lists as lists
from bnml.venues.sim import operations_market as market
from bnml.venues.sim import operations_orders as orders
from bnml.venues.sim import operations_tickers as tickers
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Caller, Operation, Security, perform, refusal
from bnml.venues.sim.params import Params, json_text
from bnml.venues.sim.signing import KeyKind, socket_payload
from bnml.venues.sim.weights import Banned

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
    "ticker.24hr": tickers.TICKER_24H,
    "ticker.tradingDay": tickers.TRADING_DAY,
    "ticker": tickers.ROLLING_WINDOW,
    "ticker.price": tickers.TICKER_PRICE,
    "ticker.book": tickers.BOOK_TICKER,
    "order.place": account.PLACE,
    "order.test": account.TEST_ORDER,
    "order.status": account.QUERY,
    "order.cancel": account.CANCEL,
    "order.cancelReplace": account.REPLACE,
    "order.amend.keepPriority": orders.AMEND,
    "order.amendments": orders.AMENDMENTS,
    "myFilters": orders.MY_FILTERS,
    "myPreventedMatches": orders.PREVENTED_MATCHES,
    "openOrders.status": account.OPEN_ORDERS,
    "openOrders.cancelAll": account.CANCEL_ALL,
    "allOrders": account.ALL_ORDERS,
    "myTrades": account.MY_TRADES,
    "account.status": account.ACCOUNT,
    "account.commission": account.COMMISSION,
    "account.rateLimits.orders": account.ORDER_LIMITS,
    **{f"orderList.place.{kind.lower()}": lists.PLACE[kind] for kind in ListKind},
    "orderList.place": lists.PLACE_PAIR,
    "orderList.status": lists.QUERY,
    "orderList.cancel": lists.CANCEL,
    "openOrderLists.status": lists.OPEN_LISTS,
    "allOrderLists": lists.ALL_LISTS,
}
_PROVING: Final = frozenset({"session.logon", "userDataStream.subscribe.signature"})
"""Methods that need a signature of their own, whatever the session has proved."""
_encode = msgspec.json.Encoder().encode


class ApiRequest(msgspec.Struct, frozen=True):
    """One request; the id comes back with the answer."""

    method: str
    id: int | str | None = None
    params: dict[str, Any] = {}


class ApiSession:
    """One connection to the WebSocket API; `logon` saves later requests key and signature."""

    def __init__(self, venue: Venue, connection: Connection, *, shows_limits: bool, address: str) -> None:
        self._venue = venue
        self._connection = connection
        self._shows_limits = shows_limits
        self._address = address
        self._connected_ns = venue.wall_ns()
        self._authorized_ns: int | None = None
        self._own_subscription: int | None = None  # the one that ends with the logon
        connection.farewell = self._farewell
        self._own = {
            "userDataStream.subscribe": Operation(self._subscribe_session, 2),
            "userDataStream.subscribe.signature": Operation(self._subscribe, 2, Security.SIGNED),
            "userDataStream.unsubscribe": Operation(self._unsubscribe, 2),
            "session.subscriptions": Operation(self._subscriptions, 2),
            "session.status": Operation(self._status, 2),
            "session.logon": Operation(self._logon, 2, Security.SIGNED),
            "session.logout": Operation(self._logout, 2),
        }

    def allows_frame(self, now_s: float) -> bool:  # noqa: ARG002 - here it is weight that is limited
        """Every frame is taken."""
        return True

    def receive(self, text: str | bytes) -> None:
        """Carry out one request; its answer follows the user events it caused."""
        try:
            request = msgspec.json.decode(text, type=ApiRequest)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._send_error(VenueReject(-1135, "Invalid JSON Request"))
            return
        self._revoke()
        values = {name: json_text(value) for name, value in request.params.items()}
        execute = partial(self._answer, request, values, self._venue.wall_ms())
        if self._venue.faults is None:
            self._connection.send(execute())
        else:
            self._venue.faults.api(self._connection, request.id, request.method, values, execute)

    def close(self) -> None:
        """The socket is gone."""
        self._venue.users.drop(self._connection)

    def _answer(self, request: ApiRequest, values: dict[str, str], received_ms: int) -> bytes:
        venue = self._venue
        shows_limits = values.get("returnRateLimits", "true" if self._shows_limits else "false") == "true"
        account_name = ""
        try:
            result, account_name = self._perform(request.method, values, received_ms)
        except VenueReject as error:
            refused = refusal(venue, error)
            body = refused.body()
            if refused.retry_after_ns:
                after_ms = venue.wall_ms() + 1000 * venue.wall_seconds(refused.retry_after_ns)
                body["data"] = {"serverTime": venue.wall_ms(), "retryAfter": after_ms}
            answer: dict[str, Any] = {"id": request.id, "status": refused.status, "error": body}
            if isinstance(error, Banned):
                end = partial(self._connection.finish, WSCloseCode.POLICY_VIOLATION, b"banned")
                asyncio.get_running_loop().call_soon(end)  # after the answer is sent
        else:
            answer = {"id": request.id, "status": 200, "result": result}
        if shows_limits:
            answer["rateLimits"] = self._limits(account_name)
        return _encode(answer)

    def _perform(self, method: str, values: dict[str, str], received_ms: int) -> tuple[Any, str]:
        """The result, and the account whose order counts the answer shows (if it placed an order)."""
        name = method.removeprefix("v3/")
        operation = METHODS.get(name) or self._own.get(name)
        if operation is None:
            raise VenueReject(-1000, f"Unknown method: {method}")
        params = Params(values)
        params.discard("returnRateLimits")
        caller = Caller(address=self._address, received_ms=received_ms, unit_ns=self._connection.unit_ns)
        if operation.security is not Security.OPEN:
            session_key = "" if name in _PROVING else self._connection.session_key
            caller = msgspec.structs.replace(
                caller,
                api_key=values.get("apiKey"),
                session_key=session_key,
                payload=socket_payload(values),
            )
            params.discard("apiKey", "signature")
        result = perform(self._venue, operation, params, caller)
        if not operation.orders:
            return result, ""
        return result, self._venue.keys.find(caller.api_key or caller.session_key).account

    def _limits(self, account_name: str) -> list[dict[str, Any]]:
        now_ns = self._venue.window_ns
        orders = self._venue.limits.order_counts(account_name, now_ns) if account_name else []
        rows = [limit.row(count) for limit, count in orders]
        return [*rows, self._venue.limits.weight_row(now_ns, self._address)]

    def _subscribe(self, call: Call) -> dict[str, Any]:
        call.params.finish()
        return {"subscriptionId": self._venue.users.subscribe(call.account, self._connection)}

    def _subscribe_session(self, call: Call) -> dict[str, Any]:
        """For the account that the session is logged on to; no signature, and no timestamp either."""
        call.params.discard("apiKey")
        call.params.finish()
        key = self._venue.keys.find(self._connection.session_key)
        self._venue.keys.permit(key, self._address, trading=False)
        self._own_subscription = self._venue.users.subscribe(key.account, self._connection)
        return {"subscriptionId": self._own_subscription}

    def _unsubscribe(self, call: Call) -> dict[str, Any]:
        subscription_id = call.params.optional_integer("subscriptionId")
        call.params.finish()
        self._venue.users.unsubscribe(self._connection, subscription_id, self._venue.now_ns)
        return {}

    def _subscriptions(self, call: Call) -> list[dict[str, int]]:
        call.params.finish()
        return [{"subscriptionId": one} for one in self._venue.users.subscriptions(self._connection)]

    def _status(self, call: Call) -> dict[str, Any]:
        call.params.finish()
        unit_ns = self._connection.unit_ns
        return {
            "apiKey": self._connection.session_key or None,
            "authorizedSince": None if self._authorized_ns is None else self._authorized_ns // unit_ns,
            "connectedSince": self._connected_ns // unit_ns,
            "returnRateLimits": self._shows_limits,
            "serverTime": self._venue.wall_ns() // unit_ns,
            "userDataStream": bool(self._venue.users.subscriptions(self._connection)),
        }

    def _logon(self, call: Call) -> dict[str, Any]:
        """Authenticate the connection, or change its key; Binance allows this to Ed25519 keys only."""
        if call.key is None or call.key.kind is not KeyKind.ED25519:
            kind = "HMAC_SHA256" if call.key is None or call.key.kind is KeyKind.HMAC else call.key.kind
            raise VenueReject(-4056, f"{kind} API key is not supported.")
        self._connection.session_key = call.key.api_key
        self._authorized_ns = self._venue.wall_ns()
        return self._status(call)

    def _logout(self, call: Call) -> dict[str, Any]:
        self._log_out()
        return self._status(call)

    def _log_out(self) -> None:
        """Forget the key, and end the subscription that was made with it; others stay."""
        self._connection.session_key, self._authorized_ns = "", None
        if self._own_subscription in self._venue.users.subscriptions(self._connection):
            self._venue.users.unsubscribe(self._connection, self._own_subscription, self._venue.now_ns)
        self._own_subscription = None

    def _revoke(self) -> None:
        """A session whose key became invalid is told so with its next request, and logged out."""
        api_key = self._connection.session_key
        if not api_key:
            return
        try:
            self._venue.keys.permit(self._venue.keys.find(api_key), self._address, trading=False)
        except VenueReject as error:
            self._log_out()
            self._send_error(error)

    def _send_error(self, error: VenueReject) -> None:
        """An error that answers no request."""
        refused = refusal(self._venue, error)
        self._connection.send(_encode({"id": None, "status": refused.status, "error": refused.body()}))

    def _farewell(self, ts_ns: int) -> bytes:
        event = {"e": "serverShutdown", "E": ts_ns // self._connection.unit_ns}
        return _encode({"event": event})
