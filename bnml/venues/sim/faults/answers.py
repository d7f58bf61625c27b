"""Wrong answers by name: HTTP status, code, text or body of each, and their form on either wire."""

from __future__ import annotations

from math import ceil
from typing import Any, Final

import msgspec
from aiohttp import web

from bnml.venues.sim.faults.actions import Answer

JSON: Final = "application/json"
HTML: Final = "text/html"


def _page(title: str) -> str:
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )


def _html(status: int, title: str) -> Answer:
    return Answer(status=status, body=_page(f"{status} {title}"), content_type=HTML)


_TOO_MANY = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
_USE_STREAMS = "Please use WebSocket Streams for live updates to avoid "
PRESETS: Final[dict[str, Answer]] = {
    "too_many_requests": Answer(
        status=429, code=-1003, text=_TOO_MANY + _USE_STREAMS + "polling the API.", retry_after_s=10
    ),
    "too_many_orders": Answer(
        status=429,
        code=-1015,
        text="Too many new orders; current limit is 100 orders per 10 SECOND.",
        retry_after_s=10,
    ),
    "banned": Answer(
        status=418,
        code=-1003,
        retry_after_s=120,
        text="Way too much request weight used; IP banned until {until_ms}. " + _USE_STREAMS + "bans.",
    ),
    "unknown_error": Answer(
        status=500, code=-1000, text="An unknown error occurred while processing the request."
    ),
    "disconnected": Answer(
        status=500, code=-1001, text="Internal error; unable to process your request. Please try again."
    ),
    "unexpected_response": Answer(
        status=500,
        code=-1006,
        text="An unexpected response was received from the message bus. Execution status unknown.",
    ),
    "timeout": Answer(
        status=504,
        code=-1007,
        text="Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    ),
    "overloaded": Answer(
        status=503,
        code=-1008,
        text="Server is currently overloaded with other requests. Please try again in a few minutes.",
    ),
    "maintenance": Answer(status=503, code=-1016, text="This service is no longer available."),
    "unavailable": Answer(status=503, body="Service Unavailable", content_type="text/plain"),
    "bad_gateway": _html(502, "Bad Gateway"),
    "gateway_timeout": _html(504, "Gateway Time-out"),
    "firewall": _html(403, "Forbidden"),
    "clock_ahead": Answer(
        status=400, code=-1021, text="Timestamp for this request was 1000ms ahead of the server's time."
    ),
    "clock_behind": Answer(
        status=400, code=-1021, text="Timestamp for this request is outside of the recvWindow."
    ),
    "bad_signature": Answer(status=400, code=-1022, text="Signature for this request is not valid."),
    "bad_key_format": Answer(status=401, code=-2014, text="API-key format invalid."),
    "key_refused": Answer(status=401, code=-2015, text="Invalid API-key, IP, or permissions for action."),
    "insufficient_balance": Answer(
        status=400, code=-2010, text="Account has insufficient balance for requested action."
    ),
    "would_match": Answer(status=400, code=-2010, text="Order would immediately match and take."),
    "would_trigger": Answer(status=400, code=-2010, text="Stop price would trigger immediately."),
    "market_closed": Answer(status=400, code=-2010, text="Market is closed."),
    "account_frozen": Answer(status=400, code=-2010, text="This account may not place or cancel orders."),
    "unknown_order": Answer(status=400, code=-2011, text="Unknown order sent."),
    "no_such_order": Answer(status=400, code=-2013, text="Order does not exist."),
    "bad_symbol": Answer(status=400, code=-1121, text="Invalid symbol."),
    "price_filter": Answer(status=400, code=-1013, text="Filter failure: PRICE_FILTER"),
    "lot_size": Answer(status=400, code=-1013, text="Filter failure: LOT_SIZE"),
    "notional": Answer(status=400, code=-1013, text="Filter failure: NOTIONAL"),
    "percent_price": Answer(status=400, code=-1013, text="Filter failure: PERCENT_PRICE_BY_SIDE"),
}
"""What `like` may name."""
_encode = msgspec.json.Encoder().encode


def complete(answer: Answer) -> Answer:
    """The named answer, with what the script gives for itself in place of its parts."""
    if not answer.like:
        return answer
    base = PRESETS[answer.like]
    given = {
        name: value
        for name in ("status", "code", "text", "body", "content_type", "retry_after_s")
        if (value := getattr(answer, name))
    }
    if "body" not in given and ({"code", "text"} & given.keys()):
        given.setdefault("body", "")
    return msgspec.structs.replace(base, **given)


def http_answer(answer: Answer, wall_ms: int) -> web.Response:
    """The answer as HTTP."""
    whole = complete(answer)
    headers = {}
    if whole.retry_after_s:
        headers["Retry-After"] = str(max(1, ceil(whole.retry_after_s)))
    if whole.body or not whole.code:
        body, kind = (whole.body or whole.text).encode(), whole.content_type or "text/plain"
    else:
        body, kind = _encode(error_object(whole, wall_ms)), whole.content_type or JSON
    return web.Response(status=whole.status, body=body, content_type=kind, headers=headers)


def socket_answer(answer: Answer, request_id: int | str | None, wall_ms: int) -> tuple[bytes, bool]:
    """The answer on the WebSocket API, and whether it is a JSON object: a body goes out as it is."""
    whole = complete(answer)
    if whole.body:
        return whole.body.encode(), False
    error = error_object(whole, wall_ms)
    if whole.retry_after_s:
        error["data"] = {"serverTime": wall_ms, "retryAfter": _until_ms(whole, wall_ms)}
    return _encode({"id": request_id, "status": whole.status, "error": error}), True


def error_object(answer: Answer, wall_ms: int) -> dict[str, Any]:
    """Code and text as Binance sends them."""
    return {"code": answer.code, "msg": answer.text.replace("{until_ms}", str(_until_ms(answer, wall_ms)))}


def _until_ms(answer: Answer, wall_ms: int) -> int:
    return wall_ms + round(1000 * answer.retry_after_s)
