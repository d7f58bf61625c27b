"""What happens at a seam, as rules see it: requests, frames and user events become events to match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.venues.sim.faults.rules import Event, Seam
from bnml.venues.sim.hub import MICROSECONDS
from bnml.venues.sim.messages import (
    AccountPosition,
    BalanceUpdate,
    ExecutionReport,
    ListStatus,
    VenueReject,
)
from bnml.venues.sim.signing import read_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from bnml.venues.sim.messages import UserEvent
    from bnml.venues.sim.signing import KeyRing

KINDS: dict[type, str] = {
    ExecutionReport: "executionReport",
    AccountPosition: "outboundAccountPosition",
    BalanceUpdate: "balanceUpdate",
    ListStatus: "listStatus",
}
_IS_CLOSED = b'"x":true'
_FAST = "@100ms"


async def rest_values(request: web.BaseRequest) -> dict[str, str]:
    """Parameters of a REST request; none when it is malformed."""
    try:
        body = await request.text() if request.can_read_body else ""
        return read_request(request.raw_path.partition("?")[2], body)
    except (VenueReject, UnicodeDecodeError):
        return {}


def request_event(names: tuple[str, ...], values: Mapping[str, str], account: str) -> Event:
    """A request by its spellings, on either wire."""
    return Event(
        seam=Seam.REQUEST,
        names=names,
        symbol=values.get("symbol", ""),
        client_order_ids=tuple(value for name, value in values.items() if name.endswith("ClientOrderId")),
        account=account,
    )


def frame_event(name: str, payload: bytes) -> Event:
    """A market event on its way out."""
    name = name.removesuffix(MICROSECONDS)
    symbol, _, kind = name.partition("@")
    closed = kind.startswith("kline") and _IS_CLOSED in payload
    shown = "" if symbol.startswith("!") else symbol.upper()
    return Event(seam=Seam.STREAM, names=(name, name.removesuffix(_FAST)), symbol=shown, closed=closed)


def user_event(event: UserEvent) -> Event:
    """A user event on its way out."""
    names = (KINDS[type(event)],)
    if isinstance(event, ExecutionReport):
        ids = tuple(dict.fromkeys((event.order.client_order_id, event.client_order_id)))
        return Event(
            seam=Seam.USER_EVENT,
            names=names,
            symbol=event.order.symbol,
            client_order_ids=ids,
            account=event.account,
            execution=event.execution,
            status=event.order.status,
        )
    if isinstance(event, ListStatus):
        made = event.order_list
        ids = (made.list_client_order_id, *(order.client_order_id for order in made.orders))
        return Event(
            seam=Seam.USER_EVENT,
            names=names,
            symbol=made.symbol,
            client_order_ids=ids,
            account=event.account,
        )
    return Event(seam=Seam.USER_EVENT, names=names, account=event.account)


def account_of(keys: KeyRing, api_key: str | None) -> str:
    """Whose key it is; "" for none and for an unknown one."""
    try:
        return keys.find(api_key).account
    except VenueReject:
        return ""
