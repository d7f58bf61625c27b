"""New orders in, canceled orders out: what the requests of the exchange are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.core.orders import OrderType
from bnml.venues.sim.messages import Canceled, Execution, Status, VenueReject

if TYPE_CHECKING:
    from bnml.venues.sim.checks import Checks
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.matching import Matcher
    from bnml.venues.sim.messages import OrderKey, OrderRequest
    from bnml.venues.sim.orders import SimOrder
    from bnml.venues.sim.queries import Queries


class Entry:
    """Changes the desk; the wearer ends the request."""

    def __init__(self, desk: Desk, matcher: Matcher, checks: Checks, read: Queries) -> None:
        self._desk = desk
        self._matcher = matcher
        self._checks = checks
        self._read = read

    def place(self, account: str, request: OrderRequest) -> SimOrder:
        """Check, enter and match a new order."""
        desk, matcher = self._desk, self._matcher
        order = self._checks.order(account, request)
        order.client_order_id = request.client_order_id or desk.made_id()
        order.order_id = desk.counters.take("order_id")
        matcher.prepare(order)
        desk.add(order)
        if order.price_ticks or order.type is not OrderType.MARKET:
            desk.set_lock(order, order.needs_e8(desk.instruments[order.symbol]))
        desk.report(order, Execution.NEW)
        matcher.arrive(order)
        matcher.finish()
        return order

    def cancel(
        self, account: str, key: OrderKey, cancel_id: str, only: str = "", *, at_once: bool = False
    ) -> Canceled:
        """`only` names the status that the order must have, if any."""
        desk = self._desk
        order = self._read.find(account, key)
        if order is None or not order.is_open:
            raise VenueReject(-2011, "Unknown order sent.")
        if only and order.status != only:
            raise VenueReject(-2011, "Order was not canceled due to cancel restrictions.")
        cancel_id = cancel_id or desk.made_id()
        self.end(order, cancel_id, at_once=at_once)
        view = order.view()
        if order.is_open:
            view = msgspec.structs.replace(view, status=Status.PENDING_CANCEL)
        order_list = desk.lists.get(order.list_id)
        return Canceled(view, cancel_id, None if order_list is None else desk.list_view(order_list))

    def end(self, order: SimOrder, cancel_id: str, *, at_once: bool = False) -> None:
        """Cancel an order with its list, or send the cancel on its way."""
        latency = self._matcher.latency
        if latency is None or at_once:
            self._matcher.cancel(order, cancel_id)
        else:
            latency.cancel(order, cancel_id)
