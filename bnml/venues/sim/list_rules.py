"""Rules of a new order list: kinds allowed, legs, sides, and their prices in relation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import ListKind, OrderType, Side
from bnml.venues.sim.filters import filter_failure, mandatory
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.orders import STOP_LOSS_TYPES

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.desk_state import Held
    from bnml.venues.sim.messages import ListRequest, OrderRequest
    from bnml.venues.sim.rules import SymbolRules

_TAKES = frozenset({OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT})
_ALLOWED_WORKING = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER})


def check_list(request: ListRequest, instrument: Instrument) -> None:
    """Shape of a list: kind allowed, number and sides of legs, prices in relation."""
    allowed = {
        ListKind.OCO: instrument.oco_allowed,
        ListKind.OTO: instrument.oto_allowed,
        ListKind.OTOCO: instrument.oto_allowed and instrument.oco_allowed,
        ListKind.OPO: instrument.opo_allowed,
        ListKind.OPOCO: instrument.opo_allowed and instrument.oco_allowed,
    }[request.kind]
    if not allowed:
        raise VenueReject(-2010, f"{request.kind} orders are not supported for this symbol.")
    pairs = request.kind in {ListKind.OCO, ListKind.OTOCO, ListKind.OPOCO}
    if len(request.pending) != (2 if pairs else 1):
        raise mandatory("belowType" if pairs else "pendingType")
    _check_working(request)
    if pairs:
        _check_pair(request.pending[0], request.pending[1])


def check_places(side: Side, above: OrderType, below: OrderType) -> None:
    """Which type may be above the market and which below, by side."""
    buys = side is Side.BUY
    if above is OrderType.LIMIT_MAKER and below is OrderType.LIMIT_MAKER:
        raise VenueReject(-1168, "At least one OCO order must be contingent.")
    if buys and above is OrderType.LIMIT_MAKER:
        raise VenueReject(-1165, "A limit order in a buy OCO must be below.")
    if not buys and below is OrderType.LIMIT_MAKER:
        raise VenueReject(-1166, "A limit order in a sell OCO must be above.")
    if buys and below in STOP_LOSS_TYPES:
        raise VenueReject(-1196, "A stop loss order in a buy OCO must be above.")
    if not buys and above in STOP_LOSS_TYPES:
        raise VenueReject(-1197, "A stop loss order in a sell OCO must be below.")
    if buys and above in _TAKES:
        raise VenueReject(-1198, "A take profit order in a buy OCO must be below.")
    if not buys and below in _TAKES:
        raise VenueReject(-1199, "A take profit order in a sell OCO must be above.")


def check_list_count(held: Held, rules: SymbolRules) -> None:
    """MAX_NUM_ORDER_LISTS; a list counts once, however many orders it has."""
    if rules.max_lists and held.lists >= rules.max_lists:
        raise filter_failure("MAX_NUM_ORDER_LISTS")


def _check_working(request: ListRequest) -> None:
    if request.kind is ListKind.OCO:
        if request.working is not None:
            raise VenueReject(-1106, "Parameter 'workingType' sent when not required.")
        return
    if request.working is None or request.working.type not in _ALLOWED_WORKING:
        raise VenueReject(
            -1102, "Mandatory parameter 'workingType' was not sent, was empty/null, or malformed."
        )
    if request.kind in {ListKind.OPO, ListKind.OPOCO}:
        if request.working.side is not Side.BUY:
            raise VenueReject(-1222, "OPO working order must be a BUY.")
        if any(leg.side is not Side.SELL for leg in request.pending):
            raise VenueReject(-1223, "OPO pending orders must be SELL.")


def _check_pair(first: OrderRequest, second: OrderRequest) -> None:
    """One leg acts above the market, one below, and the upper price is the higher one."""
    if first.side is not second.side or first.quantity_e8 != second.quantity_e8:
        raise VenueReject(-2010, "The legs of an OCO must agree in side and quantity.")
    above = [leg for leg in (first, second) if _is_above(leg)]
    if len(above) != 1:
        raise VenueReject(-1168, "At least one OCO order must be contingent.")
    below = second if above[0] is first else first
    upper, lower = _leg_price(above[0]), _leg_price(below)
    if upper and lower and upper <= lower:
        raise VenueReject(-2010, "The relationship of the prices for the orders is not correct.")


def _is_above(leg: OrderRequest) -> bool:
    if leg.type in {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}:
        return leg.side is Side.BUY
    if leg.type in {OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}:
        return leg.side is Side.SELL
    raise VenueReject(-1158, f"Order type {leg.type} is not supported in an OCO.")


def _leg_price(leg: OrderRequest) -> int:
    return leg.stop_price_e8 or leg.price_e8
