"""Moves the embedded exchange as Binance moves: streams in, steps out, and what a break swallowed between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from bnml.app.logs import logger
from bnml.core.clock import format_utc
from bnml.core.errors import Retryable
from bnml.venues.binance.market import MarketStream, shards
from bnml.venues.sim.messages import Step
from bnml.venues.sim.public_frames import Gathering, PublicCodec, is_confirmed, missed_prints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bnml.app.paper import PaperMarket
    from bnml.core.events import Bar
    from bnml.venues.sim.recorded import Frame
    from bnml.venues.sim.venue import Venue

CUT_S = 0.1  # what came in so long becomes one step
CONFIRMING_S = 1.1  # candles that closed before the streams stood are final by REST after it
RETRY_S = 5.0


class Follower:
    """Moves the exchange as Binance moves; between connections its market is stale and takes no orders.

    When the streams are back, the candles that nobody saw are read by REST, met by the resting orders and
    published in their order before anything new is.
    """

    speed = 1.0
    is_done = False

    def __init__(self, paper: PaperMarket, venue: Venue) -> None:
        self._source = paper.source
        self._venue = venue
        self._known_ns = paper.known_ns
        self._instruments = dict(venue.instruments)
        self._gathering = Gathering(self._instruments, self._source.frame_ns)
        self._lost_ns = 0  # trades were seen up to here; 0 for a new ledger
        if venue.exchange.ordinal:
            self._lost_ns = max(one.state.last_ns for one in venue.market.symbols.values())
        self._breaks = 0
        self._up = 0
        self._expected = 1
        self.ready = asyncio.Event()
        venue.exchange.set_time(self._source.now_ns)
        self._anchor_ns = (venue.now_ns, self._source.clock.monotonic_ns())
        self._set_stale(True)

    def market_now_ns(self) -> int:
        """The time of the last step, and what has passed since."""
        market_ns, at_ns = self._anchor_ns
        return market_ns + self._source.clock.monotonic_ns() - at_ns

    async def run(self) -> None:
        """Read the streams and move the market until cancelled."""
        settings = self._source.settings.venue
        codec = PublicCodec(self._instruments, self._source.frame)
        parts = shards(codec.streams())
        self._expected = len(parts)
        async with asyncio.TaskGroup() as group:
            for streams in parts:
                stream = MarketStream(
                    f"{settings.paper.stream_url}/stream",
                    codec,
                    streams,
                    self._source.clock,
                    on_item=self._on_frame,
                    on_link=self._on_link,
                    stale_s=settings.stale_s,
                    more_urls=[f"{url}/stream" for url in settings.paper.more_stream_urls],
                    admit=self._source.rest.penalties.admitted,
                    on_refused=self._source.rest.penalties.turned_away,
                )
                group.create_task(stream.run())
            group.create_task(self._move())

    async def _on_frame(self, _number: int, frame: Frame | None) -> None:
        if frame is not None:
            self._gathering.take(frame)

    async def _on_link(self, up: bool, detail: str) -> None:
        self._up += 1 if up else -1
        self._breaks += not up
        if detail:
            logger().warning("source_lost", detail=detail)

    async def _move(self) -> None:
        """A step each tenth of a second; after a break first what was missed."""
        breaks = self._breaks
        while True:
            await asyncio.sleep(CUT_S)
            if breaks != self._breaks and not self._venue.is_stale:
                await self._publish()
                self._lost_ns = self._gathering.now_ns
                self._set_stale(True)
            breaks = self._breaks
            if self._up < self._expected:
                continue
            if self._venue.is_stale and not await self._catch_up():
                continue
            await self._publish()

    async def _catch_up(self) -> bool:
        """Whether the gap is closed and the market may go on."""
        breaks = self._breaks
        await asyncio.sleep(CONFIRMING_S)
        try:
            await self._source.rest.synchronise_clock()
            missed = await self._source.bars_since(self._known_ns)
        except Retryable as error:
            logger().warning("gap_not_filled", error=str(error))
            await asyncio.sleep(RETRY_S)
            return False
        if breaks != self._breaks:
            return False
        self._set_stale(False)
        self._insert(missed, max(self._source.now_ns, self._gathering.now_ns))
        self.ready.set()
        return True

    async def _publish(self) -> None:
        """One step of what came; a candle that follows a hole waits for those before it."""
        step = self._gathering.cut(self._venue.exchange.ordinal)
        if step is None:
            return
        fresh = [bar for bar in step.closed_bars if bar.ts_open_ns >= self._known_ns[bar.symbol]]
        holes = {
            bar.symbol: self._known_ns[bar.symbol]
            for bar in fresh
            if self._known_ns[bar.symbol] and bar.ts_open_ns > self._known_ns[bar.symbol]
        }
        if holes:
            try:
                missed = await self._source.bars_since(holes)
            except Retryable as error:
                logger().warning("gap_not_filled", symbols=sorted(holes), error=str(error))
            else:
                before_ns = {bar.symbol: bar.ts_open_ns for bar in fresh}
                earlier = {
                    symbol: [bar for bar in bars if bar.ts_open_ns < before_ns[symbol]]
                    for symbol, bars in missed.items()
                }
                self._insert(earlier, step.ts_ns, with_prints=False)
        ordinal = self._venue.exchange.ordinal
        self._apply(msgspec.structs.replace(step, ordinal=ordinal, closed_bars=tuple(fresh)))

    def _insert(self, missed: Mapping[str, Sequence[Bar]], now_ns: int, *, with_prints: bool = True) -> None:
        """Publish candles that no stream brought, in their order; resting orders meet them where trades are missing."""
        waiting = sorted(
            (bar.ts_close_ns, bar.symbol, bar)
            for bars in missed.values()
            for bar in bars
            if is_confirmed(bar, now_ns) and bar.ts_open_ns >= self._known_ns[bar.symbol]
        )
        if waiting:
            logger().info(
                "gap_filled",
                symbols=sorted({symbol for _, symbol, _ in waiting}),
                candles=len(waiting),
                until=format_utc(waiting[-1][0]),
            )
        for close_ns in sorted({close_ns for close_ns, _, _ in waiting}):
            bars = [bar for at_ns, _, bar in waiting if at_ns == close_ns]
            prints = [
                printed
                for bar in bars
                if with_prints and self._lost_ns
                for printed in missed_prints(bar, self._lost_ns, self._last_trade_id(bar.symbol))
            ]
            prints.sort(key=lambda printed: (printed.ts_ns, printed.symbol))
            ordinal = self._venue.exchange.ordinal
            self._apply(Step(ordinal, close_ns, prints=tuple(prints), closed_bars=tuple(bars)))

    def _last_trade_id(self, symbol: str) -> int:
        return self._venue.market[symbol].state.next_trade_id - 1

    def _apply(self, step: Step) -> None:
        self._venue.advance(step)
        for bar in step.closed_bars:
            self._known_ns[bar.symbol] = bar.ts_close_ns
        self._anchor_ns = (self._venue.now_ns, self._source.clock.monotonic_ns())

    def _set_stale(self, stale: bool) -> None:
        venue = self._venue
        venue.is_stale = stale
        if stale:
            venue.market.forget_books()
        for name, one in self._instruments.items():
            venue.exchange.set_status(name, "BREAK" if stale else one.status)
        logger().info("market_stale" if stale else "market_followed", symbols=len(self._instruments))
