"""Calls every entry point that `bnml compile` leaves out once: backtests, grids, statistics, indicators."""

import numpy as np

from bnml.bench.backtests import signals
from bnml.bench.grids import AXES
from bnml.bench.indicators import ours
from bnml.bench.inputs import given, one_capital, rules_world
from bnml.bench.market import walk
from bnml.bench.statistics import works
from bnml.kernels.indicator_row import SIX, new_six, six_batch
from bnml.research.grid_engine import GridEngine
from bnml.research.metrics import measure_rows
from bnml.research.sweep import sweep

BARS = 3_000


def main() -> None:
    """Small data: what is left is compiling."""
    made = walk(BARS)
    entry, leave = signals(BARS)
    data, config = given(made, entry, leave), rules_world()
    result = sweep([data], config)
    measure_rows(
        result.trade_rows,
        result.curve,
        data.instrument_record,
        initial_e8=config.initial_quote_e8,
        final_e8=result.final_equity_e8,
    )
    sweep(*one_capital(3, BARS))
    GridEngine([data], config, AXES).evaluate(0, 20)
    for _, _, product, _ in works(made.close, made.open, made.close - made.open):
        product()
    for indicator in ours(made).values():
        indicator()
    six_batch(new_six(), made.high, made.low, made.close, np.empty((BARS, len(SIX))))


if __name__ == "__main__":
    main()
