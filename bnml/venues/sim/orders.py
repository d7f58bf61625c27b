"""The exchange's own record of an order and of an order list, and what each locks while it is open."""

from __future__ import annotations

import msgspec

from bnml.core.instrument import Instrument
from bnml.core.orders import ListKind, OrderType, Side, TimeInForce
from bnml.venues.sim.messages import ListView, OrderRequest, OrderView, Status

STOP_TYPES = frozenset(
    {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
)
PRICED_TYPES = frozenset(
    {OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
)
TIMED_TYPES = PRICED_TYPES - {OrderType.LIMIT_MAKER}
STOP_LOSS_TYPES = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})
OPEN_STATUSES = frozenset({Status.NEW, Status.PENDING_NEW, Status.PARTIALLY_FILLED})


class SimOrder(msgspec.Struct, kw_only=True, gc=False):
    """A mutable order in ticks and lots; `locked_e8` is what it holds of its paying asset right now."""

    account: str
    symbol: str
    order_id: int
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity_lots: int
    created_ns: int
    list_id: int = -1
    quote_quantity_e8: int = 0
    price_ticks: int = 0
    stop_price_ticks: int = 0
    status: Status = Status.NEW
    executed_lots: int = 0
    executed_quote_e8: int = 0
    is_working: bool = False
    triggered: bool = False
    updated_ns: int = 0
    working_ns: int = -1
    expiry_reason: str = ""
    locked_e8: int = 0
    prevention: str = "NONE"  # self-trade prevention mode
    prevented_lots: int = 0
    prevented_match_id: int = -1
    iceberg_lots: int = 0
    shown_lots: int = 0  # of an iceberg: what the book shows right now
    trailing_bips: int = 0
    trailing_ns: int = -1  # since when it follows the market
    extreme_ticks: int = 0  # highest (to sell) or lowest (to buy) print since then; 0: none yet
    trail_ticks: int = 0  # last price that triggers it while it follows the market
    value_ticks: int = 0  # what a market stop to buy is valued at; 0: its stop price
    strategy_id: int = -1
    strategy_type: int = -1
    amends: int = 0
    priority: int = 0  # when it took its place: lower came earlier
    seat: int = 0  # where it sits in the book, see `book`
    seat_ticks: int = 0
    queue_lots: int = 0  # external size at its level that comes before it
    enters_ns: int = 0  # when it reaches the book, 0: it is there
    leaves_ns: int = 0  # when a cancel on its way reaches the book, 0: none
    cancel_id: str = ""

    @property
    def remaining_lots(self) -> int:
        return self.quantity_lots - self.executed_lots - self.prevented_lots

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def is_live(self) -> bool:
        """Open and at the exchange's book or trigger list, not waiting for a working order."""
        return self.status in OPEN_STATUSES and self.status is not Status.PENDING_NEW

    @property
    def waits_for_trigger(self) -> bool:
        return self.type in STOP_TYPES and not self.triggered

    @property
    def level_ticks(self) -> int:
        """The price whose touch makes something happen: the stop price, then the limit."""
        if not self.waits_for_trigger:
            return self.price_ticks
        return self.stop_price_ticks if self.trailing_ns < 0 else self.trail_ticks

    @property
    def acts_from_below(self) -> bool:
        """Whether it acts when the price rises to its level (else when it falls to it)."""
        if self.waits_for_trigger:
            if self.trailing_ns >= 0:
                return self.side is Side.BUY
            return (self.type in STOP_LOSS_TYPES) == (self.side is Side.BUY)
        return self.side is Side.SELL

    def paying_asset(self, instrument: Instrument) -> str:
        return instrument.quote if self.side is Side.BUY else instrument.base

    def needs_e8(self, instrument: Instrument) -> int:
        """What the open rest needs locked; a market stop to buy is valued at its stop price.

        A triggered one without a limit never rests, so its rest needs nothing.
        """
        if not self.is_live or (self.triggered and not self.price_ticks):
            return 0
        if self.side is Side.SELL:
            return self.remaining_lots * instrument.lot_e8
        return instrument.notional_e8(self.valued_at, self.remaining_lots)

    @property
    def valued_at(self) -> int:
        """The price that what it locks is counted at."""
        return self.price_ticks or self.value_ticks or self.stop_price_ticks

    @property
    def displayed_lots(self) -> int:
        """What the public book shows of it."""
        return min(self.shown_lots, self.remaining_lots) if self.iceberg_lots else self.remaining_lots

    def view(self) -> OrderView:
        """An immutable copy for answers and reports."""
        return OrderView(
            account=self.account,
            symbol=self.symbol,
            order_id=self.order_id,
            list_id=self.list_id,
            client_order_id=self.client_order_id,
            side=self.side,
            type=self.type,
            time_in_force=self.time_in_force,
            quantity_lots=self.quantity_lots,
            quote_quantity_e8=self.quote_quantity_e8,
            price_ticks=self.price_ticks,
            stop_price_ticks=self.stop_price_ticks,
            status=self.status,
            executed_lots=self.executed_lots,
            executed_quote_e8=self.executed_quote_e8,
            is_working=self.is_working,
            created_ns=self.created_ns,
            updated_ns=self.updated_ns,
            working_ns=self.working_ns,
            expiry_reason=self.expiry_reason,
            prevention=self.prevention,
            prevented_lots=self.prevented_lots,
            prevented_match_id=self.prevented_match_id,
            iceberg_lots=self.iceberg_lots,
            trailing_bips=self.trailing_bips,
            trailing_ns=self.trailing_ns,
            strategy_id=self.strategy_id,
            strategy_type=self.strategy_type,
        )


class SimList(msgspec.Struct, kw_only=True):
    """An order list: `working_id` is 0 for OCO, `pending_ids` hold its legs in the order of the request."""

    account: str
    symbol: str
    list_id: int
    list_client_order_id: str
    kind: ListKind
    working_id: int
    pending_ids: tuple[int, ...]
    created_ns: int
    is_open: bool = True

    @property
    def order_ids(self) -> tuple[int, ...]:
        return (self.working_id, *self.pending_ids) if self.working_id else self.pending_ids

    @property
    def sizes_by_proceeds(self) -> bool:
        """OPO and OPOCO: pending quantity is what the working order paid out."""
        return self.kind in {ListKind.OPO, ListKind.OPOCO}

    def view(self, orders: tuple[OrderView, ...]) -> ListView:
        """An immutable copy for answers and reports."""
        return ListView(
            account=self.account,
            symbol=self.symbol,
            list_id=self.list_id,
            list_client_order_id=self.list_client_order_id,
            kind=self.kind,
            contingency="OCO" if self.kind is ListKind.OCO else "OTO",
            list_status="EXEC_STARTED" if self.is_open else "ALL_DONE",
            order_status="EXECUTING" if self.is_open else "ALL_DONE",
            ts_ns=self.created_ns,
            orders=orders,
        )


def new_order(
    request: OrderRequest,
    instrument: Instrument,
    account: str,
    order_id: int,
    client_order_id: str,
    ts_ns: int,
) -> SimOrder:
    """A record of an accepted request; amounts are multiples of tick and lot (filters have said so)."""
    return SimOrder(
        account=account,
        symbol=request.symbol,
        order_id=order_id,
        client_order_id=client_order_id,
        side=request.side,
        type=request.type,
        time_in_force=request.time_in_force or TimeInForce.GTC,
        quantity_lots=request.quantity_e8 // instrument.lot_e8,
        quote_quantity_e8=request.quote_quantity_e8,
        price_ticks=request.price_e8 // instrument.tick_e8,
        stop_price_ticks=request.stop_price_e8 // instrument.tick_e8,
        iceberg_lots=request.iceberg_e8 // instrument.lot_e8,
        trailing_bips=request.trailing_bips,
        prevention=request.prevention,
        strategy_id=request.strategy_id,
        strategy_type=request.strategy_type,
        created_ns=ts_ns,
        updated_ns=ts_ns,
    )
