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
_WITH_PAIR = frozenset({ListKind.OTOCO, ListKind.OPOCO})


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
    _add_prices(params, instrument, ticket, _names(""))
    return params


@cache
def _names(prefix: str) -> tuple[str, str, str]:
    """What price, stop price and time in force are called behind a prefix."""
    names = ("Price", "StopPrice", "TimeInForce") if prefix else ("price", "stopPrice", "timeInForce")
    price, stop_price, time_in_force = (prefix + name for name in names)
    return price, stop_price, time_in_force


def _add_prices(
    params: Params, instrument: Instrument, ticket: OrderTicket, names: tuple[str, str, str]
) -> None:
    price, stop_price, time_in_force = names
    if ticket.type in _WITH_PRICE:
        params[price] = instrument.price_text(ticket.price_ticks)
    if ticket.stop_price_ticks:
        params[stop_price] = instrument.price_text(ticket.stop_price_ticks)
    if ticket.time_in_force is not None:
        params[time_in_force] = ticket.time_in_force.value


def _add_leg(params: Params, instrument: Instrument, ticket: OrderTicket, prefix: str) -> None:
    params[f"{prefix}Type"] = ticket.type.value
    params[f"{prefix}ClientOrderId"] = ticket.client_order_id
    _add_prices(params, instrument, ticket, _names(prefix))


def _list_request(instrument: Instrument, ticket: ListTicket) -> Request:
    params: Params = {
        "symbol": ticket.symbol,
        "listClientOrderId": ticket.list_client_order_id,
        "newOrderRespType": "FULL",
    }
    if ticket.kind is ListKind.OCO:
        _add_oco(params, instrument, ticket)
    else:
        _add_triggered(params, instrument, ticket)
    name = ticket.kind.value.lower()
    return Request(f"orderList.place.{name}", "POST", f"/api/v3/orderList/{name}", params)


def _add_oco(params: Params, instrument: Instrument, ticket: ListTicket) -> None:
    above, below = _above_and_below(ticket)
    params["side"] = above.side.value
    params["quantity"] = instrument.quantity_text(above.quantity_lots)
    _add_leg(params, instrument, above, "above")
    _add_leg(params, instrument, below, "below")


def _add_triggered(params: Params, instrument: Instrument, ticket: ListTicket) -> None:
    working = ticket.working
    if working is None:
        raise Fatal(f"list {ticket.list_client_order_id} of kind {ticket.kind} has no working order")
    params["workingSide"] = working.side.value
    params["workingQuantity"] = instrument.quantity_text(working.quantity_lots)
    _add_leg(params, instrument, working, "working")
    params["pendingSide"] = ticket.pending[0].side.value
    if ticket.kind not in _SIZED_BY_WORKING:
        params["pendingQuantity"] = instrument.quantity_text(ticket.pending[0].quantity_lots)
    if ticket.kind in _WITH_PAIR:
        above, below = _above_and_below(ticket)
        _add_leg(params, instrument, above, "pendingAbove")
        _add_leg(params, instrument, below, "pendingBelow")
    elif len(ticket.pending) == 1:
        _add_leg(params, instrument, ticket.pending[0], "pending")
    else:
        raise Fatal(
            f"list {ticket.list_client_order_id} of kind {ticket.kind} needs exactly one pending order"
        )


def _above_and_below(ticket: ListTicket) -> tuple[OrderTicket, OrderTicket]:
    """(target, stop) of a sell; the pair's order in the ticket is target first."""
    if len(ticket.pending) != 2:
        raise Fatal(f"list {ticket.list_client_order_id} of kind {ticket.kind} needs a target and a stop")
    return ticket.pending[0], ticket.pending[1]
