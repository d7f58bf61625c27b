"""Binance's filters and parameter rules: refuse what Binance refuses, with its codes and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import ListKind, OrderType, Side
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.orders import PRICED_TYPES, STOP_TYPES, TIMED_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.messages import ListRequest, OrderRequest
    from bnml.venues.sim.orders import SimOrder

PERCENT_UP = 5  # PERCENT_PRICE_BY_SIDE: bid and ask multipliers, as on most spot pairs
PERCENT_DOWN_PARTS = 5  # multiplierDown 0.2 = 1 / 5
_ALLOWED_WORKING = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER})


def filter_failure(name: str) -> VenueReject:
    """The refusal of filter `name`."""
    return VenueReject(-1013, f"Filter failure: {name}")


def check_status(instrument: Instrument) -> None:
    """New orders only while the symbol trades."""
    if instrument.status != "TRADING":
        raise VenueReject(-2010, "Market is closed.")


def check_parameters(request: OrderRequest, *, sized_later: bool = False) -> None:
    """Which parameters an order type must and must not have."""
    _present("price", request.price_e8, required=request.type in PRICED_TYPES)
    _present("stopPrice", request.stop_price_e8, required=request.type in STOP_TYPES)
    if request.type in TIMED_TYPES and request.time_in_force is None:
        raise _mandatory("timeInForce")
    if request.type not in TIMED_TYPES and request.time_in_force is not None:
        raise VenueReject(-1106, "Parameter 'timeInForce' sent when not required.")
    if request.quote_quantity_e8 and (request.type is not OrderType.MARKET or request.quantity_e8):
        raise VenueReject(-1106, "Parameter 'quoteOrderQty' sent when not required.")
    if sized_later:
        _present("quantity", request.quantity_e8, required=False)
    elif not request.quantity_e8 and not request.quote_quantity_e8:
        raise _mandatory("quantity")


def check_amounts(request: OrderRequest, instrument: Instrument, last_ticks: int) -> None:
    """PRICE_FILTER, PERCENT_PRICE_BY_SIDE, LOT_SIZE, MARKET_LOT_SIZE and NOTIONAL, in this order.

    A quantity of 0 (quoteOrderQty, or a leg sized later) is checked when it is known.
    """
    for price_e8 in (request.price_e8, request.stop_price_e8):
        if price_e8:
            _check_price(price_e8, instrument)
    price_ticks = request.price_e8 // instrument.tick_e8
    if price_ticks and not last_ticks <= price_ticks * PERCENT_DOWN_PARTS <= last_ticks * 25:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")
    if request.quantity_e8:
        if request.quantity_e8 % instrument.lot_e8:
            raise filter_failure("LOT_SIZE")
        valued_at = price_ticks or request.stop_price_e8 // instrument.tick_e8 or last_ticks
        check_quantity(request.type, request.quantity_e8 // instrument.lot_e8, valued_at, instrument)
    elif request.quote_quantity_e8 and not (
        instrument.min_notional_e8 <= request.quote_quantity_e8 <= instrument.max_notional_e8
    ):
        raise filter_failure("NOTIONAL")


def check_quantity(type_: OrderType, lots: int, price_ticks: int, instrument: Instrument) -> None:
    """LOT_SIZE, MARKET_LOT_SIZE and NOTIONAL of a quantity in lots."""
    if not instrument.min_lots <= lots <= instrument.max_lots:
        raise filter_failure("LOT_SIZE")
    if type_ is OrderType.MARKET and lots > instrument.market_max_lots:
        raise filter_failure("MARKET_LOT_SIZE")
    notional_e8 = instrument.notional_e8(price_ticks, lots)
    if not instrument.min_notional_e8 <= notional_e8 <= instrument.max_notional_e8:
        raise filter_failure("NOTIONAL")


def check_counts(
    open_orders: Iterable[SimOrder], requests: Iterable[OrderRequest], instrument: Instrument
) -> None:
    """MAX_NUM_ORDERS and MAX_NUM_ALGO_ORDERS of one account on one symbol, waiting legs included."""
    orders = stops = 0
    for order in open_orders:
        orders += 1
        stops += order.waits_for_trigger
    for request in requests:
        orders += request.type is not OrderType.MARKET
        stops += request.type in STOP_TYPES
    if orders > instrument.max_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if stops > instrument.max_algo_orders:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")


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
        raise _mandatory("belowType" if pairs else "pendingType")
    _check_working(request)
    if pairs:
        _check_pair(request.pending[0], request.pending[1])


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
        raise VenueReject(-1168, "Both OCO orders cannot be on the same side of the market.")
    below = second if above[0] is first else first
    if _leg_price(above[0]) <= _leg_price(below):
        raise VenueReject(-2010, "The relationship of the prices for the orders is not correct.")


def _is_above(leg: OrderRequest) -> bool:
    if leg.type in {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}:
        return leg.side is Side.BUY
    if leg.type in {OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}:
        return leg.side is Side.SELL
    raise VenueReject(-1158, f"Order type {leg.type} is not supported in an OCO.")


def _leg_price(leg: OrderRequest) -> int:
    return leg.stop_price_e8 or leg.price_e8


def _check_price(price_e8: int, instrument: Instrument) -> None:
    ticks, rest = divmod(price_e8, instrument.tick_e8)
    if rest or not instrument.min_ticks <= ticks <= instrument.max_ticks:
        raise filter_failure("PRICE_FILTER")


def _present(name: str, amount_e8: int, *, required: bool) -> None:
    if required and not amount_e8:
        raise _mandatory(name)
    if amount_e8 and not required:
        raise VenueReject(-1106, f"Parameter '{name}' sent when not required.")


def _mandatory(name: str) -> VenueReject:
    return VenueReject(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
