"""The bars that a piece of research runs on: recorded or generated, cut to the anchor that the daemon would have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.config import Settings
from bnml.core.clock import NS_PER_DAY, format_utc, frame_ns
from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument
from bnml.options import MarketOptions
from bnml.trading.filling import compile_costs
from bnml.venues.bar_tables import describe_gaps
from bnml.venues.history import load_history
from bnml.venues.sim.feed import STEPS_PER_BOUNDARY, BarFeed
from bnml.venues.sim.generated import GeneratedFeed
from bnml.venues.sim.pricing import Pricing

GENERATED_DAYS = 60
"""How much of the generated market is traded when no --to is given."""


class Market(msgspec.Struct, frozen=True):
    """Bars by symbol, each from its anchor on; those that open before `first_ns` are history.

    `notes` are sentences for the operator: what the data lack.
    """

    instruments: dict[str, Instrument]
    bars: dict[str, NDArray[np.void]]
    frame_ns: int
    first_ns: int
    notes: tuple[str, ...] = ()
    source: str = ""  # where the bars come from, in words

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(sorted(self.bars))

    @property
    def traded_bars(self) -> int:
        return sum(len(rows) - self.first_row(name) for name, rows in self.bars.items())

    @property
    def span(self) -> tuple[str, str]:
        """First and last moment that is traded, as text."""
        return format_utc(self.first_ns), format_utc(self.end_ns)

    @property
    def end_ns(self) -> int:
        """Closing time of the last bar."""
        return max(int(rows["ts_open_ns"][-1]) for rows in self.bars.values()) + self.frame_ns

    def first_row(self, symbol: str) -> int:
        """Index of the first bar that is traded."""
        return int(np.searchsorted(self.bars[symbol]["ts_open_ns"], self.first_ns))

    def only(self, symbol: str) -> Market:
        """The same market with one symbol."""
        return Market(
            {symbol: self.instruments[symbol]},
            {symbol: self.bars[symbol]},
            self.frame_ns,
            self.first_ns,
            source=self.source,
        )

    def feed(self, pricing: Pricing) -> BarFeed:
        """The market steps of these bars."""
        return BarFeed(self.instruments, self.bars, self.frame_ns, pricing, self.first_ns)


def load_market(
    settings: Settings, options: MarketOptions, anchors: Mapping[str, int] | None = None
) -> Market:
    """Recorded bars of `options.replay`, or the generated market; Misconfigured where there is nothing to trade.

    `anchors` (open time of the first bar fed, by symbol) come from a session; without them the anchor lies
    `features.history_bars` before the first traded bar, as the daemon fetches them.
    """
    length_ns = frame_ns(settings.features.base_frame)
    if options.replay is None:
        whole = _generated(settings, options, length_ns)
    else:
        whole = _recorded(settings, options, options.replay, length_ns)
    cut = {}
    for name, rows in whole.bars.items():
        start = whole.first_row(name) - settings.features.history_bars
        if anchors is not None and name in anchors:
            start = int(np.searchsorted(rows["ts_open_ns"], anchors[name]))
        cut[name] = rows[max(0, start) :]
    market = msgspec.structs.replace(whole, bars=cut)
    for name, rows in cut.items():
        if len(rows) - market.first_row(name) < 2:
            raise Misconfigured(
                f"{name} has fewer than two bars from {format_utc(whole.first_ns)} on; "
                "choose an earlier --from, a later --to, or other --symbols"
            )
    return market


def _recorded(settings: Settings, options: MarketOptions, folder: Path, length_ns: int) -> Market:
    found = load_history(folder, settings.universe.symbols, frame_ns=length_ns, to_ns=options.to_ns)
    if not all(len(one.bars) for one in found.values()):
        empty = ", ".join(name for name, one in found.items() if not len(one.bars))
        raise Misconfigured(f"{folder} has no bars of {empty} before --to; choose a later --to")
    first_ns = options.from_ns
    if first_ns is None:
        latest = max(int(one.bars["ts_open_ns"][0]) for one in found.values())
        first_ns = latest + settings.features.history_bars * length_ns
    return Market(
        {name: one.instrument for name, one in found.items()},
        {name: one.bars for name, one in found.items()},
        length_ns,
        first_ns,
        tuple(filter(None, map(describe_gaps, found.values()))),
        source="recorded bars",
    )


def _generated(settings: Settings, options: MarketOptions, length_ns: int) -> Market:
    """The first days of the generated market as recorded bars; without dates, from its own start."""
    feed = GeneratedFeed(settings.venue.sim.seed, Pricing(compile_costs(settings.costs)), frame_ns=length_ns)
    missing = sorted(set(settings.universe.symbols) - set(feed.instruments))
    if missing:
        raise Misconfigured(
            f"the generated market has no {', '.join(missing)}; it has {', '.join(feed.instruments)}"
        )
    symbols = settings.universe.symbols or tuple(feed.instruments)
    start_ns = int(feed.history(0)[symbols[0]]["ts_open_ns"][-1]) + length_ns
    first_ns = max(start_ns, options.from_ns or start_ns)
    to_ns = options.to_ns or first_ns + GENERATED_DAYS * NS_PER_DAY
    boundaries = max(2, (to_ns - start_ns) // length_ns)
    bars = feed.history(STEPS_PER_BOUNDARY * boundaries + 1)  # one more open publishes the last of them
    return Market(
        {name: feed.instruments[name] for name in symbols},
        {name: bars[name] for name in symbols},
        length_ns,
        first_ns,
        source=f"simulated: generated with seed {settings.venue.sim.seed}, a planted edge",
    )
