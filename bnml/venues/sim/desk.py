"""What all parts of the exchange share: records, counters, the clock, and the events going out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.core.orders import Side
from bnml.venues.sim.messages import (
    AccountPosition,
    Execution,
    ExecutionReport,
    ListStatus,
    ListView,
    Placed,
    Status,
    TradeRecord,
    UserEvent,
    VenueReject,
)

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.accounts import Account
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.orders import SimList, SimOrder
    from bnml.venues.sim.pricing import Pricing


class Counters(msgspec.Struct):
    """Next free number of each kind; persisted, so that none is ever given twice."""

    order_id: int = 1
    list_id: int = 1
    trade_id: int = 1
    execution_id: int = 1
    made_id: int = 1  # for client order ids that the client did not give

    def take(self, name: str) -> int:
        """The next number of this kind."""
        number = int(getattr(self, name))
        setattr(self, name, number + 1)
        return number


class Changes(msgspec.Struct):
    """What the current request or step has touched, for the ledger; cleared by its commit."""

    orders: set[int] = msgspec.field(default_factory=set)
    lists: set[int] = msgspec.field(default_factory=set)
    accounts: set[str] = msgspec.field(default_factory=set)
    trades: list[TradeRecord] = msgspec.field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.orders or self.lists or self.accounts or self.trades)

    def clear(self) -> None:
        """Forget everything: it is saved."""
        self.orders.clear()
        self.lists.clear()
        self.accounts.clear()
        self.trades.clear()


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
        self.live: dict[str, dict[int, SimOrder]] = {name: {} for name in instruments}
        self.bands: dict[str, tuple[int, int]] = {}  # last prices between which no live order can act
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
            self.bands.pop(order.symbol, None)
            self.open_ids[order.account, order.client_order_id] = order.order_id
        self.changes.orders.add(order.order_id)

    def open_orders(self, account: str, symbol: str) -> list[SimOrder]:
        """Open orders, waiting legs included, by id."""
        return [order for order in self.live[symbol].values() if order.account == account]

    def update(self, order: SimOrder, status: Status) -> None:
        """Set the status; a final one takes the order from the book and gives back what it locked."""
        order.status = status
        order.updated_ns = self.now_ns
        self.changes.orders.add(order.order_id)
        if not order.is_open:
            order.is_working = False
            self.live[order.symbol].pop(order.order_id, None)
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
        self, order: SimOrder, execution: Execution, trade: TradeRecord | None = None, cancel_id: str = ""
    ) -> None:
        """Send an executionReport of the order as it is now."""
        self.events.append(
            ExecutionReport(
                account=order.account,
                ts_ns=self.now_ns,
                execution_id=self.counters.take("execution_id"),
                execution=execution,
                order=order.view(),
                client_order_id=cancel_id or order.client_order_id,
                original_client_order_id=order.client_order_id if cancel_id else "",
                trade=trade,
            )
        )

    def report_list(self, order_list: SimList) -> None:
        """Send a listStatus."""
        self.changes.lists.add(order_list.list_id)
        self.events.append(ListStatus(order_list.account, self.now_ns, self.list_view(order_list)))

    def list_view(self, order_list: SimList) -> ListView:
        """The list with its orders."""
        return order_list.view(tuple(self.orders[order_id].view() for order_id in order_list.order_ids))

    def settle(self) -> None:
        """End a request or a print: one outboundAccountPosition for each account that moved."""
        for name in sorted(self._moved):
            position = self.accounts[name].position(self._moved[name])
            self.events.append(AccountPosition(name, self.now_ns, position))
        self._moved.clear()

    def book_fill(self, order: SimOrder, lots: int, price_ticks: int, *, is_maker: bool) -> TradeRecord:
        """Exchange the assets of one fill, shrink the lock, number the trade and report it."""
        instrument = self.instruments[order.symbol]
        account = self.account(order.account)
        quote_e8 = instrument.notional_e8(price_ticks, lots)
        base_e8 = lots * instrument.lot_e8
        buys = order.side is Side.BUY
        paid_e8, got_e8 = (quote_e8, base_e8) if buys else (base_e8, quote_e8)
        paid, got = (instrument.quote, instrument.base) if buys else (instrument.base, instrument.quote)
        commission_e8 = self.pricing.commission_e8(
            got_e8, account.maker_ppm if is_maker else account.taker_ppm
        )
        self.set_lock(order, 0)
        account.credit(paid, -paid_e8)
        account.credit(got, got_e8 - commission_e8)
        account.pay_commission(got, commission_e8)
        self.moved(order.account, paid, got)
        order.executed_lots += lots
        order.executed_quote_e8 += quote_e8
        trade = TradeRecord(
            account=order.account,
            symbol=order.symbol,
            trade_id=self.counters.take("trade_id"),
            order_id=order.order_id,
            list_id=order.list_id,
            price_ticks=price_ticks,
            quantity_lots=lots,
            quote_e8=quote_e8,
            commission_e8=commission_e8,
            commission_asset=got,
            ts_ns=self.now_ns,
            is_buyer=buys,
            is_maker=is_maker,
        )
        self.add_trade(trade)
        self.changes.trades.append(trade)
        self.update(order, Status.FILLED if order.remaining_lots == 0 else Status.PARTIALLY_FILLED)
        if order.is_open:
            self.set_lock(order, order.needs_e8(instrument))
        self.report(order, Execution.TRADE, trade)
        return trade

    def add_trade(self, trade: TradeRecord) -> None:
        """Enter a fill, new or from the ledger."""
        self.trades.append(trade)
        self.trades_of.setdefault(trade.order_id, []).append(trade)

    def add_list(self, order_list: SimList) -> None:
        """Enter an order list, new or from the ledger."""
        self.lists[order_list.list_id] = order_list
        if order_list.is_open:
            self.open_lists[order_list.account, order_list.list_client_order_id] = order_list.list_id

    def placed(self, order: SimOrder) -> Placed:
        """Answer to a new order."""
        return Placed(order.view(), tuple(self.trades_of.get(order.order_id, ())))

    def made_id(self) -> str:
        """A client id for a request that gave none."""
        return f"sim{self.counters.take('made_id'):019d}"
