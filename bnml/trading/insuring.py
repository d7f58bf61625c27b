"""A second order beside one in doubt that should guard or sell, where the venue can only ever take one of them.

An order without an answer is repeated only when its absence is proven, which takes more than a second. What is asked
for here is no repetition: it has names of its own, and the first one stays in doubt until reads have shown what became
of it. Both sell the same coins, and no others are free, so the venue's own lock keeps them apart, whichever arrives
first and however late. Where the first was taken, the second is refused, which costs a request.

A process that dies cannot ask any more. So the old stop leaves once more behind whatever takes its place, in the same
write: the venue refuses this spare unless it has failed what was to come instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import FINAL_STATES, OrderState
from bnml.trading import coverage
from bnml.trading.entries import spare_stop
from bnml.trading.freeing import exclude_each_other, fits_beside, locks, owns_all
from bnml.trading.orders import Role
from bnml.trading.refusals import is_sellable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.core.instrument import Instrument
    from bnml.trading.orders import Order, OrderBook
    from bnml.trading.outbox import Outbox
    from bnml.trading.portfolio import Portfolio
    from bnml.trading.positions import Position, Tranche

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
    if not lots or tranche.insure_after_ns > now_ns:
        return ()
    orders = [order for name in (*tranche.legs, tranche.sale_id) if (order := book.get(name)) is not None]
    sales = [order for order in orders if not order.is_settled]
    if not _is_in_doubt(sales) or any(_stands(order) for order in sales):
        return ()
    if len(locks(sales)) > (AT_ONCE if patient else MOST):
        return ()
    # A spare that comes late may find coins of another tranche; it is withdrawn then.
    firsts = [order for order in sales if not order.spare_of] or sales
    if not exclude_each_other(firsts, tranche, instrument, book, portfolio):
        return ()
    return tuple(order.client_order_id for order in sales)


def spare(
    tranche: Tranche,
    legs: Sequence[Order],
    first: Sequence[str],
    instrument: Instrument,
    book: OrderBook,
    portfolio: Portfolio,
    out: Outbox,
) -> None:
    """Ask for the old stop of a tranche, one of `legs`, behind the orders `first` that leave with the cancel of it.

    Not with coins of others in the account. It may take those of another tranche: where one of the cancels before a
    sale of several fails, so does the sale, and the spare of that tranche guards as many lots of the others
    (`borrowers`).
    """
    old = next((leg for leg in legs if leg.role is Role.STOP and leg.tranche == tranche.index), None)
    if old is None or not owns_all(instrument, book, portfolio):
        return
    # No more than was locked: what else is held was free, and may have been paid out or converted a moment ago.
    lots = min(coverage.held_lots(tranche, instrument), old.open_lots)
    if lots:
        spare_stop(tranche, instrument, lots, old.ticks, tuple(first), book, out)


def untied(
    tranche: Tranche, instrument: Instrument, book: OrderBook, portfolio: Portfolio, now_ns: int
) -> list[Order]:
    """Spares that stand although what they were to replace may rest as well, where coins of others can have let them in.

    So is the lower of two stops that both rest, whatever else is in doubt. Both would sell. Where the others are gone
    after all, what is bare is guarded again when that is known. Without coins of others a second stop sells what another
    tranche has bare, and guards it.
    """
    if max(tranche.move_after_ns, tranche.guard_after_ns) > now_ns:
        return []  # a cancel failed a moment ago
    legs = [book.orders[name] for name in tranche.legs]
    standing = [leg for leg in legs if leg.state in coverage.LIVE and not leg.cancel_sent]
    stops = [leg for leg in standing if leg.role is Role.STOP and not leg.spare_of]
    is_filling = any(leg.state is OrderState.PARTLY_FILLED for leg in stops)
    surplus = [] if is_filling else beyond_one(stops)
    spares = [leg for leg in standing if leg.spare_of] + surplus
    cannot_rest = OrderState.PENDING, *FINAL_STATES
    may_rest = [
        leg for leg in legs if leg.state not in cannot_rest and not leg.spare_of and leg not in surplus
    ]
    if not spares or not may_rest or owns_all(instrument, book, portfolio):
        return []
    return [one for one in spares if fits_beside(one, may_rest, instrument, book, portfolio)]


def beyond_one(stops: list[Order]) -> list[Order]:
    """The stops alone beside another one of their tranche: coins of others, or of other tranches, let them in."""
    best = max(stops, key=lambda one: (bool(one.list_id), one.ticks), default=None)
    return [one for one in stops if one is not best and not one.list_id]


def borrowers(position: Position, instrument: Instrument, book: OrderBook, *, is_late: bool) -> list[Tranche]:
    """Tranches whose orders lock coins of others, or may be about to: what has no order of its own waits for them.

    For what is in doubt not when that `is_late`.
    """
    doubted = set() if is_late else {OrderState.UNKNOWN}
    found = []
    for tranche in position.tranches:
        legs = [book.orders[name] for name in tranche.legs]
        spares = [leg for leg in legs if leg.spare_of]
        may_live = coverage.LIVE | (doubted if any(leg.state in coverage.LIVE for leg in spares) else set())
        sale = book.get(tranche.sale_id)
        sales = legs if sale is None else [*legs, sale]
        live = [one for one in sales if one.state in may_live and not book.is_ending(one)]
        leaving = [one for one in sales if one.state is OrderState.PENDING]
        staying = [one for one in live if not one.cancel_sent]
        locked = max(sum(locks(live).values()), sum(locks([*staying, *leaving]).values()))
        mains = [book.get(leg.spare_of) for leg in spares if leg.state in doubted]
        is_near = any(OrderState.PENDING in {leg.state, _state_of(leg.spare_of, book)} for leg in spares)
        is_near = is_near or any(one is not None and one.tranche == 0 for one in mains)
        untold = sum(leg.due_lots for leg in legs if leg.is_final)  # it has sold more than was told of
        if is_near or locked > tranche.lots(instrument.lot_e8) - untold:
            found.append(tranche)
    return found


def is_left_bare(tranche: Tranche, instrument: Instrument, book: OrderBook) -> bool:
    """Whether a sale has failed for which its stop was withdrawn, and it is large enough to be sold alone."""
    sale = book.get(tranche.sale_id)
    if tranche.legs or sale is None or sale.state is not OrderState.REJECTED:
        return False
    return is_sellable(coverage.held_lots(tranche, instrument), tranche.stop_ticks, instrument)


def _state_of(name: str, book: OrderBook) -> OrderState | None:
    order = book.get(name)
    return None if order is None else order.state


def _is_in_doubt(sales: list[Order]) -> bool:
    """Whether nobody knows of any of them, and nothing that has just left is about to tell."""
    states = {order.state for order in sales}
    return OrderState.UNKNOWN in states and not states & {OrderState.PENDING, OrderState.SLEEPING}


def _stands(order: Order) -> bool:
    return order.role is Role.STOP and order.state in coverage.LIVE and not order.cancel_sent
