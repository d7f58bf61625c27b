"""Grids: combinations a second by tables of exits, and what a bar of a combination costs in the loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bnml.bench import hand
from bnml.bench.case import Effort, Figure, at_least, at_most, cpu_s, processor_s
from bnml.bench.inputs import FRAME_NS, given, rules_world
from bnml.bench.market import Walk, walk
from bnml.research.grid_engine import GridEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

BARS = 331_000
DENSE, SPARSE = 0.02, 0.001
LEVELS = 10
AXES = {
    "rules.hard_stop_ppm": np.linspace(4_000, 20_000, LEVELS).round().tolist(),
    "rules.target1_ppm": np.linspace(8_000, 40_000, LEVELS).round().tolist(),
    "rules.trail_ppm": np.linspace(6_000, 24_000, LEVELS).round().tolist(),
    "rules.time_stop_ns": [float(bars * FRAME_NS) for bars in range(60, 60 + 60 * LEVELS, 60)],
}
STEPPED = ("rules.hard_stop_ppm", "rules.time_stop_ns")


def tables(effort: Effort) -> list[Figure]:
    """10 x 10 x 10 x 10 combinations of stop, target, trailing distance and holding time; building the tables counts."""
    figures = []
    bars = effort.size(BARS, 100_000)
    for share, name, goal in ((DENSE, "dense", 4_500), (SPARSE, "sparse", 50_000)):
        made = walk(bars)
        entry = np.random.default_rng(13).random(bars) < share
        data, config = given(made, entry, np.zeros(bars, dtype=bool)), rules_world()
        count = effort.size(LEVELS**4, 2_000)
        GridEngine([data], config, AXES).evaluate(0, 10)  # compiles
        rates = []
        for _ in range(effort.rounds):
            before = processor_s()
            GridEngine([data], config, AXES).evaluate(0, count)
            rates.append(count / (processor_s() - before))
        (walked_s,) = cpu_s(effort, partial(_hand, made, entry))
        figures.append(
            at_least(
                goal,
                name=f"grid by tables, {name} signals, {bars // 1000}k bars",
                bnml=max(rates),
                yardstick=1 / walked_s,
                unit="combinations a second and core",
                against="a hand-written kernel that walks the bars",
            )
        )
    return figures


def loop(effort: Effort) -> list[Figure]:
    """Combinations that no table stands for: their stop moves in steps."""
    bars = effort.size(BARS, 100_000)
    made = walk(bars)
    entry = np.random.default_rng(13).random(bars) < DENSE
    data, config = given(made, entry, np.zeros(bars, dtype=bool)), rules_world()
    config.rules["trail_step_ppm"] = 100
    engine = GridEngine([data], config, {name: AXES[name] for name in STEPPED})
    count = engine.points.count
    product_s, hand_s = cpu_s(effort, partial(engine.evaluate, 0, count), partial(_hand, made, entry))
    return [
        at_most(
            3,
            name="grid by the loop, a bar of a combination",
            bnml=product_s / bars / count * 1e9,
            yardstick=hand_s / bars * 1e9,
            unit="ns",
            against="a hand-written kernel of the same work",
        )
    ]


def _hand(made: Walk, entry: NDArray[np.bool_]) -> None:
    hand.hand_final(made.open, made.high, made.low, entry, (hand.STOP, hand.TARGET, hand.TRAIL, hand.HOLD))
