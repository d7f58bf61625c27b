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

import numpy as np

from bnml.core.clock import NS_PER_S
from bnml.core.errors import Misconfigured
from bnml.kernels import fills
from bnml.venues.sim.klines import bar_event
from bnml.venues.sim.messages import Print, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnml.core.events import Bar
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

    def history(self, ordinal: int) -> dict[str, NDArray[np.void]]:
        """Bars published before step `ordinal`."""
        boundary, phase = divmod(ordinal, STEPS_PER_BOUNDARY)
        opened = boundary + (phase > 0)  # boundaries whose opens were printed
        published = {}
        for name, rows in self._bars.items():
            count = self._first[name]
            if opened:
                last_ns = self.boundaries[min(opened, len(self.boundaries)) - 1]
                count = max(count, int(np.searchsorted(rows["ts_open_ns"], last_ns, side="right")) - 1)
            published[name] = rows[:count]
        return published

    def step(self, ordinal: int) -> Step | None:
        """Step number `ordinal`; None after the last bar's close."""
        boundary, phase = divmod(ordinal, STEPS_PER_BOUNDARY)
        if boundary >= len(self.boundaries):
            return None
        boundary_ns = int(self.boundaries[boundary])
        if phase == 1:
            return Step(ordinal, boundary_ns + BEAT_NS, beat=True)
        slot = _SLOT_OF_PHASE[phase]
        rows = self._opening(boundary_ns)
        ts_ns = int(fills.print_ts_ns(boundary_ns, self.frame_ns, slot))
        prints = tuple(self._print(name, index, slot, ts_ns) for name, index in rows)
        if phase:
            return Step(ordinal, ts_ns, prints=prints)
        closed = tuple(self._bar(name, index - 1) for name, index in rows if index > self._first[name])
        basis = tuple(
            self._bar(name, max(index - 1, 0)) for name, index in rows if index <= self._first[name]
        )
        opened = {printed.symbol: printed.price_ticks for printed in prints}
        books = tuple(
            self._pricing.book(self.instruments[bar.symbol], opened[bar.symbol], bar, ts_ns) for bar in closed
        )
        return Step(ordinal, ts_ns, prints=prints, books=books, closed_bars=closed, basis=basis)

    def _opening(self, boundary_ns: int) -> list[tuple[str, int]]:
        """Symbols with a bar that opens at the boundary, and its row."""
        found = []
        for name, rows in self._bars.items():
            index = int(np.searchsorted(rows["ts_open_ns"], boundary_ns))
            if index < len(rows) and rows["ts_open_ns"][index] == boundary_ns:
                found.append((name, index))
        return found

    def _print(self, name: str, index: int, slot: int, ts_ns: int) -> Print:
        row = self._bars[name][index]
        price = int(row[_PRICE_OF_SLOT[slot]])
        lots = int(fills.print_lots(int(row["volume_lots"]), slot))
        return Print(name, price, lots, ts_ns, jump=slot == fills.SLOT_OPEN)

    def _bar(self, name: str, index: int) -> Bar:
        return bar_event(name, self._bars[name][index], self.frame_ns)
