"""Signed operations on order lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bnml.core.orders import ListKind, OrderType, Side
from bnml.venues.sim.messages import ListKey, VenueReject
from bnml.venues.sim.operations import Call, Operation, Security
from bnml.venues.sim.operations_market import check_day, time_range
from bnml.venues.sim.params_orders import ResponseType, list_key, read_list, symbol_of

_ORDERS: Final = {
    ListKind.OCO: 2,
    ListKind.OTO: 2,
    ListKind.OTOCO: 3,
    ListKind.OPO: 2,
    ListKind.OPOCO: 3,
}


_LIMIT_NAMES: Final = {
    "price": "Price",
    "limitClientOrderId": "ClientOrderId",
    "limitIcebergQty": "IcebergQty",
    "limitStrategyId": "StrategyId",
    "limitStrategyType": "StrategyType",
}
_STOP_NAMES: Final = {
    "stopPrice": "StopPrice",
    "trailingDelta": "TrailingDelta",
    "stopLimitPrice": "Price",
    "stopLimitTimeInForce": "TimeInForce",
    "stopClientOrderId": "ClientOrderId",
    "stopIcebergQty": "IcebergQty",
    "stopStrategyId": "StrategyId",
    "stopStrategyType": "StrategyType",
}


def _placing(kind: ListKind) -> Callable[[Call], dict[str, Any]]:
    def place(call: Call) -> dict[str, Any]:
        """A new order list; the answer carries reports unless only an ACK is wanted."""
        symbol = symbol_of(call.params, call.venue.instruments)
        request = read_list(call.params, symbol, kind)
        shown = call.params.optional_choice("newOrderRespType", ResponseType)
        call.params.finish()
        view = call.venue.exchange.place_list(call.account, request)
        return call.payloads.order_list(view, with_reports=shown is not ResponseType.ACK)

    return place


def place_pair(call: Call) -> dict[str, Any]:
    """An OCO in the parameters that it had before its legs were named by their place; Binance still takes them."""
    symbol = symbol_of(call.params, call.venue.instruments)
    side = call.params.choice("side", Side)
    for name in ("quantity", "price", "stopPrice"):
        call.params.text(name)
    if "stopLimitPrice" in call.params:
        call.params.text("stopLimitTimeInForce")
        stop_type = OrderType.STOP_LOSS_LIMIT
    else:
        call.params.forbid("stopLimitTimeInForce")
        stop_type = OrderType.STOP_LOSS
    limit, stop = ("above", "below") if side is Side.SELL else ("below", "above")
    names = {old: limit + new for old, new in _LIMIT_NAMES.items()}
    names |= {old: stop + new for old, new in _STOP_NAMES.items()}
    types = {f"{limit}Type": OrderType.LIMIT_MAKER.value, f"{stop}Type": stop_type.value}
    params = call.params.renamed(names, types)
    request = read_list(params, symbol, ListKind.OCO)
    shown = params.optional_choice("newOrderRespType", ResponseType)
    params.finish()
    view = call.venue.exchange.place_list(call.account, request)
    return call.payloads.order_list(view, with_reports=shown is not ResponseType.ACK)


def query(call: Call) -> dict[str, Any]:
    """One list in any state."""
    key = list_key(call.params, "", "origClientOrderId")
    call.params.finish()
    return call.payloads.order_list(call.venue.exchange.read.order_list(call.account, key))


def cancel(call: Call) -> dict[str, Any]:
    """Cancel all orders of a list."""
    key: ListKey = list_key(call.params, symbol_of(call.params, call.venue.instruments), "listClientOrderId")
    cancel_id = call.params.client_id("newClientOrderId") or ""
    call.params.finish()
    view = call.venue.exchange.cancel_list(call.account, key, cancel_id)
    return call.payloads.order_list(view, with_reports=True)


def open_lists(call: Call) -> list[dict[str, Any]]:
    """Lists with open orders."""
    call.params.finish()
    return [
        call.payloads.order_list(view)
        for view in call.venue.exchange.read.lists(call.account, open_only=True)
    ]


def all_lists(call: Call) -> list[dict[str, Any]]:
    """Lists in any state: from an id on, within a day, or the latest."""
    params = call.params
    first_id = params.optional_integer("fromId")
    start_ns, end_ns = time_range(params)
    limit = params.limit(500, 1000)
    params.finish()
    check_day(start_ns, end_ns)
    if first_id is not None and (start_ns is not None or end_ns is not None):
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    found = [
        view
        for view in call.venue.exchange.read.lists(call.account)
        if (first_id is None or view.list_id >= first_id)
        and (start_ns is None or view.ts_ns >= start_ns)
        and (end_ns is None or view.ts_ns <= end_ns)
    ]
    page = found[-limit:] if first_id is None and start_ns is None else found[:limit]
    return [call.payloads.order_list(view) for view in page]


PLACE: Final = {
    kind: Operation(_placing(kind), 1, Security.TRADE, orders=count, free_when_done=True)
    for kind, count in _ORDERS.items()
}
PLACE_PAIR = Operation(place_pair, 1, Security.TRADE, orders=2, free_when_done=True)
QUERY = Operation(query, 4, Security.SIGNED)
CANCEL = Operation(cancel, 1, Security.TRADE, free_when_done=True)
OPEN_LISTS = Operation(open_lists, 6, Security.SIGNED)
ALL_LISTS = Operation(all_lists, 20, Security.SIGNED)
