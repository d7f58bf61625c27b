"""Prints meet orders: triggers, fills and expiries, in the order in which the price reaches their levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.messages import Execution, Status

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.messages import Print
    from bnml.venues.sim.orders import SimOrder
    from bnml.venues.sim.symbol_market import SymbolState

_NEVER_RESTS = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
_NO_LEVEL = 2**63
_AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class ListRules(Protocol):
    """What matching tells order lists."""

    def leg_works(self, order: SimOrder) -> None:
        """An order is about to fill or has been triggered."""
        ...

    def order_over(self, order: SimOrder) -> None:
        """An order has reached a final state."""
        ...


class Matcher:
    """Applies prints and arrivals to the orders of the desk; `lists` is tied in by the facade."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.lists: ListRules

    def arrive(self, order: SimOrder) -> None:
        """A live order meets the market: it waits for its trigger, takes, rests or expires."""
        if not order.waits_for_trigger:
            self._work(order)

    def arrive_late(self, order: SimOrder) -> None:
        """As `arrive`, for a pending leg: the price may already be beyond its level.

        A stop triggers at once; a LIMIT_MAKER that would match expires.
        """
        state = self._desk.market[order.symbol].state
        if order.waits_for_trigger:
            if is_triggered(order, state.last_ticks):
                self.trigger(order)
        elif order.type is OrderType.LIMIT_MAKER and self.would_match(order):
            self.expire(order, "WOULD_MATCH")
        else:
            self._work(order)

    def would_match(self, order: SimOrder) -> bool:
        """Whether a limit order would take from the book as it stands."""
        state = self._desk.market[order.symbol].state
        instrument = self._desk.instruments[order.symbol]
        best = self._desk.pricing.touch(order.side, state, instrument, self._desk.now_ns)
        return order.price_ticks >= best if order.side is Side.BUY else order.price_ticks <= best

    def trigger(self, order: SimOrder) -> None:
        """A stop or take-profit comes alive: its list sibling expires, then it takes or rests."""
        order.triggered = True
        self._desk.bands.pop(order.symbol, None)
        self.lists.leg_works(order)
        if order.type not in _NEVER_RESTS:
            order.is_working, order.working_ns = True, self._desk.now_ns
            self._desk.report(order, Execution.NEW)
        self._work(order)

    def expire(self, order: SimOrder, reason: str = "") -> None:
        """End an order that the exchange itself gives up."""
        order.expiry_reason = reason
        self._desk.update(order, Status.EXPIRED)
        self._desk.report(order, Execution.EXPIRED)
        self.lists.order_over(order)

    def on_print(self, printed: Print) -> None:
        """Move the last price to the print; everything that the move reaches happens on the way."""
        market = self._desk.market[printed.symbol]
        state = market.state
        before = state.last_ticks
        if self._desk.live[printed.symbol] and self._may_reach(printed):
            jump = printed.jump or before == 0
            state.last_ticks = printed.price_ticks if jump else before
            self._move(printed, state, falling=printed.price_ticks < before, jump=jump)
            self._desk.settle()
            self._desk.bands.pop(printed.symbol, None)
        state.last_ticks = before
        market.record(printed)

    def _may_reach(self, printed: Print) -> bool:
        """Whether the print leaves the band between the nearest levels, sleeping orders' included."""
        band = self._desk.bands.get(printed.symbol)
        if band is None:
            orders = self._desk.live[printed.symbol].values()
            above = [order.level_ticks for order in orders if order.acts_from_below]
            below = [order.level_ticks for order in orders if not order.acts_from_below]
            band = self._desk.bands[printed.symbol] = max(below, default=-1), min(above, default=_NO_LEVEL)
        return not band[0] < printed.price_ticks < band[1]

    def _move(self, printed: Print, state: SymbolState, *, falling: bool, jump: bool) -> None:
        start, end = state.last_ticks, printed.price_ticks
        while True:
            order = self._next_reached(printed, falling=falling)
            if order is None:
                return
            level = order.level_ticks
            if not jump and min(start, end) <= level <= max(start, end):
                state.last_ticks = level
            if order.waits_for_trigger:
                self.trigger(order)
            else:
                self._fill(order, order.remaining_lots, level, is_maker=True)

    def _next_reached(self, printed: Print, *, falling: bool) -> SimOrder | None:
        reached = [o for o in self._desk.live[printed.symbol].values() if self._is_reached(o, printed)]
        if not reached:
            return None
        sign = -1 if falling else 1
        return min(reached, key=lambda order: (sign * order.level_ticks, order.order_id))

    def _is_reached(self, order: SimOrder, printed: Print) -> bool:
        if order.status is Status.PENDING_NEW:
            return False
        if order.waits_for_trigger:
            return is_triggered(order, printed.price_ticks)
        instrument = self._desk.instruments[order.symbol]
        return self._desk.pricing.resting_fills(order, printed.price_ticks, printed.ts_ns, instrument)

    def _work(self, order: SimOrder) -> None:
        """Take what the market gives at once; the rest rests or expires."""
        if not order.is_working:
            order.is_working, order.working_ns = True, self._desk.now_ns
        state = self._desk.market[order.symbol].state
        if order.type is not OrderType.LIMIT_MAKER:
            at_any_price = order.type in _NEVER_RESTS
            lots, price = self._desk.pricing.take(
                order, order.remaining_lots, state, at_any_price=at_any_price
            )
            lots = min(lots, self._affordable(order, price)) if at_any_price else lots
            if lots > 0:
                self._fill(order, lots, price, is_maker=False)
        if order.is_open and (order.type in _NEVER_RESTS or order.time_in_force in _AT_ONCE):
            self.expire(order)

    def _affordable(self, order: SimOrder, price_ticks: int) -> int:
        """Lots that a buy without a limit can pay; stops were locked at their stop price only."""
        if order.side is Side.SELL:
            return order.remaining_lots
        instrument = self._desk.instruments[order.symbol]
        available = self._desk.account(order.account).free(instrument.quote) + order.locked_e8
        return self._desk.pricing.lots_for(available, price_ticks, instrument)

    def _fill(self, order: SimOrder, lots: int, price_ticks: int, *, is_maker: bool) -> None:
        if not order.executed_lots and not order.triggered:
            self.lists.leg_works(order)
        self._desk.book_fill(order, lots, price_ticks, is_maker=is_maker)
        if not order.is_open:
            self.lists.order_over(order)


def is_triggered(order: SimOrder, last_ticks: int) -> bool:
    """Whether the last price has reached a stop price."""
    if order.acts_from_below:
        return last_ticks >= order.stop_price_ticks
    return last_ticks <= order.stop_price_ticks
