"""Statistics streams: a day, rolling windows, average prices, of one symbol or of all that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, NS_PER_S
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim.pacing import Paced

if TYPE_CHECKING:
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.outlet import Outlet

MINI_TICKERS: Final = "!miniTicker@arr"
MINUTE_NS: Final = 60 * NS_PER_S
AVERAGE_MINUTES: Final = 5
AVERAGE_NS: Final = AVERAGE_MINUTES * MINUTE_NS
WINDOWS: Final = {"1h": NS_PER_HOUR, "4h": 4 * NS_PER_HOUR, "1d": NS_PER_DAY}
_BEAT_NS: Final = 1_500_000_000
"""Beats that come at least so often are those of a followed venue: no array is due between them."""


class TickerStreams:
    """`live`: at most one update a second; else with the beat."""

    def __init__(self, market: Market, outlet: Outlet, *, live: bool) -> None:
        self._market = market
        self._outlet = outlet
        self._live = live
        self._single = Paced(NS_PER_S if live else 0)
        self._since_beat: dict[str, None] = {}
        self._since_array: dict[str, None] = {}
        self._array_ns = 0
        self._beat_ns = 0
        self._beats_often = False

    def changed(self, symbol: str) -> None:
        """A symbol has traded."""
        self._single.add(symbol)
        self._since_beat[symbol] = None
        self._since_array[symbol] = None

    def beat(self, ts_ns: int) -> None:
        """The beat of the market: the array of all symbols that traded since the last one."""
        self._beats_often = 0 < ts_ns - self._beat_ns <= _BEAT_NS
        self._beat_ns = self._array_ns = ts_ns
        names, self._since_beat, self._since_array = self._since_beat, {}, {}
        self._array(MINI_TICKERS, names, ts_ns)
        self._windows(names, ts_ns)
        if not self._live:
            self._singles(ts_ns)

    def flush(self, ts_ns: int) -> None:
        """Send what is due; only a live market owes anything between its beats."""
        self._singles(ts_ns)
        if self._since_array and not self._beats_often and ts_ns - self._array_ns >= NS_PER_S:
            names, self._since_array, self._array_ns = self._since_array, {}, ts_ns
            self._array(MINI_TICKERS, names, ts_ns)
            self._windows(names, ts_ns)

    def _singles(self, ts_ns: int) -> None:
        for symbol in self._single.due(ts_ns):
            self._one(symbol, ts_ns)

    def _one(self, symbol: str, ts_ns: int) -> None:
        outlet, market = self._outlet, self._market
        lower, instrument, ts_ms = symbol.lower(), market[symbol].instrument, ts_ns // NS_PER_MS
        mini, full, average = f"{lower}@miniTicker", f"{lower}@ticker", f"{lower}@avgPrice"
        if outlet.wanted(mini):
            ticker = market.ticker(symbol, ts_ns)
            outlet.send(mini, payloads.mini_ticker_event(ticker, instrument, ts_ms))
        if outlet.wanted(full):
            ticker, book = market.ticker(symbol, ts_ns), market.book(symbol, ts_ns, 1)
            outlet.send(full, payloads.ticker_event(ticker, book, instrument, ts_ms))
        if outlet.wanted(average):
            price = market.average(symbol, ts_ns, AVERAGE_NS)
            outlet.send(average, payloads.average_event(price, AVERAGE_MINUTES, symbol, ts_ms))
        for window in WINDOWS:
            if outlet.wanted(f"{full}_{window}"):
                outlet.send(f"{full}_{window}", self._window(symbol, window, ts_ns))

    def _array(self, stream: str, names: dict[str, None], ts_ns: int) -> None:
        if self._outlet.wanted(stream):
            market, ts_ms = self._market, ts_ns // NS_PER_MS
            rows = [
                payloads.mini_ticker_event(market.ticker(name, ts_ns), market[name].instrument, ts_ms)
                for name in names
            ]
            self._outlet.send(stream, rows)

    def _windows(self, names: dict[str, None], ts_ns: int) -> None:
        for window in WINDOWS:
            stream = f"!ticker_{window}@arr"
            if self._outlet.wanted(stream):
                self._outlet.send(stream, [self._window(name, window, ts_ns) for name in names])

    def _window(self, symbol: str, window: str, ts_ns: int) -> dict[str, Any]:
        since_ns = window_start(ts_ns, WINDOWS[window], self._market.frame_ns)
        ticker = payloads.between(self._market.ticker(symbol, ts_ns, since_ns), since_ns, ts_ns)
        instrument = self._market[symbol].instrument
        return payloads.window_ticker_event(ticker, instrument, window, ts_ns // NS_PER_MS)


def window_start(now_ns: int, window_ns: int, frame_ns: int) -> int:
    """Where a rolling window begins: on a minute, with whole base candles; it is up to one of either longer."""
    unit_ns = max(frame_ns, MINUTE_NS) if MINUTE_NS % frame_ns == 0 else frame_ns
    return (now_ns - window_ns) // unit_ns * unit_ns
