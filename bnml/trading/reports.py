"""What the venue says of our orders: fills into the ledger, refusals and endings into protection, results into breakers."""

from __future__ import annotations

from bnml.core.commands import Halt, QueryOrder
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.instrument import DELISTED
from bnml.core.orders import OrderState, Side
from bnml.core.outcomes import Trade
from bnml.kernels.records import ExitReason
from bnml.trading import exits
from bnml.trading.compile import EngineConfig
from bnml.trading.coverage import LIVE
from bnml.trading.fees import FeeDesk
from bnml.trading.orders import Order, OrderBook, Role, is_alive
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio
from bnml.trading.positions import Position, Tranche
from bnml.trading.protection import Protection
from bnml.trading.refusals import UNKNOWN_ORDER
from bnml.trading.returning import ReturnDesk
from bnml.trading.risk.breakers import Breakers
from bnml.trading.state import EngineState

_UNSURE = frozenset({OrderState.PENDING, OrderState.UNKNOWN})


class ReportDesk:
    """Applies reports in any order and any number of times to the same end."""

    def __init__(
        self,
        config: EngineConfig,
        state: EngineState,
        book: OrderBook,
        portfolio: Portfolio,
        protection: Protection,
        breakers: Breakers,
        returning: ReturnDesk,
        fees: FeeDesk,
    ) -> None:
        self._returning = returning
        self._fees = fees
        self._config = config
        self._state = state
        self._book = book
        self._portfolio = portfolio
        self._protection = protection
        self._breakers = breakers

    def report(self, report: OrderReport, out: Outbox, *, advance: bool = True) -> None:
        """Count one report; an order that is not ours is told of once and changes nothing.

        Without `advance` nothing is asked for because of it: more is known than it says.
        """
        order = self._book.get(report.client_order_id)
        if order is None:
            self._tell_once(
                report.client_order_id,
                f"{report.symbol}: the venue reports an order that we do not know",
                out,
            )
            return
        if order.is_presumed and is_alive(report) and order.role is not Role.FEES:
            self._protection.stir(order.symbol)
            self._returning.take(order, report, out)
        awaited = self._awaited(order, report)
        if awaited:  # the report of such a purchase may be lost
            self._state.parked.append(report)
            out.commands += [QueryOrder(one.symbol, one.client_order_id) for one in awaited]
            return
        self._protection.stir(order.symbol)
        was_final = order.is_final
        is_fill = self._book.apply(report)
        if is_fill:
            self._fill(order, report, out)
            self._give_up(report.commission_asset)
        if order.state is OrderState.UNKNOWN and report.state is OrderState.UNKNOWN:
            out.commands.append(QueryOrder(order.symbol, order.client_order_id))
        if order.is_final and not was_final:
            self._ended(order, report, out)
        if advance:
            self.advance(order.symbol, report.ts_ns, out, patient=True)
        if order.role is Role.WORKING and order.is_settled and self._state.parked:
            parked, self._state.parked = self._state.parked, []
            for late in parked:
                self.report(late, out, advance=advance)

    def cancel_failed(self, event: CancelFailed, out: Outbox) -> None:
        """A cancel did not happen: read the truth of what it was meant for (an order with its list, or a list)."""
        order = self._book.get(event.client_order_id)
        orders = self._book.of_list(event.client_order_id if order is None else order.list_id)
        if order is not None and not order.list_id:
            orders = [order]
        if event.code == UNKNOWN_ORDER and any(one.state is OrderState.CANCELED for one in orders):
            self._look_around(event.symbol, out)
        for one in orders:
            self._protection.stir(one.symbol)
            # That of a purchase says nothing of its legs: theirs may have left since, with an order in their place.
            if one.cancel_sent and (order is None or one.side is order.side):
                self._protection.refusals.cancel_failed(one, event.client_order_id, event.code, out)
        self.advance(event.symbol, event.ts_ns, out, patient=True)

    def query_unsure(self, out: Outbox, *, at_once: bool) -> None:
        """Ask for every order whose state we cannot be sure of.

        A request that has just left is not in doubt: unless `at_once` (the connection was lost), only orders
        that already waited for an answer at the last call are asked for.
        """
        self._protection.stir()
        for order in self._book.open():
            waits = order.state in _UNSURE or order.cancel_sent
            if waits and (at_once or order.is_doubted):
                if order.cancel_sent:  # no second cancel before the answer: the first may have done its work
                    order.cancel_sent, order.state = False, OrderState.UNKNOWN
                waits = False
                out.commands.append(QueryOrder(order.symbol, order.client_order_id))
            order.is_doubted = waits

    def advance(self, symbol: str, ts_ns: int, out: Outbox, *, patient: bool) -> None:
        """Let protection take its next step, and close the position when nothing is left of it."""
        position = self._portfolio.positions.get(symbol)
        if position is None or self._protection.is_calm(symbol):
            return
        instrument = self._state.symbols[symbol].instrument
        if instrument.status == DELISTED:
            self._park(position)
        else:
            self._protection.tend(position, instrument, out, patient=patient)
        if self._protection.is_done(position, instrument):
            for tranche in position.tranches:
                self._portfolio.lay_aside(tranche, instrument, ts_ns)
            del self._portfolio.positions[symbol]
            if position.bought_lots and not position.is_of_dust:
                self._breakers.position_closed(position.pnl_e8, ts_ns)

    def _park(self, position: Position) -> None:
        """Nobody takes orders of a symbol that is gone: what is over leaves it, and all does when its coins have left."""
        for tranche in position.tranches:
            if tranche.bought_lots and not tranche.base_e8:
                for leg in tranche.legs:
                    self._book.expire(leg)
            tranche.legs = [leg for leg in tranche.legs if not self._book.orders[leg].is_settled]

    def _awaited(self, order: Order, report: OrderReport) -> list[Order]:
        """Of a sale, the buys that are not wholly told of yet: streams and answers to queries may overtake each other."""
        position = self._portfolio.positions.get(order.symbol)
        if order.side is Side.BUY or report.trade_id <= 0 or position is None:
            return []
        if report.trade_id in order.trade_ids:
            return []  # told again
        workings = [self._book.get(one.working_id) for one in self._sold(order, report, position)]
        return [one for one in workings if one is not None and not one.is_settled]

    def _sold(self, order: Order, report: OrderReport, position: Position) -> list[Tranche]:
        """Whose lots a sale takes: one that left with its purchase, or a spare, may have been taken against those of others."""
        own = [one for one in position.tranches if order.tranche in {0, one.index}]
        lot_e8 = self._state.symbols[order.symbol].instrument.lot_e8
        if report.last_lots <= sum(one.lots(lot_e8) for one in own):
            return own
        if not order.follows and not self._is_mixed(order):
            return own
        return [*own, *(one for one in position.tranches if one not in own)]

    def _is_mixed(self, order: Order) -> bool:
        """Whether a spare of its tranche has sold coins: perhaps those of another tranche, whose stop then sells these."""
        return any(
            one.spare_of
            and one.cumulative_lots
            and (one.symbol, one.tranche) == (order.symbol, order.tranche)
            for one in self._book.orders.values()
        )

    def _fill(self, order: Order, report: OrderReport, out: Outbox) -> None:
        if order.role is Role.FEES:
            self._fees.fill(report, out)
            return
        instrument = self._state.symbols[order.symbol].instrument
        position = self._portfolio.positions.get(order.symbol)
        if position is None:
            self._halt(f"{order.symbol}: {order.client_order_id} filled without a position", out)
            return
        if order.side is Side.BUY:
            tranche = position.tranches[self._place(position, order)]
            self._portfolio.buy(tranche, report, instrument)
            position.entered_ns = position.entered_ns or report.ts_ns
            out.outcomes.append(_trade(order, report, int(ExitReason.NONE), 0))
            return
        tranches = self._sold(order, report, position)
        if order.follows and report.last_lots > sum(one.lots(instrument.lot_e8) for one in tranches):
            self._portfolio.take_up(tranches[-1], instrument)
        if report.last_lots > sum(one.lots(instrument.lot_e8) for one in tranches):
            self._halt(f"{order.symbol}: {order.client_order_id} sold more than its tranche held", out)
        reason = self._reason(order, report)
        result_e8 = self._portfolio.sell(tranches, report, instrument)
        out.outcomes.append(_trade(order, report, reason, result_e8))

    def _give_up(self, asset: str) -> None:
        """Commissions may be taken of coins that are dust or a position of ours: no sale may ask for them any more.

        While a purchase of such coins is not wholly told of, nobody knows how many there are.
        """
        symbols = self._state.symbols
        if asset in {"", self._state.ledger.quote}:
            return
        held = [
            one for one in self._portfolio.positions.values() if symbols[one.symbol].instrument.base == asset
        ]
        workings = [self._book.get(tranche.working_id) for one in held for tranche in one.tranches]
        if any(one is not None and not one.is_settled for one in workings):
            return
        self._portfolio.cut_dust(asset)
        for position in held:
            self._portfolio.cut(position, symbols[position.symbol].instrument)
            self._protection.stir(position.symbol)

    def _reason(self, order: Order, report: OrderReport) -> int:
        bar = self._state.symbols[order.symbol].bar
        return exits.fill_reason(order, report, bar, self._config.costs[0])

    def _ended(self, order: Order, report: OrderReport, out: Outbox) -> None:
        if order.state is OrderState.REJECTED:
            self._rejected(order, report, out)
        elif order.state is OrderState.EXPIRED and order.role is Role.EXIT:
            self._expired(order, out)
        elif order.state is OrderState.CANCELED and order.side is Side.SELL and not order.cancel_sent:
            self._look_around(order.symbol, out)
        if order.role is Role.WORKING:  # what commissions took meanwhile is known from here on
            self._give_up(self._state.symbols[order.symbol].instrument.base)

    def _look_around(self, symbol: str, out: Outbox) -> None:
        """Somebody else cancels orders of ours: of the others of a symbol the word may be lost, so they are read."""
        for order in self._book.open():
            if order.symbol == symbol and order.state in LIVE and not order.cancel_sent:
                out.commands.append(QueryOrder(symbol, order.client_order_id))

    def _rejected(self, order: Order, report: OrderReport, out: Outbox) -> None:
        if order.role is Role.FEES:
            self._fees.refused(report, out)
            return
        if order.role is Role.WORKING:
            text = f"{order.symbol}: entry refused by the venue: {report.text or report.code}"
            out.alert("warning", "entry_refused", text)
            return
        position = self._portfolio.positions.get(order.symbol)
        if position is None:
            return
        is_exit = order.role is Role.EXIT  # the only order that may be for several tranches
        for tranche in position.tranches:
            if (tranche.sale_id == order.client_order_id) if is_exit else (order.tranche == tranche.index):
                self._protection.refusals.refused(position, tranche, report, out)

    def _expired(self, order: Order, out: Outbox) -> None:
        """A sale that found no buyer at all would find none in the next moment either."""
        position = self._portfolio.positions.get(order.symbol)
        if position is None or order.cumulative_lots:
            return
        out.alert("warning", "sale_expired", f"{order.symbol}: a sale at market expired without a fill")
        for tranche in position.tranches:
            if tranche.sale_id == order.client_order_id:
                self._protection.refusals.sell_later(position, tranche)

    def _halt(self, text: str, out: Outbox) -> None:
        """Books that contradict the venue: no new entries until the operator has looked."""
        self._state.activity.halted = text
        out.alert("critical", "ledger_contradiction", text)
        out.commands.append(Halt(text))

    def _tell_once(self, key: str, text: str, out: Outbox) -> None:
        if self._state.is_news(key):
            out.alert("warning", "order_unknown", text)

    @staticmethod
    def _place(position: Position, order: Order) -> int:
        return next(i for i, one in enumerate(position.tranches) if one.index == order.tranche)


def _trade(order: Order, report: OrderReport, reason: int, pnl_e8: int) -> Trade:
    return Trade(
        symbol=order.symbol,
        ts_ns=report.ts_ns,
        side=order.side,
        tranche=order.tranche,
        quantity_lots=report.last_lots,
        price_ticks=report.last_ticks,
        commission_e8=report.commission_e8,
        commission_asset=report.commission_asset,
        reason=reason,
        pnl_e8=pnl_e8,
        client_order_id=order.client_order_id,
    )
