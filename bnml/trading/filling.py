"""Settings to fields of a kernel record: units, and the one record that every way of trading fills alike."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_HOUR
from bnml.kernels.records import COSTS, FillTier, record

Record = NDArray[np.void]


class CostTerms(Protocol):
    """What fills cost, as an operator writes it: in a configuration, or in a file of rules."""

    @property
    def tier(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def maker_bps(self) -> float: ...
    @property
    def taker_bps(self) -> float: ...
    @property
    def slippage_bps(self) -> float: ...
    @property
    def spread_floor_bps(self) -> float: ...
    @property
    def spread_range_bps_per_pct(self) -> float: ...
    @property
    def spread_cap_bps(self) -> float: ...
    @property
    def volume_share_pct(self) -> float: ...
    @property
    def touch_chance_pct(self) -> float: ...


def compile_costs(costs: CostTerms) -> Record:
    """What fills cost where they are simulated, and how spread follows from bars: `kernels.records.COSTS`."""
    return filled(
        COSTS,
        tier=int(FillTier[costs.tier]),
        seed=costs.seed,
        maker_ppm=from_bps(costs.maker_bps),
        taker_ppm=from_bps(costs.taker_bps),
        slippage_ppm=from_bps(costs.slippage_bps),
        spread_floor_ppm=from_bps(costs.spread_floor_bps),
        # bps per % = 100 ppm per 10,000 ppm of range
        spread_range_ppm=round(costs.spread_range_bps_per_pct * 10_000),
        spread_cap_ppm=from_bps(costs.spread_cap_bps),
        volume_share_ppm=from_percent(costs.volume_share_pct),
        touch_ppm=from_percent(costs.touch_chance_pct),
    )


def filled(dtype: np.dtype[np.void], **values: float) -> Record:
    """A record of one element with every field set; a field without a value is the caller's mistake."""
    made = record(dtype)
    missing = set(dtype.names or ()) - set(values)
    if missing:
        raise KeyError(f"no setting is compiled into {sorted(missing)}")
    for name, value in values.items():
        made[name] = value
    return made


def ppm(share: float) -> int:
    """A share, or a multiple, in millionths."""
    return round(share * 1_000_000)


def from_percent(percent: float) -> int:
    """Per cent in millionths."""
    return round(percent * 10_000)


def from_bps(bps: float) -> int:
    """Basis points in millionths."""
    return round(bps * 100)


def from_hours(hours: float) -> int:
    """Hours in nanoseconds."""
    return round(hours * NS_PER_HOUR)
