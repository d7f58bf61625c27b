"""Parameters of new orders and order lists: which are mandatory, optional or forbidden for which type."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bnml.core.instrument import money_e8
from bnml.core.orders import ListKind, OrderType, Side, TimeInForce
from bnml.venues.sim.list_rules import check_places
from bnml.venues.sim.messages import ListKey, ListRequest, OrderKey, OrderRequest, VenueReject
from bnml.venues.sim.orders import PRICED_TYPES, STOP_TYPES

if TYPE_CHECKING:
    from collections.abc import Container
    from decimal import Decimal

    from bnml.venues.sim.params import Params

_NEEDS: Final[dict[OrderType, tuple[str, ...]]] = {
    OrderType.LIMIT: ("timeInForce", "quantity", "price"),
    OrderType.MARKET: (),
    OrderType.LIMIT_MAKER: ("quantity", "price"),
    OrderType.STOP_LOSS: ("quantity", "stopPrice"),  # or trailingDelta, or both
    OrderType.TAKE_PROFIT: ("quantity", "stopPrice"),
    OrderType.STOP_LOSS_LIMIT: ("timeInForce", "quantity", "price", "stopPrice"),
    OrderType.TAKE_PROFIT_LIMIT: ("timeInForce", "quantity", "price", "stopPrice"),
}
_CONDITIONAL: Final = ("timeInForce", "price", "stopPrice")
_UNSUPPORTED: Final = ("pegPriceType", "pegOffsetValue", "pegOffsetType")
_LEAST_STRATEGY_TYPE: Final = 1_000_000


class ResponseType(StrEnum):
    """How much of a new order the answer shows."""

    ACK = "ACK"
    RESULT = "RESULT"
    FULL = "FULL"


class Prevention(StrEnum):
    """Self-trade prevention modes."""

    NONE = "NONE"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"
    DECREMENT = "DECREMENT"
    TRANSFER = "TRANSFER"


def symbol_of(params: Params, known: Container[str]) -> str:
    """The mandatory `symbol`; one that is not listed here is -1121."""
    symbol = params.text("symbol")
    if symbol not in known:
        raise VenueReject(-1121, "Invalid symbol.")
    return symbol


def response_type(params: Params, order_type: OrderType | None) -> ResponseType:
    """`newOrderRespType`, by default FULL for MARKET and LIMIT, ACK for the rest."""
    asked = params.optional_choice("newOrderRespType", ResponseType)
    if asked is not None:
        return asked
    full = order_type in {OrderType.MARKET, OrderType.LIMIT}
    return ResponseType.FULL if full else ResponseType.ACK


def order_key(params: Params, symbol: str, *, prefix: str = "orig") -> OrderKey:
    """`orderId` or `origClientOrderId` (with prefix `cancel`: `cancelOrderId`, `cancelOrigClientOrderId`)."""
    id_name = "orderId" if prefix == "orig" else "cancelOrderId"
    client_name = "origClientOrderId" if prefix == "orig" else "cancelOrigClientOrderId"
    order_id = params.optional_integer(id_name)
    client_order_id = params.client_id(client_name)
    if order_id is None and client_order_id is None:
        if prefix != "orig":
            raise VenueReject(
                -1128, f"Param '{client_name}' or '{id_name}' must be sent, but both were empty/null!"
            )
        raise VenueReject(
            -1102, f"Param '{client_name}' or '{id_name}' must be sent, but both were empty/null!"
        )
    return OrderKey(symbol=symbol, order_id=order_id or 0, client_order_id=client_order_id or "")


def list_key(params: Params, symbol: str, client_name: str) -> ListKey:
    """`orderListId`, or the client's id under `client_name`."""
    list_id = params.optional_integer("orderListId")
    client_order_id = params.client_id(client_name)
    if list_id is None and client_order_id is None:
        raise VenueReject(
            -1102, f"Param '{client_name}' or 'orderListId' must be sent, but both were empty/null!"
        )
    return ListKey(
        symbol=symbol, list_id=0 if list_id is None else list_id, list_client_order_id=client_order_id or ""
    )


def read_order(params: Params, symbol: str) -> OrderRequest:
    """The parameters of POST order."""
    side = params.choice("side", Side)
    return _leg(params, symbol, "", side, params.choice("type", OrderType), prevention=_prevention(params))


def _prevention(params: Params) -> str:
    return params.optional_choice("selfTradePreventionMode", Prevention) or ""


def read_list(params: Params, symbol: str, kind: ListKind) -> ListRequest:
    """The parameters of POST orderList/oco, oto, otoco, opo and opoco."""
    prevention = _prevention(params)
    if kind is ListKind.OCO:
        working = None
        side = params.choice("side", Side)
        pending = _pair(params, symbol, "", side, _quantity(params, "quantity"), prevention)
    else:
        working = _working(params, symbol, prevention)
        side = params.choice("pendingSide", Side)
        quantity = _pending_quantity(params, kind)
        if kind in {ListKind.OTOCO, ListKind.OPOCO}:
            pending = _pair(params, symbol, "pending", side, quantity, prevention)
        else:
            order_type = params.choice("pendingType", OrderType)
            pending = (_leg(params, symbol, "pending", side, order_type, quantity, prevention),)
    _refuse_pegs(params, "")
    return ListRequest(
        symbol=symbol,
        kind=kind,
        working=working,
        pending=pending,
        list_client_order_id=params.client_id("listClientOrderId") or "",
    )


def _working(params: Params, symbol: str, prevention: str) -> OrderRequest:
    order_type = params.choice("workingType", OrderType)
    if order_type not in {OrderType.LIMIT, OrderType.LIMIT_MAKER}:
        raise VenueReject(-1116, "Invalid orderType.")
    side = params.choice("workingSide", Side)
    return _leg(params, symbol, "working", side, order_type, prevention=prevention)


def _pending_quantity(params: Params, kind: ListKind) -> int:
    """OPO and OPOCO size the pending orders themselves, so a quantity must not be sent."""
    if kind in {ListKind.OPO, ListKind.OPOCO}:
        if "pendingQuantity" in params:
            raise VenueReject(-1225, "Parameter 'pendingQuantity' sent when not required.")
        return 0
    return _quantity(params, "pendingQuantity")


def _pair(
    params: Params, symbol: str, prefix: str, side: Side, quantity: int, prevention: str
) -> tuple[OrderRequest, ...]:
    """The legs above and below the market."""
    legs = []
    types = []
    for place in ("above", "below"):
        name = f"{prefix}{place.capitalize()}" if prefix else place
        order_type = params.choice(f"{name}Type", OrderType)
        if order_type in {OrderType.LIMIT, OrderType.MARKET}:
            raise VenueReject(-1158, "Order type not supported in OCO.")
        types.append(order_type)
        legs.append(_leg(params, symbol, name, side, order_type, quantity, prevention))
    check_places(side, types[0], types[1])
    return tuple(legs)


def _leg(
    params: Params,
    symbol: str,
    prefix: str,
    side: Side,
    order_type: OrderType,
    quantity_e8: int | None = None,
    prevention: str = "",
) -> OrderRequest:
    """One order whose parameter names begin with `prefix`; `quantity_e8` where the legs of a list share it."""
    needs = _NEEDS[order_type]
    trailing, iceberg_e8 = _trailing(params, prefix, order_type), _iceberg(params, prefix, order_type)
    for name in _CONDITIONAL:
        if name == "stopPrice" and name in needs:
            _stop_or_trail(params, prefix)
            continue
        if name in needs:
            params.text(_named(prefix, name))
        else:
            params.forbid(_named(prefix, name))
    quote_e8 = 0
    if quantity_e8 is None:
        quantity_e8, quote_e8 = _quantities(params, prefix, order_type)
    _refuse_pegs(params, prefix)
    strategy_id, strategy_type = _strategy(params, prefix)
    client_name = _named(prefix, "clientOrderId") if prefix else "newClientOrderId"
    return OrderRequest(
        symbol=symbol,
        side=side,
        type=order_type,
        quantity_e8=quantity_e8,
        quote_quantity_e8=quote_e8,
        price_e8=_price(params, _named(prefix, "price")),
        stop_price_e8=_price(params, _named(prefix, "stopPrice")),
        time_in_force=params.optional_choice(_named(prefix, "timeInForce"), TimeInForce),
        client_order_id=params.client_id(client_name) or "",
        iceberg_e8=iceberg_e8,
        trailing_bips=trailing,
        prevention=prevention,
        strategy_id=strategy_id,
        strategy_type=strategy_type,
    )


def _named(prefix: str, name: str) -> str:
    """`stopPrice` of the leg `pendingBelow` is `pendingBelowStopPrice`."""
    return f"{prefix}{name[0].upper()}{name[1:]}" if prefix else name


def _quantities(params: Params, prefix: str, order_type: OrderType) -> tuple[int, int]:
    """Quantity and quote quantity; only MARKET may choose the latter."""
    name = _named(prefix, "quantity")
    if order_type is not OrderType.MARKET:
        params.forbid("quoteOrderQty")
        return _quantity(params, name), 0
    quote = params.optional_decimal("quoteOrderQty")
    if quote is None:
        return _quantity(params, name), 0
    params.forbid(name)
    return 0, _positive(quote, "quoteOrderQty")


def read_quantity(params: Params, name: str) -> int:
    """A mandatory quantity above zero."""
    return _quantity(params, name)


def _quantity(params: Params, name: str) -> int:
    params.text(name)
    return _positive(params.optional_decimal(name), name)


def _positive(value: Decimal | None, name: str) -> int:
    if not value:
        raise VenueReject(-1013, f"Invalid {name}.")
    return money_e8(value)


def _price(params: Params, name: str) -> int:
    """A price in 1e-8, 0 when not sent; a price of zero is refused as Binance does."""
    value = params.optional_decimal(name)
    if value is None:
        return 0
    if value == 0:
        raise VenueReject(-1013, "Invalid price.")
    return money_e8(value)


def _refuse_pegs(params: Params, prefix: str) -> None:
    """Parameters with an effect that we lack are refused, not ignored."""
    for name in _UNSUPPORTED:
        if _named(prefix, name) in params:
            raise VenueReject(-1020, f"This operation is not supported: {name}.")


def _stop_or_trail(params: Params, prefix: str) -> None:
    """A stop needs a price, a distance to follow at, or both."""
    names = _named(prefix, "stopPrice"), _named(prefix, "trailingDelta")
    if not any(name in params for name in names):
        raise VenueReject(
            -1102, f"Param '{names[0]}' or '{names[1]}' must be sent, but both were empty/null!"
        )


def _trailing(params: Params, prefix: str, order_type: OrderType) -> int:
    """`trailingDelta` of a stop in hundredths of a per cent, 0 when not sent."""
    name = _named(prefix, "trailingDelta")
    if order_type not in STOP_TYPES:
        params.forbid(name)
    return params.optional_integer(name, low=1) or 0


def _iceberg(params: Params, prefix: str, order_type: OrderType) -> int:
    """`icebergQty` of an order with a limit, 0 when not sent; zero is as good as not sent."""
    name = _named(prefix, "icebergQty")
    if order_type not in PRICED_TYPES:
        params.forbid(name)
    value = params.optional_decimal(name)
    return 0 if value is None else money_e8(value)


def _strategy(params: Params, prefix: str) -> tuple[int, int]:
    """`strategyId` and `strategyType`, -1 where not sent."""
    strategy_id = params.optional_integer(_named(prefix, "strategyId"))
    strategy_type = params.optional_integer(_named(prefix, "strategyType"), low=_LEAST_STRATEGY_TYPE)
    return (-1 if strategy_id is None else strategy_id, -1 if strategy_type is None else strategy_type)
