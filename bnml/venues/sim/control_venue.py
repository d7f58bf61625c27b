"""Controls of the venue under `/sim/`: symbol status, delistings, maintenance, bans, and the end of connections."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.venue import announce_shutdown
from bnml.venues.sim.weights import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.venues.sim.venue import Venue

MAX_NOTICE_S: Final = 3600.0


class StatusRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /sim/status`."""

    symbol: str
    status: Literal["TRADING", "HALT", "BREAK", "CANCEL_ONLY"]


class DelistRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`POST /sim/delist`: a moment of market time in milliseconds; None calls it off."""

    symbol: str
    delist_time: int | None


class MaintenanceRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /sim/maintenance`."""

    on: bool


class BanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`POST /sim/ban`: seconds of the time that rate windows count by; 0 ends a ban."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=3 * 86_400)]


class ShutdownRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`POST /sim/shutdown`: the sockets that are open now are told, and closed after the notice."""

    notice_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_NOTICE_S)] = 0.0


def venue_routes(venue: Venue) -> dict[tuple[str, str], Callable[[bytes], dict[str, Any]]]:
    """Handlers by method and path."""
    return {
        ("POST", "/sim/status"): partial(_status, venue),
        ("POST", "/sim/delist"): partial(_delist, venue),
        ("POST", "/sim/maintenance"): partial(_maintenance, venue),
        ("POST", "/sim/ban"): partial(_ban, venue),
        ("POST", "/sim/shutdown"): partial(_shutdown, venue),
    }


def _status(venue: Venue, body: bytes) -> dict[str, Any]:
    wanted = msgspec.json.decode(body, type=StatusRequest)
    _known(venue, wanted.symbol)
    venue.set_status(wanted.symbol, wanted.status)
    return {"symbol": wanted.symbol, "status": wanted.status}


def _delist(venue: Venue, body: bytes) -> dict[str, Any]:
    wanted = msgspec.json.decode(body, type=DelistRequest)
    _known(venue, wanted.symbol)
    venue.access.schedule(wanted.symbol, wanted.delist_time)
    venue.begin_request()
    return {"symbol": wanted.symbol, "delistTime": wanted.delist_time, "now": venue.now_ns // NS_PER_MS}


def _maintenance(venue: Venue, body: bytes) -> dict[str, Any]:
    venue.access.in_maintenance = msgspec.json.decode(body, type=MaintenanceRequest).on
    return {"on": venue.access.in_maintenance}


def _ban(venue: Venue, body: bytes) -> dict[str, Any]:
    seconds = msgspec.json.decode(body, type=BanRequest).seconds
    venue.limits.address(LOOPBACK).bans.ban(venue.window_ns, int(seconds * NS_PER_S))
    return {"seconds": seconds}


def _shutdown(venue: Venue, body: bytes) -> dict[str, Any]:
    notice_s = msgspec.json.decode(body, type=ShutdownRequest).notice_s if body else 0.0
    told = list(venue.sockets)
    announce_shutdown(venue)

    def close() -> None:
        for connection in told:
            connection.finish()

    asyncio.get_running_loop().call_later(notice_s, close)
    return {"sockets": len(told), "noticeS": notice_s}


def _known(venue: Venue, symbol: str) -> None:
    if symbol not in venue.instruments:
        raise VenueReject(-1121, "Invalid symbol.")
