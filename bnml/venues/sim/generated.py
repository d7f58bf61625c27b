"""The generated market: a seeded feed of simulated bars that never ends (prices: `synthesis`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.core.clock import NS_PER_DAY, NS_PER_S
from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument
from bnml.kernels.records import BAR
from bnml.venues.sim.feed import STEPS_PER_BOUNDARY, BarFeed
from bnml.venues.sim.synthesis import Path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnml.venues.sim.feed import Opening
    from bnml.venues.sim.messages import Step
    from bnml.venues.sim.pricing import Pricing

QUARTER_HOUR_NS = 900 * NS_PER_S
HISTORY_DAYS = 150
MOST_HISTORY_BARS = 4_000_000
"""Of all symbols together, 200 MB; hundreds of symbols in short frames get fewer days."""
START_NS = 20_240 * NS_PER_DAY
"""Open time of the first printed bar: 2025-06-01. Fixed, so that a seed names one market for ever."""
CHUNK_BARS = 672
_YEAR_QUARTERS = 365 * 96


class Profile(NamedTuple):
    """A symbol of the generated market at its start; `quote_volume` is usual for 15 minutes."""

    base: str
    price: float
    tick_e8: int
    lot_e8: int
    volatility: float  # a year
    beta: float  # correlation with the common factor
    quote_volume: float


PROFILES = (
    Profile("ADA", 0.70, 10_000, 10_000_000, 0.95, 0.68, 3.0e6),
    Profile("BNB", 650.0, 1_000_000, 100_000, 0.70, 0.60, 4.0e6),
    Profile("BTC", 68_000.0, 1_000_000, 1_000, 0.60, 0.85, 2.0e7),
    Profile("DOGE", 0.19, 1_000, 100_000_000, 1.10, 0.66, 4.0e6),
    Profile("ETH", 3_500.0, 1_000_000, 10_000, 0.75, 0.82, 1.2e7),
    Profile("LTC", 95.0, 1_000_000, 100_000, 0.85, 0.55, 2.0e6),
    Profile("SOL", 170.0, 1_000_000, 100_000, 1.05, 0.70, 8.0e6),
    Profile("XRP", 0.62, 10_000, 10_000_000, 0.90, 0.58, 6.0e6),
)


def profiles(count: int = len(PROFILES)) -> tuple[Profile, ...]:
    """The eight named symbols, then as many numbered ones as asked for, alike but not equal."""
    more = tuple(
        Profile(
            f"SIM{number:03d}",
            1.0 + number % 37,
            10_000,
            1_000_000,
            0.7 + (number % 9) / 20,
            0.4 + (number % 5) / 10,
            2e6,
        )
        for number in range(1, count - len(PROFILES) + 1)
    )
    return (PROFILES + more)[:count]


class GeneratedFeed:
    """Bars of `synthesis` as a Feed; `history_days` of them lie before the first step."""

    def __init__(
        self,
        seed: int,
        pricing: Pricing,
        *,
        symbols: tuple[Profile, ...] = PROFILES,
        frame_ns: int = QUARTER_HOUR_NS,
        history_days: float = HISTORY_DAYS,
        start_ns: int = START_NS,
    ) -> None:
        if start_ns % frame_ns:
            raise Misconfigured("the generated market must start on a multiple of its frame")
        self._profiles = symbols
        self._frame_ns = frame_ns
        self._history_bars = min(
            int(history_days * NS_PER_DAY) // frame_ns, MOST_HISTORY_BARS // len(symbols)
        )
        self._first_ns = start_ns - self._history_bars * frame_ns
        scale = np.sqrt(frame_ns / QUARTER_HOUR_NS / _YEAR_QUARTERS)
        self._path = Path(
            seed,
            np.array([profile.price for profile in symbols]),
            np.array([profile.volatility for profile in symbols]) * scale,
            np.array([profile.beta for profile in symbols]),
        )
        self._count = 0
        made = {profile.base + "USDT": _instrument(profile) for profile in symbols}
        self._bars = {name: np.zeros(0, dtype=BAR) for name in made}
        self.fingerprint = f"generated:1:seed={seed}:symbols={len(symbols)}:frame={frame_ns}:days={history_days}:start={start_ns}"
        self._extend(self._history_bars + 2)
        self._feed = BarFeed(made, self._bars, frame_ns, pricing, start_ns, fingerprint=self.fingerprint)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._feed.instruments

    @property
    def frame_ns(self) -> int:
        return self._frame_ns

    def history(self, ordinal: int) -> dict[str, NDArray[np.void]]:
        """Bars published before step `ordinal`."""
        self._reach(ordinal)
        return self._feed.history(ordinal)

    def step(self, ordinal: int) -> Step | None:
        """Step number `ordinal`; there is always one."""
        self._reach(ordinal)
        return self._feed.step(ordinal)

    def openings(self, boundary: int) -> list[Opening]:
        """The bars that open at a boundary, by symbol."""
        self._reach(boundary * STEPS_PER_BOUNDARY)
        return self._feed.openings(boundary)

    def _reach(self, ordinal: int) -> None:
        needed = self._history_bars + ordinal // STEPS_PER_BOUNDARY + 1
        if needed > self._count:
            self._extend(needed)
            self._feed.set_bars(self._bars)

    def _extend(self, bars: int) -> None:
        """Generate whole chunks until at least `bars` bars exist."""
        made: dict[str, list[NDArray[np.void]]] = {name: [rows] for name, rows in self._bars.items()}
        while self._count < bars:
            prices, volumes = self._path.chunk(CHUNK_BARS)
            opens = self._first_ns + (self._count + np.arange(CHUNK_BARS)) * self._frame_ns
            for index, (name, profile) in enumerate(zip(made, self._profiles, strict=True)):
                scale = self._frame_ns / QUARTER_HOUR_NS
                rows = _integer_bars(profile, opens, prices[:, :, index], volumes[:, index] * scale)
                made[name].append(rows)
            self._count += CHUNK_BARS
        self._bars = {name: np.concatenate(parts) for name, parts in made.items()}


def _integer_bars(
    profile: Profile, opens: NDArray[np.int64], prices: NDArray[np.float64], volumes: NDArray[np.float64]
) -> NDArray[np.void]:
    """Bars in ticks and lots; high and low hold open and close after rounding too."""
    ticks = np.maximum(1, np.rint(prices * (1e8 / profile.tick_e8))).astype(np.int64)
    bars = np.zeros(len(opens), dtype=BAR)
    bars["ts_open_ns"] = opens
    bars["open"], bars["close"] = ticks[:, 0], ticks[:, 3]
    bars["high"] = ticks.max(axis=1)
    bars["low"] = ticks.min(axis=1)
    base = volumes * profile.quote_volume / profile.price
    bars["volume_lots"] = np.maximum(4, np.rint(base * (1e8 / profile.lot_e8)))
    return bars


def _instrument(profile: Profile) -> Instrument:
    return Instrument(
        symbol=profile.base + "USDT",
        base=profile.base,
        quote="USDT",
        tick_e8=profile.tick_e8,
        lot_e8=profile.lot_e8,
    )
