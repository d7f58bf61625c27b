"""A second order beside one in doubt that should guard or sell, where the venue can only ever take one of them.

An order without an answer is repeated only when its absence is proven, which takes more than a second. What is asked
for here is no repetition: it has names of its own, and the first one stays in doubt until reads have shown what became
of it. Both sell the same coins, and no others are free, so the venue's own lock keeps them apart, whichever arrives
first and however late. Where the first was taken, the second is refused, which costs a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import OrderState
from bnml.trading import coverage
from bnml.trading.freeing import exclude_each_other, locks
from bnml.trading.orders import Role

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.trading.orders import Order, OrderBook
    from bnml.trading.portfolio import Portfolio
    from bnml.trading.positions import Tranche

AT_ONCE = 2
"""So many requests of a tranche in doubt get one more in that moment; then it takes a print or a second."""
MOST = 5


def in_doubt(
    tranche: Tranche,
    instrument: Instrument,
    book: OrderBook,
    portfolio: Portfolio,
    now_ns: int,
    *,
    patient: bool,
) -> tuple[str, ...]:
    """The orders in doubt beside which another one may be asked for: no stop is known to rest; none if it may not."""
    lots = coverage.held_lots(tranche, instrument)
    if not lots or tranche.insure_after_ns > now_ns or not book.is_settled(tranche.working_id):
        return ()
    orders = [order for name in (*tranche.legs, tranche.sale_id) if (order := book.get(name)) is not None]
    sales = [order for order in orders if not order.is_settled]
    if not _is_in_doubt(sales) or any(_stands(order) for order in sales):
        return ()
    if len(locks(sales)) > (AT_ONCE if patient else MOST):
        return ()
    if not exclude_each_other(sales, tranche, instrument, book, portfolio):
        return ()
    return tuple(order.client_order_id for order in sales)


def _is_in_doubt(sales: list[Order]) -> bool:
    """Whether nobody knows of any of them, and nothing that has just left is about to tell."""
    states = {order.state for order in sales}
    return OrderState.UNKNOWN in states and not states & {OrderState.PENDING, OrderState.SLEEPING}


def _stands(order: Order) -> bool:
    return order.role is Role.STOP and order.state in coverage.LIVE and not order.cancel_sent
