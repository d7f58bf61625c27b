"""Reads that prove what an account has, or never had, at the venue."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bnml.core.errors import Fatal, Rejected, Retryable
from bnml.core.orders import FINAL_STATES
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.errors import NO_SUCH_LIST, NO_SUCH_ORDER
from bnml.venues.binance.reports import STATES, account_trades, list_members, order_answers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bnml.venues.binance.rest import RestClient
    from bnml.venues.binance.wire import AccountTrade, OrderAnswer

ORDERS_PER_PAGE = 1000
CLOCK_PATIENCE_S = 1.0


class Evidence:
    """What no single query of an order can say."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    async def resynchronise(self) -> None:
        """Measure the venue's clock anew, for an order that waits for it: maybe a stop of what has none meanwhile.

        One answer will do; a slow one tells little, and is not waited for.
        """
        try:
            async with asyncio.timeout(CLOCK_PATIENCE_S):
                await self._rest.synchronise_clock(Lane.EXIT, samples=1)
        except TimeoutError as error:
            raise Retryable(f"the venue's time was not told within {CLOCK_PATIENCE_S} s") from error

    async def list_members(self, list_client_order_id: str) -> list[str]:
        """Client order ids of the orders of a list; empty when the venue has no such list."""
        try:
            params = {"origClientOrderId": list_client_order_id}
            body = await self._rest.read("/api/v3/orderList", params, Lane.DOUBT)
        except Rejected as error:
            if error.code in {NO_SUCH_ORDER, NO_SUCH_LIST}:
                return []
            raise
        return list_members(body)

    async def orders_page(self, symbol: str, bounds: Mapping[str, str]) -> list[OrderAnswer]:
        """Orders of one symbol in any state, oldest first, from an `orderId` on or of at most a day."""
        params = {"symbol": symbol, "limit": str(ORDERS_PER_PAGE), **bounds}
        return order_answers(await self._rest.read("/api/v3/allOrders", params))

    async def trades_page(self, symbol: str, bounds: Mapping[str, str]) -> list[AccountTrade]:
        """Trades of the account in one symbol, oldest first: those of an `orderId`, or from a `fromId` on."""
        params = {"symbol": symbol, "limit": str(ORDERS_PER_PAGE), **bounds}
        return account_trades(await self._rest.read("/api/v3/myTrades", params))

    async def shows_none_of(self, symbol: str, names: Collection[str], ended: str = "") -> bool:
        """Whether open orders, all orders and trades agree that there never was an order of these names.

        A trade whose order is not shown yet means that what is read lags behind what is true. So does an order that
        has `ended` and is shown alive: what took its place in the same request would not be shown either.
        """
        with readable("/api/v3/allOrders"):
            params = {"symbol": symbol, "limit": str(ORDERS_PER_PAGE)}
            standing = await self._rest.read("/api/v3/openOrders", {"symbol": symbol}, Lane.DOUBT)
            every = order_answers(await self._rest.read("/api/v3/allOrders", params, Lane.DOUBT))
            trades = account_trades(await self._rest.read("/api/v3/myTrades", params, Lane.DOUBT))
            seen = [*order_answers(standing), *every]
        if any(one.client_order_id in names or one.orig_client_order_id in names for one in seen):
            return False
        if ended and not _shows_end_of(ended, every):
            return False
        ids = {one.order_id for one in every}
        oldest = min(ids) if len(every) == ORDERS_PER_PAGE else 0
        return all(row.order_id in ids for row in trades if row.order_id >= oldest)


def _shows_end_of(name: str, newest: Sequence[OrderAnswer]) -> bool:
    """Whether these show no order of this name that is alive; one that they lack is older than a page."""
    states = [
        STATES.get(one.status) for one in newest if name in {one.client_order_id, one.orig_client_order_id}
    ]
    return all(one in FINAL_STATES for one in states) if states else len(newest) == ORDERS_PER_PAGE


async def trades_of_order(
    rest: RestClient, symbol: str, order_id: int, lane: Lane = Lane.RECONCILE
) -> list[AccountTrade]:
    """All fills of one order: without a first id the venue gives the newest page, and of more it is read from the oldest."""
    params = {"symbol": symbol, "orderId": str(order_id), "limit": str(ORDERS_PER_PAGE)}
    page = account_trades(await rest.read("/api/v3/myTrades", params, lane))
    if len(page) < ORDERS_PER_PAGE:
        return page
    found: dict[int, AccountTrade] = {}
    while True:
        bounds = {**params, "fromId": str(max(found, default=0) + 1)}
        page = account_trades(await rest.read("/api/v3/myTrades", bounds, lane))
        before = len(found)
        found.update({row.id: row for row in page})
        if len(page) < ORDERS_PER_PAGE or len(found) == before:
            return list(found.values())


@contextmanager
def readable(path: str) -> Iterator[None]:
    """What cannot be understood inside is an answer that says nothing: Retryable."""
    try:
        yield
    except (ValueError, KeyError, Fatal) as error:
        raise Retryable(f"the answer to {path} makes no sense: {error}") from error
