"""The way of a market event to its listeners: encoded once for each unit of time that somebody wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.venues.sim.hub import MICROSECONDS

if TYPE_CHECKING:
    from bnml.venues.sim.hub import Hub

US_PER_MS: Final = 1_000
_ROW_CLOSE: Final = 6
_TIMES: Final = frozenset({"E", "C", "O", "time", "openTime", "closeTime", "serverTime"})
_encode = msgspec.json.Encoder().encode


class Outlet:
    """Sends to the hub what somebody hears."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def wanted(self, stream: str) -> bool:
        """Whether anybody listens, in whatever unit."""
        hub = self._hub
        return hub.wanted(stream) or hub.wanted(stream + MICROSECONDS)

    def send(self, stream: str, event: Any) -> None:
        """Encode and send one event."""
        hub = self._hub
        if hub.wanted(stream):
            hub.publish(stream, _encode(event))
        if hub.wanted(stream + MICROSECONDS):
            hub.publish(stream + MICROSECONDS, _encode(in_microseconds(event)))


def in_microseconds(event: Any) -> Any:
    """A payload of market data with its times in microseconds; the end of a candle is its last microsecond."""
    if isinstance(event, list):
        return [_kline_row(one) if isinstance(one, list) else in_microseconds(one) for one in event]
    if not isinstance(event, dict):
        return event
    shown = dict(event)
    for name in _TIMES & shown.keys():
        shown[name] *= US_PER_MS
    if "k" in shown:
        candle = shown["k"]
        shown["k"] = {**candle, "t": candle["t"] * US_PER_MS, "T": _last_of(candle["T"])}
    if "T" in shown:
        shown["T"] *= US_PER_MS
    return shown


def _kline_row(row: list[Any]) -> list[Any]:
    return [row[0] * US_PER_MS, *row[1:_ROW_CLOSE], _last_of(row[_ROW_CLOSE]), *row[_ROW_CLOSE + 1 :]]


def _last_of(last_ms: int) -> int:
    return (last_ms + 1) * US_PER_MS - 1
