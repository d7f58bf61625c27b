"""What time makes of orders that should have ended: stops and targets passed, entries filled in part, silent legs."""

from __future__ import annotations

from collections.abc import Iterator

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.core.commands import CancelOrder, QueryOrder
from bnml.core.events import Slice
from bnml.core.instrument import DELISTED, Instrument
from bnml.core.orders import OrderState
from bnml.kernels.records import ExitReason
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.positions import Position, Tranche
from bnml.trading.protection import Protection
from bnml.trading.state import EngineState

WATCH = "watch"
"""Name of the Timer that comes each second while `Watch.is_needed`."""
UNFILLED_NS = 2 * NS_PER_S
"""A stop that was triggered and rests so long is cancelled, and the rest sold at market."""
PARTIAL_NS = NS_PER_S
"""An entry filled in part that rests so long is cancelled: its stop sleeps until the full fill."""
SILENT_NS = NS_PER_S
"""A position bare for so long asks for the legs that should protect it."""
MOST_BARE_NS = 2 * NS_PER_S
"""What is promised: longer without protection is told of."""
QUIET_NS = 2 * NS_PER_S
"""A print after so long without one, of a symbol whose orders were refused as it was closed, says that it is open."""
SLICE_NS = 200 * NS_PER_MS
"""A slice may hold prints of so long before: only its last one counts against a younger order."""


class Watch:
    """Looks at positions as prints and seconds pass; remembers nothing but marks on orders and positions."""

    def __init__(self, state: EngineState, book: OrderBook, protection: Protection) -> None:
        self._state = state
        self._book = book
        self._protection = protection

    def is_needed(self) -> bool:
        """Whether seconds matter: something is bare, under way, untold or overdue soon; of what is parked nothing is."""
        return any(self._untold()) or any(
            one.look_ns
            or (one.bare_since_ns and not one.is_bareness_told)
            or not self._protection.is_calm(name)
            for name, one in self._state.ledger.positions.items()
            if not self._is_gone(name)
        )

    def ask_untold(self, out: Outbox) -> None:
        """Ask every other second for orders that lack a fill: the report that would bring it may be lost."""
        for order in self._untold():
            order.is_asked = not order.is_asked
            if order.is_asked:
                out.commands.append(QueryOrder(order.symbol, order.client_order_id))

    def _untold(self) -> Iterator[Order]:
        return (one for one in self._book.untold() if not self._is_gone(one.symbol))

    def _is_gone(self, symbol: str) -> bool:
        """Whether nobody answers for its orders any more."""
        return self._state.symbols[symbol].instrument.status == DELISTED

    def on_slice(self, position: Position, event: Slice) -> None:
        """Mark stops and targets that these prints pass, sell where a target could not rest, see a symbol that opens."""
        if event.low <= max(one.stop_ticks for one in position.tranches) or any(
            0 < one.target_ticks < event.high for one in position.tranches
        ):
            self._mark(position, event)
        instrument = self._state.symbols[position.symbol].instrument
        quiet_ns, position.printed_ns = event.ts_ns - position.printed_ns, event.ts_ns
        if position.is_shut and quiet_ns >= QUIET_NS:
            self._protection.refusals.try_now(position)
        for tranche in position.tranches:
            is_reached = 0 < tranche.emulated_ticks <= event.last
            if is_reached and not tranche.exit_reason and tranche.lots(instrument.lot_e8):
                tranche.exit_reason = int(ExitReason.TARGET1 if tranche.index == 1 else ExitReason.TARGET2)
                self._protection.stir(position.symbol)

    def look(self, position: Position, instrument: Instrument, out: Outbox) -> None:
        """Do what is overdue; whatever follows from it is protection's next step."""
        now_ns, dues = self._state.now_ns, []
        for tranche in position.tranches:
            self._ask_purchase(tranche, out)
            dues += [
                *self._working(tranche, out),
                *(due for leg in self._resting(tranche) for due in self._overdue(tranche, leg, out)),
            ]
        position.look_ns = min(dues, default=0)
        bare_ns = now_ns - position.bare_since_ns if position.bare_since_ns else 0
        if bare_ns >= SILENT_NS:
            self._ask_silent(position, out)
        if bare_ns >= MOST_BARE_NS and not position.is_bareness_told:
            position.is_bareness_told = True
            quantity = instrument.quantity_text(position.bare_lots)
            text = f"{quantity} {instrument.base} of {position.symbol} without a stop for {bare_ns / NS_PER_S:.1f} s"
            out.alert("critical", "position_bare", text)

    def _mark(self, position: Position, event: Slice) -> None:
        """A stop is passed at its price; at that of a target others may have been first."""
        for tranche in position.tranches:
            for leg in self._resting(tranche):
                is_older = event.ts_ns - leg.open_ns > SLICE_NS
                low, high = (event.low, event.high) if is_older else (event.last, event.last)
                is_passed = low <= leg.ticks if leg.role is Role.STOP else high > leg.ticks
                if is_passed and not leg.moved_ns:
                    leg.moved_ns = event.ts_ns
                    position.look_ns = position.look_ns or event.ts_ns + UNFILLED_NS

    def _resting(self, tranche: Tranche) -> Iterator[Order]:
        for name in tranche.legs:
            leg = self._book.orders[name]
            if leg.state in {OrderState.OPEN, OrderState.PARTLY_FILLED}:
                yield leg

    def _overdue(self, tranche: Tranche, leg: Order, out: Outbox) -> Iterator[int]:
        """A triggered stop that may rest becomes a market sale; another leg has filled, and reports are missing."""
        if not leg.moved_ns or (leg.role is Role.TARGET and leg.state is OrderState.PARTLY_FILLED):
            return  # a target half filled is withdrawn, which tells of it; each answer would mark it again
        if self._state.now_ns < leg.moved_ns + UNFILLED_NS:
            yield leg.moved_ns + UNFILLED_NS
        elif leg.limit_ticks and not tranche.exit_reason:
            tranche.exit_reason = leg.reason
            self._protection.stir(leg.symbol)
            out.alert(
                "warning",
                "stop_unfilled",
                f"{leg.symbol} tranche {tranche.index}: its stop was triggered and does not fill; sold at market",
            )
        elif not leg.limit_ticks:
            leg.moved_ns = 0  # marked again by the next print that passes it
            out.commands += [QueryOrder(one.symbol, one.client_order_id) for one in self._resting(tranche)]

    def _working(self, tranche: Tranche, out: Outbox) -> Iterator[int]:
        order = self._book.get(tranche.working_id)
        if order is None or order.is_final or not order.moved_ns or order.cancel_sent:
            return
        if self._state.now_ns < order.moved_ns + PARTIAL_NS:
            yield order.moved_ns + PARTIAL_NS
            return
        order.cancel_sent = True
        reason = f"entry of tranche {tranche.index} filled in part only"
        out.commands.append(CancelOrder(order.symbol, order.client_order_id, reason))

    def _ask_purchase(self, tranche: Tranche, out: Outbox) -> None:
        """A purchase whose legs are awake has filled; until that is told, they seem to lock what others need."""
        working = self._book.get(tranche.working_id)
        if working is None or working.is_settled or self._is_gone(working.symbol):
            return
        opened_ns = [self._book.orders[leg].open_ns for leg in tranche.legs]
        if any(0 < one <= self._state.now_ns - SILENT_NS for one in opened_ns):
            out.commands.append(QueryOrder(working.symbol, working.client_order_id))

    def _ask_silent(self, position: Position, out: Outbox) -> None:
        """Legs that sleep although their working order is over: awake, or expired, and nobody said so."""
        for tranche in position.tranches:
            working = self._book.get(tranche.working_id)
            if working is not None and not working.is_settled:
                continue
            for leg in tranche.legs:
                order = self._book.orders[leg]
                if order.state is OrderState.SLEEPING:
                    out.commands.append(QueryOrder(order.symbol, order.client_order_id))
