"""All combinations of a grid: by tables of exits, where one costs its trades, else by the backtest loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnml.core.errors import Misconfigured
from bnml.kernels.exit_tables import NEVER, SIZE, Market, Tables, new_tables
from bnml.kernels.grid import run_combinations
from bnml.kernels.grid_follow import Course
from bnml.kernels.grid_held import HELD, PIECE, TRANCHES
from bnml.kernels.grid_row import BLOCKS, GRID_ROW
from bnml.kernels.grid_trade import COMBINATION, Account, is_whole
from bnml.kernels.grid_tranches import new_memory
from bnml.kernels.grid_walk import run_all_walked
from bnml.kernels.records import Taking
from bnml.kernels.stretches import STRETCH
from bnml.research.grid_plan import Columns, Plan, make_plan
from bnml.research.grid_points import Configure, Points, by_fields, with_fields
from bnml.research.grid_row import daily_marks, daily_returns, day_ends, row_of
from bnml.research.grid_search import Chunk
from bnml.research.grid_tables import find_entries, make_market, make_stretches, make_tables, make_variants
from bnml.research.sweep import SweepConfig, SweepInput, sweep
from bnml.research.thoughts import Thoughts

WORLDS_KEPT = 4
"""Tables kept, of different worlds: axes that are no exits, such as costs, have one each."""
SIDE_BY_SIDE = 128
"""Combinations that go through the bars together; their state must fit into the cache beside the bars."""


class _World(NamedTuple):
    """What combinations with equal fields beside exits and sizes share."""

    market: Market
    account: Account
    tables: Tables
    trail_places: NDArray[np.int64]
    stretches: tuple[NDArray[np.void], NDArray[np.int64]]  # and `span_lows`; empty where tables do

    def scratch(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Room for the marks and the returns of one combination."""
        days = len(self.account.day_bars) - 1
        return np.empty(days, np.int64), np.empty(days)


def run_grid(
    inputs: Sequence[SweepInput],
    config: SweepConfig | Configure,
    axes: Mapping[str, Sequence[float]],
    start: int,
    stop: int,
) -> Chunk:
    """Rows of the combinations `start` to before `stop`, in row-major order of the axes, and their block sums.

    Axes of a SweepConfig are named by records and fields (`rules.hard_stop_ppm`); a function makes the
    configuration of the point it is given.
    """
    return GridEngine(inputs, config, axes).evaluate(start, stop)


def plan(
    inputs: Sequence[SweepInput], config: SweepConfig | Configure, axes: Mapping[str, Sequence[float]]
) -> Plan:
    """The way that the combinations of these axes are evaluated."""
    return GridEngine(inputs, config, axes).plan


def single(inputs: Sequence[SweepInput], config: SweepConfig, thoughts: Thoughts | None = None) -> Chunk:
    """The row of one configuration by the ordinary backtest: what its row in any grid equals bit for bit."""
    row, sums, squares = row_of(sweep(inputs, config, thoughts), inputs, config)
    return Chunk(row, sums[np.newaxis], squares[np.newaxis])


class GridEngine:
    """Evaluates the combinations of one grid; several threads may ask at once."""

    def __init__(
        self,
        inputs: Sequence[SweepInput],
        config: SweepConfig | Configure,
        axes: Mapping[str, Sequence[float]],
    ) -> None:
        if isinstance(config, SweepConfig):
            self.points = Points(by_fields(config), axes, untangled=True)
        else:
            self.points = Points(config, axes)
        self._inputs = tuple(inputs)
        self._columns = Columns(self.points)
        self._worlds: OrderedDict[int, _World] = OrderedDict()
        self._lock = Lock()
        self.thoughts = Thoughts()
        self.plan, self.is_alone = make_plan(self._inputs, self.points, self._columns)
        if self.is_alone:  # with others each symbol has limits of its own
            self._shares = self._columns.share_rules()
            self._limits = self._columns.size_limits(self.points.base.limits)

    @property
    def dtype(self) -> np.dtype[np.void]:
        return GRID_ROW

    def evaluate(self, start: int, stop: int) -> Chunk:
        """The combinations from `start` to before `stop`."""
        if not 0 <= start <= stop <= self.points.count:
            raise Misconfigured(
                f"there are no combinations {start} to {stop}; the grid has {self.points.count:,}"
            )
        made = Chunk(
            np.zeros(stop - start, GRID_ROW),
            np.zeros((stop - start, BLOCKS)),
            np.zeros((stop - start, BLOCKS)),
        )
        if self.plan.way == "tables":
            self._look_up(start, made)
        elif self.is_alone:
            self._follow(start, made)
        else:
            self._walk(start, made)
        return made

    def daily_returns(self, combination: int) -> NDArray[np.float64]:
        """Daily marked returns of one combination, by the ordinary backtest."""
        config = self.points.config(combination)
        result = sweep(self._inputs, config, self.thoughts)
        return daily_returns(daily_marks(result), config.initial_quote_e8)

    def _walk(self, start: int, made: Chunk) -> None:
        """Each combination by the ordinary backtest."""
        for i in range(len(made.rows)):
            one = single(self._inputs, self.points.config(start + i), self.thoughts)
            made.rows[i], made.sums[i], made.squares[i] = one.rows[0], one.sums[0], one.squares[0]
            made.rows["combination"][i] = start + i

    def _look_up(self, start: int, made: Chunk) -> None:
        """Each combination by its exits in the tables."""
        columns, points = self._columns, self.points
        chosen = np.zeros(len(made.rows), COMBINATION)
        chosen["combination"] = np.arange(start, start + len(made.rows))
        places = points.places(chosen["combination"])
        chosen["stop"] = points.of(columns.stop, places)
        chosen["target1"] = points.of(columns.targets[0], places)
        chosen["target2"] = points.of(columns.targets[1], places) + len(columns.targets[0].points)
        chosen["hold"] = points.of(columns.hold, places)
        chosen["rules"] = points.of(columns.shares, places)
        chosen["limits"] = points.of(columns.limits, places)
        trails = points.of(columns.trail, places)
        for world, mine in self._by_world(places):
            one = chosen[mine]
            one["trail"] = world.trail_places[trails[mine]]
            shared = (self._shares, self._limits, world.market, world.account, world.tables)
            own = Chunk(made.rows[mine], made.sums[mine], made.squares[mine])
            run_combinations(one, *shared, new_memory(), *world.scratch(), own.rows, own.sums, own.squares)
            made.rows[mine], made.sums[mine], made.squares[mine] = own

    def _follow(self, start: int, made: Chunk) -> None:
        """Each combination by what it holds, bar by bar."""
        columns, points = self._columns, self.points
        made.rows["combination"] = np.arange(start, start + len(made.rows))
        places = points.places(made.rows["combination"])
        limits = points.of(columns.limits, places)
        for world, mine in self._by_world(places):
            rules = np.repeat(world.market.rules, len(mine))
            for field in columns.exits:
                rules[field[1]] = points.column(field, places)[mine]
            days, together = len(world.account.day_bars) - 1, min(len(mine), SIDE_BY_SIDE)
            tables, own = world.tables, Chunk(made.rows[mine], made.sums[mine], made.squares[mine])
            run_all_walked(
                made.rows["combination"][mine],
                limits[mine],
                rules,
                self._limits,
                world.market,
                world.account,
                Course(tables.entries, tables.origins, tables.next_entry, *world.stretches),
                np.zeros(1, SIZE),
                np.zeros(together, HELD),
                np.zeros((together, TRANCHES), PIECE),
                np.empty((together, days), np.int64),
                np.empty(days),
                own.rows,
                own.sums,
                own.squares,
            )
            made.rows[mine], made.sums[mine], made.squares[mine] = own

    def _by_world(self, places: list[NDArray[np.int64]]) -> Iterator[tuple[_World, NDArray[np.int64]]]:
        """Worlds, and which combinations are in each."""
        worlds = self.points.of(self._columns.world, places)
        for number in np.unique(worlds):
            yield self._world(int(number)), np.flatnonzero(worlds == number)

    def _world(self, number: int) -> _World:
        with self._lock:
            if number not in self._worlds:
                self._worlds[number] = self._made(number)
            self._worlds.move_to_end(number)
            if len(self._worlds) > WORLDS_KEPT:
                self._worlds.popitem(last=False)
            return self._worlds[number]

    def _made(self, number: int) -> _World:
        columns, data = self._columns, self._inputs[0]
        fields = dict(zip(columns.world.fields, columns.world.points[number], strict=True))
        config = with_fields(self.points.base, fields)
        market = make_market(data, config)
        closes_ns = data.bars["ts_open_ns"][data.first : -1] + data.frame_ns
        days = np.append(data.first + day_ends(closes_ns), NEVER)
        days[-2] = len(data.bars) - 1  # the last day is marked at the end of the data
        taking = int(config.rules["entry_taking"][0]) or int(Taking.FOK)
        account = Account(config.initial_quote_e8, taking, days)
        if self.plan.way != "tables":
            nothing, places = make_variants((), (), (), (), ends_at_target=False)
            tables = new_tables(*find_entries(data, market), nothing)
            return _World(market, account, tables, places, make_stretches(market))
        variants, places = make_variants(
            columns.stop.points,
            columns.target_rules(),
            columns.trail.points,
            [point[0] for point in columns.hold.points],
            ends_at_target=all(is_whole(rules) for rules in self._shares),
        )
        nothing_passed = np.empty(0, STRETCH), np.empty(0, np.int64)
        return _World(market, account, make_tables(data, market, variants), places, nothing_passed)
