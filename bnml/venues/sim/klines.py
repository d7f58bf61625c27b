"""The candles of one symbol that the market has published so far, in the base frame, and sums of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from bnml.core.events import Bar
from bnml.core.instrument import E8
from bnml.kernels.records import BAR
from bnml.venues.sim.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument


PRINTS_PER_BAR = 4
_INT64_MAX = 2**63 - 1

DETAIL = np.dtype(
    [
        ("trades", np.int64),
        ("quote_e8", np.int64),
        ("taker_lots", np.int64),  # bought by takers
        ("taker_quote_e8", np.int64),
        ("first_id", np.int64),  # -1: the trades are not known
        ("last_id", np.int64),
    ]
)
"""What a candle tells besides the fields of BAR."""


class Kline(msgspec.Struct, frozen=True, gc=False):
    """One candle of any frame; `is_closed` is False for the running one."""

    open_ns: int
    close_ns: int  # exclusive; the wire shows the millisecond before
    open: int
    high: int
    low: int
    close: int
    volume_lots: int
    quote_volume_e8: int  # of its trades; of history: volume x (open + high + low + close) / 4
    trades: int
    is_closed: bool
    taker_lots: int = 0
    taker_quote_e8: int = 0
    first_id: int = -1
    last_id: int = -1


class Rows(NamedTuple):
    """Base candles with their details, ascending."""

    bars: NDArray[np.void]
    details: NDArray[np.void]


class KlineStore:
    """Grows by appending; history given at the start counts as published, its details are estimates."""

    def __init__(self, frame_ns: int, history: NDArray[np.void], instrument: Instrument) -> None:
        self.frame_ns = frame_ns
        self._instrument = instrument
        self._count = len(history)
        self._bars = np.zeros(max(1024, 2 * self._count), dtype=BAR)
        self._bars[: self._count] = history
        self._unseen = self._count  # candles without kept details
        self._details = np.zeros(1024, dtype=DETAIL)

    def __len__(self) -> int:
        return self._count

    @property
    def bars(self) -> NDArray[np.void]:
        """All published bars, ascending (a view)."""
        return self._bars[: self._count]

    @property
    def last_open_ns(self) -> int:
        """Open time of the last published bar; -1 without any."""
        return int(self._bars["ts_open_ns"][self._count - 1]) if self._count else -1

    def append(self, bar: Bar, detail: tuple[int, ...]) -> bool:
        """Publish one closed bar with the values of DETAIL; one that is not later than the last is ignored."""
        if self._count and bar.ts_open_ns <= self._bars["ts_open_ns"][self._count - 1]:
            return False
        if self._count == len(self._bars):
            self._bars = np.concatenate([self._bars, np.zeros(self._count, dtype=BAR)])
        row = (bar.ts_open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume_lots)
        self._bars[self._count] = row
        place = self._count - self._unseen
        if place == len(self._details):
            self._details = np.concatenate([self._details, np.zeros(place, dtype=DETAIL)])
        self._details[place] = tuple(min(value, _INT64_MAX) for value in detail)
        self._count += 1
        return True

    def extend(self, rows: NDArray[np.void]) -> None:
        """Publish bars that follow the last one, many at once, whose trades nobody saw."""
        count = self._count + len(rows)
        if count > len(self._bars):
            self._bars = np.concatenate([self.bars, np.zeros(2 * count - self._count, dtype=BAR)])
        self._bars[self._count : count] = rows
        place = self._count - self._unseen
        if place + len(rows) > len(self._details):
            more = np.zeros(place + 2 * len(rows), dtype=DETAIL)
            self._details = np.concatenate([self._details[:place], more])
        self._details[place : place + len(rows)] = estimates(rows, self._instrument)
        self._count = count

    def window(self, start_ns: int, end_ns: int) -> Rows:
        """Bars that open in [start, end)."""
        opens = self.bars["ts_open_ns"]
        return self.rows(int(np.searchsorted(opens, start_ns)), int(np.searchsorted(opens, end_ns)))

    def rows(self, first: int, last: int) -> Rows:
        """Bars number `first` to before `last`."""
        bars = self._bars[first:last]
        known = max(self._unseen, first)
        kept = self._details[known - self._unseen : max(last, known) - self._unseen]
        if first >= self._unseen:
            return Rows(bars, kept)
        guessed = estimates(self._bars[first : min(last, self._unseen)], self._instrument)
        return Rows(bars, np.concatenate([guessed, kept]))


def estimates(bars: NDArray[np.void], instrument: Instrument) -> NDArray[np.void]:
    """Details of bars whose trades nobody saw: four prints, a quarter of the volume at each price of the bar."""
    made = np.zeros(len(bars), dtype=DETAIL)
    made["trades"] = PRINTS_PER_BAR
    made["first_id"] = made["last_id"] = -1
    if len(bars):
        made["quote_e8"] = _estimated_quotes(bars, instrument)
    return made


def _estimated_quotes(bars: NDArray[np.void], instrument: Instrument) -> NDArray[np.int64] | list[int]:
    """Each rounded down; through Python's integers where the product may not fit into 64 bits."""
    num, den = instrument.notional_num, 4 * instrument.notional_den
    four = bars["open"] + bars["high"] + bars["low"] + bars["close"]
    volumes = bars["volume_lots"]
    if int(four.max()) * max(int(volumes.max()), 1) * num <= _INT64_MAX:
        quotes: NDArray[np.int64] = four * volumes * num // den
        return quotes
    return [
        min(prices * lots * num // den, _INT64_MAX)
        for prices, lots in zip(four.tolist(), volumes.tolist(), strict=True)
    ]


def estimate_of(bar: Bar, instrument: Instrument) -> tuple[int, ...]:
    """Details of one bar whose trades nobody saw."""
    four_prices = bar.open + bar.high + bar.low + bar.close
    value = four_prices * bar.volume_lots * instrument.notional_num // (4 * instrument.notional_den)
    return bar.trades, value, 0, 0, -1, -1


def frame_start(ts_ns: int, frame_ns: int) -> int:
    """Open time of the candle that holds `ts_ns`; weeks start on Monday."""
    return Interval(frame_ns).start(ts_ns)


def merge(rows: Rows, interval: Interval, now_ns: int) -> list[Kline]:
    """Candles of an interval made of base bars; one whose end lies after `now_ns` is not closed."""
    bars, details = rows
    if len(bars) == 0:
        return []
    opens = interval.starts(bars["ts_open_ns"])
    starts = np.flatnonzero(np.concatenate([[True], opens[1:] != opens[:-1]]))
    ends = np.append(starts[1:], len(bars))
    highs = np.maximum.reduceat(bars["high"], starts).tolist()
    lows = np.minimum.reduceat(bars["low"], starts).tolist()
    volumes = np.add.reduceat(bars["volume_lots"], starts).tolist()
    trades = np.add.reduceat(details["trades"], starts).tolist()
    taken = np.add.reduceat(details["taker_lots"], starts).tolist()
    quotes = money_sums(details["quote_e8"], starts)
    taken_quotes = money_sums(details["taker_quote_e8"], starts)
    return [
        Kline(
            open_ns=open_ns,
            close_ns=interval.end(open_ns),
            open=int(bars["open"][first]),
            high=highs[i],
            low=lows[i],
            close=int(bars["close"][last - 1]),
            volume_lots=volumes[i],
            quote_volume_e8=quotes[i],
            trades=trades[i],
            is_closed=interval.end(open_ns) <= now_ns,
            taker_lots=taken[i],
            taker_quote_e8=taken_quotes[i],
            first_id=first_id(details[first:last]),
            last_id=int(details["last_id"][last - 1]),
        )
        for i, (first, last, open_ns) in enumerate(zip(starts, ends, opens[starts].tolist(), strict=True))
    ]


def money_sums(amounts_e8: NDArray[np.int64], starts: NDArray[np.int64]) -> list[int]:
    """Sums of amounts from each start to the next; a month of a large market does not fit into 64 bits."""
    whole = np.add.reduceat(amounts_e8 // E8, starts).tolist()
    rest = np.add.reduceat(amounts_e8 % E8, starts).tolist()
    return [units * E8 + parts for units, parts in zip(whole, rest, strict=True)]


def first_id(details: NDArray[np.void]) -> int:
    """The first trade id that is known."""
    known = np.flatnonzero(details["first_id"] >= 0)
    return int(details["first_id"][known[0]]) if len(known) else -1


def kline_of(bar: Bar, detail: tuple[int, ...]) -> Kline:
    """One closed base bar as a candle; the same numbers as `merge` of that bar alone."""
    trades, quote_e8, taker_lots, taker_quote_e8, first, last = detail
    return Kline(
        open_ns=bar.ts_open_ns,
        close_ns=bar.ts_close_ns,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume_lots=bar.volume_lots,
        quote_volume_e8=quote_e8,
        trades=trades,
        is_closed=True,
        taker_lots=taker_lots,
        taker_quote_e8=taker_quote_e8,
        first_id=first,
        last_id=last,
    )


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
