"""Watches whether the account's events really come; while that is not proven, our orders are read instead."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from bnml.app.abreast import abreast
from bnml.app.logs import logger
from bnml.app.reconcile import asked_for
from bnml.core.errors import Rejected, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.app.inbox import Inbox
    from bnml.app.links import Links
    from bnml.core.events import Event, OrderReport
    from bnml.trading.orders import Order, OrderBook
    from bnml.venues.binance.venue import BinanceVenue

LOOK_S: Final = 0.1
SILENT_S: Final = 1.25  # a connection probed each half second is not silent for so long
POLL_S: Final = 1.0
FEW: Final = 15  # orders are asked for one by one; more of them by a list of all that are open
SECOND_LOOK_S: Final = 1.0


class Vigil:
    """Takes over from the user stream, and gives back to it after everything missed has been read.

    The channel `user` goes up only then, so no entry is decided on what was known before the break.
    """

    def __init__(self, venue: BinanceVenue, book: OrderBook, links: Links, inbox: Inbox) -> None:
        self._venue = venue
        self._book = book
        self._links = links
        self._inbox = inbox
        self._is_proven = True
        self._overdue: deque[str] = deque(maxlen=1_000)
        self.polls = 0
        venue.api.on_missing = self._overdue.append
        venue.api.on_garbled = self.doubt

    def doubt(self) -> None:
        """Something may have been missed: everything open is read before the next entry."""
        self._is_proven = False

    async def run(self) -> None:
        """Watch until cancelled."""
        polled_s = -POLL_S
        now_s = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK_S)
            if self._overdue:
                logger().warning("report_overdue", orders=list(self._overdue))
                self.doubt()
            is_alive = self._venue.api.up and self._venue.api.silent_s < SILENT_S
            if not is_alive:
                self.doubt()
            if self._is_proven:
                continue
            self._links.user(up=False, detail="not proven")
            if now_s() - polled_s >= POLL_S:
                polled_s = now_s()
                if await self._poll() and is_alive and self._venue.api.up:
                    self._is_proven = True
                    self._links.user(up=True, detail="")

    async def _poll(self) -> bool:
        """Read our orders and pass on what is new; whether all could be read."""
        self.polls += 1
        self._overdue.clear()
        try:
            await changed_orders(self._venue, self._book, lambda events: self._inbox.complete(0, events))
        except (Retryable, Rejected) as error:
            logger().warning("orders_not_read", error=str(error))
            return False
        return not self._overdue


async def changed_orders(
    venue: BinanceVenue, book: OrderBook, tell: Callable[[Sequence[Event]], None]
) -> None:
    """Tell the reports of our unsettled orders that say more than we know, with each fill since the last one known.

    Each as soon as it is read: none waits for the answer about another.
    """
    orders = asked_for(venue, book)
    if len(orders) > FEW:
        shown = {one.client_order_id: one for one in await venue.open_orders()}
        orders = [
            order
            for order in orders
            if order.client_order_id not in shown or float(shown[order.client_order_id].executed_qty) > 0
        ]

    async def look(order: Order) -> None:
        reports = await venue.order_reports(order.symbol, order.client_order_id)
        if not order.is_settled and _tell_more(order, reports):
            tell(reports)

    await abreast(*map(look, orders))


def _tell_more(order: Order, reports: list[OrderReport]) -> bool:
    if not reports:
        return False  # not there: maybe not yet; the executor knows how long to ask
    last = reports[-1]
    return last.state is not order.state or last.cumulative_lots > order.applied_lots


def make_return(vigil: Vigil, recheck: Callable[[], None]) -> Callable[[], None]:
    """What to do when the account's connection is back: read the orders at once, then compare everything."""

    def on_return() -> None:
        vigil.doubt()
        recheck()

    return on_return


def hear(links: Links, vigil: Vigil, recheck: Callable[[], None]) -> None:
    """From here on nothing is missed; what the venue did after its truth was read, and before it told of it, was not heard."""
    links.on_return = make_return(vigil, recheck)
    recheck()
