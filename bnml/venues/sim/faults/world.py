"""What faults change about the exchange for a while: who undoes it, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.core.clock import NS_PER_S
from bnml.venues.sim.faults import actions as acts
from bnml.venues.sim.faults.deeds import Deeds
from bnml.venues.sim.faults.mask import Mask
from bnml.venues.sim.faults.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from bnml.venues.sim.faults.lines import Lines
    from bnml.venues.sim.venue import Venue


class World:
    """Carries out venue-wide actions; what lasts only a while is undone in time, or when the script goes."""

    def __init__(self, venue: Venue, lines: Lines) -> None:
        self._venue = venue
        self._lines = lines
        self.mask = Mask()
        self.prices = Prices(venue.market)
        self.ban: tuple[float, acts.Ban] | None = None  # until when, by the loop's clock
        self._deeds = Deeds(venue, lines, self).of
        self._undos: dict[int, Callable[[], None]] = {}
        self._on_market: list[tuple[int, Callable[[], None]]] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._count = 0

    def act(self, action: acts.AnyAction) -> None:
        """Do it; raises VenueReject when the exchange refuses what was asked of it."""
        venue = self._venue
        venue.begin_request()
        try:
            undo = self._deeds[type(action)](action)
        finally:
            venue.settle_request()
        if undo is not None:
            self.lasting(action, undo)

    def lasting(self, action: acts.AnyAction, undo: Callable[[], None]) -> None:
        """Undo it when its time is over, or with the script."""
        self._count += 1
        number = self._count
        self._undos[number] = undo
        if not isinstance(action, acts.Lasting):
            return
        if action.lasts_market_s:
            self.on_market(action.lasts_market_s, lambda: self._undo(number))
        elif action.lasts_s:
            self.later(action.lasts_s, lambda: self._undo(number))

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after so much wall time, unless the script is gone by then."""
        timer: asyncio.TimerHandle

        def run() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    def on_market(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after so much market time, at once for 0, unless the script is gone by then."""
        if seconds:
            self._on_market.append((self._venue.now_ns + round(seconds * NS_PER_S), act))
        else:
            act()

    def on_market_time(self, market_ns: int) -> None:
        """Undo what is over by the market's clock."""
        over = [act for due_ns, act in self._on_market if due_ns <= market_ns]
        self._on_market = [one for one in self._on_market if one[0] > market_ns]
        for act in over:
            act()

    def end(self) -> None:
        """Undo everything that lasts, last things first."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._on_market.clear()
        for number in sorted(self._undos, reverse=True):
            self._undo(number)

    def banned(self) -> acts.Answer | None:
        """The answer to anything that comes in during a ban."""
        if self.ban is None:
            return None
        until_s, ban = self.ban
        left_s = until_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            self.ban = None
            return None
        like = "banned" if ban.status == 418 else "too_many_requests"
        return acts.Answer(like=like, retry_after_s=left_s)

    def last_price(self, symbol: str) -> Decimal:
        """The last price of a symbol."""
        market = self._venue.market[symbol]
        return market.instrument.price_decimal(market.state.last_ticks)

    def _undo(self, number: int) -> None:
        undo = self._undos.pop(number, None)
        if undo is not None:
            undo()
