"""The candles of one symbol that the market has published so far, in the base frame, and sums of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.core.events import Bar
from bnml.kernels.records import BAR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument


PRINTS_PER_BAR = 4


class Kline(msgspec.Struct, frozen=True, gc=False):
    """One candle of any frame; `is_closed` is False for the running one."""

    open_ns: int
    close_ns: int  # exclusive; the wire shows the millisecond before
    open: int
    high: int
    low: int
    close: int
    volume_lots: int
    quote_volume_e8: int  # volume x (open + high + low + close) / 4, of the base candles: feeds carry none
    trades: int
    is_closed: bool


class KlineStore:
    """Grows by appending; history given at the start counts as published."""

    def __init__(self, frame_ns: int, history: NDArray[np.void]) -> None:
        self.frame_ns = frame_ns
        self._count = len(history)
        self._bars = np.zeros(max(1024, 2 * self._count), dtype=BAR)
        self._bars[: self._count] = history

    def __len__(self) -> int:
        return self._count

    @property
    def bars(self) -> NDArray[np.void]:
        """All published bars, ascending (a view)."""
        return self._bars[: self._count]

    def append(self, bar: Bar) -> None:
        """Publish one closed bar; a bar that is not later than the last one is ignored."""
        if self._count and bar.ts_open_ns <= self._bars["ts_open_ns"][self._count - 1]:
            return
        if self._count == len(self._bars):
            self._bars = np.concatenate([self._bars, np.zeros(self._count, dtype=BAR)])
        self._bars[self._count] = (
            bar.ts_open_ns,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume_lots,
        )
        self._count += 1

    def extend(self, rows: NDArray[np.void]) -> None:
        """Publish bars that follow the last one, many at once."""
        count = self._count + len(rows)
        if count > len(self._bars):
            self._bars = np.concatenate([self.bars, np.zeros(2 * count - self._count, dtype=BAR)])
        self._bars[self._count : count] = rows
        self._count = count

    def window(self, start_ns: int, end_ns: int) -> NDArray[np.void]:
        """Bars that open in [start, end)."""
        opens = self.bars["ts_open_ns"]
        return self.bars[np.searchsorted(opens, start_ns) : np.searchsorted(opens, end_ns)]


def is_frame_served(base_ns: int, frame_ns: int) -> bool:
    """A candle can only be made of whole base candles."""
    return frame_ns >= base_ns and frame_ns % base_ns == 0


def frame_start(ts_ns: int, frame_ns: int) -> int:
    """Open time of the candle that holds `ts_ns`; weeks start on Monday (1970-01-01 was a Thursday)."""
    week_ns = 7 * 86_400 * 10**9
    shift = 3 * 86_400 * 10**9 if frame_ns == week_ns else 0
    return (ts_ns + shift) // frame_ns * frame_ns - shift


def merge(
    bars: NDArray[np.void], instrument: Instrument, frame_ns: int, now_ns: int, trades_per_bar: int
) -> list[Kline]:
    """Candles of `frame_ns` made of base bars; one whose end lies after `now_ns` is not closed."""
    if len(bars) == 0:
        return []
    opens = np.array([frame_start(int(ts), frame_ns) for ts in bars["ts_open_ns"]])
    starts = np.flatnonzero(np.concatenate([[True], opens[1:] != opens[:-1]]))
    ends = np.append(starts[1:], len(bars))
    typical = bars["open"] + bars["high"] + bars["low"] + bars["close"]
    values = _sums(typical.astype(object) * bars["volume_lots"].astype(object), starts)
    highs = np.maximum.reduceat(bars["high"], starts)
    lows = np.minimum.reduceat(bars["low"], starts)
    volumes = np.add.reduceat(bars["volume_lots"], starts)
    return [
        Kline(
            open_ns=int(opens[first]),
            close_ns=int(opens[first]) + frame_ns,
            open=int(bars["open"][first]),
            high=int(highs[i]),
            low=int(lows[i]),
            close=int(bars["close"][last - 1]),
            volume_lots=int(volumes[i]),
            quote_volume_e8=values[i] * instrument.notional_num // (4 * instrument.notional_den),
            trades=int(last - first) * trades_per_bar,
            is_closed=int(opens[first]) + frame_ns <= now_ns,
        )
        for i, (first, last) in enumerate(zip(starts, ends, strict=True))
    ]


def kline_of(bar: Bar, instrument: Instrument) -> Kline:
    """One closed base bar as a candle; the same numbers as `merge` of that bar alone."""
    four_prices = bar.open + bar.high + bar.low + bar.close
    value = four_prices * bar.volume_lots * instrument.notional_num
    return Kline(
        open_ns=bar.ts_open_ns,
        close_ns=bar.ts_close_ns,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume_lots=bar.volume_lots,
        quote_volume_e8=value // (4 * instrument.notional_den),
        trades=bar.trades,
        is_closed=True,
    )


def quote_volume_e8(bars: NDArray[np.void], instrument: Instrument) -> int:
    """S3's estimate over several base bars, each rounded down as its candle is."""
    num, den = instrument.notional_num, 4 * instrument.notional_den
    prices = (bars["open"] + bars["high"] + bars["low"] + bars["close"]).tolist()
    return sum(
        price * lots * num // den for price, lots in zip(prices, bars["volume_lots"].tolist(), strict=True)
    )


def _sums(values: NDArray[np.object_], starts: NDArray[np.int64]) -> list[int]:
    return [int(value) for value in np.add.reduceat(values, starts)]


def bar_event(symbol: str, row: np.void, frame_ns: int) -> Bar:
    """A row of BAR as the event that the engine takes; each bar of a feed has four prints."""
    ts_open_ns, opened, high, low, close, lots = row.item()
    return Bar(symbol, ts_open_ns, ts_open_ns + frame_ns, opened, high, low, close, lots, PRINTS_PER_BAR)


def bar_events(symbol: str, rows: NDArray[np.void], frame_ns: int) -> list[Bar]:
    """Rows of BAR as events."""
    return [
        Bar(symbol, ts_open_ns, ts_open_ns + frame_ns, opened, high, low, close, lots, PRINTS_PER_BAR)
        for ts_open_ns, opened, high, low, close, lots in rows.tolist()
    ]
