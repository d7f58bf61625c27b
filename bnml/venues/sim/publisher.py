"""Turns one step of the market into stream events, in the order that clients may rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.clock import NS_PER_MS
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim.outlet import Outlet
from bnml.venues.sim.stream_books import BookStreams
from bnml.venues.sim.stream_klines import KlineStreams
from bnml.venues.sim.stream_tickers import TickerStreams

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.venues.sim.hub import Hub
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.messages import Step
    from bnml.venues.sim.symbol_market import PublicTrade


class Publisher:
    """Order within a step: trades, books, closed candles, running candles, tickers, the beat.

    `live` adds what real time has and a stepped client does not need: running candles, and books and
    tickers between the beats. Trades and best quotes are told at once, the rest at the pace of its stream:
    what waits goes out with `flush`. A candle closes exactly once, before the first update of its successor.
    """

    def __init__(self, market: Market, hub: Hub, *, live: bool) -> None:
        self._market = market
        self._live = live
        self._outlet = Outlet(hub)
        self._books = BookStreams(market, self._outlet, live=live)
        self._klines = KlineStreams(market, self._outlet)
        self._tickers = TickerStreams(market, self._outlet, live=live)
        for streams in (self._books, self._klines):
            hub.watch(streams.opened, streams.closed)
        market.fresh.is_kept = True

    def publish(self, step: Step, touched: Iterable[str] = ()) -> None:
        """Send everything the step made public; `touched` are symbols in which accounts' orders changed."""
        market, ts_ns = self._market, step.ts_ns
        printed = self._trades(ts_ns)
        booked = dict.fromkeys(book.symbol for book in step.books)
        for change in step.depth:
            self._books.record(change, ts_ns)
        closing = {bar.symbol for bar in market.closed}
        changed = dict.fromkeys(change.symbol for change in step.depth)
        for name in {**booked, **changed, **printed, **self._displayed(touched)}:
            self._books.moved(name, ts_ns, partial=name in booked, at_once=name in closing)
        self._books.flush(ts_ns)
        for bar in market.closed:
            self._klines.close(bar, ts_ns)
        if self._live:
            self.flush(ts_ns)
        if step.beat:
            self._tickers.beat(ts_ns)

    def publish_request(self, ts_ns: int, touched: Iterable[str]) -> None:
        """Send what a request made public: trades between accounts, and what their orders changed in the books."""
        displayed = self._displayed(touched)
        if not self._market.fresh.trades and not displayed:
            return
        for name in {**self._trades(ts_ns), **displayed}:
            self._books.moved(name, ts_ns, partial=False)
        self.flush(ts_ns)

    def _displayed(self, touched: Iterable[str]) -> dict[str, None]:
        """Symbols whose public book may have changed with accounts' orders."""
        return {} if self._market.overlay is None else dict.fromkeys(touched)

    def flush(self, ts_ns: int) -> None:
        """Send what waited for its turn; of a live market, whenever time has passed."""
        self._books.flush(ts_ns)
        if self._live:
            self._klines.flush(ts_ns)
            self._tickers.flush(ts_ns)

    def _trades(self, ts_ns: int) -> dict[str, None]:
        """Trades and, after the last trade of each, aggregates; returns the symbols that traded."""
        fresh = self._market.fresh.take()
        printed: dict[str, None] = {}
        aggregates: dict[tuple[str, int], list[PublicTrade]] = {}
        for name, trade in fresh:
            aggregates.setdefault((name, trade.aggregate_id), []).append(trade)
            printed[name] = None
        for name in printed:
            self._klines.changed(name)
            self._tickers.changed(name)
        for name, trade in fresh:
            self._trade(name, trade, aggregates[name, trade.aggregate_id], ts_ns // NS_PER_MS)
        return printed

    def _trade(self, name: str, trade: PublicTrade, aggregate: list[PublicTrade], ts_ms: int) -> None:
        outlet, lower = self._outlet, name.lower()
        instrument = self._market[name].instrument
        if outlet.wanted(lower + "@trade"):
            outlet.send(lower + "@trade", payloads.trade_event(trade, instrument, ts_ms))
        if trade is aggregate[-1] and outlet.wanted(lower + "@aggTrade"):
            outlet.send(lower + "@aggTrade", payloads.aggregate_event(aggregate, instrument, ts_ms))
