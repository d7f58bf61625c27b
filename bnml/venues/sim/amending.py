"""Amend keep priority: an open order becomes smaller and keeps its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.venues.sim import filters
from bnml.venues.sim.messages import Amended, Amendment, Execution, ListStatus, Status, VenueReject

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.matching import Matcher
    from bnml.venues.sim.messages import OrderKey
    from bnml.venues.sim.orders import SimList, SimOrder
    from bnml.venues.sim.queries import Queries

AMEND_REJECTED = -2038


class Amending:
    """Checks and carries out amendments."""

    def __init__(self, desk: Desk, matcher: Matcher, read: Queries) -> None:
        self._desk = desk
        self._matcher = matcher
        self._read = read

    def amend(self, account: str, key: OrderKey, quantity_e8: int, client_order_id: str) -> Amended:
        """Reduce an order to `quantity_e8`; one that has executed as much already expires by it."""
        desk = self._desk
        order = self._read.find(account, key)
        if order is None or not order.is_open:
            raise _refused("Unknown order sent.")
        self._check(order, quantity_e8)
        if client_order_id != order.client_order_id and (account, client_order_id) in desk.open_ids:
            raise _refused("Duplicate order sent.")
        lots = quantity_e8 // desk.instruments[order.symbol].lot_e8
        old_id = order.client_order_id
        amendment = self._reduce(order, lots, client_order_id or desk.made_id())
        order_list = desk.lists.get(order.list_id)
        if order_list is not None:
            sibling = self._matcher.lists.sibling(order)
            if sibling is not None and sibling.is_open:
                self._reduce(sibling, lots, sibling.client_order_id)
            if order.client_order_id != old_id:
                desk.changes.lists.add(order_list.list_id)
                view = desk.list_view(order_list)
                desk.events.append(ListStatus(account, desk.now_ns, view, updated=True))
        self._relock(order, order_list)
        if order.remaining_lots <= 0:
            self._matcher.expire(order, "EXCHANGE_CANCELED")
            self._matcher.finish()
        return Amended(order.view(), amendment, None if order_list is None else desk.list_view(order_list))

    def _check(self, order: SimOrder, quantity_e8: int) -> None:
        desk = self._desk
        instrument, rules = desk.instruments[order.symbol], desk.rulebook.of(order.symbol)
        if not rules.amend_allowed:
            raise _refused("Order amend is not supported for this symbol.")
        order_list = desk.lists.get(order.list_id)
        if order_list is not None and order_list.sizes_by_proceeds and order.status is Status.PENDING_NEW:
            raise _refused("Order amend (pending OPO order) is not supported.")
        lots, rest = divmod(quantity_e8, instrument.lot_e8)
        if rest or lots < instrument.min_lots:
            raise filters.filter_failure("LOT_SIZE")
        if lots == order.quantity_lots:
            raise _refused("The requested action would change no state; rejecting")
        if lots > order.quantity_lots:
            raise _refused("Order amend (quantity increase) is not supported.")
        if rules.max_amends and order.amends >= rules.max_amends:
            raise _refused("Filter failure: MAX_NUM_ORDER_AMENDS")
        valued_at = order.valued_at or desk.market[order.symbol].state.last_ticks
        filters.check_quantity(order.type, lots, valued_at, instrument, rules)

    def _reduce(self, order: SimOrder, lots: int, client_order_id: str) -> Amendment:
        """Change one order and report it."""
        desk = self._desk
        old_lots, old_id = order.quantity_lots, order.client_order_id
        order.quantity_lots = max(lots, order.executed_lots + order.prevented_lots)
        order.shown_lots = min(order.shown_lots, order.remaining_lots)
        order.iceberg_lots = min(order.iceberg_lots, order.quantity_lots)
        order.amends += 1
        desk.rename(order, client_order_id)
        desk.update(order, order.status)
        if order.seat:
            desk.books[order.symbol].version += 1
        if order.locked_e8 and order.list_id < 0:
            desk.set_lock(order, order.needs_e8(desk.instruments[order.symbol]))
        number = desk.report(order, Execution.REPLACED, cancel_id=client_order_id, original=old_id)
        amendment = Amendment(
            number,
            order.account,
            order.symbol,
            order.order_id,
            old_id,
            client_order_id,
            old_lots,
            order.quantity_lots,
            desk.now_ns,
        )
        desk.amendments.setdefault(order.order_id, []).append(amendment)
        desk.changes.amendments.append(amendment)
        return amendment

    def _relock(self, order: SimOrder, order_list: SimList | None) -> None:
        """Legs share a lock that stands with the first of them: it follows their smaller needs."""
        if order_list is None or not order.is_live:
            return
        desk = self._desk
        instrument = desk.instruments[order.symbol]
        legs = [one for one in desk.orders_of(order_list) if one.is_live]
        holder = next((one for one in legs if one.locked_e8), None)
        if holder is not None:
            same_side = [one for one in legs if one.side is holder.side]
            desk.set_lock(holder, max(one.needs_e8(instrument) for one in same_side))


def _refused(text: str) -> VenueReject:
    return VenueReject(AMEND_REJECTED, text)
