"""What a request costs of the minute's weight, so that many at once do not find the same room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# Source: the weights on the exchange's REST pages; the answers' headers correct what is out of date here.
_WEIGHTS: Final[Mapping[str, int]] = {
    "/api/v3/exchangeInfo": 20,
    "/api/v3/klines": 2,
    "/api/v3/depth": 5,
    "/api/v3/ticker/24hr": 80,
    "/api/v3/account": 20,
    "/api/v3/openOrders": 80,
    "/api/v3/allOrders": 20,
    "/api/v3/order": 4,
    "/api/v3/myTrades": 20,
    "/api/v3/rateLimit/order": 40,
}
_OF_ONE_SYMBOL: Final[Mapping[str, int]] = {"/api/v3/ticker/24hr": 2, "/api/v3/openOrders": 6}
_OF_ONE_ORDER: Final[Mapping[str, int]] = {"/api/v3/myTrades": 5}


def weight_of(method: str, path: str, params: Mapping[str, str]) -> int:
    """Weight of a REST request; whatever changes an order weighs 1."""
    if method != "GET":
        return 1
    if "orderId" in params and path in _OF_ONE_ORDER:
        return _OF_ONE_ORDER[path]
    if "symbol" in params and path in _OF_ONE_SYMBOL:
        return _OF_ONE_SYMBOL[path]
    return _WEIGHTS.get(path, 1)


_ORDERS_OF_LIST: Final[Mapping[str, int]] = {"oco": 2, "oto": 2, "opo": 2, "otoco": 3, "opoco": 3}
_API_WEIGHTS: Final[Mapping[str, int]] = {"userDataStream.subscribe.signature": 2, "order.status": 4}


def api_weight_of(method: str) -> int:
    """Weight of a request of the WebSocket API that is in use here."""
    return _API_WEIGHTS.get(method, 1)


def orders_of(method: str, path: str = "") -> int:
    """How many new orders a request places: by the WebSocket API's `method`, or by REST verb and path."""
    if path:
        return _placed(path.removeprefix("/api/v3/").split("/")) if method == "POST" else 0
    words = method.split(".")
    return _placed([words[0], *words[2:]]) if words[1:2] == ["place"] else int(words[-1] == "cancelReplace")


def _placed(words: list[str]) -> int:
    """`order`, `order/cancelReplace`, `orderList/otoco`."""
    return _ORDERS_OF_LIST.get(words[-1], 1) if words[0] == "orderList" else int(words[0] == "order")
