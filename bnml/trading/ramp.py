"""The live ramp: entries begin small and grow with round trips that the books and the cost model bear out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bnml.core.commands import Command, Submit
from bnml.core.events import Event, OperatorCommand, Timer
from bnml.core.instrument import Instrument
from bnml.core.orders import OrderTicket, OrderType, Side
from bnml.core.outcomes import Decision, Outcome, Trade
from bnml.kernels import fills, sizing
from bnml.kernels.records import Action, Taking
from bnml.trading import exits
from bnml.trading.compile import EngineConfig, instrument_record
from bnml.trading.guarding import BOOK_GUARDS
from bnml.trading.orders import Role
from bnml.trading.outbox import Outbox
from bnml.trading.risk.sizing import SizedEntry
from bnml.trading.round_trips import SMALLEST, STEP_WORDS, WHOLE, Ramp, Trip
from bnml.trading.state import EngineState

AGREED = "agreed"
"""Name of the Timer that says: as the books stood before this time, they were found equal to the account."""
MOST_OUTSIDE = 3
"""Round trips in a row with too much slippage that take a step back."""
TENTH_OF = 10
STOP_MARGIN_DEN = 20
"""The smallest order can still be sold when the price is a twentieth below its stop."""
MOST_WAITING = 100

Obey = Callable[[OperatorCommand, Outbox], list[str]]


def capped(sized: SizedEntry, instrument: Instrument, ramp: Ramp, config: EngineConfig) -> SizedEntry:
    """The entry as the ramp's step allows it; never less than what can be sold at its stop, never more than sized."""
    if not ramp.round_trips or ramp.step >= WHOLE:
        return sized
    record, stop_ticks = instrument_record(instrument)[0], sized.stop_ticks
    fallen_ticks = max(1, stop_ticks - stop_ticks // STOP_MARGIN_DEN)
    least = int(sizing.minimum_lots(fallen_ticks, config.costs[0]["taker_ppm"], record))
    most = least if ramp.step == SMALLEST else max(least, sized.lots // TENTH_OF)
    lots = min(sized.lots, most)
    return msgspec.structs.replace(
        sized,
        wanted_lots=min(sized.wanted_lots, most),
        lots=lots,
        risk_e8=int(fills.notional_e8(sized.reference_ticks - stop_ticks, lots, record)),
    )


def rest_measure_e8(symbol: str, active_e8: int, ramp: Ramp) -> int:
    """The capital that a rest of this position is small against: as much smaller as the position was made."""
    trip = ramp.open.get(symbol)
    if trip is None or trip.step >= WHOLE:
        return active_e8
    return 0 if trip.step == SMALLEST else active_e8 // TENTH_OF


class RampDesk:
    """Follows what each event concluded, and moves the step; the scan asks `capped`.

    A round trip counts when it was sized at this step, all its fills are measured, the slippage of buying and of
    selling was inside the cost model, and the ledger was found equal to the account after it closed, with nothing
    having come or gone beside our orders since it was opened.
    """

    def __init__(self, config: EngineConfig, state: EngineState) -> None:
        self._config = config
        self._state = state

    @property
    def words(self) -> dict[str, Obey]:
        """What the operator, and the start of a session, may say."""
        return {
            "ramp_begin": self._begin,
            "ramp_end": self._end,
            "ramp_release": self._release,
            "ramp_reset": self._reset,
        }

    def follow(
        self, event: Event, outcomes: Sequence[Outcome], commands: Sequence[Command], out: Outbox
    ) -> None:
        """One event, what came of it, and what was asked for; only while the ramp is in use."""
        ramp = self._state.ramp
        for outcome in outcomes:
            if isinstance(outcome, Trade):
                self._traded(outcome)
            elif isinstance(outcome, Decision) and outcome.action == Action.BUY and outcome.quantity_lots:
                self.begin(outcome.symbol)
        if not ramp.open and not ramp.closed:
            return
        for command in commands:
            if isinstance(command, Submit) and isinstance(command.order.ticket, OrderTicket):
                self._asked(command.order.ticket)
        for symbol in [name for name in ramp.open if name not in self._state.ledger.positions]:
            self._close(ramp.open.pop(symbol))
        if isinstance(event, Timer) and event.name == AGREED:
            self._judge(event.ts_ns, out)

    def begin(self, symbol: str) -> None:
        """An entry of this symbol leaves."""
        state = self._state
        decided = state.ledger.positions[symbol].reference_ticks
        state.ramp.open[symbol] = Trip(symbol, state.now_ns, state.ramp.step, decided)

    def _traded(self, trade: Trade) -> None:
        trip = self._state.ramp.open.get(trade.symbol)
        order = self._state.orders.get(trade.client_order_id)
        if trip is None:
            return
        symbol = self._state.symbols[trade.symbol]
        is_buy = trade.side is Side.BUY
        decided = trip.decided_ticks if is_buy else 0
        if order is not None and not is_buy:
            decided = trip.asked.get(order.client_order_id, 0) if order.role is Role.EXIT else order.ticks
        if order is None or symbol.bar is None or decided <= 0:
            trip.is_measured = False
            return
        _, bound = fills.taker_fill(
            int(Taking.MARKET),
            is_buy,
            order.quantity_lots,
            0,
            decided,
            exits.bar_record(symbol.bar),
            self._config.costs[0],
        )
        slack = -(-decided * self._state.ramp.slack_ppm // 1_000_000)
        bound = bound + slack if is_buy else max(1, bound - slack)
        leg, instrument, lots = trip.buys if is_buy else trip.sales, symbol.instrument, trade.quantity_lots
        leg.decided_e8 += instrument.notional_e8(decided, lots)
        leg.done_e8 += instrument.notional_e8(trade.price_ticks, lots)
        leg.bound_e8 += instrument.notional_e8(int(bound), lots)

    def _asked(self, ticket: OrderTicket) -> None:
        """A sale at market is decided at the last price that is known when it is asked for."""
        trip = self._state.ramp.open.get(ticket.symbol)
        position = self._state.ledger.positions.get(ticket.symbol)
        if trip is None or position is None or ticket.type is not OrderType.MARKET:
            return
        bar = self._state.symbols[ticket.symbol].bar
        trip.asked[ticket.client_order_id] = position.last_ticks or (bar.close if bar is not None else 0)

    def _close(self, trip: Trip) -> None:
        """Nothing of the position is left; one that never bought is no round trip."""
        if trip.buys.done_e8 or not trip.is_measured:
            trip.closed_ns = self._state.now_ns
            self._state.ramp.closed = [*self._state.ramp.closed, trip][-MOST_WAITING:]

    def _judge(self, agreed_ns: int, out: Outbox) -> None:
        """Books as they stood before `agreed_ns` equal the account: what closed before then can be judged."""
        if BOOK_GUARDS & self._state.activity.guards.keys():
            return
        ramp = self._state.ramp
        ready = [trip for trip in ramp.closed if trip.closed_ns < agreed_ns]
        ramp.closed = [trip for trip in ramp.closed if trip.closed_ns >= agreed_ns]
        for trip in ready:
            doubt = self._doubt(trip)
            if doubt:
                out.alert("info", "ramp_trip_not_counted", f"{trip.symbol}: {doubt}; it does not count")
            elif trip.is_inside:
                self._count(trip, out)
            else:
                self._count_outside(trip, out)

    def _doubt(self, trip: Trip) -> str:
        """Why a round trip says nothing about this step."""
        if self._state.ramp.flowed_ns >= trip.opened_ns:
            return "ledger and account differed, or money came or went, while it was under way"
        if not trip.is_measured or not trip.sales.done_e8:
            return "not all of it was bought and sold by orders whose decision is known"
        if trip.step != self._state.ramp.step:
            return "it was sized at another step"
        return ""

    def _count(self, trip: Trip, out: Outbox) -> None:
        ramp = self._state.ramp
        ramp.outside = 0
        if ramp.step >= WHOLE:
            return
        ramp.counted += 1
        text = f"{trip.symbol}: {trip.words()}; {ramp.counted} of {ramp.round_trips} at this step"
        out.alert("info", "ramp_trip_counted", text)
        if ramp.counted >= ramp.round_trips:
            self._go(ramp.step + 1)
            text = f"after {ramp.round_trips} round trips inside the cost model: {ramp.words()}"
            out.alert("warning", "ramp_step_released", text)

    def _count_outside(self, trip: Trip, out: Outbox) -> None:
        ramp = self._state.ramp
        ramp.outside += 1
        text = f"{trip.symbol}: {trip.words()}; outside the cost model, it does not count"
        out.alert("warning", "ramp_slippage", text)
        if ramp.outside >= MOST_OUTSIDE:
            self._go(max(SMALLEST, ramp.step - 1))
            text = f"{MOST_OUTSIDE} round trips in a row outside the cost model: {ramp.words()}"
            out.alert("critical", "ramp_step_back", text)

    def _go(self, step: int) -> None:
        ramp = self._state.ramp
        ramp.step, ramp.counted, ramp.outside = step, 0, 0

    def _begin(self, command: OperatorCommand, out: Outbox) -> list[str]:
        """`10 500`: so many round trips for a step, so many millionths of slack; the step is kept."""
        round_trips, _, slack_ppm = command.argument.partition(" ")
        if not (round_trips.isdecimal() and slack_ppm.isdecimal() and int(round_trips)):
            out.alert("warning", "command_unknown", f"ramp_begin {command.argument!r} cannot be read")
            return []
        ramp = self._state.ramp
        ramp.round_trips, ramp.slack_ppm = int(round_trips), int(slack_ppm)
        out.alert("info", "ramp_in_use", ramp.words())
        return []

    def _end(self, _: OperatorCommand, out: Outbox) -> list[str]:
        """Full size from now on; what was reached is kept for a ramp that begins again."""
        ramp = self._state.ramp
        ramp.round_trips = 0
        ramp.open.clear()
        ramp.closed.clear()
        out.alert("warning", "ramp_not_in_use", "the configuration asks for no ramp: full size")
        return []

    def _release(self, command: OperatorCommand, out: Outbox) -> list[str]:
        ramp = self._state.ramp
        if not ramp.round_trips or ramp.step >= WHOLE:
            out.alert("warning", "ramp_unchanged", f"no step is left to release; {STEP_WORDS[WHOLE]}")
            return []
        self._go(ramp.step + 1)
        out.alert("warning", "ramp_step_released", f"by the operator ({_reason(command)}): {ramp.words()}")
        return []

    def _reset(self, command: OperatorCommand, out: Outbox) -> list[str]:
        ramp = self._state.ramp
        if not ramp.round_trips:
            out.alert("warning", "ramp_unchanged", "no ramp is in use")
            return []
        self._go(SMALLEST)
        out.alert("warning", "ramp_step_back", f"by the operator ({_reason(command)}): {ramp.words()}")
        return []


def _reason(command: OperatorCommand) -> str:
    return command.argument or "no reason given"
