"""What follows from a refusal of the venue: sold now, guarded again and sold later, or kept as dust."""

from __future__ import annotations

from bnml.core.clock import NS_PER_S
from bnml.core.commands import QueryOrder
from bnml.core.events import OrderReport
from bnml.core.instrument import Instrument
from bnml.core.orders import OrderState
from bnml.kernels.records import ExitReason
from bnml.trading import coverage
from bnml.trading.insuring import borrowers
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio
from bnml.trading.positions import Position, Tranche
from bnml.trading.refusals import (
    MAX_REFUSALS,
    NEVER_ARRIVED,
    UNKNOWN_ORDER,
    Cause,
    cause_of,
    is_too_small,
    pause_ns,
)
from bnml.trading.state import EngineState

FIRST_OF_LOCKED = 4
"""What is locked is often free in a moment: the pause after that refusal begins with this part of the others."""
_NO_SALE_EITHER = {Cause.LOCKED, Cause.CLOSED}
"""A sale would need the same coins, or the same market: the venue refuses it as it refuses the stop."""
KNOWN_NS = NS_PER_S
"""What has the coins of an order that was asked for beside it is read within this time."""


class RefusalDesk:
    """Marks tranches; protection's next look acts on the marks."""

    def __init__(self, book: OrderBook, portfolio: Portfolio, state: EngineState) -> None:
        self._book = book
        self._portfolio = portfolio
        self._state = state

    def waits(self, tranche: Tranche) -> bool:
        """Whether a refused sale is not to be repeated yet."""
        return tranche.sell_after_ns > self._state.now_ns

    def refused(self, position: Position, tranche: Tranche, report: OrderReport, out: Outbox) -> None:
        """The venue refused what should protect or sell this tranche."""
        order = self._book.orders[report.client_order_id]
        if order.role is Role.TARGET:
            return  # the stop of the same list tells the same story
        cause = cause_of(report)
        if self._is_foreseen(position, tranche, order, cause):
            return
        name = f"{order.symbol} tranche {tranche.index}"
        out.alert("warning", "protection_refused", f"{name}: {report.text or report.code}")
        if cause is Cause.LOST:
            return
        position.is_shut |= cause is Cause.CLOSED
        # Of a stop that would trigger at once nobody has looked whether its coins are free.
        tranche.lacks_coins = cause is Cause.LOCKED or (tranche.lacks_coins and cause is Cause.TOO_LATE)
        if order.role is Role.EXIT:
            instrument = self._state.symbols[order.symbol].instrument
            if is_too_small(report, order.quantity_lots, self._price(position), instrument):
                self.lay_aside(tranche, instrument, out)
            else:
                self.sell_later(position, tranche)
            return
        self._stop_refused(position, tranche, order, cause)

    def sell_later(self, position: Position, tranche: Tranche) -> None:
        """Guarded again at once, and sold after a pause that grows each time; what is in doubt then is waited for anew."""
        position.leaves_ns = 0
        tranche.refusals += 1
        tranche.sell_after_ns = self._state.now_ns + pause_ns(tranche.refusals)
        tranche.guard_after_ns = 0

    def _stop_refused(self, position: Position, tranche: Tranche, order: Order, cause: Cause) -> None:
        tranche.refusals, now_ns = tranche.refusals + 1, self._state.now_ns
        tranche.strikes += cause not in _NO_SALE_EITHER
        if position.exit_reason or tranche.exit_reason:
            if cause is Cause.TOO_LATE:  # it does not wait for what the position waits for
                tranche.exit_reason = tranche.exit_reason or position.exit_reason
            tranche.sell_after_ns = tranche.sell_after_ns or now_ns
            tranche.guard_after_ns = max(tranche.sell_after_ns, now_ns + pause_ns(tranche.refusals))
        elif cause is Cause.TOO_LATE:
            tranche.exit_reason = self._passed(position, tranche)
        elif cause is Cause.FILTER or (tranche.strikes >= MAX_REFUSALS and cause not in _NO_SALE_EITHER):
            tranche.exit_reason = order.reason
        else:
            tranche.move_after_ns = now_ns + pause_ns(tranche.refusals)  # where the old stop is there again
            if cause is Cause.LOCKED:
                tranche.guard_after_ns = now_ns + pause_ns(tranche.refusals) // FIRST_OF_LOCKED
            elif cause is Cause.CLOSED:
                tranche.guard_after_ns = tranche.move_after_ns

    def try_now(self, position: Position) -> None:
        """What was refused may be taken now: the symbol trades again, or has other filters."""
        position.is_shut = False
        for tranche in position.tranches:
            tranche.refusals = tranche.strikes = 0
            if not coverage.has_stop(tranche, self._book):  # else it would be given up for so little
                tranche.short_lots = 0
            tranche.sell_after_ns = tranche.guard_after_ns = tranche.move_after_ns = 0

    def _is_ours(self, position: Position, order: Order) -> bool:
        """Whether what an order found locked or sold is what a cancel just before it should have freed, or borrowed by another tranche."""
        tranches = [
            one
            for one in position.tranches
            if order.client_order_id in {one.sale_id, *one.legs} or order.tranche == one.index
        ]
        names = [name for tranche in tranches for name in (*tranche.legs, tranche.sale_id)]
        others = [other for name in names if (other := self._book.get(name)) is not None]
        if any(not other.is_settled and not _is_of(other, order) for other in others):
            return True
        instrument = self._state.symbols[order.symbol].instrument
        if any(one not in tranches for one in borrowers(position, instrument, self._book, is_late=True)):
            return True
        return sum(tranche.lots(instrument.lot_e8) for tranche in tranches) < order.quantity_lots

    def _is_foreseen(self, position: Position, tranche: Tranche, order: Order, cause: Cause) -> bool:
        """Whether the refusal tells nothing of the venue's will: the next order for what is there will be judged."""
        if order.is_beside and cause is not Cause.LOST:
            tranche.insure_after_ns = max(tranche.insure_after_ns, self._state.now_ns + KNOWN_NS)
        if order.spare_of:
            return True  # what it left with is judged for itself
        if not order.follows:
            if not tranche.lots(self._state.symbols[order.symbol].instrument.lot_e8):
                return True  # its coins have been sold while it was on its way
            # One too many for the venue may be what is asked for beside an order that it has taken.
            is_one_too_many = cause is Cause.LOCKED or (order.is_beside and cause is not Cause.TOO_LATE)
            return is_one_too_many and self._is_ours(position, order)
        # It left before anybody knew what there would be to protect.
        working = self._book.get(order.follows)
        bought_nothing = tranche.bought_lots == 0 and (working is None or working.is_settled)
        return bought_nothing or cause is not Cause.TOO_LATE

    def cancel_failed(self, order: Order, name: str, code: int, out: Outbox) -> None:
        """A cancel of this name did not happen; what replaced it was not placed, and the order's truth must be read."""
        order.cancel_sent = False
        position = self._portfolio.positions.get(order.symbol)
        if position is not None and code not in {*NEVER_ARRIVED, UNKNOWN_ORDER}:
            for tranche in position.tranches:
                if tranche.index == order.tranche:
                    self._pause(tranche, order, code, out)
        elif position is not None and code == UNKNOWN_ORDER and order.role is Role.STOP:
            self._missed(next((one for one in position.tranches if one.index == order.tranche), None))
        for other in self._book.orders.values():
            if other.replaces == name and other.state is OrderState.PENDING:
                other.state = OrderState.REJECTED
        if not order.is_final:
            order.state = OrderState.UNKNOWN
            out.commands.append(QueryOrder(order.symbol, order.client_order_id))

    def _missed(self, tranche: Tranche | None) -> None:
        """What is read lags behind what is done: a stop that is shown although no cancel finds it is left alone a while."""
        if tranche is None:
            return
        tranche.misses += 1
        if tranche.misses > 1:
            tranche.move_after_ns = tranche.sell_after_ns = self._state.now_ns + pause_ns(1)

    def _pause(self, tranche: Tranche, order: Order, code: int, out: Outbox) -> None:
        """The old order rests on, so nothing is bare: try again later, and later still each time."""
        tranche.refusals += 1
        tranche.sell_after_ns = self._state.now_ns + pause_ns(1)
        tranche.guard_after_ns = self._state.now_ns + pause_ns(tranche.refusals)
        if tranche.refusals == MAX_REFUSALS:
            text = (
                f"{order.symbol} tranche {tranche.index}: the venue refuses to move its {order.role} ({code}); the one that "
                "rests stays, and moving it is tried again every half minute at most"
            )
            out.alert("warning", "protection_not_moved", text)

    def lay_aside(self, tranche: Tranche, instrument: Instrument, out: Outbox) -> None:
        """What cannot be sold alone leaves the position for the dust, where it waits for the symbol's next sale."""
        quantity = instrument.quantity_text(tranche.lots(instrument.lot_e8))
        out.alert(
            "warning",
            "rest_is_dust",
            f"{instrument.symbol} tranche {tranche.index}: the rest of {quantity} {instrument.base} is too small to sell; "
            "it is kept as dust at cost, without a stop, until it is worth selling or goes with the symbol's next sale at market",
        )
        self._portfolio.lay_aside(tranche, instrument, self._state.now_ns)

    def _passed(self, position: Position, tranche: Tranche) -> int:
        """Which level the price has passed already, so that nothing can rest there."""
        if tranche.target_ticks and position.last_ticks >= tranche.target_ticks:
            return int(ExitReason.TARGET1 if tranche.index == 1 else ExitReason.TARGET2)
        return int(ExitReason.GAP)

    def _price(self, position: Position) -> int:
        """The last price known, in ticks; before the first one that of the entry: what nobody knows is not small."""
        bar = self._state.symbols[position.symbol].bar
        return position.last_ticks or (bar.close if bar is not None else 0) or position.reference_ticks


def _is_of(leg: Order, order: Order) -> bool:
    """Whether both are of one request, or the first one is the spare of the second: it came after it."""
    same_list = bool(order.list_id) and leg.list_id == order.list_id
    return same_list or order.client_order_id in {leg.client_order_id, leg.spare_of}
