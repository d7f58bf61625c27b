"""A feed of bars with the detailed path: many trades a bar instead of four prints, and fills at the same prices.

Each bar keeps its prints at open, low, high and close, at their usual times; the trades between them lie strictly
between the ends of their leg and go its way, so that orders and stops meet their levels in the same leg, from the
same side and in the same order as by the four prints. Everything follows from (seed, symbol, open time of the bar).

A boundary has the five steps of `feed.BarFeed` and, in each of its three legs, some more that carry the trades
of their share of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from bnml.kernels import fills
from bnml.venues.sim.bar_detail import Counted, Detail, detail_of, trades_of
from bnml.venues.sim.feed import BEAT_NS, STEPS_PER_BOUNDARY
from bnml.venues.sim.messages import Print, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bnml.core.events import Bar
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.feed import Opening

SLOTS_PER_LEG: Final = 20
_MAIN_STEPS: Final = (0, 1, 2 + SLOTS_PER_LEG, 3 + 2 * SLOTS_PER_LEG, 4 + 3 * SLOTS_PER_LEG)
STEPS: Final = STEPS_PER_BOUNDARY + 3 * SLOTS_PER_LEG
"""Steps of a boundary."""
_SLOT_OF_PHASE: Final = (fills.SLOT_OPEN, -1, fills.SLOT_LOW, fills.SLOT_HIGH, fills.SLOT_CLOSE)
_NOT_COUNTED: Final = Counted()


class Bars(Protocol):
    """A feed of bars with four prints each."""

    @property
    def instruments(self) -> Mapping[str, Instrument]: ...

    @property
    def frame_ns(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def history(self, ordinal: int) -> dict[str, NDArray[np.void]]: ...

    def step(self, ordinal: int) -> Step | None: ...

    def openings(self, boundary: int) -> list[Opening]:
        """The bars that open at a boundary, by symbol."""
        ...


class DetailedFeed:
    """`mean` trades a bar, where `counted` does not know how many there were."""

    def __init__(
        self, bars: Bars, seed: int, mean: int, counted: Callable[[str, int], Counted] | None = None
    ) -> None:
        self._bars = bars
        self._mean = mean
        self._counted = counted
        self._keys = {name: (seed, int(fills.symbol_key(name))) for name in bars.instruments}
        self._details: dict[str, Detail] = {}
        self._boundary = -1
        self.fingerprint = f"{bars.fingerprint}:detailed:1:seed={seed}:trades={mean}"

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._bars.instruments

    @property
    def frame_ns(self) -> int:
        return self._bars.frame_ns

    def history(self, ordinal: int) -> dict[str, NDArray[np.void]]:
        """Bars published before step `ordinal`."""
        boundary, place = divmod(ordinal, STEPS)
        return self._bars.history(boundary * STEPS_PER_BOUNDARY + (place > 0))

    def step(self, ordinal: int) -> Step | None:
        """Step number `ordinal`; None after the last."""
        boundary, place = divmod(ordinal, STEPS)
        phase = sum(place >= main for main in _MAIN_STEPS) - 1  # of the last of the usual steps
        if place == _MAIN_STEPS[phase]:
            step = self._bars.step(boundary * STEPS_PER_BOUNDARY + phase)
            return None if step is None else self._usual(step, ordinal, boundary, phase)
        first = self._bars.step(boundary * STEPS_PER_BOUNDARY)
        if first is None:
            return None
        begin_ns, end_ns = self._slot(first.ts_ns, phase, place - _MAIN_STEPS[phase])
        prints = [
            printed
            for detail in self._of(boundary).values()
            for printed in detail.between
            if begin_ns < printed.ts_ns <= end_ns
        ]
        prints.sort(key=_moment)
        return Step(ordinal, end_ns, prints=tuple(prints))

    def _usual(self, step: Step, ordinal: int, boundary: int, phase: int) -> Step:
        details = self._of(boundary)
        slot = _SLOT_OF_PHASE[phase]
        prints = tuple(made for printed in step.prints for made in details[printed.symbol].main[slot])
        closed = tuple(msgspec.structs.replace(bar, trades=self._trades(bar)) for bar in step.closed_bars)
        return msgspec.structs.replace(step, ordinal=ordinal, prints=prints, closed_bars=closed)

    def _slot(self, boundary_ns: int, phase: int, number: int) -> tuple[int, int]:
        """Begin (exclusive) and end of a slot, from 1, of the leg after a phase; the last ends just before the print."""
        slot = max(_SLOT_OF_PHASE[phase], fills.SLOT_OPEN)
        leg_ns = int(fills.print_ts_ns(boundary_ns, self.frame_ns, slot))
        over_ns = int(fills.print_ts_ns(boundary_ns, self.frame_ns, slot + 1)) - 1
        first_ns = leg_ns + (min(BEAT_NS, (over_ns - leg_ns) // 2) if phase == 1 else 0)
        bounds = [first_ns + (over_ns - first_ns) * one // SLOTS_PER_LEG for one in (number - 1, number)]
        return (leg_ns - 1 if number == 1 else bounds[0]), bounds[1]

    def _of(self, boundary: int) -> dict[str, Detail]:
        """The details of the bars that open at a boundary."""
        if boundary != self._boundary:
            self._details = {one.symbol: self._detail(one.bar) for one in self._bars.openings(boundary)}
            self._boundary = boundary
        return self._details

    def _detail(self, bar: Bar) -> Detail:
        taker_lots = self._known(bar).taker_lots
        return detail_of(bar, self._trades(bar), taker_lots, self._keys[bar.symbol])

    def _trades(self, bar: Bar) -> int:
        return trades_of(bar, self._known(bar), self._mean, self._keys[bar.symbol])

    def _known(self, bar: Bar) -> Counted:
        return _NOT_COUNTED if self._counted is None else self._counted(bar.symbol, bar.ts_open_ns)


def _moment(printed: Print) -> tuple[int, str]:
    return printed.ts_ns, printed.symbol
