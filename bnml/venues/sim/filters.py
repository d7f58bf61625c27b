"""Binance's filters and parameter rules of one order: refuse what Binance refuses, with its codes and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.orders import PRICED_TYPES, STOP_LOSS_TYPES, STOP_TYPES, TIMED_TYPES
from bnml.venues.sim.rules import PPM

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.desk_state import Held
    from bnml.venues.sim.messages import OrderRequest
    from bnml.venues.sim.rules import ExchangeRules, PriceBand, SymbolRules

_UNSUPPORTED = "{} orders are not supported for this symbol."


def filter_failure(name: str) -> VenueReject:
    """The refusal of filter `name`."""
    return VenueReject(-1013, f"Filter failure: {name}")


def mandatory(name: str) -> VenueReject:
    """The refusal of a request without parameter `name`."""
    return VenueReject(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def check_status(instrument: Instrument) -> None:
    """New orders only while the symbol trades."""
    if instrument.status != "TRADING":
        raise VenueReject(-2010, "Market is closed.")


def check_parameters(request: OrderRequest, *, sized_later: bool = False) -> None:
    """Which parameters an order type must and must not have."""
    type_ = request.type
    _present("price", request.price_e8, required=type_ in PRICED_TYPES)
    if type_ not in STOP_TYPES:
        _present("stopPrice", request.stop_price_e8, required=False)
        _present("trailingDelta", request.trailing_bips, required=False)
    elif not request.stop_price_e8 and not request.trailing_bips:
        raise mandatory("stopPrice")
    if type_ in TIMED_TYPES and request.time_in_force is None:
        raise mandatory("timeInForce")
    if type_ not in TIMED_TYPES and request.time_in_force is not None:
        raise VenueReject(-1106, "Parameter 'timeInForce' sent when not required.")
    if request.quote_quantity_e8 and (type_ is not OrderType.MARKET or request.quantity_e8):
        raise VenueReject(-1106, "Parameter 'quoteOrderQty' sent when not required.")
    if request.iceberg_e8:
        _check_iceberg_parameters(request)
    if sized_later:
        _present("quantity", request.quantity_e8, required=False)
    elif not request.quantity_e8 and not request.quote_quantity_e8:
        raise mandatory("quantity")


def check_permissions(request: OrderRequest, instrument: Instrument, rules: SymbolRules) -> None:
    """What the symbol offers at all."""
    if request.iceberg_e8 and not rules.iceberg_allowed:
        raise VenueReject(-2010, _UNSUPPORTED.format("Iceberg"))
    if request.trailing_bips and not rules.trailing_allowed:
        raise VenueReject(-2010, _UNSUPPORTED.format("Trailing stop"))
    if request.type is OrderType.STOP_LOSS and not instrument.stop_loss_allowed:
        raise VenueReject(-2010, _UNSUPPORTED.format("Stop loss"))
    if request.type is OrderType.TAKE_PROFIT and not instrument.stop_loss_allowed:
        raise VenueReject(-2010, _UNSUPPORTED.format("Take profit"))
    if request.quote_quantity_e8 and not rules.quote_market_allowed:
        raise VenueReject(-2010, "Quote order qty market orders are not support for this symbol.")
    if request.prevention and request.prevention not in rules.preventions:
        raise VenueReject(-1013, "This symbol does not allow the specified self-trade prevention mode.")


def check_amounts(
    request: OrderRequest, instrument: Instrument, rules: SymbolRules, average: dict[int, int]
) -> None:
    """PRICE_FILTER, PERCENT_PRICE(_BY_SIDE), LOT_SIZE, MARKET_LOT_SIZE, NOTIONAL and what follows, in this order.

    A quantity of 0 (quoteOrderQty, or a leg sized later) is checked when it is known. `average` holds the
    average price in ticks by minutes, and the last one under 0.
    """
    for price_e8 in (request.price_e8, request.stop_price_e8):
        if price_e8:
            _check_price(price_e8, instrument)
    last_ticks = average[0]
    price_ticks = request.price_e8 // instrument.tick_e8
    if price_ticks:
        _check_band("PERCENT_PRICE_BY_SIDE", rules.band_by_side, request.side, price_ticks, average)
        _check_band("PERCENT_PRICE", rules.band, Side.BUY, price_ticks, average)
    if request.trailing_bips:
        _check_trailing(request, rules)
    if request.quantity_e8:
        if request.quantity_e8 % (instrument.lot_e8 * instrument.lot_step):
            raise filter_failure("LOT_SIZE")
        valued_at = price_ticks or request.stop_price_e8 // instrument.tick_e8 or last_ticks
        if request.type is OrderType.MARKET:
            valued_at = average[rules.notional_minutes]
        check_quantity(request.type, request.quantity_e8 // instrument.lot_e8, valued_at, instrument, rules)
    elif request.quote_quantity_e8 and not (
        (instrument.min_notional_e8 if rules.min_to_market else 0)
        <= request.quote_quantity_e8
        <= instrument.max_notional_e8
    ):
        raise filter_failure("NOTIONAL")
    if request.iceberg_e8:
        _check_iceberg(request, instrument, rules)


def check_quantity(
    type_: OrderType, lots: int, price_ticks: int, instrument: Instrument, rules: SymbolRules
) -> None:
    """LOT_SIZE, MARKET_LOT_SIZE and NOTIONAL of a quantity in lots."""
    if not instrument.min_lots <= lots <= instrument.max_lots:
        raise filter_failure("LOT_SIZE")
    is_market = type_ is OrderType.MARKET
    if is_market and not rules.market_min_lots <= lots <= instrument.market_max_lots:
        raise filter_failure("MARKET_LOT_SIZE")
    notional_e8 = instrument.notional_e8(price_ticks, lots)
    is_low = notional_e8 < instrument.min_notional_e8 and (not is_market or rules.min_to_market)
    is_high = notional_e8 > instrument.max_notional_e8 and (not is_market or rules.max_to_market)
    if is_low or is_high:
        raise filter_failure("NOTIONAL")


def check_counts(
    held: Held, requests: Iterable[OrderRequest], instrument: Instrument, rules: SymbolRules
) -> None:
    """MAX_NUM_ORDERS, MAX_NUM_ALGO_ORDERS and MAX_NUM_ICEBERG_ORDERS of one account on one symbol."""
    orders, stops, icebergs = len(held.orders), held.algos, held.icebergs
    for request in requests:
        orders += request.type is not OrderType.MARKET
        stops += request.type in STOP_TYPES
        icebergs += request.iceberg_e8 > 0
    if orders > instrument.max_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if stops > instrument.max_algo_orders:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")
    if rules.max_icebergs and icebergs > rules.max_icebergs:
        raise filter_failure("MAX_NUM_ICEBERG_ORDERS")


def check_exchange_counts(
    held: Iterable[Held], requests: tuple[OrderRequest, ...], rules: ExchangeRules, lists: int = 0
) -> None:
    """EXCHANGE_MAX_*, over all symbols of one account; `lists` are about to be added."""
    orders = algos = icebergs = 0
    for one in held:
        orders, algos, icebergs = orders + len(one.orders), algos + one.algos, icebergs + one.icebergs
        lists += one.lists
    for request in requests:
        orders += request.type is not OrderType.MARKET
        algos += request.type in STOP_TYPES
        icebergs += request.iceberg_e8 > 0
    for name, count, most in (
        ("ORDERS", orders, rules.max_orders),
        ("ALGO_ORDERS", algos, rules.max_algo_orders),
        ("ICEBERG_ORDERS", icebergs, rules.max_icebergs),
        ("ORDER_LISTS", lists, rules.max_lists),
    ):
        if most and count > most:
            raise filter_failure(f"EXCHANGE_MAX_NUM_{name}")


def _check_iceberg_parameters(request: OrderRequest) -> None:
    if request.type not in PRICED_TYPES:
        raise VenueReject(-1106, "Parameter 'icebergQty' sent when not required.")
    if request.time_in_force not in {None, TimeInForce.GTC}:
        raise VenueReject(-2010, "Unsupported order combination")
    if request.quantity_e8 and request.iceberg_e8 > request.quantity_e8:
        raise VenueReject(-2010, "IcebergQty exceeds QTY.")


def _check_iceberg(request: OrderRequest, instrument: Instrument, rules: SymbolRules) -> None:
    lots, rest = divmod(request.iceberg_e8, instrument.lot_e8)
    if rest or not instrument.min_lots <= lots <= instrument.max_lots:
        raise filter_failure("LOT_SIZE")
    if rules.iceberg_parts and -(-request.quantity_e8 // request.iceberg_e8) > rules.iceberg_parts:
        raise filter_failure("ICEBERG_PARTS")


def _check_trailing(request: OrderRequest, rules: SymbolRules) -> None:
    is_above = (request.type in STOP_LOSS_TYPES) == (request.side is Side.BUY)
    low, high = rules.trailing_above if is_above else rules.trailing_below
    if not low <= request.trailing_bips <= high:
        raise filter_failure("TRAILING_DELTA")


def _check_band(
    name: str, band: PriceBand | None, side: Side, price_ticks: int, average: dict[int, int]
) -> None:
    if band is None:
        return
    about = average[band.minutes]
    up, down = (
        (band.bid_up_ppm, band.bid_down_ppm) if side is Side.BUY else (band.ask_up_ppm, band.ask_down_ppm)
    )
    if not about * down <= price_ticks * PPM <= about * up:
        raise filter_failure(name)


def _check_price(price_e8: int, instrument: Instrument) -> None:
    ticks, rest = divmod(price_e8, instrument.tick_e8)
    if rest or ticks % instrument.price_step or not instrument.min_ticks <= ticks <= instrument.max_ticks:
        raise filter_failure("PRICE_FILTER")


def _present(name: str, amount_e8: int, *, required: bool) -> None:
    if required and not amount_e8:
        raise mandatory(name)
    if amount_e8 and not required:
        raise VenueReject(-1106, f"Parameter '{name}' sent when not required.")
