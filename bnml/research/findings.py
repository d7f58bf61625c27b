"""Everything a report says of a run, computed once: curves, positions, tables, assumptions, warnings."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.config import Settings
from bnml.core.instrument import E8
from bnml.research.assumptions import assumptions, models_table
from bnml.research.benchmarks import buy_and_hold, exposure_matched
from bnml.research.breakdowns import (
    by_reason,
    by_symbol,
    costs_table,
    daily_table,
    gaps_table,
    monthly_table,
    positions_table,
)
from bnml.research.conclusion import Conclusion
from bnml.research.costs import fill_costs
from bnml.research.market import Market
from bnml.research.metrics import Summary
from bnml.research.models import Models
from bnml.research.positions import InitialRisk, Position, positions_of
from bnml.research.tables import Table
from bnml.trading.compile import compile_costs

Floats = NDArray[np.float64]


class Curves(msgspec.Struct, frozen=True):
    """Worth of the account at each scan, in quote units, and what the same money would have done otherwise."""

    ts_ns: NDArray[np.int64]
    equity: Floats
    invested: Floats  # share of equity in positions
    hold: Floats  # bought at the start in equal parts
    matched: Floats  # always invested as the run was on average


class Findings(msgspec.Struct, frozen=True):
    """What the page shows and the tables are written from."""

    summary: Summary
    summary_json: bytes
    engine: str
    market: Market
    curves: Curves
    positions: list[Position]
    tables: dict[str, Table]
    assumptions: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def find(
    settings: Settings,
    market: Market,
    models: Models,
    conclusion: Conclusion,
    summary: Summary,
    engine: str,
    notes: Sequence[str],
    initial_risk: InitialRisk | None = None,
) -> Findings:
    """Compute all of it; `notes` are warnings that were known before."""
    positions = positions_of(conclusion.trades, market, initial_risk=initial_risk)
    costs = fill_costs(conclusion.trades, market, compile_costs(settings.costs))
    curves = _curves(settings, market, conclusion, summary)
    initial = conclusion.initial_e8 / E8
    tables = (
        positions_table(positions, market),
        monthly_table(*_with_end(curves, market, conclusion), initial),
        daily_table(curves.ts_ns, curves.equity, initial, conclusion.final_e8 / E8),
        by_symbol(positions, market),
        by_reason(positions),
        costs_table(costs, market),
        gaps_table(market),
        models_table(models, market),
    )
    return Findings(
        summary=summary,
        summary_json=msgspec.json.encode(summary),
        engine=engine,
        market=market,
        curves=curves,
        positions=positions,
        tables={table.name: table for table in tables},
        assumptions=assumptions(settings, market, engine),
        warnings=(*_own_warnings(market, positions), *filter(None, notes)),
    )


def _curves(settings: Settings, market: Market, conclusion: Conclusion, summary: Summary) -> Curves:
    ts_ns = np.array([point.ts_ns for point in conclusion.equity], dtype=np.int64)
    equity = np.array([point.equity_e8 for point in conclusion.equity], dtype=np.float64) / E8
    free = np.array([point.free_quote_e8 for point in conclusion.equity], dtype=np.float64) / E8
    initial = conclusion.initial_e8 / E8
    return Curves(
        ts_ns,
        equity,
        np.divide(equity - free, equity, out=np.zeros_like(equity), where=equity > 0),
        buy_and_hold(market, ts_ns, initial, compile_costs(settings.costs)),
        exposure_matched(market, ts_ns, initial, summary.exposure),
    )


def _with_end(curves: Curves, market: Market, conclusion: Conclusion) -> tuple[NDArray[np.int64], Floats]:
    """The marks and, after the last scan, the end of the last bar."""
    end_ns = max(int(bars["ts_open_ns"][-1]) for bars in market.bars.values()) + market.frame_ns
    return np.append(curves.ts_ns, end_ns), np.append(curves.equity, conclusion.final_e8 / E8)


def _own_warnings(market: Market, positions: Sequence[Position]) -> list[str]:
    found = []
    if market.source.startswith("simulated"):
        found.append(
            f"The market is {market.source}: it shows that the program works, and nothing about any real market."
        )
    still = [one.symbol for one in positions if one.is_open]
    if still:
        found.append(
            f"{len(still)} position{'s' * (len(still) > 1)} ({', '.join(still)}) "
            f"{'were' if len(still) > 1 else 'was'} open at the end: marked at the last close, not sold."
        )
    return found
