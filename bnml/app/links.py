"""Connections going up and down, as events for the engine and as conditions for the runtime."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.core.errors import Retryable
from bnml.core.events import VenueStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.app.inbox import LiveInbox, SteppedInbox

MARKET = "market"
USER = "user"
ORDERS = "orders"


class Links:
    """Counts market sockets and follows the account's connection; `now_ns` is kept by the runtime."""

    def __init__(self) -> None:
        self.inbox: LiveInbox | SteppedInbox | None = None
        self.now_ns = 0
        self.is_stepped = False  # then a lost connection ends the session: its numbers cannot be continued
        self.on_return: Callable[[], None] | None = None
        self._expected = 1
        self._market_up = 0
        self._account_up = False
        self._announced = False
        self._user_up = True  # as far as the engine knows
        self._changed = asyncio.Condition()

    async def wait_up(self, market_sockets: int) -> None:
        """Return when all market sockets and the account stand."""
        self._expected = market_sockets
        async with self._changed:
            await self._changed.wait_for(lambda: self._account_up and self._market_up >= self._expected)

    def announce(self) -> list[VenueStatus]:
        """The states as first events of a session; changes are reported from now on."""
        self._announced = self._user_up = True
        return [VenueStatus(name, up=True, ts_ns=self.now_ns) for name in (MARKET, ORDERS, USER)]

    def doubt(self) -> None:
        """Something was said of our orders that nobody understood: the venue's own account is read."""
        if self._announced and self.on_return is not None:
            self.on_return()

    async def market(self, up: bool, detail: str) -> None:
        """One market socket went up or down."""
        before = self._market_up >= self._expected
        self._market_up += 1 if up else -1
        after = self._market_up >= self._expected
        await self._tell(up, detail, "market")
        if before != after:
            self._post([VenueStatus(MARKET, up=after, ts_ns=self.now_ns, detail=detail)])

    async def account(self, up: bool, detail: str) -> None:
        """The connection that carries orders and user events went up or down."""
        self._account_up = up
        await self._tell(up, detail, "account")
        self._post([VenueStatus(ORDERS, up=up, ts_ns=self.now_ns, detail=detail)])
        if up and self._announced and self.on_return is not None:
            self.on_return()  # which says when the user's channel is up: what was missed is read first
        else:
            self.user(up=up, detail=detail)

    def user(self, *, up: bool, detail: str) -> None:
        """The account's events come for certain, or do not."""
        if up != self._user_up:
            self._user_up = up
            self._post([VenueStatus(USER, up=up, ts_ns=self.now_ns, detail=detail)])

    async def _tell(self, up: bool, detail: str, link: str) -> None:
        log = logger()
        if up:
            log.info("link_up", link=link)
        else:
            log.warning("link_down", link=link, detail=detail)
            if self.is_stepped and self._announced:
                raise Retryable(
                    f"the embedded exchange was lost in a stepped session ({detail}); start again"
                )
        async with self._changed:
            self._changed.notify_all()

    def _post(self, events: list[VenueStatus]) -> None:
        if self._announced and self.inbox is not None:
            self.inbox.complete(0, events)
