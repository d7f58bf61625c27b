"""The market sockets of a session: opened at the start, and kept in step with the symbols that are followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.venues.binance.codec import MarketCodec
from bnml.venues.binance.market import MarketStream, shards

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from bnml.app.compose import Parts
    from bnml.core.instrument import Instrument
    from bnml.venues.binance.codec import MarketItem


class MarketStreams:
    """All sockets share one codec; a symbol's streams go where there is room, else to a socket of their own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._codec = MarketCodec(parts.instruments, parts.settings.features.base_frame)
        self._sockets: list[MarketStream[MarketItem]] = []
        self._group: asyncio.TaskGroup | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def open(self, group: asyncio.TaskGroup) -> None:
        """Start reading everything that is followed so far."""
        self._group = group
        for names in shards(self._codec.streams()):
            self._connect(group, names)

    async def follow(self, instruments: Iterable[Instrument]) -> None:
        """Read these symbols, too; returns when their streams stand."""
        for one in instruments:
            self._codec.add(one)
            names = self._codec.streams_of(one.symbol)
            roomy = next((socket for socket in self._sockets if socket.room >= len(names)), None)
            if roomy is not None:
                await roomy.subscribe(names)
            elif self._group is not None:
                self._connect(self._group, names)
                await self._parts.links.wait_up(len(self.tasks))

    async def forget(self, symbols: Iterable[str]) -> None:
        """Read these symbols no longer."""
        for symbol in symbols:
            names = self._codec.streams_of(symbol)
            for socket in self._sockets:
                await socket.unsubscribe(names)
            self._codec.remove(symbol)

    def _connect(self, group: asyncio.TaskGroup, names: Sequence[str]) -> None:
        parts = self._parts
        socket: MarketStream[MarketItem] = MarketStream(
            parts.deployment.stream_url,
            self._codec,
            names,
            parts.clock,
            on_item=parts.inbox.put,
            on_link=parts.links.market,
            stale_s=parts.settings.venue.stale_s,
        )
        self._sockets.append(socket)
        self.tasks.append(group.create_task(socket.run()))
