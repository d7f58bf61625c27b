"""Reads of the account that are answered from what was: requests and user events are up to date, each read has an age of its own."""

from collections import deque
from contextlib import contextmanager

from bnml.venues.sim import operations_account, operations_lists
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.orders import OPEN_STATUSES
from tests.e2e.matrix.causes import LATE_READ

LONGEST_S = 2.0
LONG = 0.1  # of the reads are much older than the others
USUAL_S = 0.1  # the mean of those
LAGGING = {
    id(one)
    for one in (
        operations_account.QUERY,
        operations_account.OPEN_ORDERS,
        operations_account.ALL_ORDERS,
        operations_account.MY_TRADES,
        operations_account.ACCOUNT,
        operations_lists.QUERY,
    )
}
ORDER, TRADE, BALANCES = range(3)


class Lags:
    """What was, for as long as a read may lag; the exchange tells of each change as of something to be saved."""

    def __init__(self, world, random):
        self._world = world
        self._random = random
        self._log = deque()  # (when it changed, what, its number, what it was)
        self._views = {}
        self._read = world.exchange.read
        self._balances = self._read.account(ACCOUNT)
        self.is_on = True
        world.exchange._ledger = self

    def save(self, desk, _ordinal, *, durable):
        """As the exchange's ledger: remember what all that has changed was before."""
        now_s, changes, log = self._world.loop.time(), desk.changes, self._log
        for order_id in changes.orders:
            log.append((now_s, ORDER, order_id, self._views.get(order_id)))
            self._views[order_id] = desk.orders[order_id].view()
        log.extend((now_s, TRADE, trade.execution_id, None) for trade in changes.trades)
        if ACCOUNT in changes.accounts:
            log.append((now_s, BALANCES, 0, self._balances))
            self._balances = self._read.account(ACCOUNT)
        while log and log[0][0] < now_s - LONGEST_S:
            log.popleft()

    @contextmanager
    def reading(self, operation):
        """Whatever is read meanwhile is as old as this read is."""
        exchange = self._world.exchange
        if not self.is_on or id(operation) not in LAGGING:
            yield
            return
        lag_s = 0.01 + float(self._random.exponential(USUAL_S))
        if self._random.random() < LONG:
            lag_s = float(self._random.uniform(0.5, LONGEST_S))
        exchange.read = self._at(self._world.loop.time() - min(lag_s, LONGEST_S))
        try:
            yield
        finally:
            exchange.read = self._read

    def _at(self, time_s):
        orders, hidden, balances = {}, set(), self._balances
        for when_s, what, number, was in reversed(self._log):
            if when_s <= time_s:
                break
            if what == ORDER:
                orders[number] = was
            elif what == TRADE:
                hidden.add(number)
            else:
                balances = was
        if orders or hidden or balances is not self._balances:
            self._world.cover.note("", LATE_READ)
        return Past(self._read, orders, hidden, balances)


class Past:
    """As `Queries`, some time ago; `orders` that have changed since are as they were, or None, `hidden` trades not there."""

    def __init__(self, queries, orders, hidden, balances):
        self._queries = queries
        self._orders = orders
        self._hidden = hidden
        self._balances = balances

    def __getattr__(self, name):
        return getattr(self._queries, name)

    def _was(self, views):
        found = [self._orders.get(one.order_id, one) for one in views]
        return [one for one in found if one is not None]

    def order(self, account, key):
        """The open one of an id that was used twice, else the last."""
        named = [
            one
            for one in self._was(self._queries._desk.orders.values())
            if one.symbol == key.symbol
            and (one.order_id == key.order_id if key.order_id else one.client_order_id == key.client_order_id)
        ]
        if not named:
            raise VenueReject(-2013, "Order does not exist.")
        found = next((one for one in named if one.status in OPEN_STATUSES), named[-1])
        return found if found.order_id in self._orders else found.view()

    def open_orders(self, account, symbol=""):
        shown = {one.order_id: one for one in self._queries.open_orders(account, symbol)}
        shown |= {
            number: one for number, one in self._orders.items() if one is None or symbol in {"", one.symbol}
        }
        found = [one for _, one in sorted(shown.items()) if one is not None]
        return [one for one in found if one.status in OPEN_STATUSES]

    def all_orders(self, account, symbol, **how):
        return self._was(self._queries.all_orders(account, symbol, **how))

    def trades(self, account, symbol, **how):
        rows = self._queries.trades(account, symbol, **how)
        return [one for one in rows if one.execution_id not in self._hidden]

    def find_list(self, account, key):
        found = self._queries.find_list(account, key)
        is_there = found is not None and len(self._was(map(self._view, found.order_ids))) == len(
            found.order_ids
        )
        return found if is_there else None

    def _view(self, order_id):
        return self._queries._desk.orders[order_id]

    def order_list(self, account, key):
        found = self.find_list(account, key)
        if found is None:
            raise VenueReject(-2018, "Order list does not exist.")
        return self._queries._desk.list_view(found)

    def account(self, name):
        return self._balances
