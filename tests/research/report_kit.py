"""Runs made by hand, small enough to know every figure of their report."""

import numpy as np

from bnml.core.orders import Side
from bnml.core.outcomes import EquityPoint, Trade
from bnml.kernels.records import ExitReason
from bnml.research.assumptions import assumptions, models_table
from bnml.research.conclusion import Conclusion
from bnml.research.findings import Basis, find
from bnml.research.market import Market
from bnml.research.metrics import summarize
from bnml.research.models import Models
from bnml.trading.filling import compile_costs
from tests.trading.kit import HOUR_NS, START_NS, instrument, random_bars, settings

E8 = 10**8
FIRST = 50


def market(symbols=("BTCUSDT", "ETHUSDT"), count=FIRST + 24 * 40, gaps=0, source="recorded bars"):
    return Market(
        {name: instrument(name) for name in symbols},
        {name: random_bars(count, 7 + k, gaps=gaps) for k, name in enumerate(symbols)},
        HOUR_NS,
        START_NS + FIRST * HOUR_NS,
        source=source,
    )


def round_trip(made, symbol, entry, exit_, lots=1_000, reason=ExitReason.STOP, move=0):
    """A buy at the open of one traded bar and a sale at the open of another."""
    bars, one = made.bars[symbol][FIRST:], made.instruments[symbol]
    bought, sold = int(bars[entry]["open"]) + 900, int(bars[exit_]["open"]) - 900 + move
    left = lots - 1
    cost = one.notional_e8(bought, lots)
    fee = one.notional_e8(sold, left) // 1000
    buy = Trade(
        symbol,
        int(bars[entry]["ts_open_ns"]),
        Side.BUY,
        1,
        lots,
        bought,
        lots * one.lot_e8 // 1000,
        one.base,
        0,
        0,
        "",
    )
    pnl = one.notional_e8(sold, left) - fee - cost
    sell = Trade(
        symbol, int(bars[exit_]["ts_open_ns"]), Side.SELL, 1, left, sold, fee, one.quote, int(reason), pnl, ""
    )
    return [buy, sell]


def conclusion(made, trades, initial_e8=10_000 * E8):
    """Equity at each close: all that was realised by then (what is held is valued at its cost)."""
    opens = np.unique(np.concatenate([bars["ts_open_ns"][FIRST:-1] for bars in made.bars.values()]))
    done = np.searchsorted([trade.ts_ns for trade in trades], opens + HOUR_NS)
    realised = np.concatenate(([0], np.cumsum([trade.pnl_e8 for trade in trades], dtype=np.int64)))
    points = [
        EquityPoint(int(ts) + HOUR_NS, initial_e8 + gained, initial_e8 + gained, 0)
        for ts, gained in zip(opens, realised[done].tolist(), strict=True)
    ]
    return Conclusion(trades, points, initial_e8, initial_e8 + int(realised[-1]))


def findings(made=None, trades=(), notes=(), **sections):
    made = market() if made is None else made
    ended = conclusion(made, sorted(trades, key=lambda trade: (trade.ts_ns, trade.symbol)))
    summary = summarize(
        ended.trades,
        ended.equity,
        made.instruments,
        initial_e8=ended.initial_e8,
        final_e8=ended.final_e8,
        bars=made.traded_bars,
        span=made.span,
        elapsed_s=0.5,
        market=made.source,
    )
    chosen = settings(**sections)
    models = models_table(Models(None, {}), made)
    basis = Basis("sweep", compile_costs(chosen.costs), assumptions(chosen, made, "sweep"), models)
    return find(made, ended, summary, basis, notes, lambda _symbol, _ts: 1_000)
