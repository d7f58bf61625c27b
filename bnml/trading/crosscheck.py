"""Trades added up to candles and held against the candles that the venue closes: was all of it seen."""

from __future__ import annotations

import msgspec

from bnml.core.events import Bar

KEPT_PER_SYMBOL = 4
"""Candles that wait for their counterpart; the venue sends both within seconds of each other."""


class Difference(msgspec.Struct, frozen=True):
    """One candle as the venue stated it, and as its trades add up."""

    stated: Bar
    seen: Bar


class TradeCandles:
    """The running candle of each symbol; a candle is whole when no trade is missing from its first to its last.

    Trade ids are consecutive, so a hole in them spoils the candles on both of its sides, and so is the one
    in which we begin to listen. A trade that comes again after a reconnection counts once.
    """

    def __init__(self, frame_ns: int) -> None:
        self._frame_ns = frame_ns
        self._running: dict[str, tuple[Bar, bool]] = {}
        self._last_id: dict[str, int] = {}

    def add(self, symbol: str, ts_ns: int, ticks: int, lots: int, trade_id: int) -> Bar | None:
        """Take a trade; returns the whole candle that it ended, if it did."""
        last_id = self._last_id.get(symbol)
        if last_id is not None and trade_id <= last_id:
            return None
        self._last_id[symbol] = trade_id
        is_next = last_id is not None and trade_id == last_id + 1
        open_ns = ts_ns // self._frame_ns * self._frame_ns
        running = self._running.get(symbol)
        if running is not None and open_ns <= running[0].ts_open_ns:
            bar, is_whole = running
            self._running[symbol] = (_grown(bar, ticks, lots), is_whole and is_next)
            return None
        first = Bar(symbol, open_ns, open_ns + self._frame_ns, ticks, ticks, ticks, ticks, lots, 1)
        self._running[symbol] = (first, is_next)
        return running[0] if running is not None and running[1] and is_next else None


class CrossCheck:
    """Compares prices and volume of each stated candle with its trades, whichever comes first."""

    def __init__(self, frame_ns: int) -> None:
        self._candles = TradeCandles(frame_ns)
        self._seen: dict[str, dict[int, Bar]] = {}
        self._stated: dict[str, dict[int, Bar]] = {}
        self.checked = 0
        self.differing = 0

    def on_trade(self, symbol: str, ts_ns: int, ticks: int, lots: int, trade_id: int) -> Difference | None:
        """Take a trade; returns a difference that has become plain."""
        seen = self._candles.add(symbol, ts_ns, ticks, lots, trade_id)
        if seen is None:
            return None
        stated = self._stated.get(symbol, {}).pop(seen.ts_open_ns, None)
        if stated is None:
            _keep(self._seen.setdefault(symbol, {}), seen)
            return None
        return self._compare(stated, seen)

    def on_bar(self, bar: Bar) -> Difference | None:
        """Take a closed candle of the venue; returns a difference that has become plain."""
        seen = self._seen.get(bar.symbol, {}).pop(bar.ts_open_ns, None)
        if seen is None:
            _keep(self._stated.setdefault(bar.symbol, {}), bar)
            return None
        return self._compare(bar, seen)

    def _compare(self, stated: Bar, seen: Bar) -> Difference | None:
        self.checked += 1
        if _measures(stated) == _measures(seen):
            return None
        self.differing += 1
        return Difference(stated, seen)


def _grown(bar: Bar, ticks: int, lots: int) -> Bar:
    return Bar(
        bar.symbol,
        bar.ts_open_ns,
        bar.ts_close_ns,
        bar.open,
        max(bar.high, ticks),
        min(bar.low, ticks),
        ticks,
        bar.volume_lots + lots,
        bar.trades + 1,
    )


def _measures(bar: Bar) -> tuple[int, int, int, int, int]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume_lots


def _keep(waiting: dict[int, Bar], bar: Bar) -> None:
    waiting[bar.ts_open_ns] = bar
    while len(waiting) > KEPT_PER_SYMBOL:
        del waiting[min(waiting)]
