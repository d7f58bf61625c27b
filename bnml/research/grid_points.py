"""Where the configurations of a grid differ: fields of records, and which axes change which of them.

Making a configuration from the values of all axes is dear, and there may be millions. Axes that change
different fields, whatever the others say, are made once for each of their values; axes that meddle with
each other are made together, once for each pair. That they do not meddle is tried out: each pair of
values of each pair of axes, and combinations drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnml.core.errors import Misconfigured
from bnml.research.sweep import SweepConfig

Configure = Callable[[Mapping[str, float]], SweepConfig]
"""The configuration of one combination, from the value of each axis."""
Field = tuple[str, str]
"""(record, field); record "" is the configuration itself."""

RECORDS = ("rules", "limits", "costs")
PLAIN = ("weights", "initial_quote_e8", "has_rule_strategy", "latency_bars", "latency_ns", "risk", "choice")
MOST_TOGETHER = 100_000
"""Most values that meddling axes have together."""
TRIED_PAIRS = 20
TRIED_POINTS = 64


@dataclass(frozen=True)
class Block:
    """Axes made together: their places among all axes, and the values of the fields that they change."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    values: dict[Field, list[object]]


@dataclass(frozen=True)
class Part:
    """Distinct values of some fields over the grid, and where a combination finds its own."""

    fields: tuple[Field, ...]
    blocks: tuple[int, ...]
    index: NDArray[np.int64]  # by the places in these blocks
    points: list[tuple[Any, ...]]  # of the fields, by `index`


def by_fields(config: SweepConfig) -> Configure:
    """Axes named by records and fields (`rules.hard_stop_ppm`) of a given configuration."""

    def configure(point: Mapping[str, float]) -> SweepConfig:
        records = {name: getattr(config, name).copy() for name in RECORDS}
        for axis, value in point.items():
            record, _, field = axis.partition(".")
            if record not in records or field not in (records[record].dtype.names or ()):
                raise Misconfigured(f"axis {axis}: there is no such field; write one as rules.hard_stop_ppm")
            records[record][field] = value
        return replace(config, **records)

    return configure


def fields_of(config: SweepConfig) -> dict[Field, object]:
    """Every number of a configuration by its field; of limits by symbol all of them."""
    found: dict[Field, object] = {("", name): getattr(config, name) for name in PLAIN}
    for name in RECORDS:
        record = getattr(config, name)
        for field in record.dtype.names:
            values = record[field].tolist()
            found[name, field] = values[0] if len(values) == 1 else tuple(values)
    return found


def with_fields(config: SweepConfig, values: Mapping[Field, object]) -> SweepConfig:
    """The configuration with other values of some fields."""
    records = {name: getattr(config, name).copy() for name in RECORDS}
    plain: dict[str, object] = {}
    for (record, field), value in values.items():
        if record:
            records[record][field] = value
        else:
            plain[field] = value
    return replace(config, **records, **plain)  # type: ignore[arg-type]


class Points:
    """The combinations of a grid as fields; combinations are numbered in row-major order of the axes.

    `untangled`: each axis is a field of its own, so nothing has to be tried out.
    """

    def __init__(
        self,
        configure: Configure,
        axes: Mapping[str, Sequence[float]],
        *,
        untangled: bool = False,
        seed: int = 0,
    ) -> None:
        self.names = tuple(axes)
        self.values = [tuple(values) for values in axes.values()]
        self.shape = tuple(len(values) for values in self.values)
        self.count = prod(self.shape)
        self._configure = configure
        self._base = (0,) * len(self.names)
        self.base = self._made(self._base)
        self._base_fields = fields_of(self.base)
        # Where each axis is a field of its own, none meddles with another.
        self.blocks = [self._block((a,)) for a in range(len(self.names))]
        if not untangled:
            self.blocks = self._untangled(np.random.default_rng(seed))

    def point(self, combination: int) -> dict[str, float]:
        """Value of each axis."""
        place = np.unravel_index(combination, self.shape)
        return {
            name: self.values[a][int(i)] for a, (name, i) in enumerate(zip(self.names, place, strict=True))
        }

    def config(self, combination: int) -> SweepConfig:
        """The configuration of a combination."""
        return self._made(tuple(int(i) for i in np.unravel_index(combination, self.shape)))

    def changed(self) -> set[Field]:
        """Fields that some combination changes."""
        return {field for block in self.blocks for field in block.values}

    def part(self, fields: Sequence[Field]) -> Part:
        """Distinct values of these fields."""
        used = tuple(b for b, block in enumerate(self.blocks) if any(f in block.values for f in fields))
        points: dict[tuple[Any, ...], int] = {}
        index = []
        for place in product(*(range(prod(self.blocks[b].shape)) for b in used)):
            at = dict(zip(used, place, strict=True))
            key = tuple(self._field(field, at) for field in fields)
            index.append(points.setdefault(key, len(points)))
        return Part(tuple(fields), used, np.array(index, dtype=np.int64), list(points))

    def places(self, numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """For each block, where combinations stand in it."""
        axes = np.unravel_index(numbers, self.shape)
        return [np.ravel_multi_index([axes[a] for a in block.axes], block.shape) for block in self.blocks]

    def column(self, field: Field, places: Sequence[NDArray[np.int64]]) -> NDArray[np.generic]:
        """The value of a field in each combination."""
        part = self.part([field])
        return np.array([point[0] for point in part.points])[self.of(part, places)]

    def of(self, part: Part, places: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """For each combination, which of the part's points it has."""
        if not part.blocks:
            return np.zeros(len(places[0]), dtype=np.int64)
        sizes = [prod(self.blocks[b].shape) for b in part.blocks]
        flat = np.ravel_multi_index([places[b] for b in part.blocks], sizes)
        return part.index[flat]

    def _field(self, field: Field, at: Mapping[int, int]) -> object:
        for b, place in at.items():
            if field in self.blocks[b].values:
                return self.blocks[b].values[field][place]
        return self._base_fields[field]

    def _made(self, place: Sequence[int]) -> SweepConfig:
        return self._configure(
            {name: self.values[a][i] for a, (name, i) in enumerate(zip(self.names, place, strict=True))}
        )

    def _block(self, axes: tuple[int, ...]) -> Block:
        shape = tuple(self.shape[a] for a in axes)
        if len(axes) > 1 and prod(shape) > MOST_TOGETHER:
            names = ", ".join(self.names[a] for a in axes)
            raise Misconfigured(
                f"the axes {names} change the same settings and have {prod(shape):,} values together, more "
                f"than {MOST_TOGETHER:,}; take fewer values"
            )
        made = [fields_of(self._made(self._at(axes, place))) for place in product(*map(range, shape))]
        names_changed = [f for f in self._base_fields if any(one[f] != self._base_fields[f] for one in made)]
        return Block(axes, shape, {field: [one[field] for one in made] for field in names_changed})

    def _at(self, axes: Sequence[int], place: Sequence[int]) -> tuple[int, ...]:
        whole = list(self._base)
        for axis, i in zip(axes, place, strict=True):
            whole[axis] = i
        return tuple(whole)

    def _untangled(self, random: np.random.Generator) -> list[Block]:
        blocks = list(self.blocks)
        while True:
            pair = next((pair for pair in combinations(blocks, 2) if self._meddle(*pair, random)), None)
            if pair is None:
                break
            blocks = [block for block in blocks if block not in pair]
            blocks.append(self._block(tuple(sorted(pair[0].axes + pair[1].axes))))
        self.blocks = blocks
        for number in random.integers(0, self.count, min(TRIED_POINTS, self.count)):
            if self._composed(int(number)) != fields_of(self.config(int(number))):
                return [self._block(tuple(range(len(self.names))))]
        return blocks

    def _meddle(self, one: Block, other: Block, random: np.random.Generator) -> bool:
        if one.values.keys() & other.values.keys():
            return True
        sizes = prod(one.shape), prod(other.shape)
        pairs = [(i, k) for i in _some(sizes[0], random) for k in _some(sizes[1], random)]
        for i, k in pairs:
            place = self._at(
                one.axes + other.axes,
                (*np.unravel_index(i, one.shape), *np.unravel_index(k, other.shape)),  # type: ignore[arg-type]
            )
            expected = self._base_fields | {f: v[i] for f, v in one.values.items()}
            expected |= {f: v[k] for f, v in other.values.items()}
            if fields_of(self._made(place)) != expected:
                return True
        return False

    def _composed(self, number: int) -> dict[Field, object]:
        found = dict(self._base_fields)
        for block, place in zip(self.blocks, self.places(np.array([number])), strict=True):
            found |= {field: values[int(place[0])] for field, values in block.values.items()}
        return found


def _some(size: int, random: np.random.Generator) -> list[int]:
    """All places, or the ends and a draw of the others."""
    if size <= TRIED_PAIRS:
        return list(range(size))
    return sorted({0, 1, size - 2, size - 1, *random.integers(0, size, TRIED_PAIRS - 4).tolist()})
