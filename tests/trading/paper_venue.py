"""A venue for tests: fills in pieces when told to, and keeps every report until it is delivered."""

from dataclasses import dataclass, field

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.instrument import Instrument
from bnml.core.orders import FINAL_STATES, ListKind, ListTicket, OrderState, OrderType, Side

BY_PROCEEDS = {ListKind.OPO, ListKind.OPOCO}


@dataclass
class Trade:
    trade_id: int
    lots: int
    ticks: int
    commission_e8: int
    asset: str


@dataclass
class Order:
    ticket: object
    list_id: str
    quantity: int
    state: OrderState
    role: str
    trades: list[Trade] = field(default_factory=list)

    @property
    def done(self) -> int:
        return sum(trade.lots for trade in self.trades)

    @property
    def is_open(self) -> bool:
        return self.state not in FINAL_STATES


class PaperVenue:
    """One symbol, one account; `commission` names the asset that commissions are taken in."""

    def __init__(self, instrument: Instrument, quote_e8: int) -> None:
        self.instrument = instrument
        self.totals = {instrument.quote: quote_e8, "BNB": 10**9}
        self.orders: dict[str, Order] = {}
        self.working_of: dict[str, str] = {}
        self.kinds: dict[str, ListKind] = {}
        self.reports: list[object] = []
        self.sent: list[object] = []
        self.commission = instrument.base
        self.refuse_stop = False
        self.fills_at_once = False  # purchases without a list
        self.min_lots = 1
        self.last = 0
        self._trade_id = 0
        self._ts = 0

    # -- commands ------------------------------------------------------------------------------------
    def execute(self, command: object, *, is_late: bool = False) -> None:
        """Carry it out; a late one may find its coins in other hands."""
        if isinstance(command, Submit):
            ticket = command.order.ticket
            is_short = (is_late or command.after or command.beside) and self._is_short(ticket)
            if is_short or (command.after and self._is_unbought(command.after)):
                for leg in ticket.pending if isinstance(ticket, ListTicket) else (ticket,):
                    self._refuse(leg, -2010, "Account has insufficient balance for requested action.")
            elif isinstance(ticket, ListTicket):
                self._submit_list(ticket)
            else:
                self._submit(ticket)
        elif isinstance(command, CancelOrder):
            self._cancel(command.client_order_id)
        elif isinstance(command, CancelList):
            legs = [
                key
                for key, one in self.orders.items()
                if one.list_id == command.list_client_order_id and one.is_open
            ]
            if not legs:
                self._say(
                    CancelFailed(
                        self.instrument.symbol, command.list_client_order_id, self._now(), -2011, "gone"
                    )
                )
            for key in legs:
                self._end(key, OrderState.CANCELED)
        elif isinstance(command, ReplaceOrder):
            old = self.orders.get(command.cancel_client_order_id)
            if old is None or not old.is_open or old.done:
                self._say(
                    CancelFailed(
                        self.instrument.symbol, command.cancel_client_order_id, self._now(), -2011, "gone"
                    )
                )
                self._refuse(command.ticket, -2011)
                return
            self._cancel(command.cancel_client_order_id)
            if self._is_short(command.ticket):
                text = "Account has insufficient balance for requested action."
                self._refuse(command.ticket, -2010, text)
                return
            self._submit(command.ticket)
        elif isinstance(command, QueryOrder):
            self._query(command)

    def _submit_list(self, ticket: ListTicket) -> None:
        assert (ticket.kind is ListKind.OCO) == (ticket.working is None)
        if ticket.kind is ListKind.OCO:
            self._require_base(ticket.pending[0].quantity_lots)
            if ticket.pending[0].quantity_lots < self.min_lots:
                for leg in ticket.pending:
                    self._refuse(leg, -1013)
                return
            if self._refuses():
                for leg in ticket.pending:
                    self._refuse(leg, -2010)
                return
        state = OrderState.OPEN if ticket.working is None else OrderState.SLEEPING
        if ticket.working is not None:
            self._add(ticket.working, ticket.list_client_order_id, OrderState.OPEN, "working")
            self.kinds[ticket.list_client_order_id] = ticket.kind
        for leg in ticket.pending:
            role = "stop" if leg.type is OrderType.STOP_LOSS else "target"
            self._add(leg, ticket.list_client_order_id, state, role)

    def _submit(self, ticket: object) -> None:
        if ticket.side is Side.SELL:
            self._require_base(ticket.quantity_lots)
        if ticket.quantity_lots < self.min_lots:
            self._refuse(ticket, -1013)
            return
        if ticket.type is OrderType.STOP_LOSS and self._refuses():
            self._refuse(ticket, -2010)
            return
        role = {OrderType.STOP_LOSS: "stop", OrderType.MARKET: "exit"}.get(ticket.type, "working")
        self._add(ticket, "", OrderState.OPEN, role)
        if role == "working" and self.fills_at_once:
            self.fill(ticket.client_order_id, ticket.quantity_lots, ticket.price_ticks)

    def _refuses(self) -> bool:
        refuse, self.refuse_stop = self.refuse_stop, False
        return refuse

    def _require_base(self, lots: int) -> None:
        """Never sells more than held: what rests plus the new order must be in the account."""
        free = self._free_lots()
        assert lots <= free, f"sells {lots} with {free} free"

    def _is_short(self, ticket: object) -> bool:
        """Whether what came before it has failed, or one beside it was taken: only such may ask for more than there is."""
        legs = ticket.pending if isinstance(ticket, ListTicket) else (ticket,)
        return legs[0].quantity_lots > self._free_lots()

    def _is_unbought(self, names: tuple[str, ...]) -> bool:
        """Whether a purchase before it brought nothing; one that rests here would at a real venue be dead by then."""
        buys = [one for key, one in self.orders.items() if key in names and one.role == "working"]
        return any(one.state is not OrderState.FILLED for one in buys)

    def _free_lots(self) -> int:
        locked, lists = 0, set()
        for one in self.orders.values():
            if one.ticket.side is Side.SELL and one.is_open and one.state is not OrderState.SLEEPING:
                if one.list_id and one.list_id in lists:
                    continue
                lists.add(one.list_id)
                locked += one.quantity - one.done
        return self.totals.get(self.instrument.base, 0) // self.instrument.lot_e8 - locked

    def _cancel(self, key: str) -> None:
        one = self.orders.get(key)
        if one is None or not one.is_open:
            self._say(CancelFailed(self.instrument.symbol, key, self._now(), -2011, "gone"))
            return
        for other, order in list(self.orders.items()):
            if other == key or (one.list_id and order.list_id == one.list_id and order.is_open):
                self._end(other, OrderState.CANCELED)

    def _query(self, command: QueryOrder) -> None:
        one = self.orders.get(command.client_order_id)
        if one is None:
            report = OrderReport(
                command.symbol,
                command.client_order_id,
                self._now(),
                OrderState.REJECTED,
                Side.SELL,
                code=-2013,
            )
            self._say(report)
            return
        done = 0
        for trade in one.trades:
            done += trade.lots
            state = OrderState.FILLED if done == one.quantity else OrderState.PARTLY_FILLED
            self._say(self._report(command.client_order_id, state, done, trade))
        self._say(self._report(command.client_order_id, one.state, done))

    # -- the market ----------------------------------------------------------------------------------
    def fill(self, key: str, lots: int, ticks: int) -> None:
        """Fill up to `lots` of an open order and do what follows from it in its list."""
        one = self.orders[key]
        lots = min(lots, one.quantity - one.done)
        selling = one.ticket.side is Side.SELL
        sign = -1 if selling else 1
        commission = lots * self.instrument.lot_e8 // 1000 if self.commission == self.instrument.base else 777
        asset = self.commission if not selling or self.commission == "BNB" else self.instrument.quote
        commission = (
            commission if not selling or asset == "BNB" else self.instrument.notional_e8(ticks, lots) // 1000
        )
        self._trade_id += 1
        trade = Trade(self._trade_id, lots, ticks, commission, asset)
        one.trades.append(trade)
        self._move(self.instrument.base, sign * lots * self.instrument.lot_e8)
        self._move(self.instrument.quote, -sign * self.instrument.notional_e8(ticks, lots))
        self._move(asset, -commission)
        if selling:
            for other, order in self.orders.items():
                if (
                    one.list_id
                    and order.list_id == one.list_id
                    and other != key
                    and order.is_open
                    and order.role != "working"
                ):
                    self._end(other, OrderState.EXPIRED)
        one.state = OrderState.FILLED if one.done == one.quantity else OrderState.PARTLY_FILLED
        self._say(self._report(key, one.state, one.done, trade))
        if one.role == "working" and one.state is OrderState.FILLED:
            self._wake(one)

    def expire_working(self, key: str) -> None:
        one = self.orders[key]
        self._end(key, OrderState.EXPIRED)
        for other, order in self.orders.items():
            if one.list_id and order.list_id == one.list_id and order.is_open:
                self._end(other, OrderState.EXPIRED)

    def _wake(self, working: Order) -> None:
        in_base = sum(t.commission_e8 for t in working.trades if t.asset == self.instrument.base)
        proceeds = (working.quantity * self.instrument.lot_e8 - in_base) // self.instrument.lot_e8
        for key, order in self.orders.items():
            if working.list_id and order.list_id == working.list_id and order.state is OrderState.SLEEPING:
                if self.kinds[working.list_id] in BY_PROCEEDS:
                    order.quantity = proceeds
                order.state = OrderState.OPEN
                self._say(self._report(key, OrderState.OPEN, 0))

    def open_sells(self) -> dict[str, Order]:
        return {key: one for key, one in self.orders.items() if one.is_open and one.ticket.side is Side.SELL}

    def assets(self) -> dict[str, tuple[int, int]]:
        return {asset: (total, 0) for asset, total in self.totals.items()}

    # -- reports -------------------------------------------------------------------------------------
    def _add(self, ticket: object, list_id: str, state: OrderState, role: str) -> None:
        assert ticket.client_order_id not in self.orders, "an id was used twice"
        self.orders[ticket.client_order_id] = Order(ticket, list_id, ticket.quantity_lots, state, role)
        self._say(self._report(ticket.client_order_id, state, 0))

    def _end(self, key: str, state: OrderState) -> None:
        self.orders[key].state = state
        self._say(self._report(key, state, self.orders[key].done))

    def _refuse(self, ticket: object, code: int, text: str = "") -> None:
        self._say(
            OrderReport(
                ticket.symbol,
                ticket.client_order_id,
                self._now(),
                OrderState.REJECTED,
                ticket.side,
                code=code,
                text=text,
            )
        )

    def _report(self, key: str, state: OrderState, done: int, trade: Trade | None = None) -> OrderReport:
        one = self.orders[key]
        return OrderReport(
            self.instrument.symbol,
            key,
            self._now(),
            state,
            one.ticket.side,
            cumulative_lots=done,
            trade_id=trade.trade_id if trade else 0,
            last_lots=trade.lots if trade else 0,
            last_ticks=trade.ticks if trade else 0,
            commission_e8=trade.commission_e8 if trade else 0,
            commission_asset=trade.asset if trade else "",
            quantity_lots=one.quantity,
        )

    def _say(self, report: object) -> None:
        self.reports.append(report)

    def _move(self, asset: str, amount: int) -> None:
        self.totals[asset] = self.totals.get(asset, 0) + amount
        assert self.totals[asset] >= 0, f"the account ran out of {asset}"

    def _now(self) -> int:
        self._ts += 1
        return self._ts
