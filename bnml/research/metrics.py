"""The summary of a run: every figure by name, with its unit, from trades and equity points alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_DAY
from bnml.core.orders import Side
from bnml.kernels import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument
    from bnml.core.outcomes import EquityPoint, Trade

E8 = 100_000_000


class Summary(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """Figures of a run; shares are fractions (0.01 = 1 %), money is in quote units, `from` and `to` UTC texts.

    Definitions are in `kernels.metrics`. A position is what one entry bought, until its last lot is sold.
    """

    trades: int  # closed positions
    fills: int  # rows of the trade list
    symbols: tuple[str, ...]
    bars: int
    from_: str
    to: str
    initial_equity: float
    final_equity: float
    net_return: float
    max_drawdown: float
    profit_factor: float | None  # None: profit without any loss
    sharpe: float  # from daily returns, annualised over 365 days
    win_rate: float
    expectancy: float  # quote units per closed position
    exposure: float
    turnover: float
    costs: float  # commissions in quote units; spread and slippage are in the prices
    elapsed_s: float
    market: str = ""  # where the bars come from; a generated market says that it is simulated
    quote: str = ""  # asset of every amount


class PositionResult(msgspec.Struct, frozen=True):
    """One closed position: times of its first buy and last sale, realised profit or loss in 1e-8 of the quote."""

    symbol: str
    opened_ns: int
    closed_ns: int
    pnl_e8: int


class _Open(msgspec.Struct):
    opened_ns: int
    base_e8: int = 0
    pnl_e8: int = 0
    closed_ns: int = 0
    fills: int = 0

    def is_sold(self, lot_e8: int) -> bool:
        """All but what commission in base left of whole lots, less than one lot for each buy."""
        return self.closed_ns > 0 and self.base_e8 < lot_e8 * self.fills


def closed_positions(trades: Iterable[Trade], instruments: Mapping[str, Instrument]) -> list[PositionResult]:
    """Results of positions, in the order of their last sale.

    `trades` of each symbol in their order in time. A tranche bought at the time of the first one belongs
    to the same position even if an earlier tranche was already sold at that very print.
    """
    open_by_symbol: dict[str, _Open] = {}
    closed: list[PositionResult] = []

    def close(symbol: str) -> None:
        position = open_by_symbol.pop(symbol)
        closed.append(PositionResult(symbol, position.opened_ns, position.closed_ns, position.pnl_e8))

    for trade in trades:
        instrument = instruments[trade.symbol]
        position = open_by_symbol.get(trade.symbol)
        if position is not None and position.is_sold(instrument.lot_e8) and trade.ts_ns != position.opened_ns:
            close(trade.symbol)
            position = None
        if position is None:
            position = open_by_symbol[trade.symbol] = _Open(trade.ts_ns)
        _book(position, trade, instrument)
    for symbol, position in list(open_by_symbol.items()):
        if position.is_sold(instruments[symbol].lot_e8):
            close(symbol)
    return sorted(closed, key=lambda result: (result.closed_ns, result.symbol))


def _book(position: _Open, trade: Trade, instrument: Instrument) -> None:
    amount_e8 = trade.quantity_lots * instrument.lot_e8
    if trade.side is Side.BUY:
        in_base = trade.commission_asset == instrument.base
        position.base_e8 += amount_e8 - (trade.commission_e8 if in_base else 0)
        position.fills += 1
        return
    position.base_e8 -= amount_e8
    position.pnl_e8 += trade.pnl_e8
    position.closed_ns = trade.ts_ns


def commission_quote_e8(trade: Trade, instrument: Instrument) -> int:
    """Commission of a fill in 1e-8 of the quote asset; one paid in base is valued at the fill's price."""
    if trade.commission_asset == instrument.base:
        return trade.commission_e8 * trade.price_ticks * instrument.tick_e8 // E8
    return trade.commission_e8


def _days(ts_ns: NDArray[np.int64]) -> int:
    return int(ts_ns[-1] // NS_PER_DAY - ts_ns[0] // NS_PER_DAY) + 1 if len(ts_ns) else 0


def summarize(
    trades: Sequence[Trade],
    equity: Sequence[EquityPoint],
    instruments: Mapping[str, Instrument],
    *,
    initial_e8: int,
    final_e8: int,
    bars: int,
    span: tuple[str, str],
    elapsed_s: float,
    market: str = "",
) -> Summary:
    """All figures of a run; `final_e8` marks what is still open, `span` is its first and last time as text."""
    results = np.array([r.pnl_e8 for r in closed_positions(trades, instruments)], dtype=np.int64)
    ts_ns = np.array([point.ts_ns for point in equity], dtype=np.int64)
    marks = np.array([point.equity_e8 for point in equity], dtype=np.int64)
    free = np.array([point.free_quote_e8 for point in equity], dtype=np.int64)
    path = np.concatenate((np.array([initial_e8]), marks, np.array([final_e8])))
    returns = np.zeros(_days(ts_ns), dtype=np.float64)
    days = metrics.daily_returns(ts_ns, marks, initial_e8, returns)
    factor = float(metrics.profit_factor(results))
    traded = sum(instruments[t.symbol].notional_e8(t.price_ticks, t.quantity_lots) for t in trades)
    return Summary(
        trades=len(results),
        fills=len(trades),
        symbols=tuple(sorted(instruments)),
        bars=bars,
        from_=span[0],
        to=span[1],
        initial_equity=initial_e8 / E8,
        final_equity=final_e8 / E8,
        net_return=float(metrics.net_return(initial_e8, final_e8)),
        max_drawdown=float(metrics.max_drawdown(path)),
        profit_factor=None if np.isinf(factor) else factor,
        sharpe=float(metrics.sharpe(returns, days)),
        win_rate=float(metrics.win_rate(results)),
        expectancy=float(metrics.expectancy_e8(results)) / E8,
        exposure=float(metrics.exposure(marks, free)),
        turnover=float(metrics.turnover(traded, marks)),
        costs=sum(commission_quote_e8(t, instruments[t.symbol]) for t in trades) / E8,
        elapsed_s=elapsed_s,
        market=market,
        quote=next((one.quote for one in instruments.values()), ""),
    )
