"""The row of a grid from an ordinary backtest: counts of its trades, and the figures of its days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_DAY
from bnml.kernels.grid_row import BLOCKS, GRID_ROW, OPENED, count_trades, judge_days
from bnml.research.sweep import SweepConfig, SweepInput, SweepResult


def row_of(
    result: SweepResult, inputs: Sequence[SweepInput], config: SweepConfig
) -> tuple[NDArray[np.void], NDArray[np.float64], NDArray[np.float64]]:
    """One GRID_ROW, summed daily returns by block, and their squares."""
    row = np.zeros(1, GRID_ROW)
    sums, squares = np.zeros(BLOCKS), np.zeros(BLOCKS)
    ordered = sorted(inputs, key=lambda data: data.instrument.symbol)
    instruments = np.concatenate([data.instrument_record for data in ordered])
    last_ns = np.array([int(data.bars["ts_open_ns"][-1]) + data.frame_ns for data in ordered])
    is_open = np.zeros(len(ordered), np.int64)
    for trade in result.open_at_end:
        is_open[[data.instrument.symbol for data in ordered].index(trade.symbol)] = 1
    opened = np.zeros(len(ordered), OPENED)
    count_trades(result.trade_rows, instruments, config.costs, is_open, last_ns, opened, row[0])
    marks = daily_marks(result)
    judge_days(marks, config.initial_quote_e8, np.empty(len(marks)), row[0], sums, squares)
    row["final_equity_e8"] = result.final_equity_e8
    return row, sums, squares


def daily_marks(result: SweepResult) -> NDArray[np.int64]:
    """Equity at the end of each UTC day: its last scan, for the last day the end of the run."""
    marks = result.equity_e8[day_ends(result.equity_ts_ns)]
    marks[-1] = result.final_equity_e8
    return marks


def day_ends(ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of the last of these ascending times in each UTC day; days without one have that of the day before."""
    days = ts_ns // NS_PER_DAY
    return np.searchsorted(days, np.arange(days[0], days[-1] + 1), side="right") - 1


def daily_returns(marks_e8: NDArray[np.int64], initial_e8: int) -> NDArray[np.float64]:
    """Returns of the days, as the row has them."""
    returns = np.empty(len(marks_e8))
    scratch = np.zeros(1, GRID_ROW), np.empty(BLOCKS), np.empty(BLOCKS)
    judge_days(marks_e8, initial_e8, returns, scratch[0][0], scratch[1], scratch[2])
    return returns
