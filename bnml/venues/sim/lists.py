"""The life of order lists: OCO siblings, waiting legs of OTO and OTOCO, and their sizing in OPO and OPOCO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import Side
from bnml.venues.sim.messages import Execution, Status
from bnml.venues.sim.orders import SimList, new_order

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.matching import Matcher
    from bnml.venues.sim.messages import ListRequest
    from bnml.venues.sim.orders import SimOrder

_EXPIRED = frozenset({Status.EXPIRED, Status.EXPIRED_IN_MATCH})


class Lists:
    """Rules between the orders of one list; the facade has checked each request before `start`."""

    def __init__(self, desk: Desk, matcher: Matcher) -> None:
        self._desk = desk
        self._matcher = matcher

    def start(
        self, account: str, request: ListRequest, client_ids: tuple[str, ...], list_client_id: str
    ) -> SimList:
        """Enter a list: `client_ids` are of the working order (if any) and the pending legs, in this order."""
        desk = self._desk
        instrument = desk.instrument(request.symbol)
        list_id = desk.counters.take("list_id")
        requests = (request.working, *request.pending) if request.working else request.pending
        orders = []
        for leg, client_id in zip(requests, client_ids, strict=True):
            order = new_order(
                leg, instrument, account, desk.counters.take("order_id"), client_id, desk.now_ns
            )
            order.list_id = list_id
            self._matcher.value(order)
            orders.append(order)
        working = orders[0] if request.working else None
        pending = orders[1:] if working else orders
        order_list = SimList(
            account=account,
            symbol=request.symbol,
            list_id=list_id,
            list_client_order_id=list_client_id,
            kind=request.kind,
            working_id=working.order_id if working else 0,
            pending_ids=tuple(order.order_id for order in pending),
            created_ns=desk.now_ns,
        )
        desk.add_list(order_list)
        for order in orders:
            order.status = Status.PENDING_NEW if working and order is not working else Status.NEW
            desk.add(order)
        desk.report_list(order_list)
        if working is None:
            self._lock_legs(pending)
        else:
            desk.set_lock(working, working.needs_e8(instrument))
        for order in orders:
            if order.is_live:
                self._matcher.prepare(order)
            desk.report(order, Execution.NEW)
        for order in [working] if working else pending:
            if order.is_open:
                self._matcher.arrive(order)
        self._matcher.finish()
        return order_list

    def leg_works(self, order: SimOrder) -> None:
        """The first fill or the trigger of a leg ends its sibling, which gives up the lock they shared."""
        sibling = self.sibling(order)
        if sibling is None or not sibling.is_live:
            return
        self._desk.set_lock(sibling, 0)
        self._desk.set_lock(order, order.needs_e8(self._desk.instruments[order.symbol]))
        sibling.expiry_reason = "OCO_TRIGGER"
        self._desk.update(sibling, Status.EXPIRED)
        self._desk.report(sibling, Execution.EXPIRED)

    def order_over(self, order: SimOrder) -> None:
        """A finished working order wakes or ends its pending legs; the last leg ends the list."""
        order_list = self._desk.lists.get(order.list_id)
        if order_list is None or not order_list.is_open:
            return
        pending = [self._desk.orders[order_id] for order_id in order_list.pending_ids]
        if order.order_id == order_list.working_id:
            if order.status is Status.FILLED:
                self._wake(order_list, order, pending)
            else:
                self._expire_all(pending, "OTO_PHASE_ONE_EXPIRED")
        elif order.status in _EXPIRED and not order.triggered and not order.executed_lots:
            self._expire_all(pending, "OCO_TRIGGER")
        if not any(leg.is_open for leg in pending):
            self.close(order_list)

    def cancel(self, order_list: SimList, cancel_id: str) -> None:
        """End every open order of the list by request."""
        orders = [self._desk.orders[order_id] for order_id in order_list.order_ids]
        for order in orders:
            if order.is_open:
                self._desk.update(order, Status.CANCELED)
                self._desk.report(order, Execution.CANCELED, cancel_id=cancel_id)
        self.close(order_list)

    def close(self, order_list: SimList) -> None:
        """Say once that the list is over."""
        if not order_list.is_open:
            return
        order_list.is_open = False
        self._desk.held[order_list.account, order_list.symbol].lists -= 1
        self._desk.open_lists.pop((order_list.account, order_list.list_client_order_id), None)
        self._desk.report_list(order_list)

    def _wake(self, order_list: SimList, working: SimOrder, pending: list[SimOrder]) -> None:
        """Pending legs go live on the full fill of the working order."""
        desk = self._desk
        instrument = desk.instruments[order_list.symbol]
        if order_list.sizes_by_proceeds:
            lots = self._paid_out_e8(working) // instrument.lot_e8
            lots -= lots % instrument.lot_step
            for leg in pending:
                leg.quantity_lots = lots
        for leg in pending:
            self._matcher.value(leg)
        needed = max(self._needs_when_live(leg) for leg in pending)
        asset = pending[0].paying_asset(instrument)
        too_small = pending[0].quantity_lots < instrument.min_lots
        if too_small or desk.account(order_list.account).free(asset) < needed:
            self._expire_all(pending, "LOT_SIZE" if too_small else "INSUFFICIENT_BALANCE")
            return
        for leg in pending:
            desk.update(leg, Status.NEW)
            self._matcher.wake(leg)
        self._lock_legs(pending)
        for leg in pending:
            desk.report(leg, Execution.NEW)
        for leg in sorted(pending, key=lambda leg: not leg.waits_for_trigger):
            if leg.is_open:
                self._matcher.arrive_later(leg)

    def _paid_out_e8(self, working: SimOrder) -> int:
        """Base that the working buy paid out, net of those of its commissions that were taken of it."""
        trades = self._desk.trades_of.get(working.order_id, ())
        instrument = self._desk.instruments[working.symbol]
        return sum(
            trade.quantity_lots * instrument.lot_e8
            - (trade.commission_e8 if trade.commission_asset == instrument.base else 0)
            for trade in trades
        )

    def _needs_when_live(self, leg: SimOrder) -> int:
        instrument = self._desk.instruments[leg.symbol]
        if leg.side is Side.SELL:
            return leg.remaining_lots * instrument.lot_e8
        return instrument.notional_e8(leg.valued_at, leg.remaining_lots)

    def _lock_legs(self, legs: list[SimOrder]) -> None:
        """Both legs together hold the larger of their needs; it stands with the first."""
        self._desk.set_lock(legs[0], max(self._needs_when_live(leg) for leg in legs))

    def _expire_all(self, orders: list[SimOrder], reason: str) -> None:
        for order in orders:
            if order.is_open:
                order.expiry_reason = reason
                self._desk.update(order, Status.EXPIRED)
                self._desk.report(order, Execution.EXPIRED)

    def sibling(self, order: SimOrder) -> SimOrder | None:
        """The other leg of the order's OCO pair."""
        order_list = self._desk.lists.get(order.list_id)
        if (
            order_list is None
            or order.order_id not in order_list.pending_ids
            or len(order_list.pending_ids) < 2
        ):
            return None
        first, second = order_list.pending_ids
        return self._desk.orders[second if order.order_id == first else first]
