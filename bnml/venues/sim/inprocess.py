"""The exchange as a venue without sockets: core commands in, core events out; for replay and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from bnml.core.commands import CancelList, CancelOrder, Command, QueryOrder, ReplaceOrder, Submit
from bnml.core.events import Balances, Bar, Book, CancelFailed, Event, InstrumentUpdate, OrderReport
from bnml.core.orders import ListTicket, OrderState, OrderTicket
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.feed import STEPS_PER_BOUNDARY
from bnml.venues.sim.klines import bar_events
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import (
    Canceled,
    ExecutionReport,
    ListKey,
    ListRequest,
    OrderKey,
    OrderRequest,
    OrderView,
    ReplaceFailed,
    Status,
    Step,
    TradeRecord,
    VenueReject,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.feed import BarFeed
    from bnml.venues.sim.pricing import Pricing

ACCOUNT = "main"
_STATES = {
    Status.NEW: OrderState.OPEN,
    Status.PENDING_NEW: OrderState.SLEEPING,
    Status.PARTIALLY_FILLED: OrderState.PARTLY_FILLED,
    Status.FILLED: OrderState.FILLED,
    Status.CANCELED: OrderState.CANCELED,
    Status.REJECTED: OrderState.REJECTED,
    Status.EXPIRED: OrderState.EXPIRED,
    Status.EXPIRED_IN_MATCH: OrderState.EXPIRED,
    Status.PENDING_CANCEL: OrderState.OPEN,
}


class Advance(msgspec.Struct, frozen=True):
    """One market step: the reports that its prints caused, which come first, its prints, then what it publishes."""

    step: Step
    reports: tuple[Event, ...]
    books: Sequence[Book]
    bars: Sequence[Bar]


class SimVenue:
    """A feed, an exchange and one account with `balances` (1e-8 by asset)."""

    def __init__(self, feed: BarFeed, pricing: Pricing, balances: Mapping[str, int]) -> None:
        self._feed = feed
        market = Market(feed.instruments, feed.frame_ns, pricing, feed.history(0))
        self.exchange = Exchange(market)
        self.exchange.open_account(ACCOUNT, balances)
        self._followed: set[str] | None = None  # symbols printed in the last step, None: all
        self._behind: set[str] = set()  # the others: their markets stand still

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._feed.instruments

    @property
    def frame_ns(self) -> int:
        return self._feed.frame_ns

    def start(self, ts_ns: int = 0) -> list[Event]:
        """What the engine learns before anything else: instruments, then balances."""
        updates: list[Event] = [InstrumentUpdate(one, ts_ns) for one in self.instruments.values()]
        return [*updates, self.balances()]

    def balances(self) -> Balances:
        """The account as it stands."""
        view = self.exchange.read.account(ACCOUNT)
        return Balances(self.exchange.now_ns, view.balances)

    def history(self, symbol: str, count: int | None = None) -> list[Bar]:
        """Published bars, oldest first; the last `count` of them."""
        rows = self.exchange.market[symbol].klines.bars
        rows = rows if count is None else rows[max(0, len(rows) - count) :]
        return bar_events(symbol, rows, self.frame_ns)

    def advance(self, watched: Iterable[str] | None = None) -> Advance | None:
        """Next market step, applied; None when the feed is over.

        With `watched`, only those symbols and the ones with open orders are printed: the others' prints meet
        nobody. Their markets catch up before an order comes to them, except for the list of public trades,
        the running candle and the counters, which then tell of watched times only.
        """
        exchange = self.exchange
        ordinal = exchange.ordinal
        followed = None if watched is None else {*watched, *exchange.read.symbols_with_orders()}
        step = self._feed.step(ordinal, followed)
        if step is None:
            return None
        if followed is None or followed != self._followed:
            self.catch_up(followed)
            self._followed = followed
            self._behind = set() if followed is None else self._feed.instruments.keys() - followed
        exchange.apply(step)
        boundary, phase = divmod(ordinal, STEPS_PER_BOUNDARY)
        openings = () if phase else self._feed.openings(boundary)
        return Advance(
            step,
            tuple(self._drain()),
            [Book(one.symbol, one.quote[0], one.quote[1], one.quote[4]) for one in openings if one.quote],
            [one.before for one in openings if one.quote],
        )

    def catch_up(self, symbols: Iterable[str] | None = None) -> None:
        """Bring markets (None: all) to where the last step left them."""
        behind = self._behind if symbols is None else self._behind.intersection(symbols)
        if not behind:
            return
        ordinal = self.exchange.ordinal
        for name in behind:
            printed = self._feed.last_print(name, ordinal)
            if printed is not None:
                self.exchange.market[name].stand_at(printed, self._feed.published(name, ordinal))
        self._behind, self._followed = self._behind - behind, None

    def execute(self, command: Command) -> list[Event]:
        """Carry out one command; refusals come back as REJECTED reports and CancelFailed events.

        A replacement whose cancel fails gives CancelFailed and REJECTED of the new ticket; a query of an
        order that does not exist, and commands that are not for a venue, give nothing.
        """
        refused: list[Event] = []
        try:
            if isinstance(command, QueryOrder):
                return self._query(command)
            self._execute(command)
        except ReplaceFailed as failure:
            refused = self._refused_replacement(command, failure)
        except VenueReject as refusal:
            refused = self._refused(command, refusal)
        return [*self._drain(), *refused]

    def _execute(self, command: Command) -> None:
        exchange = self.exchange
        if isinstance(command, Submit):
            ticket = command.order.ticket
            self.catch_up((ticket.symbol,))
            if isinstance(ticket, ListTicket):
                exchange.place_list(ACCOUNT, self._list_request(ticket))
            else:
                exchange.place(ACCOUNT, self._request(ticket))
        elif isinstance(command, CancelOrder):
            key = OrderKey(symbol=command.symbol, client_order_id=command.client_order_id)
            exchange.cancel(ACCOUNT, key)
        elif isinstance(command, CancelList):
            exchange.cancel_list(ACCOUNT, ListKey(list_client_order_id=command.list_client_order_id))
        elif isinstance(command, ReplaceOrder):
            ticket = command.ticket
            self.catch_up((ticket.symbol,))
            key = OrderKey(symbol=ticket.symbol, client_order_id=command.cancel_client_order_id)
            exchange.cancel_replace(ACCOUNT, key, self._request(ticket), "STOP_ON_FAILURE", only="NEW")

    def _refused(self, command: Command, refusal: VenueReject) -> list[Event]:
        if isinstance(command, Submit):
            return [self._rejected(ticket, refusal) for ticket in _tickets(command.order.ticket)]
        if isinstance(command, CancelOrder):
            return [self._cancel_failed(command.symbol, command.client_order_id, refusal)]
        if isinstance(command, CancelList):
            return [self._cancel_failed(command.symbol, command.list_client_order_id, refusal)]
        if isinstance(command, ReplaceOrder):
            failed = self._cancel_failed(command.ticket.symbol, command.cancel_client_order_id, refusal)
            return [failed, self._rejected(command.ticket, refusal)]
        return []

    def _refused_replacement(self, command: Command, failure: ReplaceFailed) -> list[Event]:
        assert isinstance(command, ReplaceOrder)  # noqa: S101 - only a replacement fails by halves
        replaced = failure.replaced
        if isinstance(replaced.cancel_result, Canceled):
            reason = replaced.new_result if isinstance(replaced.new_result, VenueReject) else failure
            return [self._rejected(command.ticket, reason)]
        return self._refused(command, replaced.cancel_result)

    def _query(self, command: QueryOrder) -> list[Event]:
        key = OrderKey(symbol=command.symbol, client_order_id=command.client_order_id)
        view = self.exchange.read.order(ACCOUNT, key)
        fills = self.exchange.read.trades(ACCOUNT, command.symbol, order_id=view.order_id)
        reports: list[Event] = []
        done = 0
        for trade in fills:
            done += trade.quantity_lots
            filled = done == view.quantity_lots
            status = Status.FILLED if filled else Status.PARTIALLY_FILLED
            so_far = msgspec.structs.replace(view, status=status, executed_lots=done)
            reports.append(order_report(so_far, trade.ts_ns, trade))
        if view.status is not Status.FILLED:
            reports.append(order_report(view, view.updated_ns))
        return reports

    def _drain(self) -> list[Event]:
        return [
            order_report(event.order, event.ts_ns, event.trade)
            for event in self.exchange.drain()
            if isinstance(event, ExecutionReport)
        ]

    def _rejected(self, ticket: OrderTicket, refusal: VenueReject) -> OrderReport:
        return OrderReport(
            symbol=ticket.symbol,
            client_order_id=ticket.client_order_id,
            ts_ns=self.exchange.now_ns,
            state=OrderState.REJECTED,
            side=ticket.side,
            quantity_lots=ticket.quantity_lots,
            code=refusal.reject_code,
            text=refusal.text,
        )

    def _cancel_failed(self, symbol: str, client_order_id: str, refusal: VenueReject) -> CancelFailed:
        return CancelFailed(symbol, client_order_id, self.exchange.now_ns, refusal.reject_code, refusal.text)

    def _request(self, ticket: OrderTicket) -> OrderRequest:
        instrument = self.instruments[ticket.symbol]
        return OrderRequest(
            symbol=ticket.symbol,
            side=ticket.side,
            type=ticket.type,
            quantity_e8=ticket.quantity_lots * instrument.lot_e8,
            price_e8=ticket.price_ticks * instrument.tick_e8,
            stop_price_e8=ticket.stop_price_ticks * instrument.tick_e8,
            time_in_force=ticket.time_in_force,
            client_order_id=ticket.client_order_id,
        )

    def _list_request(self, ticket: ListTicket) -> ListRequest:
        return ListRequest(
            symbol=ticket.symbol,
            kind=ticket.kind,
            working=None if ticket.working is None else self._request(ticket.working),
            pending=tuple(self._leg_request(ticket, leg) for leg in ticket.pending),
            list_client_order_id=ticket.list_client_order_id,
        )

    def _leg_request(self, ticket: ListTicket, leg: OrderTicket) -> OrderRequest:
        """A pending leg; where the exchange sizes it, a quantity in the ticket is the engine's estimate."""
        request = self._request(leg)
        if ticket.kind.startswith("OPO"):
            return msgspec.structs.replace(request, quantity_e8=0)
        return request


def order_report(view: OrderView, ts_ns: int, trade: TradeRecord | None = None) -> OrderReport:
    """An order's state, and the fill that led to it, as the engine takes it."""
    report = OrderReport(
        symbol=view.symbol,
        client_order_id=view.client_order_id,
        ts_ns=ts_ns,
        state=_STATES[view.status],
        side=view.side,
        cumulative_lots=view.executed_lots,
        venue_order_id=view.order_id,
        quantity_lots=view.quantity_lots,
        text=view.expiry_reason,
    )
    if trade is None:
        return report
    return msgspec.structs.replace(
        report,
        trade_id=trade.trade_id,
        last_lots=trade.quantity_lots,
        last_ticks=trade.price_ticks,
        commission_e8=trade.commission_e8,
        commission_asset=trade.commission_asset,
        is_maker=trade.is_maker,
    )


def _tickets(ticket: OrderTicket | ListTicket) -> tuple[OrderTicket, ...]:
    if isinstance(ticket, OrderTicket):
        return (ticket,)
    return (ticket.working, *ticket.pending) if ticket.working else ticket.pending
