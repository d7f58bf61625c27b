"""Candle streams: each candle closes exactly once, before the first update of its successor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.venues.sim import intervals
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim.hub import MICROSECONDS
from bnml.venues.sim.pacing import Paced

if TYPE_CHECKING:
    from bnml.core.events import Bar
    from bnml.venues.sim.intervals import Interval
    from bnml.venues.sim.klines import Kline
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.outlet import Outlet

_KLINE: Final = "@kline_"
_SECOND: Final = "1s"


class KlineStreams:
    """Candles of whole base candles, in UTC and in the zone of `@+08:00`."""

    def __init__(self, market: Market, outlet: Outlet) -> None:
        self._market = market
        self._outlet = outlet
        self._heard: dict[str, dict[str, Interval]] = {}  # by symbol, what follows it in the stream's name
        self._open: dict[tuple[str, str], int] = {}  # candles of several base candles that have not closed
        self._usual, self._second = Paced(2 * NS_PER_S), Paced(NS_PER_S)

    def opened(self, stream: str) -> None:
        """A stream has its first listener."""
        symbol, kind, interval = _parts(stream)
        is_known = interval is not None and symbol in self._market.symbols
        if interval is not None and is_known and interval.is_made_of(self._market.frame_ns):
            self._heard.setdefault(symbol, {})[kind] = interval

    def closed(self, stream: str) -> None:
        """A stream has lost its last listener."""
        symbol, kind, _ = _parts(stream)
        if self._heard.get(symbol, {}).pop(kind, None) is not None:
            self._open.pop((symbol, kind), None)
            if self._outlet.wanted(symbol.lower() + kind):  # in the other unit of time
                self.opened(stream)

    def close(self, bar: Bar, ts_ns: int) -> None:
        """A base candle is published: close each candle that ends with it or was left open before it."""
        for kind, interval in self._heard.get(bar.symbol, {}).items():
            start_ns = interval.start(bar.ts_open_ns)
            left_open = self._open.pop((bar.symbol, kind), start_ns)
            if left_open != start_ns:
                self._send(
                    bar.symbol, kind, self._candle(bar.symbol, interval, left_open), ts_ns, closed=True
                )
            if bar.ts_close_ns == interval.end(start_ns):
                self._send(bar.symbol, kind, self._candle(bar.symbol, interval, start_ns), ts_ns, closed=True)
            else:
                self._open[bar.symbol, kind] = start_ns

    def changed(self, symbol: str) -> None:
        """A candle has grown."""
        if symbol in self._heard:
            self._usual.add(symbol)
            self._second.add(symbol)

    def flush(self, ts_ns: int) -> None:
        """Show running candles whose turn has come."""
        for symbol in self._usual.due(ts_ns):
            self._running(symbol, ts_ns, seconds=False)
        for symbol in self._second.due(ts_ns):
            self._running(symbol, ts_ns, seconds=True)

    def _running(self, symbol: str, ts_ns: int, *, seconds: bool) -> None:
        state = self._market[symbol].state
        if state.running is None:
            return
        oldest_ns = min([one.open_ns for one in state.ended], default=state.running.open_ns)
        for kind, interval in self._heard.get(symbol, {}).items():
            if (kind == _KLINE + _SECOND) != seconds:
                continue
            start_ns = interval.start(state.running.open_ns)
            if interval.start(self._open.get((symbol, kind), oldest_ns)) != start_ns:
                continue  # its predecessor has yet to close
            if interval.start(oldest_ns) == start_ns:
                self._send(symbol, kind, self._candle(symbol, interval, start_ns), ts_ns, closed=False)

    def _candle(self, symbol: str, interval: Interval, open_ns: int) -> Kline | None:
        end_ns = interval.end(open_ns)
        found = self._market.candles(symbol, interval, end_ns, open_ns, end_ns - 1, 1)
        return found[0] if found else None

    def _send(self, symbol: str, kind: str, kline: Kline | None, ts_ns: int, *, closed: bool) -> None:
        if kline is None:
            return
        name = kind.removeprefix(_KLINE).removesuffix(intervals.STREAM_ZONE)
        instrument = self._market[symbol].instrument
        event = payloads.kline_event(kline, instrument, name, ts_ns // NS_PER_MS, is_closed=closed)
        self._outlet.send(symbol.lower() + kind, event)


def _parts(stream: str) -> tuple[str, str, Interval | None]:
    """Symbol, what follows it, and the interval that this names."""
    symbol, at, kind = stream.removesuffix(MICROSECONDS).partition("@")
    name = (at + kind).removeprefix(_KLINE)
    if name == at + kind:
        return symbol.upper(), at + kind, None
    offset_ns = intervals.STREAM_ZONE_NS if name.endswith(intervals.STREAM_ZONE) else 0
    return (
        symbol.upper(),
        at + kind,
        intervals.interval_of(name.removesuffix(intervals.STREAM_ZONE), offset_ns),
    )
