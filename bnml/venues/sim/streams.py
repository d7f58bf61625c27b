"""The market data sockets: `/ws`, `/ws/<names>`, `/stream?streams=` and their subscription requests."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.venues.sim.hub import MAX_STREAMS

if TYPE_CHECKING:
    from bnml.venues.sim.hub import Hub, Listener

RequestId = int | str | None
MAX_MESSAGES_PER_S: Final = 5
_MAX_ID_TEXT: Final = 36


class StreamRequest(msgspec.Struct, frozen=True):
    """`{"method": "SUBSCRIBE", "params": [...], "id": 1}` and its relatives."""

    method: str
    params: list[str | bool] = []
    id: RequestId = None


class StreamError(Exception):
    """A subscription request that is refused, with Binance's small code and its text."""

    def __init__(self, code: int, text: str, request_id: RequestId = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.request_id = request_id


class MessageBudget:
    """Binance cuts off a market data client that sends more than five messages within a second."""

    def __init__(self) -> None:
        self._sent_s: deque[float] = deque(maxlen=MAX_MESSAGES_PER_S)

    def allows(self, now_s: float) -> bool:
        """Count a message at wall time `now_s`; False when it is one too many."""
        is_full = len(self._sent_s) == MAX_MESSAGES_PER_S
        if is_full and now_s - self._sent_s[0] < 1:
            return False
        self._sent_s.append(now_s)
        return True


def path_streams(path: str, query: str) -> list[str]:
    """Stream names in the path or in `streams=`; a bare number, as ccxt appends it, is no name."""
    names = [*path.split("/"), *query.split("/")]
    return [name for name in names if name and not name.isdigit()]


def answer(hub: Hub, listener: Listener, text: str | bytes) -> bytes:
    """Carry out one request of a client and return the encoded reply."""
    try:
        request = _decode(text)
        result = _carry_out(hub, listener, request)
    except StreamError as error:
        body: dict[str, Any] = {"error": {"code": error.code, "msg": error.text}, "id": error.request_id}
    else:
        body = {"result": result, "id": request.id}
    return msgspec.json.encode(body)


def _decode(text: str | bytes) -> StreamRequest:
    try:
        request = msgspec.json.decode(text, type=StreamRequest)
    except msgspec.ValidationError as error:
        raise StreamError(2, f"Invalid request: {error}") from error
    except msgspec.DecodeError as error:
        raise StreamError(3, f"Invalid JSON: {error}") from error
    if isinstance(request.id, str) and len(request.id) > _MAX_ID_TEXT:
        raise StreamError(
            2, "Invalid request: id must be an integer, a string of at most 36 characters or null"
        )
    return request


def _carry_out(hub: Hub, listener: Listener, request: StreamRequest) -> list[str] | bool | None:
    match request.method:
        case "SUBSCRIBE":
            _subscribe(hub, listener, request)
            return None
        case "UNSUBSCRIBE":
            for name in _names(request):
                hub.unsubscribe(listener, name)
            return None
        case "LIST_SUBSCRIPTIONS":
            return list(listener.names.values())
        case "SET_PROPERTY" | "GET_PROPERTY":
            return _property(listener, request)
        case _:
            raise StreamError(
                2,
                f"Invalid request: unknown variant `{request.method}`, expected one of `SUBSCRIBE`, "
                "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`",
                request.id,
            )


def _subscribe(hub: Hub, listener: Listener, request: StreamRequest) -> None:
    names = _names(request)
    if len(listener.names) + len(names) > MAX_STREAMS:
        raise StreamError(2, f"Invalid request: too many streams, at most {MAX_STREAMS}", request.id)
    for name in names:
        hub.subscribe(listener, name)


def _names(request: StreamRequest) -> list[str]:
    names = [name for name in request.params if isinstance(name, str) and name]
    if not names or len(names) != len(request.params):
        raise StreamError(2, "Invalid request: params must be a list of stream names", request.id)
    return names


def _property(listener: Listener, request: StreamRequest) -> bool | None:
    if request.params[:1] != ["combined"]:
        raise StreamError(0, "Unknown property", request.id)
    if request.method == "GET_PROPERTY":
        return listener.combined
    if len(request.params) != 2 or not isinstance(request.params[1], bool):
        raise StreamError(1, "Invalid value type: expected Boolean", request.id)
    listener.combined = request.params[1]
    return None
