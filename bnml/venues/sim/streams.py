"""The market data sockets: `/ws`, `/ws/<names>`, `/stream?streams=` and their subscription requests."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import msgspec

from bnml.venues.sim.hub import MAX_STREAMS, Listener

if TYPE_CHECKING:
    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.hub import Hub

RequestId = int | str | None
MAX_MESSAGES_PER_S: Final = 5
_ID_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{1,36}\Z")
_NAME: Final = re.compile(r"[^\s@/?&]+(@[^\s/?&]+)*\Z")


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


class StreamSession:
    """One market data connection; every frame that it sends counts, pings and pongs too."""

    def __init__(self, hub: Hub, connection: Connection, names: list[str], *, combined: bool) -> None:
        self._hub = hub
        self._connection = connection
        self._budget = MessageBudget()
        self._listener = Listener(connection, combined=combined)
        connection.farewell = self._farewell
        for name in names:
            hub.subscribe(self._listener, name)

    def allows_frame(self, now_s: float) -> bool:
        """Count one frame of the client; False when it sends too many."""
        return self._budget.allows(now_s)

    def receive(self, text: str | bytes) -> None:
        """Answer one request."""
        self._connection.send(answer(self._hub, self._listener, text))

    def close(self) -> None:
        """The socket is gone."""
        self._hub.drop(self._listener)

    def _farewell(self, ts_ns: int) -> bytes:
        event = {"e": "serverShutdown", "E": ts_ns // self._connection.unit_ns}
        shown = {"stream": "!serverShutdown", "data": event} if self._listener.combined else event
        return msgspec.json.encode(shown)


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
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StreamError(3, f"Invalid JSON: {error}") from error
    if not isinstance(found, dict):
        raise StreamError(2, "Invalid request: expected an object")
    request_id = found.get("id")
    if not _is_id(request_id):
        raise StreamError(2, "Invalid request: request ID must be an unsigned integer")
    if "method" not in found:
        raise StreamError(2, "Invalid request: missing field `method`", request_id)
    try:
        return msgspec.convert(found, StreamRequest)
    except msgspec.ValidationError as error:
        raise StreamError(2, f"Invalid request: {error}", request_id) from error


def _is_id(value: Any) -> TypeGuard[RequestId]:
    """A 64-bit integer, up to 36 letters, digits or `-_`, or null."""
    if isinstance(value, str):
        return _ID_TEXT.match(value) is not None
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return value is None


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
            if request.params:
                raise StreamError(2, "Invalid request: too many parameters", request.id)
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
    if len(listener.names) + len(set(names) - set(listener.names.values())) > MAX_STREAMS:
        raise StreamError(2, f"Invalid request: too many streams, at most {MAX_STREAMS}", request.id)
    for name in names:
        hub.subscribe(listener, name)


def _names(request: StreamRequest) -> list[str]:
    names = [name for name in request.params if isinstance(name, str)]
    if not names or len(names) != len(request.params):
        raise StreamError(2, "Invalid request: params must be a list of stream names", request.id)
    if not all(_NAME.match(name) for name in names):
        raise StreamError(2, "Invalid request: invalid stream", request.id)
    return names


def _property(listener: Listener, request: StreamRequest) -> bool | None:
    wanted = 1 if request.method == "GET_PROPERTY" else 2
    name = request.params[0] if request.params else None
    if not isinstance(name, str):
        raise StreamError(2, "Invalid request: property name must be a string", request.id)
    if len(request.params) > wanted:
        raise StreamError(2, "Invalid request: too many parameters", request.id)
    if name != "combined":
        raise StreamError(0, "Unknown property", request.id)
    if wanted == 1:
        return listener.combined
    value = request.params[1] if len(request.params) == wanted else None
    if not isinstance(value, bool):
        raise StreamError(1, "Invalid value type: expected Boolean", request.id)
    listener.combined = value
    return None
