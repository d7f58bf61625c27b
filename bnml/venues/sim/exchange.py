"""The embedded exchange without I/O: requests and market steps in, answers and user events out.

Lookups are in `read`, dry runs in `checks`. Every method that changes something either raises
`VenueReject` with nothing changed, or returns after the ledger has it on disk; then `drain()` yields the
user events in Binance's order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from bnml.core.instrument import Instrument
from bnml.venues.sim.accounts import INSUFFICIENT, open_account
from bnml.venues.sim.amending import Amending
from bnml.venues.sim.book_prints import BookPrints
from bnml.venues.sim.checks import Checks
from bnml.venues.sim.desk import Desk
from bnml.venues.sim.displayed import Displayed
from bnml.venues.sim.entry import Entry
from bnml.venues.sim.lists import Lists
from bnml.venues.sim.management import Management
from bnml.venues.sim.matching import Matcher
from bnml.venues.sim.messages import (
    Amended,
    BalanceUpdate,
    Canceled,
    ListKey,
    ListRequest,
    ListView,
    OrderKey,
    OrderRequest,
    Placed,
    Print,
    Replaced,
    ReplaceFailed,
    Step,
    UserEvent,
    VenueReject,
)
from bnml.venues.sim.queries import Queries
from bnml.venues.sim.touch_prints import TouchPrints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.venues.sim.ledger import Ledger
    from bnml.venues.sim.market import Market

NO_LIST: Final = -1
ReplaceMode = Literal["STOP_ON_FAILURE", "ALLOW_FAILURE"]


class Exchange:
    """Accounts, orders and the market of one simulated venue; one caller at a time."""

    def __init__(self, market: Market, *, ledger: Ledger | None = None) -> None:
        instruments = {name: symbol.instrument for name, symbol in market.symbols.items()}
        self.market = market
        self.ordinal = 0
        self.refused_half: Literal["", "cancel", "new"] = ""
        """Which half of the next cancelReplace is refused, whatever speaks for it: a fault."""
        self._desk = Desk(instruments, market, market.pricing)
        self._matcher = Matcher(self._desk)
        self._lists = Lists(self._desk, self._matcher)
        self._matcher.tie(self._lists)
        prints = BookPrints if self._matcher.has_book else TouchPrints
        self._prints: BookPrints | TouchPrints = prints(self._desk, self._matcher)
        self.checks = Checks(self._desk, self._matcher)
        self.read = Queries(self._desk)
        self._entry = Entry(self._desk, self._matcher, self.checks, self.read)
        self.manage = Management(self._desk, self._end_request)
        self._amending = Amending(self._desk, self._matcher, self.read)
        self._ledger = ledger
        if ledger is not None:
            self.ordinal = ledger.load(self._desk)
            self._matcher.resume()
        if self._matcher.has_book:
            market.overlay = Displayed(self._desk, self._matcher.outside)

    @property
    def now_ns(self) -> int:
        """Market time: of the last step, or later where the wearer moved it."""
        return self._desk.now_ns

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._desk.instruments

    def set_time(self, ts_ns: int) -> None:
        """Let market time pass between steps; it never goes back."""
        if self._matcher.pass_time(ts_ns):
            self._commit(durable=True)

    def open_account(self, name: str, balances: Mapping[str, int]) -> bool:
        """Open an account with `balances` (1e-8 by asset); False, and nothing changed, if it exists."""
        if name in self._desk.accounts:
            return False
        pricing = self.market.pricing
        self._desk.accounts[name] = open_account(name, balances, pricing.maker_ppm, pricing.taker_ppm)
        self._desk.changes.accounts.add(name)
        self._commit(durable=True)
        return True

    def deposit(self, account: str, asset: str, amount_e8: int) -> None:
        """Pay in (or out, when negative and free)."""
        if amount_e8 < 0:
            self._desk.account(account).require(asset, -amount_e8)
        self._desk.account(account).credit(asset, amount_e8)
        self._desk.moved(account, asset)
        self._desk.events.append(BalanceUpdate(account, self.now_ns, asset, amount_e8))
        self._end_request()

    def set_status(self, symbol: str, status: str) -> None:
        """TRADING, HALT, BREAK or CANCEL_ONLY; not remembered over a restart."""
        changed = msgspec.structs.replace(self._desk.instrument(symbol), status=status)
        self._desk.instruments[symbol] = changed

    def place(self, account: str, request: OrderRequest) -> Placed:
        """Place one order."""
        order = self._entry.place(account, request)
        placed = self._desk.placed(order)
        self._end_request()
        return placed

    def place_list(self, account: str, request: ListRequest) -> ListView:
        """Place an order list."""
        self.checks.order_list(account, request)
        legs = (request.working, *request.pending) if request.working else request.pending
        client_ids = tuple(leg.client_order_id or self._desk.made_id() for leg in legs)
        list_client_id = request.list_client_order_id or self._desk.made_id()
        order_list = self._lists.start(account, request, client_ids, list_client_id)
        self._end_request()
        return self._desk.list_view(order_list)

    def cancel(self, account: str, key: OrderKey, cancel_id: str = "", *, only: str = "") -> Canceled:
        """Cancel one open order; a leg takes its whole list with it. -2011 when there is none, or not `only`."""
        canceled = self._entry.cancel(account, key, cancel_id, only)
        self._end_request()
        return canceled

    def amend(self, account: str, key: OrderKey, quantity_e8: int, client_order_id: str = "") -> Amended:
        """Reduce the quantity of an open order, which keeps its place; both legs of an OCO change together."""
        amended = self._amending.amend(account, key, quantity_e8, client_order_id)
        self._end_request()
        return amended

    def cancel_list(self, account: str, key: ListKey, cancel_id: str = "") -> ListView:
        """Cancel an open order list."""
        order_list = self.read.find_list(account, key)
        if order_list is None or not order_list.is_open:
            raise VenueReject(-2011, "Unknown order list sent.")
        first = next(order for order in self._desk.orders_of(order_list) if order.is_open)
        self._entry.end(first, cancel_id or self._desk.made_id())
        self._end_request()
        return self._desk.list_view(order_list)

    def cancel_all(self, account: str, symbol: str) -> list[Canceled]:
        """Cancel all open orders and lists of a symbol; -2011 when none is open."""
        self._desk.instrument(symbol)
        answers = []
        ended: set[int] = set()
        for order in self._desk.open_orders(account, symbol):
            if order.is_open and order.list_id not in ended:
                ended.update({order.list_id} - {NO_LIST})
                key = OrderKey(symbol=symbol, order_id=order.order_id)
                answers.append(self._entry.cancel(account, key, ""))
        if not answers:
            raise VenueReject(-2011, "Unknown order sent.")
        self._end_request()
        return answers

    def cancel_replace(
        self,
        account: str,
        key: OrderKey,
        request: OrderRequest,
        mode: ReplaceMode,
        cancel_id: str = "",
        *,
        only: str = "",
    ) -> Replaced:
        """Cancel one order and place another. Filters of the new order are looked at before the cancel.

        Raises ReplaceFailed: -2022 when nothing happened, -2021 when one half did.
        """
        self.checks.static(request)
        if not self._desk.instrument(request.symbol).cancel_replace_allowed:
            raise VenueReject(-2010, "Order cancel-replace is not supported for this symbol.")
        cancel_result: Canceled | VenueReject
        new_result: Placed | VenueReject | None = None
        half, self.refused_half = self.refused_half, ""
        try:
            _refuse(half == "cancel", -2011, "Unknown order sent.")
            cancel_result = self._entry.cancel(account, key, cancel_id, only, at_once=True)
        except VenueReject as refusal:
            cancel_result = refusal
        if isinstance(cancel_result, Canceled) or mode == "ALLOW_FAILURE":
            try:
                _refuse(half == "new", -2010, INSUFFICIENT)
                new_result = self._desk.placed(self._entry.place(account, request))
            except VenueReject as refusal:
                new_result = refusal
        self._end_request()
        replaced = Replaced(cancel_result, new_result)
        worked = isinstance(cancel_result, Canceled) + isinstance(new_result, Placed)
        if worked == 0:
            raise ReplaceFailed(-2022, "Order cancel-replace failed.", replaced)
        if worked == 1:
            raise ReplaceFailed(-2021, "Order cancel-replace partially failed.", replaced)
        return replaced

    def apply(self, step: Step) -> None:
        """Advance the market by one step of a feed: its prints meet the orders, then books and candles."""
        self.market.begin(step)
        for printed in step.prints:
            self._matcher.pass_time(printed.ts_ns)
            self._prints.on_print(printed)
        self._matcher.pass_time(step.ts_ns)
        self._finish(step)
        self.ordinal = step.ordinal + 1
        self._commit(durable=bool(self._desk.changes))

    def print_trade(self, symbol: str, price_ticks: int, lots: int, ts_ns: int, *, jump: bool) -> None:
        """Print one trade outside of any feed; what tests move the market with."""
        self._matcher.pass_time(ts_ns)
        self._prints.on_print(Print(symbol, price_ticks, lots, ts_ns, jump))
        self._commit(durable=bool(self._desk.changes))

    def drain(self) -> list[UserEvent]:
        """User events since the last drain, in order."""
        events = self._desk.events
        self._desk.events = []
        return events

    def _finish(self, step: Step) -> None:
        """Books and candles; in a displayed book, new books meet the orders that rest."""
        prints = self._prints
        if isinstance(prints, TouchPrints) or not step.books:
            self.market.finish(step)
            return
        before = {book.symbol: self.market[book.symbol].state.quoted for book in step.books}
        self.market.finish(step)
        for name, old in before.items():
            new = self.market[name].state.quoted
            if new is not None:
                prints.on_book(old, new)

    def _end_request(self) -> None:
        self._desk.settle()
        self._commit(durable=True)

    def _commit(self, *, durable: bool) -> None:
        if self._ledger is not None:
            self._ledger.save(self._desk, self.ordinal, durable=durable)
        self._desk.changes.clear()


def _refuse(refused: bool, code: int, text: str) -> None:
    if refused:
        raise VenueReject(code, text)
