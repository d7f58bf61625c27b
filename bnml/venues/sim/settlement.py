"""One side of a trade: assets change hands, the commission is paid, the lock shrinks, the report goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import Side
from bnml.venues.sim.commissions import DISCOUNT_ASSET
from bnml.venues.sim.messages import Execution, Status, TradeRecord

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder


def book_fill(
    desk: Desk, order: SimOrder, lots: int, price_ticks: int, trade_id: int, *, is_maker: bool
) -> TradeRecord:
    """Exchange the assets of one fill, shrink the lock and report the trade."""
    instrument = desk.instruments[order.symbol]
    account = desk.account(order.account)
    quote_e8 = instrument.notional_e8(price_ticks, lots)
    base_e8 = lots * instrument.lot_e8
    buys = order.side is Side.BUY
    paid_e8, got_e8 = (quote_e8, base_e8) if buys else (base_e8, quote_e8)
    paid, got = (instrument.quote, instrument.base) if buys else (instrument.base, instrument.quote)
    desk.set_lock(order, 0)
    account.credit(paid, -paid_e8)
    account.credit(got, got_e8)
    order.executed_lots += lots
    order.executed_quote_e8 += quote_e8
    left = order.remaining_lots
    desk.update(order, Status.PARTIALLY_FILLED if left else Status.FILLED)
    if left:
        desk.set_lock(order, order.needs_e8(instrument))
    # A sale at market locks nothing of what it has still to sell.
    due_e8 = 0 if buys else left * instrument.lot_e8 - order.locked_e8
    asset, commission_e8 = desk.commissions.of(
        account,
        instrument,
        buys=buys,
        got_e8=got_e8,
        quote_e8=quote_e8,
        due_e8=due_e8 if paid == DISCOUNT_ASSET else 0,
        is_maker=is_maker,
    )
    account.credit(asset, -commission_e8)
    account.pay_commission(asset, commission_e8)
    desk.moved(order.account, paid, got, asset)
    trade = TradeRecord(
        order.account,
        order.symbol,
        trade_id,
        order.order_id,
        order.list_id,
        price_ticks,
        lots,
        quote_e8,
        commission_e8,
        asset,
        desk.now_ns,
        buys,
        is_maker,
        desk.counters.execution_id,
    )
    desk.add_trade(trade)
    desk.changes.trades.append(trade)
    desk.report(order, Execution.TRADE, trade)
    return trade
