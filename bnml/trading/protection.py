"""Keeps every held lot protected at the venue: compares what rests there with what should, and closes the difference.

A tranche is *entering* until its working order is settled, then *guarded* while the right legs rest, *selling*
while a market sale is under way, and *done* without lots. What protects is withdrawn together with the request
that follows, so that no death of the process comes in between: a stop and its sale as one replacement, a list and
its successor in one write, the old stop once more behind them. Only coins of others in the account, with which the
second could succeed without the first, and refusals of the venue leave it *bare* in between.
Nothing here remembers a step of a plan: each call looks at the orders and asks for the next step, so lost,
late or repeated reports and a restart in any place lead to the same end.
"""

from __future__ import annotations

from bnml.core.clock import NS_PER_S
from bnml.core.commands import CancelList, CancelOrder, ReplaceOrder, Submit
from bnml.core.ids import LEG_EXIT
from bnml.core.instrument import Instrument
from bnml.core.orders import ApprovedOrder, OrderState, OrderTicket, OrderType, Side
from bnml.kernels.records import ExitReason
from bnml.trading import coverage, freeing
from bnml.trading.entries import lone_stop, protect
from bnml.trading.insuring import beyond_one, borrowers, in_doubt, is_left_bare, spare, untied
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio
from bnml.trading.positions import Position, Tranche
from bnml.trading.refusing import RefusalDesk
from bnml.trading.state import EngineState

HURRY_NS = NS_PER_S
"""After so long a position is sold piece by piece rather than at once: one of its orders is in doubt."""
SLOWER = 4
"""While all fail, the next order beside those in doubt waits for this part of the time that something has been bare.

Each one is read until its absence is proven: at a steady pace the minute's weight would be used up in half of it,
and what was to be protected then would wait for the next one.
"""
_UNSURE = frozenset({OrderState.PENDING, OrderState.UNKNOWN, OrderState.SLEEPING})


class Protection:
    """Tends the tranches of positions; `patient` calls (from reports) leave what the venue is just doing alone."""

    def __init__(self, book: OrderBook, portfolio: Portfolio, state: EngineState) -> None:
        self._book = book
        self._portfolio = portfolio
        self._state = state
        self.refusals = RefusalDesk(book, portfolio, state)
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
        for tranche in position.tranches:
            self._settle_legs(tranche, instrument)
        is_closed = self._state.activity.is_closed(instrument)
        strayed = self._withdraw_strays(position, instrument, out, is_closed=is_closed)
        is_late = 0 < position.leaves_ns <= self._state.now_ns - HURRY_NS
        has_bare = any(not one.legs and one.lots(instrument.lot_e8) for one in position.tranches)
        borrowing = borrowers(position, instrument, self._book, is_late=is_late) if has_bare else []
        leaves = not strayed and not is_closed and self._leaves(position, instrument)
        for tranche in position.tranches:
            if strayed or not self._is_movable(tranche, instrument):
                unsure += not self._is_over(tranche, instrument)
                both = untied(tranche, instrument, self._book, self._portfolio, self._state.now_ns)
                _cancel(both, "coins of others let it in", out)
                self._insure(position, tranche, instrument, out, patient=patient)
                continue
            wants = bool(tranche.exit_reason or position.exit_reason)
            stays = is_closed and coverage.has_stop(tranche, self._book)  # nothing could take its place now
            alone = position.exit_reason if is_closed and not tranche.legs else 0  # the others stay
            reason = tranche.exit_reason or alone
            if stays or leaves or (borrowing and not tranche.legs):
                unsure += 1
            elif reason and not self.refusals.waits(tranche):
                unsure += 1
                self._take_out([tranche], instrument, reason, tranche.index, out)
            elif self._is_guarded(tranche, instrument):
                guarded, unsure = guarded + 1, unsure + wants
                tranche.refusals, tranche.strikes = (tranche.refusals, tranche.strikes) if wants else (0, 0)
                tranche.misses = tranche.insure_after_ns = 0
                tranche.lacks_coins = False
            else:
                unsure += 1
                self._guard(position, tranche, instrument, out, patient=patient)
        if guarded and not unsure:
            self._calm.add(position.symbol)
        elif leaves:
            self._leave(position, instrument, borrowing, out, is_late=is_late)
        coverage.follow(position, self._book, instrument, self._state.now_ns, out)

    def is_done(self, position: Position, instrument: Instrument) -> bool:
        """Nothing is held and nothing can come any more."""
        return all(self._is_over(tranche, instrument) for tranche in position.tranches)

    def _leaves(self, position: Position, instrument: Instrument) -> bool:
        """Whether the whole position goes now: not while an entry of it is open, nor right after a refusal."""
        if not position.exit_reason:
            return False
        if any(not self._book.is_settled(tranche.working_id) for tranche in position.tranches):
            return False
        return not any(self.refusals.waits(one) for one in position.tranches if one.lots(instrument.lot_e8))

    def _settle_legs(self, tranche: Tranche, instrument: Instrument) -> None:
        if self._book.is_settled(tranche.working_id) and tranche.bought_lots == 0:
            for leg in tranche.legs:
                if not self._book.orders[leg].follows:  # it ends with its list
                    self._book.expire(leg)
        tranche.legs = [leg for leg in tranche.legs if not self._book.is_settled(leg)]
        coverage.settle_short(tranche, self._book, instrument)

    def _withdraw_strays(
        self, position: Position, instrument: Instrument, out: Outbox, *, is_closed: bool
    ) -> bool:
        """Cancel what rests for tranches that hold nothing; whether any does, on the coins of other tranches then.

        These get stops of their own when they are free again; not while the venue takes none.
        """
        strays = [tranche for tranche in position.tranches if self._is_stray(tranche, instrument)]
        if strays and is_closed and freeing.owns_all(instrument, self._book, self._portfolio):
            return False
        for tranche in strays:
            if not any(self._book.orders[leg].cancel_sent for leg in tranche.legs):
                self._withdraw(tranche, out)
        return bool(strays)

    def _is_stray(self, tranche: Tranche, instrument: Instrument) -> bool:
        """Whether legs rest that would sell what the tranche has not.

        Its purchase brought nothing, its coins have left the account, or its old legs sold it meanwhile; or all of it
        but what is too little for any order.
        """
        held = coverage.held_lots(tranche, instrument)
        is_little = held == 0 or coverage.is_rest(held, tranche.stop_ticks, instrument)
        if not is_little or not self._book.is_settled(tranche.working_id):
            return False
        if max(tranche.move_after_ns, tranche.guard_after_ns) > self._state.now_ns:
            return False  # a cancel failed a moment ago
        legs = [self._book.orders[leg] for leg in tranche.legs]
        live = [leg for leg in legs if leg.state in coverage.LIVE and not self._book.is_ending(leg)]
        return any(max(1, leg.open_lots) > tranche.lots(instrument.lot_e8) for leg in live)

    def _is_movable(self, tranche: Tranche, instrument: Instrument) -> bool:
        """Held, and no request of ours or fill of the venue is under way."""
        if tranche.lots(instrument.lot_e8) == 0:
            return False
        if not (self._book.is_settled(tranche.working_id) and self._book.is_settled(tranche.sale_id)):
            return False
        legs = [self._book.orders[leg] for leg in tranche.legs]
        # Of a leg with fills untold nobody knows how much there is left to guard.
        return not any(
            leg.is_final or leg.is_untold or leg.cancel_sent or leg.state in _UNSURE for leg in legs
        )

    def _is_over(self, tranche: Tranche, instrument: Instrument) -> bool:
        return (
            not tranche.legs
            and tranche.lots(instrument.lot_e8) == 0
            and self._book.is_settled(tranche.working_id)
            and self._book.is_settled(tranche.sale_id)
        )

    def _is_guarded(self, tranche: Tranche, instrument: Instrument) -> bool:
        """Whether the right legs rest: a stop at its level, a target if there is one, each for all that is held."""
        lots = coverage.held_lots(tranche, instrument)
        legs = [self._book.orders[leg] for leg in tranche.legs]
        stop = next((leg for leg in legs if leg.role is Role.STOP), None)
        return (
            stop is not None
            and stop.ticks == tranche.stop_ticks
            and len(legs) == (2 if tranche.target_ticks else 1)
            and all(freeing.sells_enough(leg, lots, instrument, self._book, self._portfolio) for leg in legs)
        )

    def _guard(
        self, position: Position, tranche: Tranche, instrument: Instrument, out: Outbox, *, patient: bool
    ) -> None:
        lots = coverage.held_lots(tranche, instrument)
        legs = [self._book.orders[leg] for leg in tranche.legs]
        if tranche.guard_after_ns > self._state.now_ns:
            return  # the venue refused a moment ago
        if lots == 0:
            # The venue's lots have become larger: nothing could take the place of a stop that rests.
            if not any(leg.role is Role.STOP for leg in legs):
                self._take_out([tranche], instrument, tranche.exit_reason, tranche.index, out)
            return
        if not legs and not (tranche.exit_reason or position.exit_reason) and position.has_passed(tranche):
            tranche.exit_reason = int(ExitReason.GAP)
            self._sell([tranche], instrument, tranche.exit_reason, tranche.index, out)
            return
        if not legs:
            protect(tranche, instrument, lots, self._book, out)
            return
        stops = [leg for leg in legs if leg.role is Role.STOP]
        if stops and tranche.move_after_ns > self._state.now_ns:
            return
        whole = len(legs) == (2 if tranche.target_ticks else 1)
        surplus = beyond_one(stops)
        executing = any(
            leg.state is OrderState.PARTLY_FILLED or (leg.moved_ns and leg.limit_ticks) for leg in stops
        )
        bare_target = not stops and legs[0].state is OrderState.PARTLY_FILLED
        is_pair = any(leg.list_id for leg in legs)
        if executing or (patient and is_pair and not whole and not bare_target and not surplus):
            return  # one leg of a pair has ended: the venue is about to tell why
        if surplus:
            _cancel(surplus, f"tranche {tranche.index} has another stop", out)
        elif stops and len(legs) == 1 and not tranche.target_ticks and instrument.cancel_replace_allowed:
            self._replace(tranche, stops[0], instrument, lots, out)
        else:
            self._move(tranche, instrument, lots, out)

    def _replace(self, tranche: Tranche, old: Order, instrument: Instrument, lots: int, out: Outbox) -> None:
        ticket = lone_stop(tranche, instrument, lots, self._book, out, replaces=old.client_order_id)
        for leg in tranche.legs[:-1]:
            self._book.orders[leg].cancel_sent = True  # with it goes its list
        reason = f"stop of tranche {tranche.index} moves"
        out.commands.append(ReplaceOrder(old.client_order_id, ticket, reason))
        spare(tranche, [old], tranche.legs[-1:], instrument, self._book, self._portfolio, out)

    def _move(self, tranche: Tranche, instrument: Instrument, lots: int, out: Outbox) -> None:
        """New legs for old ones: both requests at once if the new legs cannot rest beside the old ones.

        Where they could, beside coins of others, a stop alone takes the place of the list, and its target is sold at market.
        Lists of one position move one after the other: coins that are free meanwhile would untie the two requests.
        What has no stop does not wait.
        """
        legs = [self._book.orders[leg] for leg in tranche.legs]
        found = freeing.bond(legs, lots, instrument, self._book, self._portfolio)
        if found is freeing.Bond.LATER and freeing.may_wait(legs, lots):
            return
        # Own dust is nobody else's: beside it a list stays one, as in a backtest, which keeps none.
        is_alone = freeing.owns_all(instrument, self._book, self._portfolio)
        old = freeing.replaceable(legs, instrument) if found is freeing.Bond.NONE and not is_alone else None
        if old is not None:  # no list can take the place of another in one request
            tranche.emulated_ticks, tranche.target_ticks = tranche.target_ticks or tranche.emulated_ticks, 0
            self._replace(tranche, old, instrument, lots, out)
            return
        after = self._withdraw(tranche, out)
        if found is freeing.Bond.SURE:
            protect(tranche, instrument, lots, self._book, out, after=after)
            spare(tranche, legs, tranche.legs[len(legs) :], instrument, self._book, self._portfolio, out)

    def _withdraw(self, tranche: Tranche, out: Outbox) -> tuple[str, ...]:
        """Cancel all legs; returns the names under which this is asked for."""
        legs = [self._book.orders[leg] for leg in tranche.legs]
        return _cancel(legs, f"protection of tranche {tranche.index} is replaced or withdrawn", out)

    def _leave(
        self,
        position: Position,
        instrument: Instrument,
        borrowing: list[Tranche],
        out: Outbox,
        *,
        is_late: bool,
    ) -> None:
        """Sell the whole position as one order; piece by piece when one of its orders has been in doubt for long.

        What has lost its stop to a sale of all that was refused does not wait for the others.
        """
        held = [tranche for tranche in position.tranches if tranche.lots(instrument.lot_e8)]
        ready = [tranche for tranche in held if self._is_movable(tranche, instrument)]
        position.leaves_ns = position.leaves_ns or self._state.now_ns
        if held and len(ready) == len(held) and all(one in held for one in borrowing):
            position.leaves_ns = 0
            if freeing.are_apart(held, instrument, self._book, self._portfolio):
                self._portfolio.take_along(held[-1], instrument)
                for one in held:
                    self._take_out([one], instrument, position.exit_reason, one.index, out)
            else:
                self._take_out(held, instrument, position.exit_reason, 0, out)
            return
        for one in ready:
            if borrowing and not one.legs:
                continue
            if is_late or is_left_bare(one, instrument, self._book):
                self._take_out([one], instrument, position.exit_reason, one.index, out)

    def _insure(
        self, position: Position, tranche: Tranche, instrument: Instrument, out: Outbox, *, patient: bool
    ) -> None:
        """Ask for a stop beside what is in doubt, or for a sale where the price has passed the stop already."""
        beside = in_doubt(
            tranche, instrument, self._book, self._portfolio, self._state.now_ns, patient=patient
        )
        if not beside or (position.has_passed(tranche) and not self._book.is_settled(tranche.sale_id)):
            return  # no stop could rest there, and a second sale would make the first one forgotten
        bare_ns = self._state.now_ns - position.bare_since_ns if position.bare_since_ns else 0
        tranche.insure_after_ns = self._state.now_ns + bare_ns // SLOWER
        if position.has_passed(tranche):
            tranche.exit_reason = tranche.exit_reason or int(ExitReason.GAP)
            self._sell([tranche], instrument, tranche.exit_reason, tranche.index, out, beside=beside)
            return
        lots = coverage.held_lots(tranche, instrument)
        ticket = lone_stop(tranche, instrument, lots, self._book, out, is_beside=True)
        reason = f"stop of tranche {tranche.index} beside what is in doubt"
        out.commands.append(Submit(ApprovedOrder(ticket, reason), beside=beside))

    def _take_out(
        self, tranches: list[Tranche], instrument: Instrument, reason: int, index: int, out: Outbox
    ) -> None:
        """Sell tranches at market as one order, in the request that withdraws their protection where that can be."""
        legs = [self._book.orders[leg] for tranche in tranches for leg in tranche.legs]
        if not legs:
            self._sell(tranches, instrument, reason, index, out)
            return
        lots = sum(coverage.held_lots(tranche, instrument) for tranche in tranches)
        old = freeing.replaceable(legs, instrument) if len(tranches) == 1 and lots else None
        if old is not None:
            self._sell(tranches, instrument, reason, index, out, replaces=old)
            spare(tranches[0], legs, [tranches[0].sale_id], instrument, self._book, self._portfolio, out)
            return
        found = freeing.bond(legs, lots, instrument, self._book, self._portfolio)
        after = [name for tranche in tranches for name in self._withdraw(tranche, out)]
        if 0 < lots <= instrument.market_max_lots and found is freeing.Bond.SURE:
            self._sell(tranches, instrument, reason, index, out, after=tuple(after))
            for tranche in tranches:
                spare(tranche, legs, [tranche.sale_id], instrument, self._book, self._portfolio, out)

    def _sell(
        self,
        tranches: list[Tranche],
        instrument: Instrument,
        reason: int,
        index: int,
        out: Outbox,
        *,
        after: tuple[str, ...] = (),
        beside: tuple[str, ...] = (),
        replaces: Order | None = None,
    ) -> None:
        """Sell at market what is free, what `after` frees, or what `replaces` (and its list) guards until then.

        Or what the orders `beside` may be selling, see `trading.insuring`.
        """
        if index == 0:
            self._portfolio.take_along(tranches[-1], instrument)
        lots = min(
            sum(coverage.held_lots(tranche, instrument) for tranche in tranches), instrument.market_max_lots
        )
        if lots == 0:  # the venue's lots have become larger than this
            for tranche in tranches:
                self.refusals.lay_aside(tranche, instrument, out)
            return
        order_id = out.begin() + LEG_EXIT
        for tranche in tranches:
            tranche.sale_id = order_id
        order = Order(order_id, instrument.symbol, Side.SELL, Role.EXIT, index, lots, 0, reason)
        self._book.register(order)
        ticket = OrderTicket(instrument.symbol, order_id, Side.SELL, OrderType.MARKET, lots)
        words = f"exit: {ExitReason(reason).name.lower()}"
        if replaces is None:
            order.is_beside = bool(beside)
            out.commands.append(Submit(ApprovedOrder(ticket, words), after, beside))
            return
        order.replaces = replaces.client_order_id
        for leg in tranches[0].legs:
            self._book.orders[leg].cancel_sent = True
        out.commands.append(ReplaceOrder(order.replaces, ticket, words))


def _cancel(legs: list[Order], reason: str, out: Outbox) -> tuple[str, ...]:
    """Cancel orders and, as one, the legs of a list; returns the names under which this is asked for."""
    names: list[str] = []
    for leg in legs:
        leg.cancel_sent = True
        mates = [one for one in legs if leg.list_id and one.list_id == leg.list_id]
        if len(mates) < 2:
            out.commands.append(CancelOrder(leg.symbol, leg.client_order_id, reason))
            names.append(leg.client_order_id)
        elif leg is mates[0]:
            out.commands.append(CancelList(leg.symbol, leg.list_id, reason))
            names.append(leg.list_id)
    return tuple(names)
