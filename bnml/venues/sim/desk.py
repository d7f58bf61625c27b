"""What all parts of the exchange share: records, counters, the clock, and the events going out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.venues.sim.book import Book
from bnml.venues.sim.commissions import Commissions
from bnml.venues.sim.desk_state import NOTHING_HELD, Changes, Counters, Held
from bnml.venues.sim.messages import (
    AccountPosition,
    Amendment,
    Execution,
    ExecutionReport,
    ListStatus,
    ListView,
    Placed,
    PreventedMatch,
    Status,
    TradeRecord,
    UserEvent,
    VenueReject,
)
from bnml.venues.sim.orders import OPEN_STATUSES, SimOrder
from bnml.venues.sim.rules import Rulebook

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.accounts import Account
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.orders import SimList
    from bnml.venues.sim.pricing import Pricing


class Desk:
    """Mutable state of the exchange; matching and lists work on it, the facade guards it."""

    def __init__(self, instruments: dict[str, Instrument], market: Market, pricing: Pricing) -> None:
        self.instruments = instruments
        self.market = market
        self.pricing = pricing
        self.now_ns = 0
        self.counters = Counters()
        self.accounts: dict[str, Account] = {}
        self.orders: dict[int, SimOrder] = {}
        self.lists: dict[int, SimList] = {}
        self.trades: list[TradeRecord] = []
        self.trades_of: dict[int, list[TradeRecord]] = {}
        self.rulebook = Rulebook()
        self.commissions = Commissions(market, pricing)
        self.books: dict[str, Book] = {name: Book() for name in instruments}
        self.live: dict[str, dict[int, SimOrder]] = {name: {} for name in instruments}
        self.held: dict[tuple[str, str], Held] = {}
        self.prevented: dict[int, PreventedMatch] = {}
        self.amendments: dict[int, list[Amendment]] = {}
        self.open_ids: dict[tuple[str, str], int] = {}
        self.last_ids: dict[tuple[str, str], int] = {}
        self.open_lists: dict[tuple[str, str], int] = {}
        self.events: list[UserEvent] = []
        self.changes = Changes()
        self._moved: dict[str, set[str]] = {}

    def instrument(self, symbol: str) -> Instrument:
        """The symbol's filters; -1121 when it does not exist."""
        instrument = self.instruments.get(symbol)
        if instrument is None:
            raise VenueReject(-1121, "Invalid symbol.")
        return instrument

    def account(self, name: str) -> Account:
        """The account; asking for one that was never opened is the wearer's mistake."""
        account = self.accounts.get(name)
        if account is None:
            raise VenueReject(-2015, "Invalid API-key, IP, or permissions for action.")
        return account

    def add(self, order: SimOrder) -> None:
        """Enter an order, new or from the ledger."""
        self.orders[order.order_id] = order
        self.last_ids[order.account, order.client_order_id] = order.order_id
        if order.is_open:
            self.live[order.symbol][order.order_id] = order
            self.open_ids[order.account, order.client_order_id] = order.order_id
            held = self.held.setdefault((order.account, order.symbol), Held())
            held.orders[order.order_id] = order
            held.count(order, 1)
        self.changes.orders.add(order.order_id)

    def rename(self, order: SimOrder, client_order_id: str) -> None:
        """Give an open order another client id."""
        for ids in (self.open_ids, self.last_ids):
            if ids.get((order.account, order.client_order_id)) == order.order_id:
                del ids[order.account, order.client_order_id]
        order.client_order_id = client_order_id
        self.open_ids[order.account, client_order_id] = order.order_id
        self.last_ids[order.account, client_order_id] = order.order_id

    def held_by(self, account: str, symbol: str) -> Held:
        """What an account has open on a symbol; not to be changed."""
        return self.held.get((account, symbol), NOTHING_HELD)

    def open_orders(self, account: str, symbol: str) -> list[SimOrder]:
        """Open orders, waiting legs included, by id."""
        return list(self.held_by(account, symbol).orders.values())

    def update(self, order: SimOrder, status: Status) -> None:
        """Set the status; a final one takes the order from the book and gives back what it locked."""
        order.status = status
        order.updated_ns = self.now_ns
        self.changes.orders.add(order.order_id)
        if status in OPEN_STATUSES:
            return
        if order.seat:
            self.books[order.symbol].leave(order)
        order.is_working = False
        if self.live[order.symbol].pop(order.order_id, None) is not None:
            held = self.held[order.account, order.symbol]
            del held.orders[order.order_id]
            held.count(order, -1)
        self.open_ids.pop((order.account, order.client_order_id), None)
        self.set_lock(order, 0)

    def set_lock(self, order: SimOrder, amount_e8: int) -> None:
        """Make `amount_e8` of the order's paying asset locked for it."""
        if amount_e8 == order.locked_e8:
            return
        asset = order.paying_asset(self.instruments[order.symbol])
        self.account(order.account).lock(asset, amount_e8 - order.locked_e8)
        order.locked_e8 = amount_e8
        self.changes.orders.add(order.order_id)
        self.moved(order.account, asset)

    def moved(self, account: str, *assets: str) -> None:
        """Remember that balances may have changed, for the position event that ends the request."""
        self._moved.setdefault(account, set()).update(assets)
        self.changes.accounts.add(account)
        self.accounts[account].updated_ns = self.now_ns

    def report(
        self,
        order: SimOrder,
        execution: Execution,
        trade: TradeRecord | None = None,
        cancel_id: str = "",
        prevented: PreventedMatch | None = None,
        original: str = "",
    ) -> int:
        """Send an executionReport of the order as it is now; returns its number.

        `cancel_id` is the request's own id, `original` the order's where it is not the one it has now.
        """
        number = self.counters.execution_id
        self.counters.execution_id = number + 1
        self.events.append(
            ExecutionReport(
                order.account,
                self.now_ns,
                number,
                execution,
                order.view(),
                cancel_id or order.client_order_id,
                (original or order.client_order_id) if cancel_id else "",
                trade,
                prevented,
            )
        )
        return number

    def report_list(self, order_list: SimList) -> None:
        """Send a listStatus."""
        self.changes.lists.add(order_list.list_id)
        self.events.append(ListStatus(order_list.account, self.now_ns, self.list_view(order_list)))

    def list_view(self, order_list: SimList) -> ListView:
        """The list with its orders."""
        return order_list.view(tuple(self.orders[order_id].view() for order_id in order_list.order_ids))

    def orders_of(self, order_list: SimList) -> list[SimOrder]:
        """The orders of a list by id."""
        return [self.orders[order_id] for order_id in order_list.order_ids]

    def settle(self) -> None:
        """End a request or a print: one outboundAccountPosition for each account that moved."""
        for name in sorted(self._moved):
            position = self.accounts[name].position(self._moved[name])
            self.events.append(AccountPosition(name, self.now_ns, position))
        self._moved.clear()

    def add_trade(self, trade: TradeRecord) -> None:
        """Enter a fill, new or from the ledger."""
        self.trades.append(trade)
        self.trades_of.setdefault(trade.order_id, []).append(trade)

    def add_list(self, order_list: SimList) -> None:
        """Enter an order list, new or from the ledger."""
        self.lists[order_list.list_id] = order_list
        if order_list.is_open:
            self.held.setdefault((order_list.account, order_list.symbol), Held()).lists += 1
            self.open_lists[order_list.account, order_list.list_client_order_id] = order_list.list_id

    def placed(self, order: SimOrder) -> Placed:
        """Answer to a new order."""
        prevented: tuple[PreventedMatch, ...] = ()
        if order.prevention != "NONE" and self.changes.prevented:
            prevented = tuple(x for x in self.changes.prevented if x.taker_order_id == order.order_id)
        return Placed(order.view(), tuple(self.trades_of.get(order.order_id, ())), prevented)

    def made_id(self) -> str:
        """A client id for a request that gave none."""
        return f"sim{self.counters.take('made_id'):019d}"
