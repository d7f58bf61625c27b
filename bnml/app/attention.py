"""Looks after each symbol's streams: what is stale is not bought, is subscribed anew, and at last connected anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bnml.app.logs import logger
from bnml.core.clock import NS_PER_S
from bnml.trading.guarding import ACTIVE, REDUCING
from bnml.trading.state import OF_SYMBOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bnml.app.guards import Guards
    from bnml.core.clock import Clock
    from bnml.venues.binance.codec import MarketItem
    from bnml.venues.binance.freshness import Freshness
    from bnml.venues.binance.market import MarketStream
    from bnml.venues.binance.oddities import Oddities

LOOK_S: Final = 0.5
STALE: Final = f"stale{OF_SYMBOL}"
"""Of the guard that stands while a stream of a symbol is silent."""
PATIENCE_S: Final = 2.0  # after subscribing anew; then the connection is replaced
LONGEST_PATIENCE_S: Final = 300.0  # a symbol that has nothing to tell must not cost a connection each time


class Attention:
    """`sockets` are asked for what they carry each time, since they change with the universe."""

    def __init__(
        self,
        freshness: Freshness,
        guards: Guards,
        clock: Clock,
        sockets: Callable[[], Iterable[MarketStream[MarketItem]]],
        oddities: Oddities | None,
    ) -> None:
        self._freshness = freshness
        self._guards = guards
        self._clock = clock
        self._sockets = sockets
        self._oddities = oddities
        self._told = 0
        self._tried: dict[str, tuple[int, int]] = {}  # stream -> (attempts, not again before)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Block what is stale, let go what is fresh again, and try to bring the stale back."""
        stale = self._freshness.stale()
        self._report(stale)
        for name in [name for name in self._tried if name not in stale]:
            del self._tried[name]
        now_ns = self._clock.monotonic_ns()
        due = [name for name in stale if now_ns >= self._tried.get(name, (0, 0))[1]]
        for socket in self._sockets():
            mine = [name for name in socket.wanted if name in due]
            if mine:
                await self._mend(socket, mine, stale)
        self._tell_oddities()

    async def _mend(self, socket: MarketStream[MarketItem], mine: list[str], stale: dict[str, float]) -> None:
        """First the subscription, then the connection: which goes on until the new one stands."""
        attempts = max(self._tried.get(name, (0, 0))[0] for name in mine)
        is_dead = sum(name in stale for name in socket.wanted) * 2 > len(socket.wanted)
        patience_s = min(PATIENCE_S * 2**attempts, LONGEST_PATIENCE_S)
        until_ns = self._clock.monotonic_ns() + int(patience_s * NS_PER_S)
        for name in mine:
            self._tried[name] = attempts + 1, until_ns
        how = "connection" if is_dead or attempts % 2 else "subscription"
        logger().warning("streams_stale", streams=mine, seconds=round(stale[mine[0]], 1), renewed=how)
        if how == "connection":
            socket.replace()
        else:
            await socket.renew(mine)

    def _report(self, stale: dict[str, float]) -> None:
        symbols = {name.partition("@")[0].upper(): name for name in stale}
        for symbol, name in symbols.items():
            self._guards.report(f"{STALE}{symbol}", REDUCING, f"{name} is silent")
        for guard in self._guards.standing(STALE):
            if guard.partition(OF_SYMBOL)[2] not in symbols:
                self._guards.report(guard, ACTIVE)

    def _tell_oddities(self) -> None:
        if self._oddities is not None and self._oddities.total > self._told:
            self._told = self._oddities.total
            source, sample, why = self._oddities.samples[-1]
            logger().warning(
                "frames_not_understood", count=self._told, source=source, sample=sample, error=why
            )
