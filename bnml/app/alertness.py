"""Keeps this process awake around the closing of a bar: after a sleep everything takes twice as long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.core.commands import Submit
from bnml.journal.schema import command_row
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.requests import request_of
from bnml.venues.binance.weights import orders_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.core.clock import Clock
    from bnml.trading.engine import Engine
    from bnml.venues.binance.venue import BinanceVenue

LONGEST_NS = 300 * NS_PER_MS
"""After the closing time; a scan that comes later waits for a symbol that is late, and is in no hurry."""
SIGHT_NS = 2 * NS_PER_S
"""Before the closing time: the venue tells its time each second."""
REHEARSE_NS = 5 * NS_PER_MS
"""Between two rehearsals: each takes up to half a millisecond, and a bar that comes in one waits for its end."""
TO_WARM_UP = 4
"""Rehearsals without a pause after waking: the first takes three times as long as the last of them."""


class Alertness:
    """From `lead_ns` before each closing time until its scan, the loop turns without sleeping, and `rehearse` is called.

    A processor that idles, or does something else, loses its speed and what it had at hand: then making an
    order takes twice as long. `scanned_ns` is the closing time of the last scan.
    """

    def __init__(
        self,
        clock: Clock,
        frame_ns: int,
        lead_ns: int,
        scanned_ns: Callable[[], int],
        rehearse: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._rehearse = rehearse
        self._rehearsed_ns = 0
        self._rehearsals = 0
        self._frame_ns = frame_ns
        self._lead_ns = lead_ns
        self._scanned_ns = scanned_ns
        self._timer: asyncio.TimerHandle | None = None
        self._closes_ns = 0
        self._until_ns = 0
        self.is_awake = False
        self.turns = 0
        """Of the loop, without sleep."""

    def heard(self, market_ns: int) -> None:
        """It is this late at the market; the last word counts."""
        if self.is_awake or not self._lead_ns:
            return
        left_ns = self._frame_ns - market_ns % self._frame_ns
        if left_ns > SIGHT_NS:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._closes_ns = market_ns + left_ns
        self._until_ns = self._clock.monotonic_ns() + left_ns + LONGEST_NS
        wait_s = max(0, left_ns - self._lead_ns) / NS_PER_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def rest(self) -> None:
        """Wake no more."""
        self._until_ns = 0
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        self._timer = None
        self.is_awake = True
        self._rehearsals = 0
        self._turn()

    def _turn(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._scanned_ns() >= self._closes_ns or now_ns > self._until_ns:
            self.is_awake = False
            return
        if self._rehearsals < TO_WARM_UP or now_ns - self._rehearsed_ns > REHEARSE_NS:
            self._rehearse()
            self._rehearsals += 1
            self._rehearsed_ns = self._clock.monotonic_ns()
        self.turns += 1
        asyncio.get_running_loop().call_soon(self._turn)


def rehearse(engine: Engine, venue: BinanceVenue) -> None:
    """Make an order as the next scan may make one, up to its signature; nothing of it is kept or sent."""
    for number, command in enumerate(engine.rehearse()):
        if isinstance(command, Submit) and not venue.rest.signer.lost:
            command_row(0, number, command)
            request = request_of(command, venue.instruments)
            venue.rest.budget.delay_s(Lane.ENTRY, orders=orders_of(request.api_method))
            msgspec.json.encode(venue.api.signed(request.params))
