"""Which way the combinations of a grid are evaluated, and what of them stands in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnml.kernels.fills import PPM
from bnml.kernels.records import LIMITS, RULES
from bnml.research.grid_points import Field, Part, Points
from bnml.research.grid_tables import CELL_BYTES, STOP_FIELDS, TRAIL_FIELDS
from bnml.research.sweep import SweepInput

ALWAYS_BAND_PPM = 1_000_000_000
"""A band of the time stop that holds every position worth less than 1001 times its cost."""
MOST_RISE = 900
"""So many times the lowest price, no position gets beyond that band."""
MOST_TABLE_BYTES = 1 << 30
PATH_FIELDS = ("trail_step_ppm", "time_stop_band_ppm", "dust_ppm")
"""Rules that no table stands for."""


class Plan(NamedTuple):
    """How combinations are evaluated: `tables` or `loop`, and why."""

    way: str
    why: str


class Columns:
    """What the combinations of a grid look up: one part of the fields for each rule, and the world they share."""

    def __init__(self, points: Points) -> None:
        self.stop = points.part(_rules(STOP_FIELDS))
        self.trail = points.part(_rules(TRAIL_FIELDS))
        self.hold = points.part(_rules(("time_stop_ns",)))
        self.targets = tuple(_target_part(points, number) for number in (1, 2))
        self.shares = points.part(_rules(("share1_ppm", "share2_ppm")))
        own: set[Field] = {f for part in (self.stop, self.trail, self.hold, self.shares) for f in part.fields}
        own |= {f for part in self.targets for f in part.fields}
        own |= set(_rules(PATH_FIELDS))
        changed = sorted(points.changed() - own)
        self.limits = points.part([field for field in changed if field[0] == "limits"])
        self.world = points.part([field for field in changed if field[0] != "limits"])
        self.exits = sorted(field for field in points.changed() & own if field[0] == "rules")
        """Rules of exits that some combination changes."""

    @property
    def variants(self) -> int:
        """Levels for which each entry has an exit."""
        return sum(len(part.points) for part in (self.stop, self.trail, self.hold, *self.targets))

    def target_rules(self) -> list[tuple[int, int, int]]:
        """TARGET_RULEs of the first and then of the second target."""
        stops = {point: number for number, point in enumerate(self.stop.points)}
        return [
            (point[0], point[1], stops[point[2:]] if len(point) > 2 else 0)
            for part in self.targets
            for point in part.points
        ]

    def share_rules(self) -> NDArray[np.void]:
        """RULES of the shares alone."""
        return _records(RULES, self.shares)

    def size_limits(self, base: NDArray[np.void]) -> NDArray[np.void]:
        """LIMITS by the points of `limits`."""
        return _records(LIMITS, self.limits, base)


def make_plan(inputs: Sequence[SweepInput], points: Points, columns: Columns) -> tuple[Plan, bool]:
    """Tables where every combination is left by levels, age and signals alone, else a loop.

    The second value says that one symbol with given opinions and no rules of risk is alone: its loop is one
    over what it holds.
    """
    if len(inputs) > 1:
        return Plan("loop", "the symbols share one capital"), False
    data = inputs[0]

    def of(record: str, name: str) -> list[int]:
        return [point[0] for point in points.part([(record, name)]).points]

    entries = 0 if data.opinions is None else len(data.opinions)
    has_band = any(of("rules", "time_stop_ns")) and min(of("rules", "time_stop_band_ppm")) < ALWAYS_BAND_PPM
    is_parted = any(shares != (PPM, 0) for shares in columns.shares.points)
    together = (
        (data.opinions is None, "opinions are not given"),
        (data.fast is not None, "exits are looked for in a faster frame"),
        (any(of("", "risk")), "the rules of risk look at the account"),
        (any(of("", "latency_bars")) or any(of("", "latency_ns")), "orders are late"),
        (min(of("limits", "max_positions")) < 1, "nothing may be bought"),
    )
    paths = (
        (any(of("rules", "trail_step_ppm")), "a stop that moves in steps depends on its path"),
        (any(of("rules", "dust_ppm")) and is_parted, "what is dust depends on the account"),
        (has_band, "the time stop looks at profit and loss"),
        (_rise(data) > MOST_RISE, f"the price rises more than {MOST_RISE} times"),
        (entries * columns.variants * CELL_BYTES > MOST_TABLE_BYTES, "the tables would not fit into memory"),
    )
    why = next((why for stands, why in (*together, *paths) if stands), "")
    if why:
        return Plan("loop", why), not any(stands for stands, _ in together)
    return Plan("tables", "each exit depends on its entry and its own levels"), True


def _rules(names: Sequence[str]) -> list[Field]:
    return [("rules", name) for name in names]


def _target_part(points: Points, number: int) -> Part:
    """A target depends on the stop as well if it is a multiple of its distance."""
    names = [f"target{number}_ppm", f"target{number}_r_ppm"]
    multiples = points.part(_rules(names[1:])).points
    return points.part(_rules([*names, *STOP_FIELDS] if multiples != [(0,)] else names))


def _records(dtype: np.dtype[np.void], part: Part, base: NDArray[np.void] | None = None) -> NDArray[np.void]:
    records = np.zeros(len(part.points), dtype)
    if base is not None:
        records[:] = base[0]
    for column, (_, name) in enumerate(part.fields):
        records[name] = [point[column] for point in part.points]
    return records


def _rise(data: SweepInput) -> float:
    return float(data.bars["high"].max() / max(1, data.bars["low"].min()))
