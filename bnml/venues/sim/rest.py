"""REST: one table of paths, and the way from an HTTP request to an operation and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from bnml.core.clock import NS_PER_MS, NS_PER_US
from bnml.core.orders import ListKind
from bnml.venues.sim import operations_account as account
from bnml.venues.sim import operations_lists as lists
from bnml.venues.sim import operations_market as market
from bnml.venues.sim import operations_orders as orders
from bnml.venues.sim import operations_tickers as tickers
from bnml.venues.sim import operations_wallet as wallet
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Caller, Operation, Refusal, Security, perform, refusal
from bnml.venues.sim.params import Params
from bnml.venues.sim.signing import read_request, rest_payload
from bnml.venues.sim.weights import LOOPBACK

if TYPE_CHECKING:
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
    ("GET", "/api/v3/ticker/24hr"): tickers.TICKER_24H,
    ("GET", "/api/v3/ticker/tradingDay"): tickers.TRADING_DAY,
    ("GET", "/api/v3/ticker"): tickers.ROLLING_WINDOW,
    ("GET", "/api/v3/ticker/price"): tickers.TICKER_PRICE,
    ("GET", "/api/v3/ticker/bookTicker"): tickers.BOOK_TICKER,
    ("GET", "/api/v3/avgPrice"): market.AVERAGE_PRICE,
    ("POST", "/api/v3/order"): account.PLACE,
    ("POST", "/api/v3/order/test"): account.TEST_ORDER,
    ("GET", "/api/v3/order"): account.QUERY,
    ("DELETE", "/api/v3/order"): account.CANCEL,
    ("POST", "/api/v3/order/cancelReplace"): account.REPLACE,
    ("PUT", "/api/v3/order/amend/keepPriority"): orders.AMEND,
    ("GET", "/api/v3/order/amendments"): orders.AMENDMENTS,
    ("GET", "/api/v3/myFilters"): orders.MY_FILTERS,
    ("GET", "/api/v3/myPreventedMatches"): orders.PREVENTED_MATCHES,
    ("GET", "/api/v3/openOrders"): account.OPEN_ORDERS,
    ("DELETE", "/api/v3/openOrders"): account.CANCEL_ALL,
    ("GET", "/api/v3/allOrders"): account.ALL_ORDERS,
    ("GET", "/api/v3/myTrades"): account.MY_TRADES,
    ("GET", "/api/v3/account"): account.ACCOUNT,
    ("GET", "/api/v3/account/commission"): account.COMMISSION,
    ("GET", "/api/v3/rateLimit/order"): account.ORDER_LIMITS,
    **{("POST", f"/api/v3/orderList/{kind.lower()}"): lists.PLACE[kind] for kind in ListKind},
    ("POST", "/api/v3/order/oco"): lists.PLACE_PAIR,
    ("GET", "/api/v3/orderList"): lists.QUERY,
    ("DELETE", "/api/v3/orderList"): lists.CANCEL,
    ("GET", "/api/v3/openOrderList"): lists.OPEN_LISTS,
    ("GET", "/api/v3/allOrderList"): lists.ALL_LISTS,
    ("GET", "/sapi/v1/system/status"): wallet.SYSTEM_STATUS,
    ("GET", "/sapi/v1/account/apiRestrictions"): wallet.API_RESTRICTIONS,
    ("GET", "/sapi/v1/account/status"): wallet.ACCOUNT_STATUS,
    ("GET", "/sapi/v1/account/apiTradingStatus"): wallet.TRADING_STATUS,
    ("GET", "/sapi/v1/spot/delist-schedule"): wallet.DELIST_SCHEDULE,
    ("GET", "/sapi/v1/asset/tradeFee"): wallet.TRADE_FEES,
    ("GET", "/sapi/v1/capital/config/getall"): wallet.COINS,
    ("GET", "/sapi/v1/margin/allPairs"): wallet.MARGIN_PAIRS,
    ("GET", "/sapi/v1/margin/isolated/allPairs"): wallet.MARGIN_PAIRS,
}
_TIME_UNITS: Final = {
    "MILLISECOND": NS_PER_MS,
    "millisecond": NS_PER_MS,
    "MICROSECOND": NS_PER_US,
    "microsecond": NS_PER_US,
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
        return failure(venue, refusal(venue, error), request.remote or LOOPBACK)
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
    execute = partial(_execute, venue, operation, request, venue.wall_ms())
    if venue.faults is not None:
        return await venue.faults.rest(request, execute)
    return await execute()


async def _execute(
    venue: Venue, operation: Operation, request: web.BaseRequest, received_ms: int
) -> web.Response:
    address = request.remote or LOOPBACK
    query = request.raw_path.partition("?")[2]
    body = await _form(request)
    try:
        params = Params(read_request(query, body))
        caller = Caller(address=address, received_ms=received_ms, unit_ns=_unit(request))
        if operation.security is not Security.OPEN:
            payload = rest_payload(query, body) if operation.security.is_signed else b""
            api_key = request.headers.get("X-MBX-APIKEY")
            caller = msgspec.structs.replace(caller, api_key=api_key, payload=payload)
            params.discard("signature")
        result = perform(venue, operation, params, caller)
    except VenueReject as error:
        return failure(venue, refusal(venue, error), address, is_wallet=operation.is_wallet)
    headers = _usage(venue, address, is_wallet=operation.is_wallet)
    if operation.orders:
        account_name = venue.keys.find(caller.api_key).account
        for limit, count in venue.limits.order_counts(account_name, venue.window_ns):
            headers[f"X-MBX-ORDER-COUNT-{limit.letter}"] = str(count)
    venue.flush()
    return _response(200, result, headers)


async def _form(request: web.BaseRequest) -> str:
    """The body of a request that may have one, as sent."""
    if request.method == "GET" or not request.can_read_body:
        return ""
    return (await request.read()).decode(errors="replace")


def _unit(request: web.BaseRequest) -> int:
    return time_unit(request.headers.get("X-MBX-TIME-UNIT"))


def time_unit(name: str | None) -> int:
    """The unit of times in nanoseconds; other words are -1194."""
    if name is None:
        return NS_PER_MS
    unit_ns = _TIME_UNITS.get(name)
    if unit_ns is None:
        raise VenueReject(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    return unit_ns


def _usage(venue: Venue, address: str, *, is_wallet: bool) -> dict[str, str]:
    if is_wallet:
        used = venue.limits.address(address).wallet_weight.count(venue.window_ns)
        return {"X-SAPI-USED-IP-WEIGHT-1M": str(used)}
    weight = str(venue.limits.used_weight(venue.window_ns, address))
    return {"X-MBX-USED-WEIGHT": weight, "X-MBX-USED-WEIGHT-1M": weight}


def failure(
    venue: Venue, refused: Refusal, address: str, wait_s: int | None = None, *, is_wallet: bool = False
) -> web.Response:
    """A refusal as HTTP shows it; `wait_s` where it is not the rate windows that have to be waited for."""
    headers = _usage(venue, address, is_wallet=is_wallet)
    if refused.retry_after_ns:
        headers["Retry-After"] = str(wait_s or venue.wall_seconds(refused.retry_after_ns))
    return _response(refused.status, refused.body(), headers)


def _response(status: int, result: Any, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, body=_encode(result), content_type="application/json", headers=headers)
