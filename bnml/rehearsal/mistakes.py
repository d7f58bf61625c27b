"""Requests that a venue must refuse: which code, status and words for which mistake."""

from __future__ import annotations

from typing import Final

import msgspec

from bnml.core.commands import CancelOrder, QueryOrder
from bnml.core.instrument import plain
from bnml.core.orders import OrderType, Side
from bnml.rehearsal.desk import PREFIX, Desk
from bnml.rehearsal.steps import AWAY_PERCENT, Step, least_lots, off
from bnml.venues.binance.numbers import e8
from bnml.venues.binance.wire import Account


async def lot_size(desk: Desk) -> None:
    """-1013: a quantity between two steps."""
    one = desk.instrument
    bid, _ = await desk.best()
    price = off(bid, -AWAY_PERCENT)
    quantity = plain(least_lots(desk, price) * one.lot_e8 + max(1, one.lot_e8 // 10))
    await desk.place(
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity=quantity,
        price=one.price_text(price),
        newClientOrderId=desk.name(),
    )


async def notional(desk: Desk) -> None:
    """-1013: worth less than the symbol's least."""
    bid, _ = await desk.best()
    price = off(bid, -AWAY_PERCENT)
    await desk.submit(desk.order(Side.BUY, OrderType.LIMIT_MAKER, desk.instrument.min_lots, price=price))


async def precision(desk: Desk) -> None:
    """-1111: more decimals than the asset has."""
    bid, _ = await desk.best()
    price = desk.instrument.price_text(off(bid, -AWAY_PERCENT))
    await desk.place(
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="1.0000000001",
        price=price,
        newClientOrderId=desk.name(),
    )


async def balance(desk: Desk) -> None:
    """-2010: more than the account has."""
    _, ask = await desk.best()
    one, price = desk.instrument, off(ask, AWAY_PERCENT)
    body = await desk.rest.read("/api/v3/account", {"omitZeroBalances": "true"})
    rows = msgspec.json.decode(body, type=Account).balances
    held_e8 = sum(e8(row.free) + e8(row.locked) for row in rows if row.asset == one.base)
    lots = held_e8 // one.lot_e8 + least_lots(desk, price)
    await desk.submit(desk.order(Side.SELL, OrderType.LIMIT_MAKER, min(lots, one.max_lots), price=price))


async def would_take(desk: Desk) -> None:
    """-2010: a maker's order that the book would take."""
    _, ask = await desk.best()
    price = off(ask, 1)
    await desk.submit(desk.order(Side.BUY, OrderType.LIMIT_MAKER, least_lots(desk, price), price=price))


async def would_trigger(desk: Desk) -> None:
    """-2010: a stop above the price that it is to sell below."""
    bid, ask = await desk.best()
    lots = least_lots(desk, off(bid, -AWAY_PERCENT))
    await desk.submit(desk.order(Side.SELL, OrderType.STOP_LOSS, lots, stop=off(ask, AWAY_PERCENT)))


async def unknown_cancel(desk: Desk) -> None:
    """-2011."""
    await desk.send(CancelOrder(desk.symbol, desk.name(), PREFIX))


async def unknown_query(desk: Desk) -> None:
    """-2013."""
    await desk.send(QueryOrder(desk.symbol, desk.name()))


async def wrong_symbol(desk: Desk) -> None:
    """-1121."""
    await desk.place(symbol="NOSUCHUSDT", side="BUY", type="MARKET", quantity="1")


async def missing(desk: Desk) -> None:
    """-1102: no quantity."""
    await desk.place(side="BUY", type="MARKET", newClientOrderId=desk.name())


MISTAKES: Final = (
    Step("refused: quantity between two steps", lot_size),
    Step("refused: too small in value", notional),
    Step("refused: too many decimals", precision),
    Step("refused: more than there is", balance),
    Step("refused: maker that would take", would_take),
    Step("refused: stop that would trigger", would_trigger, lambda desk: desk.instrument.stop_loss_allowed),
    Step("refused: cancel of an unknown order", unknown_cancel),
    Step("refused: query of an unknown order", unknown_query),
    Step("refused: unknown symbol of an order", wrong_symbol),
    Step("refused: parameter left out", missing),
)
