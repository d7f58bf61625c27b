"""Where training gets its bars: a folder, a venue's paged history, or the generated market itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

import msgspec
import numpy as np

from bnml.app.exchange_feed import make_feed
from bnml.app.limits import readers_budget
from bnml.app.sim_process import SimProcess, exchange_folder
from bnml.core.clock import LiveClock, frame_ns
from bnml.core.errors import Misconfigured
from bnml.kernels.records import BAR
from bnml.learn.dataset import SymbolBars
from bnml.options import ExchangeOptions
from bnml.trading import universe
from bnml.trading.compile import compile_layout, instrument_record
from bnml.trading.filling import compile_costs
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.history import load_history, recorded_symbols

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bnml.config import Settings
    from bnml.core.events import Bar
    from bnml.core.instrument import Instrument
    from bnml.options import TrainOptions
    from bnml.venues.binance.wsapi import ApiConnection


class HistorySource(Protocol):
    """Closed bars of symbols up to a moment."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """What may be trained."""
        ...

    @property
    def now_ns(self) -> int:
        """Market time up to which bars exist: the age of a model is measured against it."""
        ...

    def load(self, symbol: str) -> SymbolBars:
        """All closed bars that are wanted, the anchor first."""
        ...


def open_source(settings: Settings, options: TrainOptions) -> HistorySource:
    """The folder if one is named, else the venue of the settings."""
    if options.replay is not None:
        return FolderHistory(settings, options, options.replay)
    venue = settings.venue
    real = {"paper": venue.paper, "testnet": venue.testnet, "live": venue.live}.get(venue.kind)
    if real is not None:
        return VenueHistory(settings, options, real.rest_url)
    endpoint = SimProcess(exchange_folder(settings)).running()
    if endpoint is not None:
        return VenueHistory(settings, options, f"http://127.0.0.1:{endpoint.port}", endpoint.api_key)
    return GeneratedHistory(settings, options)


class FolderHistory:
    """Recorded bars between --from and --to; instruments follow from the whole files."""

    def __init__(self, settings: Settings, options: TrainOptions, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._frame_ns = frame_ns(settings.features.base_frame)
        there = tuple(recorded_symbols(folder))
        self.symbols = settings.universe.symbols or there
        missing = sorted(set(self.symbols) - set(there))
        if missing:
            raise Misconfigured(
                f"data folder {folder} has no file for {', '.join(missing)}; it holds {', '.join(there)}"
            )

    @property
    def now_ns(self) -> int:
        if self._options.to_ns is not None:
            return self._options.to_ns
        return max(int(self.load(symbol).bars["ts_open_ns"][-1]) for symbol in self.symbols) + self._frame_ns

    def load(self, symbol: str) -> SymbolBars:
        found = load_history(
            self._folder,
            [symbol],
            frame_ns=self._frame_ns,
            from_ns=self._options.from_ns,
            to_ns=self._options.to_ns,
        )[symbol]
        return SymbolBars(found.instrument, instrument_record(found.instrument), found.bars)


class GeneratedHistory:
    """The generated market before its first printed bar, as an exchange with this seed would serve it."""

    def __init__(self, settings: Settings, options: TrainOptions) -> None:
        market = ExchangeOptions(from_ns=options.from_ns, to_ns=options.to_ns)
        _, feed = make_feed(settings, market, compile_costs(settings.costs))
        self._bars = feed.history(0)
        self._instruments = feed.instruments
        self.symbols = settings.universe.symbols or tuple(sorted(self._bars))
        self.now_ns = int(self._bars[self.symbols[0]]["ts_open_ns"][-1]) + feed.frame_ns

    def load(self, symbol: str) -> SymbolBars:
        instrument = self._instruments[symbol]
        return SymbolBars(instrument, instrument_record(instrument), self._bars[symbol])


class _MarketClock(msgspec.Struct, rename="camel"):
    market_ts_ns: int


class VenueHistory:
    """The newest bars of a venue by REST, as many as training can use; needs no key on real venues."""

    def __init__(self, settings: Settings, options: TrainOptions, url: str, api_key: str = "") -> None:
        self._settings = settings
        self._options = options
        self._url = url
        self._api_key = api_key
        self._frame_ns = frame_ns(settings.features.base_frame)
        layout = compile_layout(settings.features)
        self._wanted = settings.learning.max_rows + layout.warmup_bars + settings.learning.horizon_bars
        self._instruments: dict[str, Instrument] = {}
        self._clock = LiveClock()
        self._budget = readers_budget(settings, url, self._clock)  # one for all sessions: it holds files
        self.symbols, self.now_ns = asyncio.run(self._look())

    def load(self, symbol: str) -> SymbolBars:
        bars = asyncio.run(self._bars(symbol))
        instrument = self._instruments[symbol]
        return SymbolBars(instrument, instrument_record(instrument), integer_bars(bars))

    def _client(self) -> RestClient:
        venue = self._settings.venue
        return RestClient(
            self._url,
            Signer(self._api_key, ""),
            self._clock,
            timeout_s=venue.request_timeout_s,
            receive_window_ms=venue.receive_window_ms,
            budget=self._budget,
        )

    def _reader(self, rest: RestClient) -> BinanceVenue:
        """A venue for reading: without an order connection, which none of the methods used here touches."""
        return BinanceVenue(rest, cast("ApiConnection", None), self._instruments)

    async def _look(self) -> tuple[tuple[str, ...], int]:
        async with self._client() as rest:
            await rest.synchronise_clock()
            now_ns = rest.timestamp_ms() * 1_000_000
            if self._settings.venue.kind == "sim":
                now_ns = msgspec.json.decode(
                    await rest.public("/sim/state", {}), type=_MarketClock
                ).market_ts_ns
            if self._options.to_ns is not None:
                now_ns = min(now_ns, self._options.to_ns)
            wanted = self._settings.universe
            venue = self._reader(rest)
            every = await venue.load_instruments(() if wanted.dynamic else wanted.symbols, wanted.quote)
            volumes = await venue.turnover() if wanted.dynamic else {}
            return universe.resolve(wanted, every, volumes, now_ns).symbols, now_ns

    async def _bars(self, symbol: str) -> list[Bar]:
        start_ns = self.now_ns - self._wanted * self._frame_ns
        if self._options.from_ns is not None:
            start_ns = max(start_ns, self._options.from_ns)
        async with self._client() as rest:
            venue = self._reader(rest)
            frame = self._settings.features.base_frame
            found = await venue.bars(symbol, frame, self._frame_ns, start_ns, self.now_ns)
        return [bar for bar in found if bar.ts_close_ns <= self.now_ns]


def integer_bars(bars: Sequence[Bar]) -> NDArray[np.void]:
    """Messages as one array of kernels.records.BAR."""
    made = np.zeros(len(bars), dtype=BAR)
    for index, bar in enumerate(bars):
        made[index] = (bar.ts_open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume_lots)
    return made
