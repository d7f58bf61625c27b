"""Read-only answers of the exchange: orders, fills, lists and balances as clients ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from bnml.core.clock import NS_PER_DAY
from bnml.venues.sim.messages import AccountView, VenueReject

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.messages import (
        Amendment,
        ListKey,
        ListView,
        OrderKey,
        OrderView,
        PreventedMatch,
        TradeRecord,
    )
    from bnml.venues.sim.orders import SimList, SimOrder

MAX_ROWS = 1000
ARCHIVED_AFTER_NS = 90 * NS_PER_DAY
T = TypeVar("T")


class Queries:
    """Looks things up on the desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def find(self, account: str, key: OrderKey) -> SimOrder | None:
        """The order that a key names; of a client id used twice, the open one, else the last."""
        desk = self._desk
        desk.account(account)
        desk.instrument(key.symbol)
        if not key.order_id and not key.client_order_id:
            raise VenueReject(
                -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            )
        name = (account, key.client_order_id)
        order_id = key.order_id or desk.open_ids.get(name) or desk.last_ids.get(name, 0)
        order = desk.orders.get(order_id)
        if order is None or order.account != account or order.symbol != key.symbol:
            return None
        if key.client_order_id and order.client_order_id != key.client_order_id:
            raise VenueReject(-2039, "Client order ID is not correct for this order ID.")
        return order

    def order(self, account: str, key: OrderKey) -> OrderView:
        """One order; -2013 when there is none."""
        order = self.find(account, key)
        if order is None:
            raise VenueReject(-2013, "Order does not exist.")
        if _is_archived(order, self._desk.now_ns):
            raise VenueReject(
                -2026,
                "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
            )
        return order.view()

    def find_list(self, account: str, key: ListKey) -> SimList | None:
        """The list that a key names; of a client id used twice, the last."""
        if key.list_id:
            order_list = self._desk.lists.get(key.list_id)
            return order_list if order_list is not None and order_list.account == account else None
        for order_list in reversed(self._desk.lists.values()):
            if order_list.account == account and order_list.list_client_order_id == key.list_client_order_id:
                return order_list
        return None

    def symbols_with_orders(self) -> list[str]:
        """Symbols in which any account has an open order."""
        return [name for name, orders in self._desk.live.items() if orders]

    def open_orders(self, account: str, symbol: str = "") -> list[OrderView]:
        """Open orders by id, waiting legs included; of all symbols without one."""
        symbols = [symbol] if symbol else list(self._desk.instruments)
        for name in symbols:
            self._desk.instrument(name)
        orders = [order for name in symbols for order in self._desk.open_orders(account, name)]
        return [order.view() for order in sorted(orders, key=lambda order: order.order_id)]

    def all_orders(
        self,
        account: str,
        symbol: str,
        *,
        from_id: int = 0,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 500,
    ) -> list[OrderView]:
        """Orders of a symbol by id; the last `limit`, or the first ones from an id or a time on."""
        self._desk.instrument(symbol)
        chosen = [
            order
            for order in self._desk.orders.values()
            if order.account == account
            and order.symbol == symbol
            and order.order_id >= from_id
            and _within(order.created_ns, start_ns, end_ns)
        ]
        oldest_first = bool(from_id) or start_ns is not None
        return [order.view() for order in _cut(chosen, limit, oldest_first=oldest_first)]

    def trades(
        self,
        account: str,
        symbol: str,
        *,
        order_id: int = 0,
        from_id: int = 0,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 500,
    ) -> list[TradeRecord]:
        """Fills of a symbol by id; the last `limit`, or the first ones from an id or a time on."""
        self._desk.instrument(symbol)
        source = self._desk.trades_of.get(order_id, []) if order_id else self._desk.trades
        chosen = [
            trade
            for trade in source
            if trade.account == account
            and trade.symbol == symbol
            and trade.trade_id >= from_id
            and _within(trade.ts_ns, start_ns, end_ns)
        ]
        return _cut(chosen, limit, oldest_first=bool(from_id) or start_ns is not None)

    def amendments(
        self, account: str, symbol: str, order_id: int, first_id: int, limit: int
    ) -> list[Amendment]:
        """Amendments of an order by execution id."""
        found = [
            one
            for one in self._desk.amendments.get(order_id, ())
            if one.account == account and one.symbol == symbol and one.execution_id >= first_id
        ]
        return _cut(found, limit, oldest_first=True)

    def prevented_matches(
        self,
        account: str,
        symbol: str,
        *,
        prevented_id: int | None = None,
        order_id: int | None = None,
        first_id: int = 0,
        limit: int = 500,
    ) -> list[PreventedMatch]:
        """Prevented matches of an account by number: one of them, or those of an order."""
        found = [
            one
            for one in self._desk.prevented.values()
            if account in {one.taker_account, one.maker_account}
            and one.symbol == symbol
            and one.prevented_id >= first_id
            and prevented_id in {None, one.prevented_id}
            and (order_id is None or order_id in {one.taker_order_id, one.maker_order_id})
        ]
        return _cut(found, limit, oldest_first=True)

    def order_list(self, account: str, key: ListKey) -> ListView:
        """One order list; -2018 when there is none."""
        order_list = self.find_list(account, key)
        if order_list is None:
            raise VenueReject(-2018, "Order list does not exist.")
        return self._desk.list_view(order_list)

    def lists(self, account: str, *, open_only: bool = False) -> list[ListView]:
        """Order lists by id."""
        chosen = [
            x for x in self._desk.lists.values() if x.account == account and (x.is_open or not open_only)
        ]
        return [self._desk.list_view(order_list) for order_list in chosen]

    def account(self, name: str) -> AccountView:
        """Balances and commission rates."""
        account = self._desk.account(name)
        return AccountView(
            account=name,
            updated_ns=account.updated_ns,
            maker_ppm=account.maker_ppm,
            taker_ppm=account.taker_ppm,
            balances=account.position(set(account.balances)),
        )

    def accounts(self) -> list[str]:
        """The names of all accounts."""
        return list(self._desk.accounts)

    def commissions(self, name: str) -> dict[str, int]:
        """What the account has paid in commissions so far, by asset."""
        return dict(self._desk.account(name).commissions)


def _is_archived(order: SimOrder, now_ns: int) -> bool:
    return not order.is_open and not order.executed_lots and now_ns - order.updated_ns > ARCHIVED_AFTER_NS


def _within(ts_ns: int, start_ns: int | None, end_ns: int | None) -> bool:
    return (start_ns is None or ts_ns >= start_ns) and (end_ns is None or ts_ns <= end_ns)


def _cut(rows: list[T], limit: int, *, oldest_first: bool) -> list[T]:
    limit = min(limit, MAX_ROWS)
    return rows[:limit] if oldest_first else rows[-limit:]
