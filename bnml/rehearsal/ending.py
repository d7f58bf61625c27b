"""The end of a rehearsal: what rests is cancelled, what was bought is sold, and what cannot be is named."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from bnml.core.errors import BnmlError, Rejected
from bnml.core.instrument import plain
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.errors import UNKNOWN_ORDER
from bnml.venues.binance.numbers import e8
from bnml.venues.binance.wire import AccountTrade, OrderAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bnml.rehearsal.desk import Desk

T = TypeVar("T")

ATTEMPTS: Final = 4
PAUSE_S: Final = 1.0

_orders = msgspec.json.Decoder(list[OrderAnswer])
_trades = msgspec.json.Decoder(list[AccountTrade])


async def lots_of_ours(desk: Desk) -> int:
    """What the orders of this rehearsal have bought and not sold, less commission in base; never anybody else's."""
    return await _ours_e8(desk) // desk.instrument.lot_e8


async def end(desk: Desk) -> list[str]:
    """Cancel and sell; what could not be ended, one sentence each, with how to end it by hand."""
    left: list[str] = []
    try:
        for order in await _steady(partial(_resting, desk)):
            try:
                await _steady(partial(_cancel, desk, order.order_id))
            except BnmlError as error:
                left.append(
                    f"order {order.order_id} ({order.client_order_id}) of {desk.symbol} rests: {error}; cancel it at the venue"
                )
        left += await _sell(desk)
        again = await _steady(partial(_resting, desk))
        left += [
            f"order {order.client_order_id} of {desk.symbol} still rests; cancel it at the venue"
            for order in again
        ]
    except (BnmlError, msgspec.MsgspecError) as error:
        left.append(
            f"the end could not be made sure of ({error}); at the venue, cancel orders of {desk.symbol} whose id begins with "
            f"{desk.prefix} and sell what such orders bought"
        )
    return left


async def _sell(desk: Desk) -> list[str]:
    """At market, until the trades show that nothing is left that could be sold."""
    one, said = desk.instrument, ""
    for _ in range(ATTEMPTS):
        lots = await _steady(partial(lots_of_ours, desk))
        if lots < one.min_lots:
            return []
        params = {
            "symbol": desk.symbol,
            "side": "SELL",
            "type": "MARKET",
            "quantity": one.quantity_text(lots),
            "newClientOrderId": desk.name(),
        }
        try:
            await desk.rest.signed("POST", "/api/v3/order", params, Lane.EXIT, order=True)
        except BnmlError as error:
            said = f" ({error})"
            await asyncio.sleep(getattr(error, "retry_after_s", None) or PAUSE_S)
    held = await _steady(partial(_ours_e8, desk))
    if held < one.min_lots * one.lot_e8:
        return []
    return [f"{plain(held)} {one.base} of this rehearsal are not sold{said}; sell them at the venue"]


async def _resting(desk: Desk) -> list[OrderAnswer]:
    body = await desk.rest.read("/api/v3/openOrders", {"symbol": desk.symbol})
    return [one for one in _orders.decode(body) if one.client_order_id.startswith(desk.prefix)]


async def _cancel(desk: Desk, order_id: int) -> None:
    """One that is gone, with its list or by itself, is as good as cancelled."""
    params = {"symbol": desk.symbol, "orderId": str(order_id)}
    try:
        await desk.rest.signed("DELETE", "/api/v3/order", params, Lane.CANCEL, order=True)
    except Rejected as error:
        if error.code != UNKNOWN_ORDER:
            raise


async def _ours_e8(desk: Desk) -> int:
    """The sum of trades of orders whose id is of this rehearsal."""
    everything = {"symbol": desk.symbol, "limit": "1000"}
    rows = _orders.decode(await desk.rest.read("/api/v3/allOrders", everything))
    ours = {one.order_id for one in rows if one.client_order_id.startswith(desk.prefix)}
    total = 0
    for trade in _trades.decode(await desk.rest.read("/api/v3/myTrades", everything)):
        if trade.order_id in ours:
            total += e8(trade.qty) if trade.is_buyer else -e8(trade.qty)
            if trade.commission_asset == desk.instrument.base:
                total -= e8(trade.commission)
    return total


async def _steady(step: Callable[[], Awaitable[T]]) -> T:
    """Do it again while the venue is not ready; each step may have been done before."""
    for _ in range(1, ATTEMPTS):
        try:
            return await step()
        except Rejected:
            raise
        except BnmlError as error:
            await asyncio.sleep(getattr(error, "retry_after_s", None) or PAUSE_S)
    return await step()
