"""The market sockets of a session: opened at the start, and kept in step with the symbols that are followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.attention import Attention
from bnml.app.limits import rotation, time_scale
from bnml.venues.binance.codec import CLOCK, Beat, MarketCodec
from bnml.venues.binance.freshness import Freshness
from bnml.venues.binance.market import MarketStream, shards

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from bnml.app.compose import Parts
    from bnml.core.instrument import Instrument
    from bnml.venues.binance.codec import MarketItem


class CommonClock:
    """What every socket that stands has reached: a scan must not find a bar missing that another socket still brings."""

    def __init__(self) -> None:
        self._reached_ns: dict[int, int] = {}
        self._told_ns = 0

    def beat(self, socket: int, ts_ns: int) -> int | None:
        """The common time, when this beat of one socket moves it."""
        self._reached_ns[socket] = max(ts_ns, self._reached_ns.get(socket, 0))
        common_ns = min(self._reached_ns.values())
        if common_ns <= self._told_ns:
            return None
        self._told_ns = common_ns
        return common_ns

    def stands(self, socket: int) -> None:
        """Time waits for the first beat of a socket that is up."""
        self._reached_ns[socket] = 0

    def lost(self, socket: int) -> None:
        """Nobody waits for a socket that is down; its bars are read by REST when it is back."""
        self._reached_ns.pop(socket, None)


class MarketStreams:
    """All sockets share one codec and have the clock's stream each; a symbol's streams go where there is room, else to a socket of their own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._codec = MarketCodec(parts.instruments, parts.settings.features.base_frame)
        self._sockets: list[MarketStream[MarketItem]] = []
        self._clock = CommonClock()
        self._freshness = Freshness(parts.clock, parts.settings.venue.event_interval_s)
        self._attention = Attention(
            self._freshness, parts.guards, parts.clock, lambda: self._sockets, parts.venue.api.oddities
        )
        self._group: asyncio.TaskGroup | None = None
        self.tasks: list[asyncio.Task[None]] = []
        """One for each socket."""
        self.helpers: list[asyncio.Task[None]] = []

    def open(self, group: asyncio.TaskGroup) -> None:
        """Start reading everything that is followed so far."""
        self._group = group
        for names in shards(self._codec.streams()):
            self._connect(group, names)
        if self._parts.deployment.stepper is None:
            self._expect(self._parts.instruments)
            self.helpers.append(group.create_task(self._attention.run()))

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
            if self._parts.deployment.stepper is None:
                self._expect((one.symbol,))

    async def forget(self, symbols: Iterable[str]) -> None:
        """Read these symbols no longer."""
        for symbol in symbols:
            names = self._codec.streams_of(symbol)
            for socket in self._sockets:
                await socket.unsubscribe(names)
            self._codec.remove(symbol)
            self._freshness.forget(names)

    def _expect(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._freshness.follow(self._codec.expected_of(symbol))

    def _connect(self, group: asyncio.TaskGroup, names: Sequence[str]) -> None:
        parts = self._parts
        number = len(self._sockets)

        async def hand_over(place: int, item: MarketItem | None) -> None:
            """In a stepped session the numbers order the items of all sockets; else their beats become one."""
            if place == 0 and isinstance(item, Beat) and len(self._sockets) > 1:
                common_ns = self._clock.beat(number, item.ts_ns)
                item = None if common_ns is None else Beat(common_ns, is_common=True)
            await parts.inbox.put(place, item)

        async def link(up: bool, detail: str) -> None:
            (self._clock.stands if up else self._clock.lost)(number)
            await parts.links.market(up, detail)

        socket: MarketStream[MarketItem] = MarketStream(
            parts.deployment.stream_url,
            self._codec,
            names if CLOCK in names else [*names, CLOCK],
            parts.clock,
            on_item=hand_over,
            on_link=link,
            stale_s=parts.settings.venue.stale_s,
            rotate_after_s=rotation(parts.settings, parts.deployment),
            admit=parts.venue.admitted,
            on_refused=parts.venue.rest.penalties.turned_away,
            time_scale=time_scale(parts.settings),
            more_urls=parts.deployment.more_stream_urls,
            oddities=parts.venue.api.oddities,
            on_frame=lambda: self._freshness.touch(self._codec.last_stream),
        )
        self._sockets.append(socket)
        self.tasks.append(group.create_task(socket.run()))
