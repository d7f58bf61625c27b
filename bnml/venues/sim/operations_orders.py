"""Signed operations that change orders in place, or tell what became of them."""

from __future__ import annotations

from typing import Any, Final

from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Call, Operation, Security
from bnml.venues.sim.params import Params
from bnml.venues.sim.params_orders import order_key, read_quantity, symbol_of
from bnml.venues.sim.payloads_filters import exchange_filters, symbol_filters


def amend(call: Call) -> dict[str, Any]:
    """Reduce the quantity of an order, which keeps its place in the book."""
    params = call.params
    key = order_key(params, symbol_of(params, call.venue.instruments))
    client_order_id = params.client_id("newClientOrderId") or ""
    quantity_e8 = read_quantity(params, "newQty")
    params.finish()
    amended = call.venue.exchange.amend(call.account, key, quantity_e8, client_order_id)
    return call.payloads.amended(amended)


def amendments(call: Call) -> list[dict[str, Any]]:
    """All amendments of one order, from an execution on."""
    params = call.params
    symbol = symbol_of(params, call.venue.instruments)
    order_id = params.integer("orderId")
    first_id = params.optional_integer("fromExecutionId") or 0
    limit = params.limit(500, 1000)
    params.finish()
    found = call.venue.exchange.read.amendments(call.account, symbol, order_id, first_id, limit)
    return [call.payloads.amendment(one) for one in found]


def prevented_matches(call: Call) -> list[dict[str, Any]]:
    """Matches that self-trade prevention stopped: by their own number, or of one order."""
    params = call.params
    symbol = symbol_of(params, call.venue.instruments)
    prevented_id, order_id = params.optional_integer("preventedMatchId"), params.optional_integer("orderId")
    first_id = params.optional_integer("fromPreventedMatchId")
    limit = params.limit(500, 1000)
    params.finish()
    if (prevented_id is None) == (order_id is None) or (prevented_id is not None and first_id is not None):
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    found = call.venue.exchange.read.prevented_matches(
        call.account,
        symbol,
        prevented_id=prevented_id,
        order_id=order_id,
        first_id=first_id or 0,
        limit=limit,
    )
    return [call.payloads.prevented(one) for one in found]


def my_filters(call: Call) -> dict[str, Any]:
    """The filters that count or limit what this account has on a symbol; no asset is limited here."""
    symbol = symbol_of(call.params, call.venue.instruments)
    call.params.finish()
    manage = call.venue.exchange.manage
    shown = symbol_filters(call.venue.instruments[symbol], manage.rules(symbol))
    return {
        "exchangeFilters": exchange_filters(manage.limits),
        "symbolFilters": [one for one in shown if one["filterType"].startswith("MAX_")],
        "assetFilters": [],
    }


def _prevented_weight(params: Params) -> int:
    return 20 if "orderId" in params else 2


_SIGNED: Final = Security.SIGNED
AMEND: Final = Operation(amend, 4, Security.TRADE, free_when_done=True)
MY_FILTERS: Final = Operation(my_filters, 40, _SIGNED)
AMENDMENTS: Final = Operation(amendments, 4, _SIGNED)
PREVENTED_MATCHES: Final = Operation(prevented_matches, _prevented_weight, _SIGNED)
