"""Everything a report says of a run, computed once: edge, curves, positions, tables, assumptions, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.instrument import E8
from bnml.core.outcomes import Trade
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
from bnml.research.edge import EdgeFloor, Traded, edge_floor, mean_exposure
from bnml.research.market import Market
from bnml.research.metrics import Summary, equity_rows
from bnml.research.positions import InitialRisk, Position, positions_of
from bnml.research.reruns import Reruns, quantiles, sampled
from bnml.research.sensitivity import Sensitivity, sensitivity
from bnml.research.tables import Table

CHANCE_RUNS, CHANCE_SEED = 50, 42
Floats = NDArray[np.float64]


class Curves(msgspec.Struct, frozen=True):
    """Worth of the account at each scan and at the end of the last bar, in quote units, and of the same money elsewhere."""

    ts_ns: NDArray[np.int64]
    equity: Floats
    invested: Floats  # share of equity in positions
    hold: Floats  # bought at the start in equal parts
    matched: Floats  # each symbol always at the run's mean exposure to it


class Chance(msgspec.Struct, frozen=True):
    """Runs with random entries and the same exits: at each scan the 5 %, 50 % and 95 % quantiles of their worth."""

    runs: int
    low: Floats
    middle: Floats
    high: Floats
    below: float  # share of these runs that ended below this one
    seed: int


class Basis(msgspec.Struct, frozen=True):
    """What a run rests on, for the reader: costs (records.COSTS), assumptions, and where there are any, models."""

    engine: str
    costs: NDArray[np.void]
    assumptions: tuple[tuple[str, str], ...]
    models: Table | None = None


class Findings(msgspec.Struct, frozen=True):
    """What the page shows and the tables are written from."""

    summary: Summary
    summary_json: bytes
    basis: Basis
    market: Market
    edge: EdgeFloor
    curves: Curves
    positions: list[Position]
    tables: dict[str, Table]
    warnings: tuple[str, ...]
    chance: Chance | None = None
    sensitivity: Sensitivity | None = None


def find(
    market: Market,
    conclusion: Conclusion,
    summary: Summary,
    basis: Basis,
    notes: Sequence[str],
    initial_risk: InitialRisk | None = None,
    fast: Mapping[str, NDArray[np.void]] | None = None,
    fast_frame_ns: int = 0,
) -> Findings:
    """Compute all that needs no further run; `notes` are warnings that were known before."""
    positions = positions_of(
        conclusion.trades, market, fast=fast, fast_frame_ns=fast_frame_ns, initial_risk=initial_risk
    )
    costs = fill_costs(conclusion.trades, market, basis.costs)
    rows = equity_rows(conclusion.equity)
    initial, final = conclusion.initial_e8 / E8, conclusion.final_e8 / E8
    traded = {
        name: Traded(market.instruments[name], market.bars[name], market.frame_ns) for name in market.symbols
    }
    curves = _curves(market, conclusion, rows, traded, basis.costs)
    tables = (
        positions_table(positions, market),
        monthly_table(curves.ts_ns, curves.equity, initial),
        daily_table(curves.ts_ns[:-1], curves.equity[:-1], initial, final),
        by_symbol(positions, market),
        by_reason(positions),
        costs_table(costs, market),
        gaps_table(market),
        basis.models,
    )
    return Findings(
        summary=summary,
        summary_json=msgspec.json.encode(summary),
        basis=basis,
        market=market,
        edge=edge_floor(
            conclusion.trades,
            rows,
            traded,
            initial_e8=conclusion.initial_e8,
            final_e8=conclusion.final_e8,
            trials=summary.trials,
        ),
        curves=curves,
        positions=positions,
        tables={table.name: table for table in tables if table is not None},
        warnings=(*_own_warnings(market, positions), *filter(None, notes)),
    )


def with_reruns(
    findings: Findings, reruns: Reruns, conclusion: Conclusion, runs: int = CHANCE_RUNS
) -> Findings:
    """The same with what only further runs can say, chance and sensitivity; nothing was traded: nothing to say."""
    if not findings.positions:
        return findings
    sensitive = sensitivity(reruns, findings.curves.ts_ns, conclusion.initial_e8)
    gained = (conclusion.final_e8 - conclusion.initial_e8) / conclusion.initial_e8
    apart = ""
    if sensitive.as_configured != gained:
        apart = (
            f"The sweep that random entries and sensitivity come from ends at {sensitive.as_configured:+.2%}, "
            f"this run at {gained:+.2%}: compare them with each other only."
        )
    return msgspec.structs.replace(
        findings,
        warnings=(*findings.warnings, *filter(None, [apart])),
        chance=_chance(findings, reruns, conclusion, runs),
        sensitivity=sensitive,
        tables=findings.tables | {sensitive.table.name: sensitive.table},
    )


def _chance(findings: Findings, reruns: Reruns, conclusion: Conclusion, runs: int) -> Chance:
    entries: dict[str, int] = {}
    for one in findings.positions:
        entries[one.symbol] = entries.get(one.symbol, 0) + 1
    drawn = sampled(reruns, entries, findings.curves.ts_ns, runs, CHANCE_SEED)
    low, middle, high = quantiles([one.pnl_e8 for one in drawn], (0.05, 0.5, 0.95))
    initial_e8 = conclusion.initial_e8
    gained = conclusion.final_e8 - initial_e8
    return Chance(
        runs=runs,
        low=(low + initial_e8) / E8,
        middle=(middle + initial_e8) / E8,
        high=(high + initial_e8) / E8,
        below=sum(one.final_pnl_e8 < gained for one in drawn) / runs,
        seed=CHANCE_SEED,
    )


def _curves(
    market: Market,
    conclusion: Conclusion,
    rows: NDArray[np.void],
    traded: Mapping[str, Traded],
    costs: NDArray[np.void],
) -> Curves:
    initial = conclusion.initial_e8 / E8
    free_e8 = rows["free_quote_e8"][-1] if len(rows) else conclusion.initial_e8
    ts_ns = np.append(rows["ts_ns"], market.end_ns).astype(np.int64)
    equity = np.append(rows["equity_e8"], conclusion.final_e8) / E8
    free = np.append(rows["free_quote_e8"], free_e8) / E8
    by_name: dict[str, list[Trade]] = {name: [] for name in market.symbols}
    for trade in conclusion.trades:
        by_name[trade.symbol].append(trade)
    exposures = [
        mean_exposure(by_name[name], traded[name], rows) if len(rows) else 0.0 for name in market.symbols
    ]
    return Curves(
        ts_ns,
        equity,
        np.divide(equity - free, equity, out=np.zeros_like(equity), where=equity > 0),
        buy_and_hold(market, ts_ns, initial, costs),
        exposure_matched(market, ts_ns, initial, np.array(exposures)),
    )


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
