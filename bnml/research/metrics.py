"""The summary of a run: every figure by name, with its unit, from trades and equity points alone."""

from __future__ import annotations

from math import inf, isinf
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_DAY
from bnml.kernels import metrics as kernel
from bnml.kernels.account import CHANGE, EQUITY_ROW
from bnml.kernels.bootstrap import block_days, bootstraps
from bnml.kernels.results import HOLDING, book_rows
from bnml.research.positions import closed_positions, commission_quote_e8

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument
    from bnml.core.outcomes import EquityPoint, Trade

E8 = 100_000_000
SHARES = 256
"""Scratch of the walk over equity: small enough to stay in the nearest cache."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What `kernels.metrics` and `kernels.bootstrap` define, by name; the order is that of a report's groups.

    Shares are fractions (0.01 = 1 %), money is in quote units. None stands for infinite: a gain without
    any loss, losing day, or drawdown.
    """

    # Result.
    net_return: float
    cagr: float  # compound growth a year
    sharpe: float  # this and the next from daily returns, annualised over 365 days
    sortino: float | None
    calmar: float | None
    exposure: float
    turnover: float
    # Risk.
    max_drawdown: float
    max_drawdown_quote: float  # the largest in money; need not be the largest in %
    longest_under_water_days: float
    time_under_water: float  # share of the run
    cvar_95: float  # mean of the worst 5 % of daily returns, below 0 for a loss
    risk_of_ruin: float
    # Closed positions.
    win_rate: float
    average_win: float
    average_loss: float  # 0 or less
    payoff: float | None
    profit_factor: float | None
    expectancy: float  # quote units per closed position
    # Chance.
    bootstrap_drawdown_p95: float  # days drawn one by one
    bootstrap_pnl_p05: float
    block_drawdown_p95: float  # days drawn in blocks
    block_pnl_p05: float
    probabilistic_sharpe: float
    deflated_sharpe: float
    trials: int


class Summary(Figures, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`Figures` of a run and what was run; `from` and `to` are UTC texts.

    A position is what one entry bought, until its last lot is sold.
    """

    trades: int  # closed positions
    fills: int  # rows of the trade list
    symbols: tuple[str, ...]
    bars: int
    from_: str
    to: str
    initial_equity: float
    final_equity: float
    costs: float  # commissions in quote units; spread and slippage are in the prices
    elapsed_s: float
    market: str = ""  # where the bars come from; a generated market says that it is simulated
    quote: str = ""  # asset of every amount


def equity_rows(points: Sequence[EquityPoint]) -> NDArray[np.void]:
    """Equity points as the kernels take them."""
    return np.array(
        [(one.ts_ns, one.equity_e8, one.free_quote_e8, one.positions) for one in points], dtype=EQUITY_ROW
    )


def curve_of(rows: NDArray[np.void]) -> kernel.Curve:
    """EQUITY_ROW records as what the figures are read from."""
    first = np.flatnonzero(np.diff(rows["free_quote_e8"], prepend=-1))
    changes = np.zeros(len(first), dtype=CHANGE)
    changes["scan"], changes["free_quote_e8"] = first, rows["free_quote_e8"][first]
    changes["positions"] = rows["positions"][first]
    return kernel.Curve(rows["ts_ns"], 0, np.ascontiguousarray(rows["equity_e8"]), changes)


def daily_returns(
    rows: NDArray[np.void] | kernel.Curve, initial_e8: int, final_e8: int
) -> NDArray[np.float64]:
    """Return of each UTC calendar day from the first point to the last; see `walk_equity`."""
    return _walk(rows, initial_e8, final_e8)[1]


def _walk(
    rows: NDArray[np.void] | kernel.Curve, initial_e8: int, final_e8: int
) -> tuple[kernel.EquityWalk, NDArray[np.float64]]:
    curve = curve_of(rows) if isinstance(rows, np.ndarray) else rows
    days, times = 0, curve.ts_ns
    if len(curve.equity_e8):
        first, last = int(times[0]) + curve.lag_ns, int(times[-1]) + curve.lag_ns
        days = last // NS_PER_DAY - first // NS_PER_DAY + 1
    daily = np.empty(days)
    return kernel.EquityWalk(*kernel.walk_equity(curve, initial_e8, final_e8, daily, np.empty(SHARES))), daily


def measure(
    results_e8: NDArray[np.int64],
    rows: NDArray[np.void] | kernel.Curve,
    *,
    initial_e8: int,
    final_e8: int,
    traded_e8: float,
    trials: int = 1,
    sharpe_variance: float = 0.0,
) -> Figures:
    """All figures from results of closed positions, EQUITY_ROW records or a curve, and the notional of all fills.

    `final_e8` marks what is still open. `trials` counts the configurations that were judged on such data,
    this one included; `sharpe_variance` is that of their daily Sharpe ratios, not annualised. Without
    positions and points every figure is 0.
    """
    walk, daily = _walk(rows, initial_e8, final_e8)
    moments = kernel.DailyMoments(*kernel.daily_moments(daily))
    annual = kernel.annual_return(initial_e8, final_e8, walk.span_ns)
    alone, blocks = bootstraps(daily, block_days(len(daily)))
    return Figures(
        net_return=kernel.net_return(initial_e8, final_e8),
        cagr=annual,
        sharpe=kernel.sharpe(moments.mean, moments.deviation),
        sortino=_finite(kernel.sortino(moments.mean, moments.downside)),
        calmar=_finite(kernel.calmar(annual, walk.max_drawdown)),
        exposure=walk.exposure,
        turnover=kernel.turnover(traded_e8, walk.mean_equity_e8),
        max_drawdown=walk.max_drawdown,
        max_drawdown_quote=walk.max_drawdown_e8 / E8,
        longest_under_water_days=walk.longest_under_water_ns / NS_PER_DAY,
        time_under_water=walk.under_water_ns / walk.span_ns if walk.span_ns else 0.0,
        cvar_95=kernel.cvar(daily),
        **_of_positions(results_e8, initial_e8),
        bootstrap_drawdown_p95=alone[0],
        bootstrap_pnl_p05=alone[1],
        block_drawdown_p95=blocks[0],
        block_pnl_p05=blocks[1],
        probabilistic_sharpe=kernel.probabilistic_sharpe(moments, len(daily)),
        deflated_sharpe=kernel.deflated_sharpe(moments, len(daily), trials, sharpe_variance),
        trials=trials,
    )


def measure_rows(
    trades: NDArray[np.void],
    rows: NDArray[np.void] | kernel.Curve,
    instruments: NDArray[np.void],
    *,
    initial_e8: int,
    final_e8: int,
    trials: int = 1,
    sharpe_variance: float = 0.0,
) -> Figures:
    """`measure` of a sweep's own TRADE_ROW records and curve; `instruments` one INSTRUMENT per symbol number."""
    results_e8 = np.empty(len(trades), dtype=np.int64)
    count, traded_e8, _ = book_rows(
        trades, instruments, np.zeros(len(instruments), dtype=HOLDING), results_e8
    )
    return measure(
        results_e8[:count],
        rows,
        initial_e8=initial_e8,
        final_e8=final_e8,
        traded_e8=traded_e8,
        trials=trials,
        sharpe_variance=sharpe_variance,
    )


def _of_positions(results_e8: NDArray[np.int64], initial_e8: int) -> dict[str, Any]:
    won = results_e8[results_e8 > 0]
    count, wins, profit_e8 = len(results_e8), len(won), int(np.add.reduce(won))
    loss_e8 = profit_e8 - int(np.add.reduce(results_e8))
    win_e8 = kernel.average_win_e8(profit_e8, wins)
    lost_e8 = kernel.average_loss_e8(loss_e8, count - wins)
    rate, ratio = kernel.win_rate(wins, count), kernel.payoff(win_e8, lost_e8)
    return {
        "win_rate": rate,
        "average_win": win_e8 / E8,
        "average_loss": lost_e8 / E8,
        "payoff": _finite(ratio),
        "profit_factor": _finite(kernel.profit_factor(profit_e8, loss_e8)),
        "expectancy": kernel.expectancy_e8(profit_e8, loss_e8, count) / E8,
        "risk_of_ruin": kernel.risk_of_ruin(rate, ratio, -initial_e8 / lost_e8 if lost_e8 else inf),
    }


def _finite(value: float) -> float | None:
    return None if isinf(value) else value


def summarize(
    trades: Sequence[Trade],
    equity: Sequence[EquityPoint] | NDArray[np.void] | kernel.Curve,
    instruments: Mapping[str, Instrument],
    *,
    initial_e8: int,
    final_e8: int,
    bars: int,
    span: tuple[str, str],
    elapsed_s: float,
    market: str = "",
    trials: int = 1,
    sharpe_variance: float = 0.0,
) -> Summary:
    """All figures of a run, as `measure`; `equity` as points, as EQUITY_ROW records or as a curve, `span` as text."""
    results = np.array([r.pnl_e8 for r in closed_positions(trades, instruments)], dtype=np.int64)
    figures = measure(
        results,
        equity if isinstance(equity, np.ndarray | kernel.Curve) else equity_rows(equity),
        initial_e8=initial_e8,
        final_e8=final_e8,
        traded_e8=sum(instruments[t.symbol].notional_e8(t.price_ticks, t.quantity_lots) for t in trades),
        trials=trials,
        sharpe_variance=sharpe_variance,
    )
    return Summary(
        **msgspec.structs.asdict(figures),
        trades=len(results),
        fills=len(trades),
        symbols=tuple(sorted(instruments)),
        bars=bars,
        from_=span[0],
        to=span[1],
        initial_equity=initial_e8 / E8,
        final_equity=final_e8 / E8,
        costs=sum(commission_quote_e8(t, instruments[t.symbol]) for t in trades) / E8,
        elapsed_s=elapsed_s,
        market=market,
        quote=next((one.quote for one in instruments.values()), ""),
    )
