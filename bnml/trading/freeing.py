"""Whether an order that sells what other requests free or bring is certain to be refused when one of these fails."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.core.instrument import Instrument
    from bnml.trading.orders import Order, OrderBook
    from bnml.trading.portfolio import Portfolio


class Bond(Enum):
    """How surely a sale needs every single one of the cancels before it."""

    SURE = "sure"  # without one of them the venue refuses it for want of free coins
    LATER = "later"  # it will be once other orders of the position are no longer under way
    NONE = "none"  # coins of others in the account would do


def bond(
    legs: Sequence[Order], lots: int, instrument: Instrument, book: OrderBook, portfolio: Portfolio
) -> Bond:
    """Of a sale of `lots` with the cancels of these legs.

    The coins that would be free beside the smallest lock of them must not suffice: all that the account holds,
    coins of others and what entries may still bring included, less what other orders of ours lock for sure. Of one
    that is just filling, less may be left than is asked for: coins that other moves have set free must not make up
    for it.
    """
    freed = locks(legs)
    position = portfolio.positions.get(instrument.symbol)
    if not freed or position is None:
        return Bond.NONE
    chosen = {leg.client_order_id for leg in legs}
    others, coming_lots, is_moving = [], 0, False
    for order in book.open():
        if order.symbol != instrument.symbol or order.client_order_id in chosen:
            continue
        if order.side is Side.BUY:
            coming_lots += order.open_lots
        elif order.state is OrderState.OPEN and not order.cancel_sent and order.role is not Role.EXIT:
            others.append(order)
        else:
            is_moving = True
    if is_moving and any(leg.state is OrderState.PARTLY_FILLED for leg in legs):
        return Bond.NONE
    held_lots = -(-portfolio.total_e8(instrument.base) // instrument.lot_e8)
    smallest = min(freed.values())
    if held_lots + coming_lots - sum(locks(others).values()) - smallest < lots:
        return Bond.SURE
    foreign_lots = held_lots - position.lots(instrument.lot_e8)
    return Bond.LATER if foreign_lots + sum(freed.values()) - smallest < lots else Bond.NONE


def is_alone(instrument: Instrument, book: OrderBook, portfolio: Portfolio) -> bool:
    """Whether nothing could be sold but what a purchase made now brings: no coins of others, and none on their way.

    A stop that leaves with the purchase is then refused when the purchase brings too little for it. Rests of our
    own are too small for any stop; below one lot, nothing can be sold.
    """
    dust = portfolio.ledger.dust.get(instrument.symbol)
    others_e8 = portfolio.total_e8(instrument.base) - (dust.base_e8 if dust is not None else 0)
    return others_e8 < instrument.lot_e8 and not any(
        order.symbol == instrument.symbol for order in book.open()
    )


def locks(legs: Sequence[Order]) -> dict[str, int]:
    """Lots that resting sales lock, by list (its legs share one lock) or order."""
    found: dict[str, int] = {}
    for leg in legs:
        name = leg.list_id or leg.client_order_id
        found[name] = max(found.get(name, 0), leg.open_lots)
    return found
