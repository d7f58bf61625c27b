"""Implementation shortfall: what each order gave away between the price it was decided at and its fills, from a journal."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.core.commands import CancelList, CancelOrder, Command, ReplaceOrder, Submit
from bnml.core.events import Adoption, Bar, Event, InstrumentUpdate, Scan, Slice, Stranger, Timer
from bnml.core.instrument import Instrument
from bnml.core.orders import ListTicket, OrderTicket, OrderType, Side
from bnml.kernels import fills
from bnml.kernels.records import ExitReason, Taking
from bnml.trading.dusting import DUST
from bnml.trading.exits import bar_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.core.outcomes import Trade
    from bnml.journal.reader import JournalReader
    from bnml.trading.filling import Record

ENTRY: Final = "entry"
TARGET: Final = "target"
STOP: Final = "stop"
GAP: Final = "gap"
EXIT: Final = "exit"
KINDS: Final = (ENTRY, TARGET, STOP, GAP, EXIT)
BPS: Final = 10_000
_STOPS: Final = frozenset({ExitReason.STOP, ExitReason.HARD_STOP, ExitReason.TRAILING})
_TARGETS: Final = frozenset({ExitReason.TARGET1, ExitReason.TARGET2})
_ANY_PRICE: Final = 1 << 53


class Filled(msgspec.Struct):
    """One order that filled, in whole or in part; shares in bps of what it would have been worth as decided.

    `decided` is the price of the decision, `met` the middle of the book at that time (the same where the journal
    has no book): from one to the other the market moved before the order could meet it, from there on it is the
    order's own doing. Positive figures are losses. `commission` is None where its asset had no price.
    """

    symbol: str
    client_order_id: str
    kind: str
    side: Side
    is_taker: bool
    ts_ns: int  # of the first fill
    decided: float
    met: float
    assumed: float  # of spread and slippage by the cost model, for an order that meets the market at `met`
    quantity: float = 0.0
    paid: float = 0.0  # quote asset, all fills
    commission_paid: float | None = 0.0

    @property
    def weight(self) -> float:
        return self.decided * self.quantity

    @property
    def delay(self) -> float:
        return self._loss(self.met - self.decided)

    @property
    def execution(self) -> float:
        return self._loss(self.paid / self.quantity - self.met)

    @property
    def commission(self) -> float | None:
        return None if self.commission_paid is None else BPS * self.commission_paid / self.weight

    @property
    def total(self) -> float:
        return self.delay + self.execution + (self.commission or 0.0)

    def _loss(self, rise: float) -> float:
        return BPS * (rise if self.side is Side.BUY else -rise) / self.decided


class _Decided(msgspec.Struct):
    """What is known of an order before it fills."""

    ticket: OrderTicket
    decided: float
    met_ticks: float


class _Market(msgspec.Struct):
    """One symbol as the engine saw it at an event."""

    instrument: Instrument
    bar: Bar | None = None
    last_ticks: int = 0
    last_ns: int = 0
    stop_ticks: int = 0  # of the newest stop asked for
    withdrawn: tuple[float, float] | None = (
        None  # price and middle when stops were withdrawn and none has followed
    )


class Walk:
    """Goes through a journal in its order and remembers, for each order, what it was decided at."""

    def __init__(self, costs: Record) -> None:
        self._costs = costs[0]
        self._markets: dict[str, _Market] = {}
        self._orders: dict[str, _Decided] = {}
        self._filled: dict[str, Filled] = {}
        self._unknown: set[str] = set()
        self._event: Event | None = None

    @property
    def filled(self) -> list[Filled]:
        """Every order with a fill, by its first one."""
        return list(self._filled.values())

    @property
    def unknown(self) -> int:
        """Orders with fills whose decision the journal does not hold: sold by hand, or taken over from the venue."""
        return len(self._unknown)

    def go(self, reader: JournalReader, since_ns: int = 0) -> None:
        """Read everything; fills before `since_ns` are left out."""
        rows: Iterator[tuple[int, int, Event | Command | Trade]] = merge(
            ((seq, 0, event) for seq, event in reader.events()),
            ((seq, 1, command) for seq, command in reader.commands()),
            ((seq, 2, trade) for seq, trade in reader.trades()),
            key=lambda row: row[:2],
        )
        for _, kind, row in rows:
            if kind == 0:
                self.see(row)  # type: ignore[arg-type]
            elif kind == 1:
                self.ask(row)  # type: ignore[arg-type]
            elif row.ts_ns >= since_ns:  # type: ignore[union-attr]
                self.fill(row)  # type: ignore[arg-type]

    def see(self, event: Event) -> None:
        """Prices and filters of an event, and orders that were taken over with it."""
        self._event = event
        if isinstance(event, InstrumentUpdate):
            self._take(event.instrument)
            return
        market = self._markets.get(getattr(event, "symbol", ""))
        if market is None:
            return
        if isinstance(event, Bar):
            market.bar = event
            if event.ts_close_ns > market.last_ns:  # else a print of after the bar is known already
                market.last_ticks, market.last_ns = event.close, event.ts_close_ns
        elif isinstance(event, Slice):
            market.last_ticks, market.last_ns = event.last, event.ts_ns
        elif isinstance(event, Adoption):
            for one in event.orders:
                self._adopt(one, market)

    def ask(self, command: Command) -> None:
        """An order's decision; or the withdrawal of stops, which is when a sale at market was decided."""
        if isinstance(command, CancelList | CancelOrder):
            market = self._markets.get(command.symbol)
            if market is not None and market.withdrawn is None:
                market.withdrawn = self._now(command.symbol, market)
            return
        if not isinstance(command, Submit | ReplaceOrder):
            return
        ticket = command.order.ticket if isinstance(command, Submit) else command.ticket
        market = self._markets.get(ticket.symbol)
        if market is None:
            return
        legs = (ticket,) if isinstance(ticket, OrderTicket) else _legs(ticket)
        for leg in legs:
            self._decide(leg, market)

    def fill(self, trade: Trade) -> None:
        """Count a fill."""
        decided, market = self._orders.get(trade.client_order_id), self._markets.get(trade.symbol)
        if decided is None or market is None or decided.decided <= 0:
            self._unknown.add(trade.client_order_id)
            return
        made = self._filled.get(trade.client_order_id)
        if made is None:
            made = self._filled[trade.client_order_id] = self._begin(trade, decided, market)
        instrument = market.instrument
        made.quantity += instrument.quantity_float(trade.quantity_lots)
        made.paid += instrument.notional_e8(trade.price_ticks, trade.quantity_lots) / 1e8
        commission = self._commission(trade, instrument)
        if commission is None or made.commission_paid is None:
            made.commission_paid = None
        else:
            made.commission_paid += commission

    def _begin(self, trade: Trade, decided: _Decided, market: _Market) -> Filled:
        kind = _kind(trade, decided.ticket)
        price, met_ticks = decided.decided, decided.met_ticks
        if kind in {STOP, GAP} and decided.ticket.type is OrderType.MARKET and market.stop_ticks:
            # The venue did not take the stop, or it did not fill: its level is what it should have sold at.
            price, met_ticks = market.instrument.price_float(market.stop_ticks), float(market.stop_ticks)
        is_taker = decided.ticket.type not in {OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT_LIMIT}
        return Filled(
            trade.symbol,
            trade.client_order_id,
            kind,
            trade.side,
            is_taker,
            trade.ts_ns,
            price,
            met_ticks * market.instrument.tick_e8 / 1e8,
            BPS * self._assumed(decided.ticket, met_ticks, market) / price if is_taker else 0.0,
        )

    def _assumed(self, ticket: OrderTicket, met_ticks: float, market: _Market) -> float:
        """Half spread and slippage as the cost model fills such an order, in quote for one of base."""
        if market.bar is None or met_ticks < 1:
            return 0.0
        is_buy, level = ticket.side is Side.BUY, int(met_ticks)
        taking = Taking.FOK if ticket.type is OrderType.LIMIT else Taking.MARKET
        limit = _ANY_PRICE if is_buy else 0
        _, price = fills.taker_fill(
            int(taking), is_buy, ticket.quantity_lots, limit, level, bar_record(market.bar), self._costs
        )
        return market.instrument.price_float(abs(int(price) - level))

    def _commission(self, trade: Trade, instrument: Instrument) -> float | None:
        """In the quote asset; None where nothing says what its asset is worth."""
        amount = trade.commission_e8 / 1e8
        if trade.commission_asset == instrument.base:
            return amount * instrument.price_float(trade.price_ticks)
        if trade.commission_asset == instrument.quote or not amount:
            return amount
        other = self._markets.get(f"{trade.commission_asset}{instrument.quote}")
        if other is None or not other.last_ticks:
            return None
        return amount * other.instrument.price_float(other.last_ticks)

    def _decide(self, ticket: OrderTicket, market: _Market) -> None:
        price, met_ticks = self._now(ticket.symbol, market)
        if isinstance(self._event, Timer) and self._event.name == DUST:
            market.withdrawn = price, met_ticks  # decided now, whatever was withdrawn for a sale before
        if ticket.side is Side.BUY:
            market.withdrawn = None
        elif ticket.stop_price_ticks:
            market.stop_ticks, market.withdrawn = ticket.stop_price_ticks, None
            met_ticks = float(ticket.stop_price_ticks)
            price = market.instrument.price_float(ticket.stop_price_ticks)
        elif ticket.type is not OrderType.MARKET:
            met_ticks = float(ticket.price_ticks)
            price = market.instrument.price_float(ticket.price_ticks)
        elif market.withdrawn is not None:
            price, met_ticks = market.withdrawn
        self._orders[ticket.client_order_id] = _Decided(ticket, price, met_ticks)

    def _now(self, symbol: str, market: _Market) -> tuple[float, float]:
        """(price of a decision taken at this event, ticks in the middle of the book that it meets)."""
        ticks = market.last_ticks
        if isinstance(self._event, Scan):
            ticks = market.bar.close if market.bar is not None else ticks
            book = next(
                (one for one in self._event.books if one.symbol == symbol and one.bid and one.ask), None
            )
            if book is not None:
                return market.instrument.price_float(ticks), (book.bid + book.ask) / 2
        return market.instrument.price_float(ticks), float(ticks)

    def _take(self, instrument: Instrument) -> None:
        known = self._markets.get(instrument.symbol)
        if known is not None and known.instrument.tick_e8 == instrument.tick_e8:
            known.instrument = instrument
            return
        self._markets[instrument.symbol] = _Market(instrument)
        if known is not None:  # what was decided in other ticks cannot be held against fills in these
            rest = {key: one for key, one in self._orders.items() if one.ticket.symbol != instrument.symbol}
            self._orders = rest

    def _adopt(self, one: Stranger, market: _Market) -> None:
        """A resting order of before the journal: its level is its decision; of any other nothing is known."""
        is_stop = one.type in {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}
        if one.side is Side.SELL and (is_stop or one.type is OrderType.LIMIT_MAKER):
            stop_ticks = one.ticks if is_stop else 0
            ticket = OrderTicket(
                market.instrument.symbol,
                one.client_order_id,
                one.side,
                one.type,
                one.quantity_lots,
                one.ticks,
                stop_ticks,
            )
            price = market.instrument.price_float(one.ticks)
            self._orders[one.client_order_id] = _Decided(ticket, price, float(one.ticks))


def _legs(ticket: ListTicket) -> tuple[OrderTicket, ...]:
    return ticket.pending if ticket.working is None else (ticket.working, *ticket.pending)


def _kind(trade: Trade, ticket: OrderTicket) -> str:
    if trade.side is Side.BUY:
        return ENTRY
    if trade.reason == ExitReason.GAP:
        return GAP
    if trade.reason in _STOPS or ticket.stop_price_ticks:
        return STOP
    return TARGET if trade.reason in _TARGETS else EXIT
