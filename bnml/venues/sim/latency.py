"""F3: requests on their way to the book. Orders enter, and cancels take effect, a drawn time after they came in."""

from __future__ import annotations

import heapq
from math import cos, exp, log, pi, sqrt
from typing import TYPE_CHECKING, Final, Protocol

from bnml.core.clock import NS_PER_MS
from bnml.kernels import fills

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder

_PPM: Final = 1_000_000
_US: Final = NS_PER_MS // 1_000


class Arrivals(Protocol):
    """Who carries out what has arrived."""

    def entered(self, order: SimOrder) -> None:
        """An order has reached the book."""
        ...

    def left(self, order: SimOrder) -> None:
        """The cancel of an order has reached the book."""
        ...


class Latency:
    """What is on its way, by the time at which it arrives."""

    def __init__(self, desk: Desk, arrivals: Arrivals) -> None:
        self._desk = desk
        self._arrivals = arrivals
        self._due: list[tuple[int, int, int, bool]] = []  # time, sequence, order, is a cancel
        self._sent = 0

    def resume(self) -> None:
        """After loading: what was on its way still is."""
        for orders in self._desk.live.values():
            for order in orders.values():
                if order.enters_ns:
                    self.submit(order)
                if order.leaves_ns:
                    self._send(order.leaves_ns, order, is_cancel=True)

    def submit_ns(self, order: SimOrder) -> int:
        """When an order that is placed now will reach the book."""
        return self._desk.now_ns + self._drawn(self._desk.pricing.model.submit_median_ns, 2 * order.order_id)

    def submit(self, order: SimOrder) -> None:
        """Send an order on its way; `enters_ns` says when it arrives."""
        self._send(order.enters_ns, order, is_cancel=False)

    def cancel(self, order: SimOrder, cancel_id: str) -> None:
        """Send a cancel on its way; it never overtakes the order."""
        if order.leaves_ns:
            return
        wait_ns = self._drawn(self._desk.pricing.model.cancel_median_ns, 2 * order.order_id + 1)
        order.leaves_ns = max(self._desk.now_ns + wait_ns, order.enters_ns)
        order.cancel_id = cancel_id
        self._desk.changes.orders.add(order.order_id)
        self._send(order.leaves_ns, order, is_cancel=True)

    def run(self, until_ns: int) -> bool:
        """Let everything arrive that is due, each at its own time; whether there was anything."""
        if not self._due or self._due[0][0] > until_ns:
            return False
        desk = self._desk
        while self._due and self._due[0][0] <= until_ns:
            due_ns, _, order_id, is_cancel = heapq.heappop(self._due)
            order = desk.orders[order_id]
            if not order.is_open:
                continue
            desk.now_ns = max(desk.now_ns, due_ns)
            desk.changes.orders.add(order_id)
            if is_cancel:
                self._arrivals.left(order)
            else:
                order.enters_ns = 0
                self._arrivals.entered(order)
            desk.settle()
        return True

    def _send(self, due_ns: int, order: SimOrder, *, is_cancel: bool) -> None:
        self._sent += 1
        heapq.heappush(self._due, (due_ns, self._sent, order.order_id, is_cancel))

    def _drawn(self, median_ns: int, ordinal: int) -> int:
        """Log-normal, from the seed and the ordinal alone; whole microseconds, so that no last digit matters."""
        pricing = self._desk.pricing
        first, second = (int(fills.draw_ppm(pricing.seed, at, ordinal, 0)) for at in (1, 2))
        normal = sqrt(-2.0 * log((first + 1) / _PPM)) * cos(2.0 * pi * second / _PPM)
        return round(median_ns * exp(pricing.model.sigma * normal) / _US) * _US
