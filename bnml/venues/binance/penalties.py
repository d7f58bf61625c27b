"""What the venue or something in front of it punishes: limits, bans, firewalls; over REST and WebSocket API alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.core.clock import NS_PER_S
from bnml.core.errors import Retryable
from bnml.venues.binance.budget import LONGEST_WAIT_S, TURN_S, Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.core.clock import Clock
    from bnml.venues.binance.budget import WeightBudget
    from bnml.venues.binance.errors import ErrorBody

DEFAULT_PAUSE_S: Final = 30.0  # after 429 or 418 without Retry-After
OBSTRUCTED_S: Final = 30.0  # a firewall, a proxy or a certificate is asked at most so often
TOO_MANY_ORDERS: Final = -1015
OFFLINE: Final = -1016


class _Data(msgspec.Struct, rename="camel"):
    retry_after: int = 0  # epoch ms of the venue, WebSocket API only


class Penalties:
    """Turns refusals into pauses of the budget, and keeps what stands in the way for the operator to know."""

    def __init__(self, clock: Clock, budget: WeightBudget, venue_ms: Callable[[], int]) -> None:
        self._clock = clock
        self._budget = budget
        self._venue_ms = venue_ms
        self._free_ns = 0
        self._door_ns = 0
        self._waiting: list[Lane] = []
        self.obstacle = ""
        """Why nothing gets through, empty when it does."""
        self.is_offline = False
        """The venue said that it is not in service, and has not answered well since."""

    async def wait(self, lane: Lane) -> None:
        """Return when whatever stands in the way may be tried again, by the most important first; an entry does not wait."""
        if not self.obstacle:
            return
        self._waiting.append(lane)
        try:
            while (left_s := self._left_s(self._free_ns)) > 0 or (
                self.obstacle and min(self._waiting) < lane
            ):
                if lane is Lane.ENTRY:
                    raise Retryable(self.obstacle, retry_after_s=left_s)
                await asyncio.sleep(min(left_s, LONGEST_WAIT_S) or TURN_S)
        finally:
            self._waiting.remove(lane)
        if self.obstacle:  # the others wait for what becomes of this attempt
            self._free_ns = self._clock.monotonic_ns() + int(OBSTRUCTED_S * NS_PER_S)

    async def admitted(self, weight: int = 1) -> None:
        """Return when a connection may be opened: bans hold for it, and what was said when one was refused.

        What stands in the way is waited for, too; that a connection stands says nothing of requests, so it takes
        no attempt away from them.
        """
        while (left_s := self._left_s(max(self._door_ns, self._free_ns))) > 0:  # noqa: ASYNC110 - a clock has no events
            await asyncio.sleep(min(left_s, LONGEST_WAIT_S))
        await self._budget.wait(Lane.RECONCILE, weight=weight)

    def _left_s(self, until_ns: int) -> float:
        return max(0.0, (until_ns - self._clock.monotonic_ns()) / NS_PER_S)

    def turned_away(self, status: int, retry_after_s: float | None) -> None:
        """A connection was refused: by a ban, or by the limit of connections, which holds for nothing else."""
        pause_s = DEFAULT_PAUSE_S if retry_after_s is None else retry_after_s
        if status == 418:
            self._budget.ban(pause_s)
        elif status == 429:
            self._door_ns = max(self._door_ns, self._clock.monotonic_ns() + int(pause_s * NS_PER_S))

    def obstructed(self, text: str) -> Retryable:
        """Something before the venue does not let us through; nothing was executed."""
        self.obstacle = text
        self._free_ns = self._clock.monotonic_ns() + int(OBSTRUCTED_S * NS_PER_S)
        return Retryable(text, retry_after_s=OBSTRUCTED_S)

    def served(self) -> None:
        """A good answer came."""
        if self.obstacle:
            self.obstacle, self._free_ns = "", 0
        self.is_offline = False

    def punished(self, status: int, body: ErrorBody, retry_after_s: float | None = None) -> None:
        """Take the pause that a refusal demands, if it does; any answer of the venue shows that we get through."""
        self.obstacle, self._free_ns = "", 0
        self.is_offline = body.code == OFFLINE
        if status not in {418, 429}:
            return
        pause_s = retry_after_s if retry_after_s is not None else self._stated_s(body)
        if status == 418:
            self._budget.ban(pause_s)
        elif body.code == TOO_MANY_ORDERS:
            self._budget.pause_orders(pause_s)
        else:
            self._budget.pause(pause_s)

    def _stated_s(self, body: ErrorBody) -> float:
        """The WebSocket API says when, by the venue's clock."""
        try:
            until_ms = msgspec.json.decode(body.data, type=_Data).retry_after
        except ValueError:
            until_ms = 0
        return max(0.0, (until_ms - self._venue_ms()) / 1000) if until_ms else DEFAULT_PAUSE_S
