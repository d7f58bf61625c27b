"""The edge floor of a run from what a run leaves: trades, equity points, bars; see `kernels.edge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_DAY
from bnml.core.instrument import E8, Instrument
from bnml.core.orders import Side
from bnml.kernels import edge as kernel
from bnml.research.metrics import daily_returns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bnml.core.outcomes import Trade


class EdgeFloor(msgspec.Struct, frozen=True):
    """All in % of equity per year: `percent` = 5 % lower bound of net - benchmark, less `deflation`."""

    percent: float
    net: float
    benchmark: float  # holding each symbol with the run's mean exposure to it
    excess: float  # net - benchmark
    deflation: float  # what the best of so many trials without an edge would show
    trials: int
    days: int

    @property
    def is_shown(self) -> bool:
        """Whether anything was earned that chance, market and search do not explain."""
        return self.percent > 0.0

    @property
    def text(self) -> str:
        """The figure, or that there is none."""
        return f"{self.percent:+.1f} % of equity a year" if self.is_shown else "no edge shown"


class Traded(msgspec.Struct, frozen=True):
    """A symbol of a run: its instrument and the BAR records it was traded on, history before them allowed."""

    instrument: Instrument
    bars: NDArray[np.void]
    frame_ns: int

    @property
    def closes_ns(self) -> NDArray[np.int64]:
        closes: NDArray[np.int64] = self.bars["ts_open_ns"] + self.frame_ns
        return closes


def edge_floor(
    trades: Sequence[Trade],
    rows: NDArray[np.void],
    symbols: Mapping[str, Traded],
    *,
    initial_e8: int,
    final_e8: int,
    trials: int = 1,
) -> EdgeFloor:
    """The edge floor of a run; `rows` are its EQUITY_ROW records, `final_e8` marks what is still open.

    Days are those of `metrics.daily_returns`; a symbol's first is measured from its last close at or
    before the first point, its last ends with the last bar. Without points nothing is shown.
    """
    names = sorted(symbols)
    returns = daily_returns(rows, initial_e8, final_e8)
    market = np.empty((len(returns), len(names)))
    exposures = np.zeros(len(names))
    for k, name in enumerate(names):
        if len(returns):
            market[:, k] = _market_returns(symbols[name], rows)
            exposures[k] = mean_exposure([one for one in trades if one.symbol == name], symbols[name], rows)
    found = kernel.edge_floor(returns, market, exposures, trials)
    return EdgeFloor(
        percent=100.0 * found.floor,
        net=100.0 * found.net,
        benchmark=100.0 * found.benchmark,
        excess=100.0 * found.excess,
        deflation=100.0 * found.shift,
        trials=trials,
        days=found.days,
    )


def _market_returns(traded: Traded, rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Return of holding the symbol on each UTC day of the points."""
    first_ns, last_ns = int(rows["ts_ns"][0]), int(rows["ts_ns"][-1])
    turns = np.arange(first_ns // NS_PER_DAY + 1, last_ns // NS_PER_DAY + 1) * NS_PER_DAY
    before = np.searchsorted(traded.closes_ns, first_ns, side="right") - 1
    ends = np.searchsorted(traded.closes_ns, turns, side="left") - 1
    marks = np.concatenate(([before], np.maximum(ends, before), [len(traded.bars) - 1]))
    closes = traded.bars["close"][np.maximum(marks, 0)].astype(np.float64)
    moved: NDArray[np.float64] = closes[1:] / closes[:-1] - 1.0
    return moved


def mean_exposure(trades: Sequence[Trade], traded: Traded, rows: NDArray[np.void]) -> float:
    """Mean over the points of the share of equity in one symbol, by its own trades in their order in time.

    A fill at the very time of a point comes after it: a scan marks before its orders meet the market.
    """
    if not trades:
        return 0.0
    instrument = traded.instrument
    amounts = [0]
    for one in trades:
        amount_e8 = one.quantity_lots * instrument.lot_e8
        if one.side is Side.BUY:
            amount_e8 -= one.commission_e8 if one.commission_asset == instrument.base else 0
        amounts.append(amount_e8 if one.side is Side.BUY else -amount_e8)
    done = np.searchsorted(np.array([one.ts_ns for one in trades]), rows["ts_ns"], side="left")
    held_e8 = np.cumsum(np.array(amounts, dtype=np.int64))[done].astype(np.float64)
    last = np.maximum(np.searchsorted(traded.closes_ns, rows["ts_ns"], side="right") - 1, 0)
    price = traded.bars["close"][last] * (instrument.tick_e8 / E8)
    return float((held_e8 * price / rows["equity_e8"]).mean())
