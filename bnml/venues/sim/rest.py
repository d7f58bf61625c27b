"""REST: one table of paths, and the way from an HTTP request to an operation and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from bnml.core.orders import ListKind
from bnml.venues.sim import operations_account as account
from bnml.venues.sim import operations_lists as lists
from bnml.venues.sim import operations_market as market
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Operation, Refusal, Security, perform, refusal
from bnml.venues.sim.params import Params
from bnml.venues.sim.signing import read_request, rest_payload

if TYPE_CHECKING:
    from bnml.venues.sim.signing import ApiKey
    from bnml.venues.sim.stepper import Stepper
    from bnml.venues.sim.venue import Venue

ROUTES: Final[dict[tuple[str, str], Operation]] = {
    ("GET", "/api/v3/ping"): market.PING,
    ("GET", "/api/v3/time"): market.TIME,
    ("GET", "/api/v3/exchangeInfo"): market.EXCHANGE_INFO,
    ("GET", "/api/v3/klines"): market.KLINES,
    ("GET", "/api/v3/uiKlines"): market.KLINES,
    ("GET", "/api/v3/depth"): market.DEPTH,
    ("GET", "/api/v3/trades"): market.TRADES,
    ("GET", "/api/v3/historicalTrades"): market.HISTORICAL_TRADES,
    ("GET", "/api/v3/aggTrades"): market.AGGREGATE_TRADES,
    ("GET", "/api/v3/ticker/24hr"): market.TICKER_24H,
    ("GET", "/api/v3/ticker/price"): market.TICKER_PRICE,
    ("GET", "/api/v3/ticker/bookTicker"): market.BOOK_TICKER,
    ("GET", "/api/v3/avgPrice"): market.AVERAGE_PRICE,
    ("POST", "/api/v3/order"): account.PLACE,
    ("POST", "/api/v3/order/test"): account.TEST_ORDER,
    ("GET", "/api/v3/order"): account.QUERY,
    ("DELETE", "/api/v3/order"): account.CANCEL,
    ("POST", "/api/v3/order/cancelReplace"): account.REPLACE,
    ("GET", "/api/v3/openOrders"): account.OPEN_ORDERS,
    ("DELETE", "/api/v3/openOrders"): account.CANCEL_ALL,
    ("GET", "/api/v3/allOrders"): account.ALL_ORDERS,
    ("GET", "/api/v3/myTrades"): account.MY_TRADES,
    ("GET", "/api/v3/account"): account.ACCOUNT,
    ("GET", "/api/v3/account/commission"): account.COMMISSION,
    ("GET", "/api/v3/rateLimit/order"): account.ORDER_LIMITS,
    **{("POST", f"/api/v3/orderList/{kind.lower()}"): lists.PLACE[kind] for kind in ListKind},
    ("GET", "/api/v3/orderList"): lists.QUERY,
    ("DELETE", "/api/v3/orderList"): lists.CANCEL,
    ("GET", "/api/v3/openOrderList"): lists.OPEN_LISTS,
    ("GET", "/api/v3/allOrderList"): lists.ALL_LISTS,
}
_encode = msgspec.json.Encoder().encode


async def handle(venue: Venue, request: web.BaseRequest) -> web.Response:
    """Answer one REST request; for a stepper the answer is numbered after the user events it caused."""
    operation = ROUTES.get((request.method, request.path))
    if operation is None:
        return web.Response(status=404, text=f"{request.method} {request.path} does not exist")
    try:
        stepper = venue.steppers.find(request.headers.get("X-SIM-STEPPER"))
    except VenueReject as error:
        return _failure(venue, refusal(venue, error))
    if stepper is None:
        return await _answer(venue, operation, request)
    stepper.in_flight += 1
    try:
        response = await _answer(venue, operation, request)
    finally:
        stepper.in_flight -= 1
    return _numbered(response, stepper)


def _numbered(response: web.Response, stepper: Stepper) -> web.Response:
    response.headers["X-SIM-SEQ"] = str(stepper.number())
    return response


async def _answer(venue: Venue, operation: Operation, request: web.BaseRequest) -> web.Response:
    if venue.faults is not None:
        return await venue.faults.rest(request, partial(_execute, venue, operation, request))
    return await _execute(venue, operation, request)


async def _execute(venue: Venue, operation: Operation, request: web.BaseRequest) -> web.Response:
    query = request.raw_path.partition("?")[2]
    body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
    key: ApiKey | None = None
    try:
        params = Params(read_request(query, body))
        payload = b""
        if operation.security is Security.SIGNED:
            key = venue.keys.find(request.headers.get("X-MBX-APIKEY"))
            payload = rest_payload(query, body)
            params.discard("signature")
        result = perform(venue, operation, params, key, payload)
    except VenueReject as error:
        return _failure(venue, refusal(venue, error))
    headers = _usage(venue)
    if operation.orders and key is not None:
        for limit, count in venue.limits.order_counts(key.account, venue.window_ns):
            headers[f"X-MBX-ORDER-COUNT-{limit.letter}"] = str(count)
    return _response(200, result, headers)


def _usage(venue: Venue) -> dict[str, str]:
    used = str(venue.limits.used_weight(venue.window_ns))
    return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}


def _failure(venue: Venue, refused: Refusal) -> web.Response:
    headers = _usage(venue)
    if refused.retry_after_ns:
        headers["Retry-After"] = str(venue.wall_seconds(refused.retry_after_ns))
    return _response(refused.status, refused.body(), headers)


def _response(status: int, result: Any, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, body=_encode(result), content_type="application/json", headers=headers)
