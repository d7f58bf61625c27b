"""The market of paper trading before it moves: Binance's instruments and closed candles, and the paper ledger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import numpy as np

from bnml.app.abreast import abreast
from bnml.app.exchange_feed import make_pricing
from bnml.app.limits import readers_budget
from bnml.core.clock import NS_PER_MS, frame_ns
from bnml.core.errors import Misconfigured
from bnml.kernels.records import BAR
from bnml.trading import universe
from bnml.trading.filling import compile_costs
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.market import Market
from bnml.venues.sim.public_frames import is_confirmed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AsyncExitStack
    from pathlib import Path

    from numpy.typing import NDArray

    from bnml.config import Settings
    from bnml.core.clock import Clock
    from bnml.core.events import Bar
    from bnml.core.instrument import Instrument
    from bnml.venues.binance.wsapi import ApiConnection

READERS = 6  # symbols whose candles are read at the same time


class Source:
    """Binance's public side: instruments and candles by REST; where the streams are."""

    def __init__(self, settings: Settings, rest: RestClient, clock: Clock) -> None:
        self.settings = settings
        self.rest = rest
        self.clock = clock
        self.frame = settings.features.base_frame
        self.frame_ns = frame_ns(self.frame)
        self.instruments: dict[str, Instrument] = {}
        # For reading only: no method used here touches an order connection.
        self._reader = BinanceVenue(rest, cast("ApiConnection", None), self.instruments)

    @property
    def now_ns(self) -> int:
        """The venue's clock."""
        return self.rest.timestamp_ms() * NS_PER_MS

    async def choose(self, held: Sequence[str]) -> dict[str, Instrument]:
        """Symbols to follow: the list of the settings, else what discovery finds; and those of the ledger."""
        wanted = self.settings.universe
        if wanted.dynamic or not wanted.symbols:
            every = await self._reader.load_instruments((), wanted.quote)
            chosen = universe.discover(wanted, every.values(), await self._reader.turnover())
            if not chosen:
                raise Misconfigured(
                    f"no symbol of {wanted.quote} passes the filters of universe; lower universe.min_volume_quote, "
                    "or name symbols"
                )
        else:
            chosen = universe.configured(
                wanted, await self._reader.load_instruments(wanted.symbols, wanted.quote)
            )
        more = [symbol for symbol in held if symbol not in self.instruments]
        if more:
            await self._reader.load_instruments(more, wanted.quote)
        return {symbol: self.instruments[symbol] for symbol in sorted({*chosen, *held})}

    async def bars_since(self, starts_ns: Mapping[str, int]) -> dict[str, list[Bar]]:
        """Candles by symbol that open at the given times or later, the running one included."""
        places = asyncio.Semaphore(READERS)

        async def read(symbol: str, start_ns: int) -> list[Bar]:
            async with places:
                return await self._reader.bars(symbol, self.frame, self.frame_ns, start_ns)

        found = await abreast(*(read(symbol, start) for symbol, start in starts_ns.items()))
        return dict(zip(starts_ns, found, strict=True))


class PaperMarket:
    """Instruments, history and ledger of a followed market, ready for an exchange to be built on."""

    def __init__(self, source: Source, ledger: Ledger, market: Market, known_ns: dict[str, int]) -> None:
        self.source = source
        self.ledger = ledger
        self.market = market
        self.known_ns = known_ns

    @classmethod
    async def open(cls, settings: Settings, file: Path, clock: Clock, stack: AsyncExitStack) -> PaperMarket:
        """Read instruments and closed candles; those after the ledger's last ones are left to the follower."""
        urls, venue = settings.venue.paper, settings.venue
        length_ns = frame_ns(settings.features.base_frame)
        rest = await stack.enter_async_context(
            RestClient(
                urls.rest_url,
                Signer("", ""),
                clock,
                timeout_s=venue.request_timeout_s,
                receive_window_ms=venue.receive_window_ms,
                budget=readers_budget(settings, urls.rest_url, clock),
            )
        )
        source = Source(settings, rest, clock)
        await rest.synchronise_clock()
        ledger = Ledger(file, f"paper:1:{urls.rest_url}:frame={length_ns}")
        stack.callback(ledger.close)
        closes = ledger.last_closes()
        instruments = await source.choose(tuple(closes))
        for name, one in instruments.items():
            ledger.pin(f"units of {name}", f"{one.tick_e8}:{one.lot_e8}")
        first_ns = (source.now_ns // length_ns - settings.features.history_bars) * length_ns
        found = await source.bars_since(
            {name: min(first_ns, closes.get(name) or first_ns) for name in instruments}
        )
        history, known_ns = {}, {}
        for name, bars in found.items():
            until_ns = closes.get(name, 0)
            published = [
                bar
                for bar in bars
                if is_confirmed(bar, source.now_ns) and (not until_ns or bar.ts_close_ns <= until_ns)
            ]
            history[name] = _rows(published)
            known_ns[name] = published[-1].ts_close_ns if published else until_ns
        pricing = make_pricing(settings, compile_costs(settings.costs), takes_recorded_books=True)
        return cls(source, ledger, Market(instruments, length_ns, pricing, history), known_ns)


def _rows(bars: Sequence[Bar]) -> NDArray[np.void]:
    made = np.zeros(len(bars), dtype=BAR)
    for index, bar in enumerate(bars):
        made[index] = (bar.ts_open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume_lots)
    return made
