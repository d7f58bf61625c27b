"""Arrivals, triggers, fills and expiries: what happens to an order that meets the book, and what follows from it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.ladder import LadderOutside
from bnml.venues.sim.latency import Latency
from bnml.venues.sim.messages import Execution, Status
from bnml.venues.sim.outside import Outside, TouchOutside
from bnml.venues.sim.prevention import Prevention
from bnml.venues.sim.seating import seat, trigger
from bnml.venues.sim.taking import NEVER_RESTS, Taking
from bnml.venues.sim.trades import ListRules, Trades
from bnml.venues.sim.trailing import Trailing, trigger_ticks

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder

_AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class Matcher:
    """Applies arrivals to the orders of the desk; `lists` is tied in by `tie`.

    What follows from a trade waits until the order that made it is done: legs that wake up, then stops
    that the trade's price triggers. `finish` carries that out.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.lists: ListRules
        self.has_book = desk.pricing.tier.has_book
        self.outside: Outside = LadderOutside(desk) if self.has_book else TouchOutside(desk)
        self.trades = Trades(desk, self.outside)
        self.taking = Taking(desk, self.outside, Prevention(desk, self.trades), self.trades)
        self.latency = Latency(desk, self) if self.queues else None
        self.trailing = Trailing(desk)
        self._waking: deque[SimOrder] = deque()

    def tie(self, lists: ListRules) -> None:
        """Whom to tell what concerns order lists."""
        self.lists = self.trades.lists = lists

    def resume(self) -> None:
        """After loading: what was on its way still is."""
        if self.latency is not None:
            self.latency.resume()

    def pass_time(self, ts_ns: int) -> bool:
        """Move market time forward; whether something that was on its way arrived meanwhile."""
        arrived = self.latency is not None and self.latency.run(ts_ns)
        self._desk.now_ns = max(self._desk.now_ns, ts_ns)
        return arrived

    def prepare(self, order: SimOrder) -> None:
        """Before a live order is reported: since when it works, or follows the market."""
        now_ns = self._desk.now_ns
        if self.latency is not None:
            now_ns = order.enters_ns = self.latency.submit_ns(order)
        if not order.waits_for_trigger:
            order.is_working, order.working_ns = True, now_ns
        elif order.trailing_bips and not order.stop_price_ticks:
            order.trailing_ns = now_ns

    def wake(self, order: SimOrder) -> None:
        """As `prepare`, for a leg that has long been at the exchange."""
        if not order.waits_for_trigger:
            order.is_working, order.working_ns = True, self._desk.now_ns
        elif order.trailing_bips and not order.stop_price_ticks:
            order.trailing_ns = self._desk.now_ns

    def value(self, order: SimOrder) -> None:
        """Fix the price that a trailing buy without a limit is counted at: the highest it can trigger at."""
        if order.trailing_bips and not order.price_ticks:
            base = order.stop_price_ticks or self._desk.market[order.symbol].state.last_ticks
            order.value_ticks = trigger_ticks(Side.BUY, base, order.trailing_bips)

    def arrive(self, order: SimOrder) -> None:
        """A live order meets the market: it waits for its trigger, takes, rests or expires."""
        if order.enters_ns and self.latency is not None:
            self.latency.submit(order)
        elif order.waits_for_trigger:
            seat(self._desk, order)
        else:
            self._work(order)

    def entered(self, order: SimOrder) -> None:
        """An order that was on its way meets the market as it is now."""
        self._arrive_awake(order)
        self.finish()

    def left(self, order: SimOrder) -> None:
        """A cancel that was on its way finds its order still open."""
        self.cancel(order, order.cancel_id)
        self.finish()

    def cancel(self, order: SimOrder, cancel_id: str) -> None:
        """End an order by request, and with it the list it belongs to."""
        order_list = self._desk.lists.get(order.list_id)
        if order_list is not None:
            self.lists.cancel(order_list, cancel_id)
            return
        self._desk.update(order, Status.CANCELED)
        self._desk.report(order, Execution.CANCELED, cancel_id=cancel_id)

    def arrive_later(self, order: SimOrder) -> None:
        """As `arrive` for a leg that wakes up, as soon as the order that woke it is done."""
        self._waking.append(order)

    def finish(self) -> None:
        """Carry out what followed from trades, until nothing follows any more."""
        printed = self.trades.printed
        while self._waking or printed:
            if self._waking:
                order = self._waking.popleft()
                if order.is_live:
                    self._arrive_awake(order)
                continue
            symbol, price = printed.popleft()
            self.trailing.follow(symbol, price)
            while (order_ := self._desk.books[symbol].next_triggered(price)) is not None:
                self.reach(order_)
                while self._waking:
                    woken = self._waking.popleft()
                    if woken.is_live:
                        self._arrive_awake(woken)

    def _arrive_awake(self, order: SimOrder) -> None:
        """The price may already be beyond the level of a leg: a stop triggers, a LIMIT_MAKER expires."""
        state = self._desk.market[order.symbol].state
        if order.waits_for_trigger:
            if order.stop_price_ticks and is_triggered(order, state.last_ticks):
                self.reach(order)
            else:
                seat(self._desk, order)
        elif order.type is OrderType.LIMIT_MAKER and self.taking.would_match(order):
            self.expire(order, "REJECTED")
        else:
            self._work(order)

    def reach(self, order: SimOrder) -> None:
        """The last price has reached the level of a stop: it begins to follow the market, or comes alive."""
        if order.trailing_bips and order.trailing_ns < 0:
            self.trailing.begin(order)
        else:
            self.trigger(order)

    def trigger(self, order: SimOrder) -> None:
        """A stop or take-profit comes alive: its list sibling expires, then it takes or rests."""
        trigger(self._desk, order)
        self.lists.leg_works(order)
        if order.type not in NEVER_RESTS:
            order.is_working, order.working_ns = True, self._desk.now_ns
            self._desk.report(order, Execution.NEW)
        self._work(order)

    def expire(self, order: SimOrder, reason: str) -> None:
        """End an order that the exchange itself gives up."""
        order.expiry_reason = reason
        self._desk.update(order, Status.EXPIRED)
        self._desk.report(order, Execution.EXPIRED)
        self.lists.order_over(order)

    def _work(self, order: SimOrder) -> None:
        """Take what the book gives at once; the rest rests or expires."""
        if not order.is_working:
            order.is_working, order.working_ns = True, self._desk.now_ns
        if order.type is not OrderType.LIMIT_MAKER:
            self.taking.take(order)
        if not order.is_open:
            return
        if order.type in NEVER_RESTS:
            self.expire(order, "INSUFFICIENT_LIQUIDITY")
        elif order.time_in_force in _AT_ONCE:
            self.expire(order, f"UNFILLED_{_WHAT[order.time_in_force]}_EXPIRED")
        else:
            order.queue_lots = (
                self.outside.at(order.side, order.symbol, order.price_ticks) if self.queues else 0
            )
            seat(self._desk, order)

    @property
    def queues(self) -> bool:
        """Whether orders wait behind those of the market (F3)."""
        return self._desk.pricing.tier == "F3"


_WHAT = {TimeInForce.IOC: "IOC_QUANTITY", TimeInForce.FOK: "FOK_ORDER"}


def is_triggered(order: SimOrder, last_ticks: int) -> bool:
    """Whether the last price has reached the level of a stop."""
    return last_ticks >= order.level_ticks if order.acts_from_below else last_ticks <= order.level_ticks
