"""Keeps every held lot protected at the venue: compares what rests there with what should, and closes the difference.

A tranche is *entering* until its working order is settled, then *guarded* while the right legs rest, *bare*
between a cancel and what follows it, *selling* while a market sale is under way, and *done* without lots.
Nothing here remembers a step of a plan: each call looks at the orders and asks for the next step, so lost,
late or repeated reports and a restart in any place lead to the same end.
"""

from __future__ import annotations

from bnml.core.clock import NS_PER_S
from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.events import OrderReport
from bnml.core.ids import LEG_EXIT, LEG_LIST, LEG_STOP
from bnml.core.instrument import Instrument
from bnml.core.orders import ApprovedOrder, ListKind, ListTicket, OrderState, OrderTicket, OrderType, Side
from bnml.kernels.records import ExitReason
from bnml.trading import coverage
from bnml.trading.entries import register_protection, stop_ticket
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

HURRY_NS = NS_PER_S
"""Bare for so long, a position is sold piece by piece rather than at once: one of its orders is in doubt."""
_UNSURE = frozenset({OrderState.PENDING, OrderState.UNKNOWN, OrderState.SLEEPING})


class Protection:
    """Tends the tranches of positions; `patient` calls (from reports) leave what the venue is just doing alone."""

    def __init__(self, book: OrderBook, portfolio: Portfolio, state: EngineState) -> None:
        self._book = book
        self._portfolio = portfolio
        self._state = state
        # Guarded in all that is held; nothing to do until something happens to them.
        self._calm: set[str] = set()

    def is_calm(self, symbol: str) -> bool:
        """Whether the last look found the position guarded and nothing has happened to it since."""
        return symbol in self._calm

    def stir(self, symbol: str = "") -> None:
        """Something happened to a position (empty: to any): look again."""
        if symbol:
            self._calm.discard(symbol)
        else:
            self._calm.clear()

    def tend(self, position: Position, instrument: Instrument, out: Outbox, *, patient: bool) -> None:
        """Ask for whatever brings each tranche one step nearer to being guarded or sold."""
        if position.symbol in self._calm:
            return
        guarded = unsure = 0
        leaves = self._leaves(position, instrument)
        for tranche in position.tranches:
            self._settle_legs(tranche)
            if not self._is_movable(tranche, instrument):
                unsure += not self._is_over(tranche, instrument)
                continue
            wants = bool(tranche.exit_reason or position.exit_reason)
            if (tranche.exit_reason and not self._waits(tranche)) or leaves:
                unsure += 1
                self._withdraw(tranche, instrument, out)
            elif self._is_guarded(tranche, instrument):
                guarded, unsure = guarded + 1, unsure + wants
                tranche.refusals = tranche.refusals if wants else 0
            else:
                unsure += 1
                self._guard(tranche, instrument, out, patient=patient)
        if guarded and not unsure:
            self._calm.add(position.symbol)
        else:
            for reason, tranches, index in self._sales(position, instrument, leaves=leaves):
                self._sell(tranches, instrument, reason, index, out)
        coverage.follow(position, self._book, instrument.lot_e8, self._state.now_ns, out)

    def is_done(self, position: Position, instrument: Instrument) -> bool:
        """Nothing is held and nothing can come any more."""
        return all(self._is_over(tranche, instrument) for tranche in position.tranches)

    def let_go(self, tranche: Tranche, instrument: Instrument, out: Outbox) -> None:
        """Nothing of the tranche is left and no sale of ours took it: its stops would ask for what is not there."""
        legs = [self._book.orders[leg] for leg in tranche.legs]
        if legs and tranche.lots(instrument.lot_e8) == 0 and not any(leg.cancel_sent for leg in legs):
            self._withdraw(tranche, instrument, out)

    def refused(self, position: Position, tranche: Tranche, report: OrderReport, out: Outbox) -> None:
        """The venue refused what should protect or sell this tranche."""
        order = self._book.orders[report.client_order_id]
        if order.role is Role.TARGET:
            return  # the stop of the same list tells the same story
        cause, now_ns = cause_of(report), self._state.now_ns
        name = f"{order.symbol} tranche {tranche.index}"
        out.alert("warning", "protection_refused", f"{name}: {report.text or report.code}")
        if cause is Cause.LOST:
            return
        tranche.refusals += 1
        if order.role is Role.EXIT:
            instrument = self._state.symbols[order.symbol].instrument
            if is_too_small(report, order.quantity_lots, self._price(position), instrument):
                self._lay_aside(tranche, instrument, out)
            else:  # guarded again at once, and sold later
                tranche.sell_after_ns = now_ns + pause_ns(tranche.refusals)
                tranche.guard_after_ns = 0
        elif position.exit_reason or tranche.exit_reason:
            tranche.sell_after_ns = tranche.sell_after_ns or now_ns
            tranche.guard_after_ns = max(tranche.sell_after_ns, now_ns + pause_ns(tranche.refusals))
        elif cause is Cause.TOO_LATE:
            tranche.exit_reason = self._passed(position, tranche)
        elif cause is Cause.FILTER or tranche.refusals >= MAX_REFUSALS:
            tranche.exit_reason = order.reason
        elif cause is Cause.LOCKED:
            tranche.guard_after_ns = now_ns + pause_ns(tranche.refusals)

    def _passed(self, position: Position, tranche: Tranche) -> int:
        """Which level the price has passed already, so that nothing can rest there."""
        if tranche.target_ticks and position.last_ticks >= tranche.target_ticks:
            return int(ExitReason.TARGET1 if tranche.index == 1 else ExitReason.TARGET2)
        return int(ExitReason.GAP)

    def _price(self, position: Position) -> int:
        """The last price known, in ticks; 0 if none is."""
        bar = self._state.symbols[position.symbol].bar
        return position.last_ticks or (bar.close if bar is not None else 0)

    def _waits(self, tranche: Tranche) -> bool:
        """Whether a refused sale is not to be repeated yet."""
        return tranche.sell_after_ns > self._state.now_ns

    def _leaves(self, position: Position, instrument: Instrument) -> bool:
        """Whether the whole position goes now: not while an entry of it is open, nor right after a refusal."""
        if not position.exit_reason:
            return False
        if any(not self._is_settled(tranche.working_id) for tranche in position.tranches):
            return False
        return not any(self._waits(one) for one in position.tranches if one.lots(instrument.lot_e8))

    def cancel_failed(self, order: Order, code: int, out: Outbox) -> None:
        """A cancel did not happen; what replaced the order was not placed, and its truth must be read."""
        order.cancel_sent = False
        position = self._portfolio.positions.get(order.symbol)
        if position is not None and code not in {*NEVER_ARRIVED, UNKNOWN_ORDER}:
            for tranche in position.tranches:
                if tranche.index == order.tranche:
                    tranche.sell_after_ns = tranche.guard_after_ns = self._state.now_ns + pause_ns(1)
        for other in self._book.orders.values():
            if other.replaces == order.client_order_id and other.state is OrderState.PENDING:
                other.state = OrderState.REJECTED
        if not order.is_final:
            order.state = OrderState.UNKNOWN
            out.commands.append(QueryOrder(order.symbol, order.client_order_id))

    def _settle_legs(self, tranche: Tranche) -> None:
        if self._is_settled(tranche.working_id) and tranche.bought_lots == 0:
            for leg in tranche.legs:
                self._book.expire(leg)
        tranche.legs = [leg for leg in tranche.legs if not self._is_settled(leg)]

    def _is_settled(self, client_order_id: str) -> bool:
        order = self._book.orders.get(client_order_id)
        return order is None or order.is_settled

    def _is_movable(self, tranche: Tranche, instrument: Instrument) -> bool:
        """Held, and no request of ours or fill of the venue is under way."""
        if tranche.lots(instrument.lot_e8) == 0:
            return False
        if not (self._is_settled(tranche.working_id) and self._is_settled(tranche.sale_id)):
            return False
        legs = [self._book.orders[leg] for leg in tranche.legs]
        return not any(leg.is_final or leg.cancel_sent or leg.state in _UNSURE for leg in legs)

    def _is_over(self, tranche: Tranche, instrument: Instrument) -> bool:
        return (
            not tranche.legs
            and tranche.lots(instrument.lot_e8) == 0
            and self._is_settled(tranche.working_id)
            and self._is_settled(tranche.sale_id)
        )

    def _is_guarded(self, tranche: Tranche, instrument: Instrument) -> bool:
        """Whether the right legs rest: a stop at its level, a target if there is one, each for all that is held."""
        lots = _whole(tranche, instrument)
        legs = [self._book.orders[leg] for leg in tranche.legs]
        stop = next((leg for leg in legs if leg.role is Role.STOP), None)
        return (
            stop is not None
            and stop.ticks == tranche.stop_ticks
            and len(legs) == (2 if tranche.target_ticks else 1)
            and all(leg.open_lots == lots for leg in legs)
        )

    def _guard(self, tranche: Tranche, instrument: Instrument, out: Outbox, *, patient: bool) -> None:
        lots = _whole(tranche, instrument)
        legs = [self._book.orders[leg] for leg in tranche.legs]
        if tranche.guard_after_ns > self._state.now_ns:
            return  # the venue refused a moment ago
        if not legs:
            self._protect(tranche, instrument, lots, out)
            return
        stops = [leg for leg in legs if leg.role is Role.STOP]
        whole = len(legs) == (2 if tranche.target_ticks else 1)
        executing = any(
            leg.state is OrderState.PARTLY_FILLED or (leg.moved_ns and leg.limit_ticks) for leg in stops
        )
        bare_target = not stops and legs[0].state is OrderState.PARTLY_FILLED
        if executing or (patient and not whole and not bare_target):
            return  # one leg of a pair has ended: the venue is about to tell why
        if stops and len(legs) == 1 and not tranche.target_ticks and instrument.cancel_replace_allowed:
            self._replace(tranche, stops[0], instrument, lots, out)
        else:
            self._withdraw(tranche, instrument, out)

    def _protect(self, tranche: Tranche, instrument: Instrument, lots: int, out: Outbox) -> None:
        out.begin()
        if tranche.target_ticks and instrument.oco_allowed:
            list_id = out.client_order_id(LEG_LIST)
            pending = register_protection(tranche, instrument, lots, list_id, self._book, out)
            ticket: OrderTicket | ListTicket = ListTicket(
                instrument.symbol, list_id, ListKind.OCO, None, pending
            )
        else:
            tranche.emulated_ticks, tranche.target_ticks = tranche.target_ticks or tranche.emulated_ticks, 0
            (ticket,) = register_protection(tranche, instrument, lots, "", self._book, out)
        out.commands.append(Submit(ApprovedOrder(ticket, f"protection of tranche {tranche.index}")))

    def _replace(self, tranche: Tranche, old: Order, instrument: Instrument, lots: int, out: Outbox) -> None:
        out.begin()
        order_id = out.client_order_id(LEG_STOP)
        ticket = stop_ticket(instrument, order_id, lots, tranche.stop_ticks)
        self._book.register(
            Order(
                order_id,
                old.symbol,
                Side.SELL,
                Role.STOP,
                tranche.index,
                lots,
                tranche.stop_ticks,
                tranche.stop_reason,
                replaces=old.client_order_id,
                limit_ticks=ticket.price_ticks,
            )
        )
        tranche.legs.append(order_id)
        old.cancel_sent = True
        out.commands.append(
            ReplaceOrder(old.client_order_id, ticket, f"stop of tranche {tranche.index} moves")
        )

    def _withdraw(self, tranche: Tranche, instrument: Instrument, out: Outbox) -> None:
        legs = [self._book.orders[leg] for leg in tranche.legs]
        reason = f"protection of tranche {tranche.index} is replaced or withdrawn"
        for leg in legs:
            leg.cancel_sent = True
        if len(legs) > 1 and legs[0].list_id:
            out.commands.append(CancelList(instrument.symbol, legs[0].list_id, reason))
            return
        out.commands.extend(CancelOrder(leg.symbol, leg.client_order_id, reason) for leg in legs)

    def _sales(
        self, position: Position, instrument: Instrument, *, leaves: bool
    ) -> list[tuple[int, list[Tranche], int]]:
        """What may be sold at market now: (reason, tranches, index for the trade)."""
        held = [tranche for tranche in position.tranches if tranche.lots(instrument.lot_e8)]
        ready = [tranche for tranche in held if not tranche.legs and self._is_movable(tranche, instrument)]
        if leaves:
            if held and len(ready) == len(held):
                return [(position.exit_reason, held, 0)]
            is_late = 0 < position.bare_since_ns <= self._state.now_ns - HURRY_NS
            return [(position.exit_reason, [one], one.index) for one in ready] if is_late else []
        return [
            (one.exit_reason, [one], one.index) for one in ready if one.exit_reason and not self._waits(one)
        ]

    def _sell(
        self, tranches: list[Tranche], instrument: Instrument, reason: int, index: int, out: Outbox
    ) -> None:
        if index == 0:
            self._portfolio.take_up(tranches[-1], instrument)
        lots = min(sum(_whole(tranche, instrument) for tranche in tranches), instrument.market_max_lots)
        if lots == 0:  # the venue's lots have become larger than this
            for tranche in tranches:
                self._lay_aside(tranche, instrument, out)
            return
        out.begin()
        order_id = out.client_order_id(LEG_EXIT)
        for tranche in tranches:
            tranche.sale_id = order_id
        self._book.register(Order(order_id, instrument.symbol, Side.SELL, Role.EXIT, index, lots, 0, reason))
        ticket = OrderTicket(instrument.symbol, order_id, Side.SELL, OrderType.MARKET, lots)
        out.commands.append(Submit(ApprovedOrder(ticket, f"exit: {ExitReason(reason).name.lower()}")))

    def _lay_aside(self, tranche: Tranche, instrument: Instrument, out: Outbox) -> None:
        """What cannot be sold alone leaves the position for the dust, where it waits for the symbol's next sale."""
        quantity = instrument.quantity_text(tranche.lots(instrument.lot_e8))
        out.alert(
            "warning",
            "rest_is_dust",
            f"{instrument.symbol} tranche {tranche.index}: the rest of {quantity} {instrument.base} is too small to sell; "
            "it is kept as dust at cost, without a stop, and goes with the next sale of the symbol",
        )
        self._portfolio.lay_aside(tranche, instrument, self._state.now_ns)


def _whole(tranche: Tranche, instrument: Instrument) -> int:
    """Lots held that the venue's own step lets us sell."""
    lots = tranche.lots(instrument.lot_e8)
    return lots - lots % instrument.lot_step
