"""Commands to requests: one table of method names and paths, one set of parameters for REST and WebSocket API."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.errors import Fatal
from bnml.core.orders import ListKind, ListTicket, OrderTicket, OrderType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.core.instrument import Instrument

Params = dict[str, str]
VenueCommand = Submit | CancelOrder | CancelList | ReplaceOrder | QueryOrder

_WITH_PRICE = frozenset(
    {OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
)
_SIZED_BY_WORKING = frozenset({ListKind.OPO, ListKind.OPOCO})


class Request(msgspec.Struct, frozen=True):
    """One signed request; both transports carry the same parameters."""

    api_method: str
    http_method: str
    path: str
    params: Params
    order: bool = True  # counts and fails as an order does: an unclear answer leaves its outcome unknown


def request_of(command: VenueCommand, instruments: Mapping[str, Instrument], cancel_id: str = "") -> Request:
    """The request of a command; `cancel_id` names the cancel itself, which the venue would else name at random."""
    if isinstance(command, Submit):
        ticket = command.order.ticket
        instrument = instruments[ticket.symbol]
        if isinstance(ticket, OrderTicket):
            params = {**_order_params(instrument, ticket), "newOrderRespType": "FULL"}
            return Request("order.place", "POST", "/api/v3/order", params)
        return _list_request(instrument, ticket)
    if isinstance(command, CancelOrder):
        params = {"symbol": command.symbol, "origClientOrderId": command.client_order_id}
        return Request(
            "order.cancel", "DELETE", "/api/v3/order", _named(params, "newClientOrderId", cancel_id)
        )
    if isinstance(command, CancelList):
        params = {"symbol": command.symbol, "listClientOrderId": command.list_client_order_id}
        return Request(
            "orderList.cancel", "DELETE", "/api/v3/orderList", _named(params, "newClientOrderId", cancel_id)
        )
    if isinstance(command, ReplaceOrder):
        params = {
            **_order_params(instruments[command.ticket.symbol], command.ticket),
            "cancelReplaceMode": "STOP_ON_FAILURE",
            # A stop that has sold a part must not be replaced by one that sells the whole.
            "cancelRestrictions": "ONLY_NEW",
            "cancelOrigClientOrderId": command.cancel_client_order_id,
            "newOrderRespType": "FULL",
        }
        return Request(
            "order.cancelReplace",
            "POST",
            "/api/v3/order/cancelReplace",
            _named(params, "cancelNewClientOrderId", cancel_id),
        )
    return query_of(command.symbol, command.client_order_id)


def query_of(symbol: str, client_order_id: str) -> Request:
    """Ask for one order by our own id."""
    params = {"symbol": symbol, "origClientOrderId": client_order_id}
    return Request("order.status", "GET", "/api/v3/order", params, order=False)


def _named(params: Params, key: str, name: str) -> Params:
    return {**params, key: name} if name else params


def _order_params(instrument: Instrument, ticket: OrderTicket) -> Params:
    params = {
        "symbol": ticket.symbol,
        "side": ticket.side.value,
        "type": ticket.type.value,
        "newClientOrderId": ticket.client_order_id,
        "quantity": instrument.quantity_text(ticket.quantity_lots),
    }
    return params | _prices(instrument, ticket, "")


def _prices(instrument: Instrument, ticket: OrderTicket, prefix: str) -> Params:
    """Price, stop price and time in force under the names that `prefix` gives them."""
    found = {}
    if ticket.type in _WITH_PRICE:
        found[_key(prefix, "price")] = instrument.price_text(ticket.price_ticks)
    if ticket.stop_price_ticks:
        found[_key(prefix, "stopPrice")] = instrument.price_text(ticket.stop_price_ticks)
    if ticket.time_in_force is not None:
        found[_key(prefix, "timeInForce")] = ticket.time_in_force.value
    return found


@cache
def _key(prefix: str, name: str) -> str:
    return f"{prefix}{name[0].upper()}{name[1:]}" if prefix else name


def _leg(instrument: Instrument, ticket: OrderTicket, prefix: str) -> Params:
    return {
        f"{prefix}Type": ticket.type.value,
        f"{prefix}ClientOrderId": ticket.client_order_id,
    } | _prices(instrument, ticket, prefix)


def _list_request(instrument: Instrument, ticket: ListTicket) -> Request:
    params: Params = {
        "symbol": ticket.symbol,
        "listClientOrderId": ticket.list_client_order_id,
        "newOrderRespType": "FULL",
    }
    if ticket.kind is ListKind.OCO:
        params |= _oco_params(instrument, ticket)
    else:
        params |= _triggered_params(instrument, ticket)
    name = ticket.kind.value.lower()
    return Request(f"orderList.place.{name}", "POST", f"/api/v3/orderList/{name}", params)


def _oco_params(instrument: Instrument, ticket: ListTicket) -> Params:
    above, below = _above_and_below(ticket)
    return {
        "side": above.side.value,
        "quantity": instrument.quantity_text(above.quantity_lots),
        **_leg(instrument, above, "above"),
        **_leg(instrument, below, "below"),
    }


def _triggered_params(instrument: Instrument, ticket: ListTicket) -> Params:
    working = ticket.working
    if working is None:
        raise Fatal(f"list {ticket.list_client_order_id} of kind {ticket.kind} has no working order")
    params = {
        "workingSide": working.side.value,
        "workingQuantity": instrument.quantity_text(working.quantity_lots),
        **_leg(instrument, working, "working"),
        "pendingSide": ticket.pending[0].side.value,
    }
    if ticket.kind not in _SIZED_BY_WORKING:
        params["pendingQuantity"] = instrument.quantity_text(ticket.pending[0].quantity_lots)
    if ticket.kind in {ListKind.OTOCO, ListKind.OPOCO}:
        above, below = _above_and_below(ticket)
        return params | _leg(instrument, above, "pendingAbove") | _leg(instrument, below, "pendingBelow")
    if len(ticket.pending) != 1:
        raise Fatal(
            f"list {ticket.list_client_order_id} of kind {ticket.kind} needs exactly one pending order"
        )
    return params | _leg(instrument, ticket.pending[0], "pending")


def _above_and_below(ticket: ListTicket) -> tuple[OrderTicket, OrderTicket]:
    """(target, stop) of a sell; the pair's order in the ticket is target first."""
    if len(ticket.pending) != 2:
        raise Fatal(f"list {ticket.list_client_order_id} of kind {ticket.kind} needs a target and a stop")
    return ticket.pending[0], ticket.pending[1]
