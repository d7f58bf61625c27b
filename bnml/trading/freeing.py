"""Whether an order that sells what cancels free is certain to be refused when one of these cancels fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.core.instrument import Instrument
    from bnml.trading.orders import Order, OrderBook
    from bnml.trading.portfolio import Portfolio


def is_bound(
    legs: Sequence[Order], lots: int, instrument: Instrument, book: OrderBook, portfolio: Portfolio
) -> bool:
    """Whether a sale of `lots` needs every single cancel of these legs.

    The coins that would be free beside the smallest lock of them must not suffice: all that the account holds,
    coins of others and what entries may still bring included, less what other orders of ours lock for sure.
    """
    freed = locks(legs)
    if not freed:
        return False
    chosen = {leg.client_order_id for leg in legs}
    others, coming_lots = [], 0
    for order in book.open():
        if order.symbol != instrument.symbol or order.client_order_id in chosen:
            continue
        if order.side is Side.BUY:
            coming_lots += order.open_lots
        elif order.state is OrderState.OPEN and not order.cancel_sent and order.role is not Role.EXIT:
            others.append(order)
    held_lots = -(-portfolio.total_e8(instrument.base) // instrument.lot_e8) + coming_lots
    return held_lots - sum(locks(others).values()) - min(freed.values()) < lots


def locks(legs: Sequence[Order]) -> dict[str, int]:
    """Lots that resting sales lock, by list (its legs share one lock) or order."""
    found: dict[str, int] = {}
    for leg in legs:
        name = leg.list_id or leg.client_order_id
        found[name] = max(found.get(name, 0), leg.open_lots)
    return found
