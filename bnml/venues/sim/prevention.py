"""Self-trade prevention: what becomes of two orders of one owner that would trade with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from bnml.core.orders import OrderType, Side
from bnml.venues.sim.messages import Execution, PreventedMatch, Status
from bnml.venues.sim.seating import show_more

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder

NO_GROUP: Final = -1
_PAIRED: Final = frozenset({"DECREMENT", "TRANSFER"})


class Ends(Protocol):
    """Who hears of orders that end here."""

    def leg_works(self, order: SimOrder) -> None:
        """An order is about to lose quantity."""
        ...

    def order_over(self, order: SimOrder) -> None:
        """An order has reached a final state."""
        ...


class Prevention:
    """Decides by the mode of the taker."""

    def __init__(self, desk: Desk, ends: Ends) -> None:
        self._desk = desk
        self._ends = ends

    def applies(self, taker: SimOrder, maker: SimOrder) -> bool:
        """Whether the two must not trade."""
        if taker.prevention == "NONE":
            return False
        if taker.account == maker.account:
            return True
        accounts = self._desk.accounts
        group = accounts[taker.account].trade_group
        return group != NO_GROUP and group == accounts[maker.account].trade_group

    def prevent(self, taker: SimOrder, maker: SimOrder) -> None:
        """Take the quantities out that would have traded, and record the match that did not happen."""
        mode = self._mode(taker, maker)
        lots = min(taker.remaining_lots, maker.displayed_lots)
        taker_lots = lots if mode in _PAIRED else 0 if mode == "EXPIRE_MAKER" else taker.remaining_lots
        maker_lots = lots if mode in _PAIRED else 0 if mode == "EXPIRE_TAKER" else maker.remaining_lots
        desk = self._desk
        match = PreventedMatch(
            prevented_id=desk.counters.take("prevented_id"),
            symbol=taker.symbol,
            taker_account=taker.account,
            maker_account=maker.account,
            taker_order_id=taker.order_id,
            maker_order_id=maker.order_id,
            trade_group=desk.account(taker.account).trade_group,
            mode=mode,
            price_ticks=maker.price_ticks,
            lots=lots,
            taker_lots=taker_lots,
            maker_lots=maker_lots,
            ts_ns=desk.now_ns,
        )
        desk.prevented[match.prevented_id] = match
        desk.changes.prevented.append(match)
        if mode == "TRANSFER" and taker.account != maker.account:
            self._transfer(taker, maker, lots)
        for order, taken in ((maker, maker_lots), (taker, taker_lots)):
            if taken:
                self._cut(order, taken, match)
        for order in (maker, taker):
            if not order.is_open:
                self._ends.order_over(order)

    def _mode(self, taker: SimOrder, maker: SimOrder) -> str:
        if taker.prevention == "TRANSFER" and maker.prevention != "TRANSFER":
            return "DECREMENT"
        return taker.prevention

    def _cut(self, order: SimOrder, lots: int, match: PreventedMatch) -> None:
        desk = self._desk
        if not order.executed_lots and not order.triggered:
            self._ends.leg_works(order)
        order.prevented_lots += lots
        order.prevented_match_id = match.prevented_id
        desk.books[order.symbol].version += 1
        desk.update(order, order.status if order.remaining_lots else Status.EXPIRED_IN_MATCH)
        if order.is_open and order.iceberg_lots:
            show_more(desk, order, lots)
        if order.is_open and order.type is not OrderType.MARKET:
            desk.set_lock(order, order.needs_e8(desk.instruments[order.symbol]))
        desk.report(order, Execution.TRADE_PREVENTION, prevented=match)

    def _transfer(self, taker: SimOrder, maker: SimOrder, lots: int) -> None:
        """Move what the trade would have moved, without a trade and without commission."""
        desk = self._desk
        instrument = desk.instruments[taker.symbol]
        buyer, seller = (taker, maker) if taker.side is Side.BUY else (maker, taker)
        base_e8 = lots * instrument.lot_e8
        quote_e8 = instrument.notional_e8(maker.price_ticks, lots)
        for order in (taker, maker):
            desk.set_lock(order, 0)
        for order, sign in ((buyer, 1), (seller, -1)):
            account = desk.account(order.account)
            account.credit(instrument.base, sign * base_e8)
            account.credit(instrument.quote, -sign * quote_e8)
            desk.moved(order.account, instrument.base, instrument.quote)
