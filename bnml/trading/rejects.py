"""Refusals of the venue in a row: a pause for entries, and a halt when they go on; any acceptance begins anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bnml.core.events import Guard, OrderReport, Scan
from bnml.core.orders import OrderState
from bnml.trading.guarding import ACTIVE, HALTED, REDUCING, GuardDesk
from bnml.trading.orders import OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.refusals import NEVER_ARRIVED
from bnml.trading.risk.settings import RiskSettings
from bnml.trading.state import Activity

NAME: Final = "rejects"
HALT_FACTOR: Final = 3
"""So many times the count that pauses, halts."""
_ACCEPTED: Final = frozenset(
    {OrderState.OPEN, OrderState.PARTLY_FILLED, OrderState.FILLED, OrderState.SLEEPING}
)
_COUNTED: Final = frozenset({Role.WORKING, Role.STOP, Role.EXIT})
"""One role of each request; the target of a list is refused with its stop."""
NS_PER_MINUTE: Final = 60 * 10**9


class RejectGuard:
    """Stands around the handlers of reports and scans; counts each refused request once."""

    def __init__(
        self,
        activity: Activity,
        book: OrderBook,
        guards: GuardDesk,
        risk: RiskSettings,
        report: Callable[[OrderReport, Outbox], None],
        scan: Callable[[Scan, Outbox], None],
    ) -> None:
        self._activity = activity
        self._book = book
        self._guards = guards
        self._most = risk.max_rejects_in_row
        self._pause_ns = risk.rejects_pause_min * NS_PER_MINUTE
        self._report = report
        self._scan = scan

    def report(self, event: OrderReport, out: Outbox) -> None:
        """Pass it on, then count."""
        self._report(event, out)
        activity = self._activity
        if event.state in _ACCEPTED:
            activity.rejects = 0
        elif event.state is OrderState.REJECTED and event.code not in NEVER_ARRIVED:
            self._refused(event, out)

    def scan(self, event: Scan, out: Outbox) -> None:
        """End a pause that is over before entries are asked for."""
        if 0 < self._activity.rejects_until_ns <= event.ts_ns:
            self._activity.rejects = self._activity.rejects_until_ns = 0
            self._guards.take(Guard(NAME, ACTIVE, event.ts_ns), out)
        self._scan(event, out)

    def _refused(self, event: OrderReport, out: Outbox) -> None:
        activity, order = self._activity, self._book.get(event.client_order_id)
        if order is None or order.role not in _COUNTED or event.client_order_id == activity.rejects_last:
            return
        if order.role is Role.STOP and order.list_id and self._is_entry(order.list_id):
            return  # its list's working order was counted
        if order.follows or order.is_beside:
            return  # so was the purchase that it left with; or it was to be refused if another had arrived
        activity.rejects += 1
        activity.rejects_last = event.client_order_id
        detail = f"{activity.rejects} requests refused in a row, the last: {event.text or event.code}"
        if activity.rejects == self._most:
            activity.rejects_until_ns = event.ts_ns + self._pause_ns
            self._guards.take(Guard(NAME, REDUCING, event.ts_ns, detail), out)
            out.alert("critical", "rejects_in_row", detail)
        elif activity.rejects == HALT_FACTOR * self._most:
            activity.rejects = activity.rejects_until_ns = 0
            self._guards.take(Guard(NAME, HALTED, event.ts_ns, detail), out)
            self._guards.take(Guard(NAME, ACTIVE, event.ts_ns), out)  # nothing to wait for but the operator
            out.alert("critical", "rejects_in_row", detail)

    def _is_entry(self, list_id: str) -> bool:
        return any(order.role is Role.WORKING for order in self._book.of_list(list_id))
