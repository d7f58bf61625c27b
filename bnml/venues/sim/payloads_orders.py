"""What only some orders show: icebergs, trailing stops, strategies, prevented matches, amendments, expiries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bnml.core.instrument import plain

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.messages import Amendment, ExecutionReport, OrderView, PreventedMatch

Json = dict[str, Any]
Time = Callable[[int], int]
"""Wire time of a time in nanoseconds."""


def lots8(instrument: Instrument, lots: int) -> str:
    """A quantity with eight decimals."""
    return plain(lots * instrument.lot_e8)


def conditional(order: OrderView, instrument: Instrument, time: Time) -> Json:
    """Fields of answers that appear only where they say something."""
    shown: Json = {}
    if order.iceberg_lots:
        shown["icebergQty"] = lots8(instrument, order.iceberg_lots)
    if order.trailing_bips:
        shown["trailingDelta"] = order.trailing_bips
        shown["trailingTime"] = time(order.trailing_ns)
    if order.strategy_id >= 0:
        shown["strategyId"] = order.strategy_id
    if order.strategy_type >= 0:
        shown["strategyType"] = order.strategy_type
    if order.prevented_match_id >= 0:
        shown["preventedMatchId"] = order.prevented_match_id
        shown["preventedQuantity"] = lots8(instrument, order.prevented_lots)
    if order.expiry_reason:
        shown["expiryReason"] = order.expiry_reason
    return shown


def conditional_event(event: ExecutionReport, instrument: Instrument, time: Time) -> Json:
    """The same in the letters of an execution report."""
    order, match = event.order, event.prevented
    shown: Json = {}
    if order.trailing_bips:
        shown["d"] = order.trailing_bips
        if order.trailing_ns >= 0:
            shown["D"] = time(order.trailing_ns)
    if order.strategy_id >= 0:
        shown["j"] = order.strategy_id
    if order.strategy_type >= 0:
        shown["J"] = order.strategy_type
    if order.prevented_match_id >= 0:
        shown["v"] = order.prevented_match_id
        shown["A"] = lots8(instrument, order.prevented_lots)
    if match is not None:
        is_taker = order.order_id == match.taker_order_id
        shown["B"] = lots8(instrument, match.taker_lots if is_taker else match.maker_lots)
        shown["u"] = match.trade_group
        shown["U"] = match.maker_order_id if is_taker else match.taker_order_id
        shown["Cs"] = match.symbol
        shown["pl"] = lots8(instrument, match.lots)
        shown["pL"] = plain(match.price_ticks * instrument.tick_e8)
        shown["pY"] = plain(instrument.notional_e8(match.price_ticks, match.lots))
    if order.expiry_reason:
        shown["eR"] = order.expiry_reason
    return shown


def prevented_of_answer(match: PreventedMatch, instrument: Instrument) -> Json:
    """One of `preventedMatches` in the answer to a new order."""
    shown = {
        "preventedMatchId": match.prevented_id,
        "makerSymbol": match.symbol,
        "makerOrderId": match.maker_order_id,
        "price": plain(match.price_ticks * instrument.tick_e8),
    }
    return {**shown, **_prevented_lots(match, instrument)}


def prevented_row(match: PreventedMatch, instrument: Instrument, time: Time) -> Json:
    """One row of myPreventedMatches."""
    return {
        "symbol": match.symbol,
        "preventedMatchId": match.prevented_id,
        "takerOrderId": match.taker_order_id,
        "makerSymbol": match.symbol,
        "makerOrderId": match.maker_order_id,
        "tradeGroupId": match.trade_group,
        "selfTradePreventionMode": match.mode,
        "price": plain(match.price_ticks * instrument.tick_e8),
        **_prevented_lots(match, instrument),
        "transactTime": time(match.ts_ns),
    }


def amendment_row(amendment: Amendment, instrument: Instrument, time: Time) -> Json:
    """One row of order/amendments."""
    return {
        "symbol": amendment.symbol,
        "orderId": amendment.order_id,
        "executionId": amendment.execution_id,
        "origClientOrderId": amendment.old_client_order_id,
        "newClientOrderId": amendment.new_client_order_id,
        "origQty": lots8(instrument, amendment.old_lots),
        "newQty": lots8(instrument, amendment.new_lots),
        "time": time(amendment.ts_ns),
    }


def amended_order(order: OrderView, amendment: Amendment, instrument: Instrument, time: Time) -> Json:
    """`amendedOrder` in the answer to an amendment."""
    shown: Json = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "origClientOrderId": amendment.old_client_order_id,
        "clientOrderId": order.client_order_id,
        "price": plain(order.price_ticks * instrument.tick_e8),
        "qty": lots8(instrument, order.quantity_lots),
        "executedQty": lots8(instrument, order.executed_lots),
        "preventedQty": lots8(instrument, order.prevented_lots),
        "quoteOrderQty": plain(order.quote_quantity_e8),
        "cumulativeQuoteQty": plain(order.executed_quote_e8),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
    }
    if order.stop_price_ticks:
        shown["stopPrice"] = plain(order.stop_price_ticks * instrument.tick_e8)
    if order.working_ns >= 0:
        shown["workingTime"] = time(order.working_ns)
    return {**shown, "selfTradePreventionMode": order.prevention, **conditional(order, instrument, time)}


def _prevented_lots(match: PreventedMatch, instrument: Instrument) -> Json:
    shown: Json = {}
    if match.taker_lots:
        shown["takerPreventedQuantity"] = lots8(instrument, match.taker_lots)
    if match.maker_lots:
        shown["makerPreventedQuantity"] = lots8(instrument, match.maker_lots)
    return shown
