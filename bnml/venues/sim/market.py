"""Public state of the market: all symbols with their books, candles and statistics, moved by steps and own trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_DAY
from bnml.core.errors import Fatal
from bnml.kernels.records import BAR
from bnml.venues.sim.depth import DepthBook
from bnml.venues.sim.intervals import Interval
from bnml.venues.sim.klines import (
    DETAIL,
    Kline,
    KlineStore,
    Rows,
    estimate_of,
    first_id,
    merge,
    money_sums,
)
from bnml.venues.sim.messages import BookLevels, VenueReject
from bnml.venues.sim.symbol_market import LEAST_KEPT, Fresh, Running, SymbolMarket, SymbolState
from bnml.venues.sim.symbol_rows import SymbolRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnml.core.events import Bar
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.messages import DepthChange, Step
    from bnml.venues.sim.pricing import Pricing

MAX_KLINES = 1000
KEPT_TRADES = 100_000
"""Of all symbols together."""


class Overlay(Protocol):
    """Who shows the book where own orders are part of it."""

    def book(self, symbol: str, ts_ns: int) -> BookLevels:
        """The whole book."""
        ...


class Ticker(msgspec.Struct, frozen=True):
    """Statistics of a window of time, from base candles and the running one."""

    symbol: str
    open_ns: int
    close_ns: int
    open: int
    high: int
    low: int
    last: int
    volume_lots: int
    quote_volume_e8: int
    trades: int
    first_trade_id: int
    last_trade_id: int
    last_lots: int = 0
    before: int = 0  # last price before the window, 0 if unknown


class Average(NamedTuple):
    """The average price of the last minutes, in 1e-8, and when the last trade was."""

    price_e8: int
    last_ns: int


class Market:
    """All symbols of one exchange in one base frame.

    `fresh` are trades that nobody was shown yet, `closed` the candles that the last step published.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        frame_ns: int,
        pricing: Pricing,
        history: Mapping[str, NDArray[np.void]] | None = None,
    ) -> None:
        empty = np.zeros(0, dtype=BAR)
        self.frame_ns = frame_ns
        self.pricing = pricing
        self.fresh = Fresh()
        self.closed: list[Bar] = []
        self.symbol_rows = SymbolRows()
        self.overlay: Overlay | None = None
        self.depths: dict[str, DepthBook] = {}  # of symbols whose feed has the whole book
        kept = max(LEAST_KEPT, KEPT_TRADES // max(1, len(instruments)))
        self.symbols = {
            name: SymbolMarket(
                instrument,
                KlineStore(frame_ns, (history or {}).get(name, empty), instrument),
                self.fresh,
                kept,
            )
            for name, instrument in sorted(instruments.items())
        }

    def __getitem__(self, symbol: str) -> SymbolMarket:
        try:
            return self.symbols[symbol]
        except KeyError:
            raise VenueReject(-1121, "Invalid symbol.") from None

    def begin(self, step: Step) -> None:
        """Give symbols without any bar the one that prices them until their first closes."""
        for bar in step.basis:
            state = self[bar.symbol].state
            if state.basis is None:
                state.basis = bar

    def finish(self, step: Step) -> None:
        """Publish the step's books and candles; comes after its prints."""
        for change in step.depth:
            self.change_depth(change)
        for book in step.books:
            if self.pricing.takes_recorded_books:
                self[book.symbol].state.quoted = book
        self.closed = []
        for bar in step.closed_bars:
            self.closed += self[bar.symbol].close(bar)
        for name in dict.fromkeys(bar.symbol for bar in step.closed_bars):
            if self.symbols[name].state.ended:
                self.closed += self.symbols[name].close_orphans(step.ts_ns)
        for bar in step.running:
            prices = (bar.open, bar.high, bar.low, bar.close)
            detail = estimate_of(bar, self[bar.symbol].instrument)
            running = Running(bar.ts_open_ns, *prices, bar.volume_lots, *detail)
            self[bar.symbol].state.running = running

    def change_depth(self, change: DepthChange) -> None:
        """Take a whole recorded book, or a difference to it; after a hole there is none until the next whole one."""
        if change.is_snapshot:
            self.depths[change.symbol] = DepthBook()
        book = self.depths.get(change.symbol)
        if book is not None and not book.apply(change):
            del self.depths[change.symbol]

    def forget_books(self) -> None:
        """Recorded books are out of date: until the next ones, books are made from the last print."""
        self.depths.clear()
        for market in self.symbols.values():
            market.state.quoted = None

    def book(self, symbol: str, ts_ns: int, limit: int = 20) -> BookLevels:
        """The book as it stands: recorded, or one level a side around the last print; or as the overlay shows it."""
        state = self[symbol].state
        if self.overlay is not None:
            return self.overlay.book(symbol, ts_ns)
        depth = self.depths.get(symbol)
        if depth is not None:
            bids, asks = depth.top(limit)
            depth_e8 = 0 if state.quoted is None else state.quoted.depth_e8
            return BookLevels(symbol, ts_ns, bids, asks, depth_e8, depth.update_id, lot_e8=1)
        if state.quoted is not None:
            return state.quoted
        if state.basis is None:
            return BookLevels(symbol, ts_ns, (), (), 0, state.update_id)
        book = self.pricing.book(self[symbol].instrument, state.last_ticks, state.basis, ts_ns)
        return msgspec.structs.replace(book, update_id=state.update_id)

    def candles(
        self,
        symbol: str,
        interval: Interval | int,
        now_ns: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 500,
    ) -> list[Kline]:
        """Candles that open in [start, end], oldest first with a start, else the last `limit`; with the running one."""
        if isinstance(interval, int):
            interval = Interval(interval)
        if not interval.is_made_of(self.frame_ns):
            raise VenueReject(-1120, "Invalid interval.")
        market = self[symbol]
        limit = min(limit, MAX_KLINES)
        last_ns = now_ns if end_ns is None else end_ns
        over_ns = market.state.last_close_ns or now_ns
        if start_ns is not None:
            first_ns = interval.start(start_ns)
            first_ns = first_ns if first_ns == start_ns else interval.end(first_ns)  # aligned up
            first_ns = max(first_ns, interval.start(_first_open(market)))
            reach_ns = first_ns + (limit + 1) * interval.longest_ns
            while True:
                rows = self._rows(market, first_ns, min(last_ns, reach_ns))
                made = merge(rows, interval, over_ns)
                if len(made) > limit or reach_ns >= last_ns:
                    return made[:limit]
                reach_ns += 4 * (reach_ns - first_ns)
        span = limit + 1
        while True:
            first_ns = interval.start(max(interval.start(last_ns) - span * interval.longest_ns, 0))
            rows = self._rows(market, first_ns, last_ns)
            made = merge(rows, interval, over_ns)
            if len(made) >= limit or first_ns <= _first_open(market):
                return made[-limit:]
            span *= 4

    def ticker(self, symbol: str, now_ns: int, since_ns: int | None = None) -> Ticker:
        """Statistics of the whole base candles since a time, by default a day ago; before the first print zeros."""
        market = self[symbol]
        first_ns = now_ns - NS_PER_DAY if since_ns is None else since_ns
        rows = self._rows(market, first_ns, now_ns)
        bars, details = rows
        state = market.state
        if len(bars) == 0:
            last = state.last_ticks
            return Ticker(symbol, first_ns, now_ns, 0, 0, 0, last, 0, 0, 0, -1, -1, 0, last)
        opened = int(bars["ts_open_ns"][0])
        return Ticker(
            symbol=symbol,
            open_ns=opened,
            close_ns=now_ns,
            open=int(bars["open"][0]),
            high=int(bars["high"].max()),
            low=int(bars["low"].min()),
            last=state.last_ticks or int(bars["close"][-1]),
            volume_lots=int(bars["volume_lots"].sum()),
            quote_volume_e8=money_sums(details["quote_e8"], np.zeros(1, dtype=np.int64))[0],
            trades=int(details["trades"].sum()),
            first_trade_id=first_id(details),
            last_trade_id=int(details["last_id"][-1]),
            last_lots=market.trades[-1].quantity_lots if market.trades else 0,
            before=_close_before(market, opened),
        )

    def average(self, symbol: str, now_ns: int, window_ns: int) -> Average:
        """The average of the trades within the window, weighted by volume; without any, the last price."""
        market = self[symbol]
        tick_e8 = market.instrument.tick_e8
        lots = value = 0
        for trade in reversed(market.trades):
            if trade.ts_ns <= now_ns - window_ns:
                break
            lots += trade.quantity_lots
            value += trade.price_ticks * trade.quantity_lots
        last_ns = market.trades[-1].ts_ns if market.trades else market.state.last_ns or now_ns
        return Average(value * tick_e8 // lots if lots else self.last_ticks(symbol) * tick_e8, last_ns)

    def last_ticks(self, symbol: str) -> int:
        """The last print, or the last close of history before there was one."""
        market = self[symbol]
        bars = market.klines.bars
        return market.state.last_ticks or (int(bars["close"][-1]) if len(bars) else 0)

    @staticmethod
    def _rows(market: SymbolMarket, first_ns: int, last_ns: int) -> Rows:
        """Base candles that open in [first, last], those included that are not published yet."""
        rows = market.klines.window(first_ns, last_ns + 1)
        state, published_ns = market.state, market.klines.last_open_ns
        waiting = [*state.ended, state.running] if state.running is not None else state.ended
        live = [one for one in waiting if one.open_ns > published_ns and first_ns <= one.open_ns <= last_ns]
        if not live:
            return rows
        bars, details = np.zeros(len(live), dtype=BAR), np.zeros(len(live), dtype=DETAIL)
        for place, one in enumerate(live):
            bars[place] = (one.open_ns, one.open, one.high, one.low, one.close, one.volume_lots)
            details[place] = one.detail()
        return Rows(np.concatenate([rows.bars, bars]), np.concatenate([rows.details, details]))

    def snapshot(self) -> dict[str, SymbolState]:
        """What a restart needs besides the feed's own position."""
        return {name: market.state for name, market in self.symbols.items()}

    def restore(self, states: Mapping[str, SymbolState]) -> None:
        """Continue from a snapshot; the candles were given as history."""
        for name, state in states.items():
            if name not in self.symbols:
                raise Fatal(
                    f"the ledger knows {name}, the feed does not; start with the feed it was made with"
                )
            self.symbols[name].state = state


def _first_open(market: SymbolMarket) -> int:
    """Open time of the oldest candle; the running one's where nothing is published."""
    bars = market.klines.bars
    if len(bars):
        return int(bars["ts_open_ns"][0])
    return 0 if market.state.running is None else market.state.running.open_ns


def _close_before(market: SymbolMarket, open_ns: int) -> int:
    bars = market.klines.bars
    place = int(np.searchsorted(bars["ts_open_ns"], open_ns))
    return int(bars["close"][place - 1]) if place else 0
