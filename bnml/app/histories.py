"""Orders and trades of the account as the venue keeps them, page by page, within a bound of requests."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from bnml.app.abreast import abreast
from bnml.app.logs import logger
from bnml.app.patience import patiently
from bnml.core.clock import NS_PER_DAY, NS_PER_MS
from bnml.core.errors import Rejected
from bnml.venues.binance.errors import NO_SUCH_SYMBOL
from bnml.venues.binance.evidence import ORDERS_PER_PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bnml.venues.binance.venue import BinanceVenue
    from bnml.venues.binance.wire import AccountTrade, OrderAnswer

MOST_REQUESTS: Final = 100
"""Of 20 weight each: a third of what an address has in a minute."""
TRADE_PAGES: Final = 100
_DAY_MS: Final = NS_PER_DAY // NS_PER_MS


class OrderHistory:
    """Reads the newest orders of each symbol, then, oldest first, what came between those and `since_ns`.

    What the bound leaves out is told with its symbols: `unread` nothing, `cut` only the newest page.
    """

    def __init__(
        self, venue: BinanceVenue, *, since_ns: int, at_once: int, most: int = MOST_REQUESTS
    ) -> None:
        self._venue = venue
        self._since_ms = since_ns // NS_PER_MS
        self._turn = asyncio.Semaphore(at_once)
        self._left = most
        self.unread: list[str] = []
        self.cut: list[str] = []
        self.orders: dict[int, OrderAnswer] = {}

    async def read(self, symbols: Sequence[str]) -> None:
        """Symbols that come first are read first; a symbol that the venue does not know has no orders."""
        newest = await abreast(*(self._newest(symbol) for symbol in symbols))
        deep = {
            symbol: page[0]
            for symbol, page in zip(symbols, newest, strict=True)
            if len(page) >= ORDERS_PER_PAGE and _made_ms(page[0]) > self._since_ms
        }
        await abreast(*(self._older(symbol, until) for symbol, until in deep.items()))
        if self.unread or self.cut:
            logger().warning(
                "order_history_cut",
                unread=self.unread,
                cut=self.cut,
                text=f"orders of {len(self.unread)} symbols were not read at all and of {len(self.cut)} only the newest "
                f"{ORDERS_PER_PAGE}, to stay within the limit of requests; what bnml did there without this journal is "
                "not taken over, and shows as a difference of balances: `bnml status`",
            )

    async def _newest(self, symbol: str) -> list[OrderAnswer]:
        async with self._turn:
            if not self._spend():
                self.unread.append(symbol)
                return []
            try:
                return self._keep(await patiently(partial(self._venue.recent_orders, symbol)))
            except Rejected as error:
                if error.code != NO_SUCH_SYMBOL:  # does not trade against our quote, or not any more
                    raise
                return []

    async def _older(self, symbol: str, until: OrderAnswer) -> None:
        """Everything before the order `until`, from the first one since then."""
        async with self._turn:
            next_id = await self._first_id(symbol, until)
            while next_id is not None and next_id < until.order_id:
                page = await self._page(symbol, {"orderId": str(next_id)})
                next_id = page[-1].order_id + 1 if page else None
            if next_id is None:
                self.cut.append(symbol)

    async def _first_id(self, symbol: str, until: OrderAnswer) -> int | None:
        """Of the oldest order since the time; None when the bound was reached. The venue looks at one day at a time."""
        if not self._since_ms:
            return 1
        start_ms = self._since_ms
        while start_ms < _made_ms(until):
            page = await self._page(
                symbol, {"startTime": str(start_ms), "endTime": str(start_ms + _DAY_MS - 1)}
            )
            if page is None or page:
                return page[0].order_id if page else None
            start_ms += _DAY_MS
        return until.order_id

    async def _page(self, symbol: str, bounds: dict[str, str]) -> list[OrderAnswer] | None:
        if not self._spend():
            return None
        return self._keep(await patiently(partial(self._venue.orders_page, symbol, bounds)))

    def _keep(self, page: list[OrderAnswer]) -> list[OrderAnswer]:
        for order in page:
            self.orders.setdefault(order.order_id, order)
        return page

    def _spend(self) -> bool:
        self._left -= 1
        return self._left >= 0


async def trades_since(venue: BinanceVenue, symbol: str, order_ids: Collection[int]) -> list[AccountTrade]:
    """Every trade of the account from the first one of the oldest of these orders on, paged by trade id."""
    found = await patiently(partial(venue.trades_page, symbol, {"orderId": str(min(order_ids))}))
    if not found:
        return []
    next_id, every = min(row.id for row in found), {}
    for _ in range(TRADE_PAGES):
        page = await patiently(partial(venue.trades_page, symbol, {"fromId": str(next_id)}))
        every.update({row.id: row for row in page})
        if len(page) < ORDERS_PER_PAGE:
            break
        next_id = max(row.id for row in page) + 1
    return list(every.values())


def _made_ms(order: OrderAnswer) -> int:
    return order.time or order.update_time
