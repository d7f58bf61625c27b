"""Bars to market steps: the one time line that daemon, replay and sweep agree on.

At each boundary T (a time at which a bar of any symbol opens), five steps:

0. T: opens of the symbols with a bar opening now, as jumps; then book and closed candle of each of them
   whose previous bar is not yet published (after an outage that one is old).
1. T + 3 s: the beat, which only moves the clock.
2. T + frame/4, 3. T + frame/2, 4. T + frame - 1 ms: lows, highs, closes, continuous from print to print.

Bars that open before the start are history: published, never printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_S
from bnml.core.errors import Misconfigured
from bnml.core.events import Bar
from bnml.kernels import fills, plain
from bnml.venues.sim.klines import bar_events
from bnml.venues.sim.messages import Print, Step
from bnml.venues.sim.pricing import Quote, book_levels

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.pricing import Pricing

STEPS_PER_BOUNDARY = 5
BEAT_NS = 3 * NS_PER_S
_SLOT_OF_PHASE = (fills.SLOT_OPEN, -1, fills.SLOT_LOW, fills.SLOT_HIGH, fills.SLOT_CLOSE)
_PRICE_OF_SLOT = {
    fills.SLOT_OPEN: "open",
    fills.SLOT_LOW: "low",
    fills.SLOT_HIGH: "high",
    fills.SLOT_CLOSE: "close",
}
_LAST_SLOT_BEFORE = (fills.SLOT_CLOSE, fills.SLOT_OPEN, fills.SLOT_OPEN, fills.SLOT_LOW, fills.SLOT_HIGH)
_print_ts_ns = plain(fills.print_ts_ns)
_BLOCK_ROWS = 8192
"""Bars that become objects in one go; a feed enters its blocks in ascending order, so one is kept."""


class Opening(msgspec.Struct, frozen=True, gc=False):
    """A bar that opens at a boundary, and the one before it that is published then (`quote`: with its book)."""

    symbol: str
    bar: Bar
    before: Bar  # its predecessor, the bar itself if there is none
    quote: Quote | None  # None: nothing is published yet


class Feed(Protocol):
    """A market that can be entered at any step; the same ordinal always gives the same step."""

    @property
    def instruments(self) -> Mapping[str, Instrument]: ...

    @property
    def frame_ns(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Names this market in the ledger; another one must not continue it."""
        ...

    def history(self, ordinal: int) -> dict[str, NDArray[np.void]]:
        """Bars (kernels.records.BAR) published before step `ordinal`, by symbol."""
        ...

    def step(self, ordinal: int) -> Step | None:
        """Step number `ordinal`, from 0; None after the last."""
        ...


class BarFeed:
    """Bars in memory, all symbols in one frame; `start_ns` is the first open time that is printed."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        bars: Mapping[str, NDArray[np.void]],
        frame_ns: int,
        pricing: Pricing,
        start_ns: int,
        *,
        fingerprint: str = "bars",
    ) -> None:
        if not bars:
            raise Misconfigured("a feed of bars needs at least one symbol")
        self.instruments = {name: instruments[name] for name in sorted(bars)}
        self.frame_ns = frame_ns
        self.fingerprint = fingerprint
        self._pricing = pricing
        self._start_ns = start_ns
        self._bars: dict[str, NDArray[np.void]] = {}
        self._first: dict[str, int] = {}
        self.boundaries: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._block_size = max(1, _BLOCK_ROWS // len(bars))  # boundaries
        self._block_first = -1
        self._block: list[list[Opening]] = []
        self.set_bars(bars)

    def set_bars(self, bars: Mapping[str, NDArray[np.void]]) -> None:
        """Take a longer recording of the same market; what was served stays as it was."""
        self._bars = {name: bars[name] for name in self.instruments}
        opens = [rows["ts_open_ns"] for rows in self._bars.values()]
        self._first = {
            name: int(np.searchsorted(rows["ts_open_ns"], self._start_ns))
            for name, rows in self._bars.items()
        }
        printed = np.unique(np.concatenate(opens))
        self.boundaries = printed[np.searchsorted(printed, self._start_ns) :]
        self._block_first = -1

    def history(self, ordinal: int) -> dict[str, NDArray[np.void]]:
        """Bars published before step `ordinal`."""
        return {name: self.published(name, ordinal) for name in self._bars}

    def published(self, name: str, ordinal: int) -> NDArray[np.void]:
        """Bars of one symbol published before step `ordinal`."""
        boundary, phase = divmod(ordinal, STEPS_PER_BOUNDARY)
        opened = boundary + (phase > 0)  # boundaries whose opens were printed
        rows, count = self._bars[name], self._first[name]
        if opened:
            last_ns = self.boundaries[min(opened, len(self.boundaries)) - 1]
            count = max(count, int(np.searchsorted(rows["ts_open_ns"], last_ns, side="right")) - 1)
        return rows[:count]

    def last_print(self, name: str, ordinal: int) -> Print | None:
        """The symbol's last print before step `ordinal`; None before its first."""
        boundary, phase = divmod(ordinal, STEPS_PER_BOUNDARY)
        opened = min(boundary + (phase > 0), len(self.boundaries))
        if not opened:
            return None
        rows, last_ns = self._bars[name], int(self.boundaries[opened - 1])
        index = int(np.searchsorted(rows["ts_open_ns"], last_ns, side="right")) - 1
        if index < self._first[name]:
            return None
        (bar,) = bar_events(name, rows[index : index + 1], self.frame_ns)
        slot = _LAST_SLOT_BEFORE[phase] if bar.ts_open_ns == last_ns else fills.SLOT_CLOSE
        return self._print(bar, slot, _print_ts_ns(bar.ts_open_ns, self.frame_ns, slot))

    def step(self, ordinal: int, only: Collection[str] | None = None) -> Step | None:
        """Step number `ordinal`; None after the last. With `only`, other symbols neither print nor publish."""
        boundary, phase = divmod(ordinal, STEPS_PER_BOUNDARY)
        if boundary >= len(self.boundaries):
            return None
        boundary_ns = int(self.boundaries[boundary])
        if phase == 1:
            return Step(ordinal, boundary_ns + BEAT_NS, beat=True)
        slot = _SLOT_OF_PHASE[phase]
        ts_ns = _print_ts_ns(boundary_ns, self.frame_ns, slot)
        everything = self.openings(boundary)
        openings = everything
        if only is not None:
            openings = [one for one in everything if one.symbol in only] if only else []
        prints = tuple([self._print(one.bar, slot, ts_ns) for one in openings])
        if phase:
            return Step(ordinal, ts_ns, prints=prints)
        return Step(
            ordinal,
            ts_ns,
            prints=prints,
            books=tuple(book_levels(one.symbol, ts_ns, one.quote) for one in openings if one.quote),
            closed_bars=tuple(one.before for one in openings if one.quote),
            basis=tuple(one.before for one in everything if not one.quote),
        )

    def openings(self, boundary: int) -> list[Opening]:
        """The bars that open at a boundary, by symbol."""
        first = boundary - boundary % self._block_size
        if first != self._block_first:
            self._block = self._made(first)
            self._block_first = first
        return self._block[boundary - first]

    def _made(self, first: int) -> list[list[Opening]]:
        """A block of boundaries, from boundary `first` on."""
        times = self.boundaries[first : first + self._block_size]
        block: list[list[Opening]] = [[] for _ in times]
        for name, rows in self._bars.items():
            start, end = np.searchsorted(rows["ts_open_ns"], (times[0], times[-1] + 1)).tolist()
            if start == end:
                continue
            opening, before = rows[start:end], rows[np.maximum(np.arange(start, end) - 1, 0)]
            bars = bar_events(name, opening, self.frame_ns)
            befores = [*bar_events(name, before[:1], self.frame_ns), *bars[:-1]]
            quotes = self._pricing.books(self.instruments[name], opening["open"], before)
            unpublished = min(len(quotes), max(0, self._first[name] + 1 - start))
            known = [*[None] * unpublished, *quotes[unpublished:]]
            places = np.searchsorted(times, opening["ts_open_ns"]).tolist()
            for place, bar, last, quote in zip(places, bars, befores, known, strict=True):
                block[place].append(Opening(name, bar, last, quote))
        return block

    def _print(self, bar: Bar, slot: int, ts_ns: int) -> Print:
        price = getattr(bar, _PRICE_OF_SLOT[slot])
        lots = int(fills.print_lots(bar.volume_lots, slot))
        return Print(bar.symbol, price, lots, ts_ns, jump=slot == fills.SLOT_OPEN)
