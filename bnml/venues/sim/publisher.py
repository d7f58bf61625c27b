"""Turns one step of the market into stream events, in the order that clients may rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.clock import NS_PER_MS, frame_ns
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim.klines import frame_start, is_frame_served, kline_of
from bnml.venues.sim.operations_market import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.core.events import Bar
    from bnml.venues.sim.hub import Hub
    from bnml.venues.sim.klines import Kline
    from bnml.venues.sim.market import Market, PublicTrade
    from bnml.venues.sim.messages import BookLevels, Step

MINI_TICKERS: Final = "!miniTicker@arr"
_PARTIAL_DEPTHS: Final = (5, 10, 20)
_encode = msgspec.json.Encoder().encode


class Publisher:
    """Order within a step: trades, books, closed candles, running candles, tickers, the beat.

    `live` adds what real time has and a stepped client does not need: running candles, and books and
    tickers after every print. A candle closes exactly once, before the first update of its successor.
    """

    def __init__(self, market: Market, hub: Hub, *, live: bool) -> None:
        self._market = market
        self._hub = hub
        self._live = live
        self._books: dict[str, BookLevels] = {}
        self._changed: dict[str, None] = {}
        self._open_frames: dict[tuple[str, str], int] = {}
        served = [one for one in INTERVALS if is_frame_served(market.frame_ns, frame_ns(one))]
        self._base = next((one for one in served if frame_ns(one) == market.frame_ns), "")
        self._higher = {one: frame_ns(one) for one in served if frame_ns(one) > market.frame_ns}

    def before(self, step: Step) -> None:
        """Remember the books that the step is going to change, for the depth differences."""
        self._books = {
            name: self._market.book(name, step.ts_ns)
            for name in _symbols(step)
            if self._hub.wanted(name.lower() + "@depth")
        }

    def publish(self, step: Step, trades: Iterable[tuple[str, PublicTrade]]) -> None:
        """Send everything the step made public."""
        ts_ms = step.ts_ns // NS_PER_MS
        printed: dict[str, None] = {}
        for name, trade in trades:
            printed[name] = None
            self._trade(name, trade, ts_ms)
        self._changed.update(printed)
        booked = dict.fromkeys(book.symbol for book in step.books)
        for name in {**booked, **printed}:
            self._book(name, step.ts_ns, partial=self._live or name in booked)
        for bar in step.closed_bars:
            self._closed(bar, step.ts_ns)
        if self._live:
            for name in printed:
                self._running(name, step.ts_ns)
                self._tickers(name, step.ts_ns)
        if step.beat:
            self._beat(step.ts_ns)

    def _send(self, stream: str, event: Any) -> None:
        self._hub.publish(stream, _encode(event))

    def _trade(self, name: str, trade: PublicTrade, ts_ms: int) -> None:
        instrument, lower = self._market[name].instrument, name.lower()
        if self._hub.wanted(lower + "@trade"):
            self._send(lower + "@trade", payloads.trade_event(trade, instrument, ts_ms))
        if self._hub.wanted(lower + "@aggTrade"):
            self._send(lower + "@aggTrade", payloads.aggregate_event(trade, instrument, ts_ms))

    def _book(self, name: str, ts_ns: int, *, partial: bool) -> None:
        hub, lower, instrument = self._hub, name.lower(), self._market[name].instrument
        depths = [levels for levels in _PARTIAL_DEPTHS if partial and hub.wanted(f"{lower}@depth{levels}")]
        old = self._books.get(name)
        is_top_wanted = hub.wanted(lower + "@bookTicker")
        if not depths and old is None and not is_top_wanted:
            return
        book = self._market.book(name, ts_ns)
        for levels in depths:
            self._send(f"{lower}@depth{levels}", payloads.depth(book, instrument, levels))
        if old is not None and book.update_id > old.update_id:
            self._send(lower + "@depth", payloads.depth_event(old, book, instrument, ts_ns // NS_PER_MS))
        if is_top_wanted:
            self._send(lower + "@bookTicker", payloads.book_ticker_event(book, instrument))

    def _closed(self, bar: Bar, ts_ns: int) -> None:
        """The base candle as the bar says, and each higher candle that ends with it or was left open before it."""
        if self._base and self._hub.wanted(f"{bar.symbol.lower()}@kline_{self._base}"):
            closed = kline_of(bar, self._market[bar.symbol].instrument)
            self._kline(bar.symbol, self._base, closed, ts_ns, is_closed=True)
        for interval, length_ns in self._higher.items():
            if not self._hub.wanted(f"{bar.symbol.lower()}@kline_{interval}"):
                self._open_frames.pop((bar.symbol, interval), None)
                continue
            start_ns = frame_start(bar.ts_open_ns, length_ns)
            left_open = self._open_frames.pop((bar.symbol, interval), start_ns)
            if left_open != start_ns:
                candle = self._candle(bar.symbol, length_ns, left_open)
                self._kline(bar.symbol, interval, candle, ts_ns, is_closed=True)
            if bar.ts_close_ns == start_ns + length_ns:
                candle = self._candle(bar.symbol, length_ns, start_ns)
                self._kline(bar.symbol, interval, candle, ts_ns, is_closed=True)
            else:
                self._open_frames[bar.symbol, interval] = start_ns

    def _running(self, name: str, ts_ns: int) -> None:
        """The candles that are being printed, in every frame somebody listens to."""
        running = self._market[name].state.running
        if running is None:
            return
        for interval, length_ns in ((self._base, self._market.frame_ns), *self._higher.items()):
            if not interval or not self._hub.wanted(f"{name.lower()}@kline_{interval}"):
                continue
            start_ns = frame_start(running.open_ns, length_ns)
            left_open = self._open_frames.get((name, interval), start_ns)
            if left_open != start_ns:
                continue  # its predecessor has yet to close
            self._kline(name, interval, self._candle(name, length_ns, start_ns), ts_ns, is_closed=False)

    def _candle(self, name: str, length_ns: int, open_ns: int) -> Kline | None:
        found = self._market.candles(
            name, length_ns, open_ns + length_ns, open_ns, open_ns + length_ns - 1, 1
        )
        return found[0] if found else None

    def _kline(self, name: str, interval: str, kline: Kline | None, ts_ns: int, *, is_closed: bool) -> None:
        if kline is None:
            return
        instrument, ts_ms = self._market[name].instrument, ts_ns // NS_PER_MS
        event = payloads.kline_event(kline, instrument, interval, ts_ms, is_closed=is_closed)
        self._send(f"{name.lower()}@kline_{interval}", event)

    def _tickers(self, name: str, ts_ns: int) -> None:
        mini, full = f"{name.lower()}@miniTicker", f"{name.lower()}@ticker"
        instrument, ts_ms = self._market[name].instrument, ts_ns // NS_PER_MS
        if self._hub.wanted(mini):
            ticker = self._market.ticker(name, ts_ns)
            self._send(mini, payloads.mini_ticker_event(ticker, instrument, ts_ms))
        if self._hub.wanted(full):
            ticker, book = self._market.ticker(name, ts_ns), self._market.book(name, ts_ns)
            self._send(full, payloads.ticker_event(ticker, book, instrument, ts_ms))

    def _beat(self, ts_ns: int) -> None:
        """Mini tickers of all symbols that printed since the last beat."""
        names, self._changed = self._changed, {}
        if not self._hub.wanted(MINI_TICKERS):
            return
        ts_ms = ts_ns // NS_PER_MS
        rows = [
            payloads.mini_ticker_event(self._market.ticker(name, ts_ns), self._market[name].instrument, ts_ms)
            for name in names
        ]
        self._send(MINI_TICKERS, rows)


def _symbols(step: Step) -> list[str]:
    """Symbols whose book the step may change."""
    names = dict.fromkeys(printed.symbol for printed in step.prints)
    names.update(dict.fromkeys(book.symbol for book in step.books))
    return list(names)
