"""A world without a market: daily returns are drawn, their mean is a function of the point."""

import hashlib
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bnml.core.clock import NS_PER_DAY
from bnml.core.errors import Misconfigured
from bnml.research.grid import GridRequest, search_grid
from bnml.research.grid_axes import parse_axes, point
from bnml.research.grid_search import Chunk
from bnml.research.ledger import DataRange, TrialLedger
from bnml.research.overfit import BLOCKS

ROW = np.dtype(
    [
        ("combination", np.int64),
        ("trades", np.int64),
        ("final_equity_e8", np.int64),
        ("gross_profit_e8", np.int64),
        ("gross_loss_e8", np.int64),
        ("daily_mean", np.float64),
        ("daily_m2", np.float64),
        ("days", np.int64),
        ("daily_max_drawdown_ppm", np.int64),
    ]
)
INITIAL_E8 = 10**12
FROM_NS = 19_000 * NS_PER_DAY
AXES = parse_axes(["stop=1:6:1", "target=1:5:1"])


class StandIn:
    """One part of the days of a stand-in world."""

    dtype = ROW
    plan = ("loop", "it is a stand-in")

    def __init__(self, world, axes, from_ns, to_ns):
        self.world, self.axes, self.span = world, axes, (from_ns, to_ns)
        self.evaluated = 0

    def daily_returns(self, combination):
        first, last = ((ns - FROM_NS) // NS_PER_DAY for ns in self.span)
        drawn = np.random.default_rng(combination).normal(0.0, 0.01, self.world.days)
        return (drawn + self.world.mean(point(self.axes, combination)))[first:last]

    def evaluate(self, start, stop):
        rows = np.zeros(stop - start, dtype=ROW)
        sums, squares = np.zeros((2, stop - start, BLOCKS))
        for i, number in enumerate(range(start, stop)):
            self.world.before_each(number)
            returns = self.daily_returns(number)
            block = np.arange(len(returns)) * BLOCKS // len(returns)
            sums[i] = np.bincount(block, returns, BLOCKS)
            squares[i] = np.bincount(block, returns**2, BLOCKS)
            equity = INITIAL_E8 * np.cumprod(1.0 + returns)
            peak = np.maximum.accumulate(equity)
            gain, loss = returns[returns > 0].sum(), -returns[returns < 0].sum()
            mean = returns.mean()
            rows[i] = (
                number,
                len(returns) // 2,
                int(equity[-1]),
                int(gain * INITIAL_E8),
                int(loss * INITIAL_E8),
                mean,
                ((returns - mean) ** 2).sum(),
                len(returns),
                int(1e6 * np.max((peak - equity) / peak)),
            )
        self.evaluated += stop - start
        return Chunk(rows, sums, squares)


class StandInWorld:
    kind = "rule of the stand-in"
    names = ("stop", "target", "hold")
    refused = MappingProxyType({"seed": "is drawn elsewhere"})
    config_hash = "rules"
    initial_e8 = INITIAL_E8

    def __init__(self, mean=lambda _: 0.0, days=400, data_hash="data", before_each=lambda _: None):
        self.mean, self.days, self.data_hash, self.before_each = mean, days, data_hash, before_each
        self.data = DataRange(("BTCUSDT",), NS_PER_DAY // 24, FROM_NS, FROM_NS + days * NS_PER_DAY)
        self.made = []

    def check(self, axes):
        if any(value < 0 for values in axes.values() for value in values):
            raise Misconfigured("values below 0 are out of range")

    def plan(self, _axes):
        return StandIn.plan

    def evaluator(self, axes, from_ns, to_ns):
        self.made.append(StandIn(self, axes, from_ns, to_ns))
        return self.made[-1]


def hill(values):
    """A broad hill around stop 3, target 3."""
    return 0.004 * np.exp(-((values["stop"] - 3) ** 2 + (values["target"] - 3) ** 2) / 8.0)


def ask(folder, **more):
    return GridRequest(**({"axes": AXES, "folder": folder, "part": 7, "threads": 1} | more))


def bytes_of(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.parquet"))
    }


def main():
    """A grid slow enough to be interrupted: `grid_kit.py FOLDER resume|new`, says "begun" when it evaluates."""
    import signal  # noqa: PLC0415
    import time  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to it
    folder, how = Path(sys.argv[1]), sys.argv[2]

    def slow(number):
        if number == 9:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
        if how == "new":
            time.sleep(0.05)

    world = StandInWorld(hill, before_each=slow)
    search_grid(world, ask(folder, resume=how == "resume"), TrialLedger(folder.parent / "trials.db"))


if __name__ == "__main__":
    main()
