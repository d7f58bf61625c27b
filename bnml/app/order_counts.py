"""How many orders the account has placed in each window, whoever placed them: read, so that ours are paced in time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from bnml.app.logs import logger
from bnml.core.errors import Rejected, Retryable
from bnml.venues.binance.reports import decoded
from bnml.venues.binance.wire import RateLimit

if TYPE_CHECKING:
    from bnml.venues.binance.rest import RestClient

LOOK_S: Final = 60.0
AT_MOST_EACH_S: Final = 5.0
ORDER_COUNTS: Final = "/api/v3/rateLimit/order"

_counts = msgspec.json.Decoder(list[RateLimit])


class OrderCounts:
    """The answers to our own orders tell it too, but not before the first of them has left.

    Orders placed by hand or by another host would else use up what is reserved for exits, and nobody knew.
    """

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest
        self._look_now = asyncio.Event()
        self._is_untold = False

    async def run(self) -> NoReturn:
        """Look until cancelled: now, each minute, and when it is asked for."""
        while True:
            self._look_now.clear()
            await self._rest.signer.usable()
            await self.look()
            await asyncio.sleep(AT_MOST_EACH_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S - AT_MOST_EACH_S):
                    await self._look_now.wait()

    def look_soon(self) -> None:
        """For a time nothing was heard of the account."""
        self._look_now.set()

    async def look(self) -> None:
        """Tell the budget; what is not told now is asked for again."""
        asked_ms = self._rest.timestamp_ms()
        try:
            rows = decoded(_counts, await self._rest.read(ORDER_COUNTS, {}))
        except (Retryable, Rejected) as error:
            if not self._is_untold:
                logger().warning(
                    "order_counts_not_told", error=str(error), note="ours alone are counted; asked on"
                )
            self._is_untold = True
            return
        self._is_untold = False
        self._rest.budget.observe_rows(rows, asked_ms)
