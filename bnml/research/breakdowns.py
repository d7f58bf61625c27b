"""The tables of a run: positions, days, months, symbols, exit reasons, costs, gaps in the data, models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, format_utc
from bnml.core.instrument import E8
from bnml.research.costs import FillCost
from bnml.research.market import Market
from bnml.research.positions import Position
from bnml.research.tables import Column, Table, Value
from bnml.venues.bar_tables import find_gaps

POSITIONS = (
    Column("symbol", "Symbol"),
    Column("opened", "Opened (UTC)", "time"),
    Column("closed", "Closed (UTC)", "time"),
    Column("held_h", "Held", "hours"),
    Column("entry_price", "Entry", "number"),
    Column("exit_price", "Exit", "number"),
    Column("cost", "Paid", "money"),
    Column("pnl", "Result", "gain"),
    Column("gain", "Return", "change"),
    Column("r", "R", "ratio"),
    Column("favourable", "Best (MFE)", "change"),
    Column("adverse", "Worst (MAE)", "change"),
    Column("reason", "Exit"),
    Column("is_open", "Open"),
    Column("commission", "Commission", "money"),
)
_GROUPED = (
    Column("positions", "Positions", "count"),
    Column("win_rate", "Win rate", "share"),
    Column("pnl", "Net result", "gain"),
    Column("profit_factor", "Profit factor", "ratio"),
    Column("mean_gain", "Mean return", "change"),
    Column("worst_gain", "Worst return", "change"),
    Column("mean_held_h", "Mean time held", "hours"),
)


def positions_table(positions: Iterable[Position], market: Market) -> Table:
    """One row for each position, in the order of entry."""
    rows = []
    for one in positions:
        instrument = market.instruments[one.symbol]
        tick = instrument.tick_e8 / E8
        rows.append(
            (
                one.symbol,
                one.opened_ns,
                one.closed_ns,
                one.held_ns / NS_PER_HOUR,
                _rounded(one.entry_ticks * tick),
                _rounded(one.exit_ticks * tick),
                one.cost_e8 / E8,
                one.pnl_e8 / E8,
                one.gain,
                one.r,
                one.favourable,
                one.adverse,
                one.reason,
                one.is_open,
                one.commission_e8 / E8,
            )
        )
    return Table("positions", "Positions", POSITIONS, tuple(rows))


def _rounded(price: float) -> float:
    """A mean of prices without the noise of the last bits."""
    return float(f"{price:.12g}")


def by_symbol(positions: Sequence[Position], market: Market) -> Table:
    """Each symbol of the market, also one that was never bought."""
    columns = (Column("symbol", "Symbol"), *_GROUPED)
    names = market.symbols
    return Table("symbols", "By symbol", columns, _grouped(positions, names, lambda one: one.symbol))


def by_reason(positions: Sequence[Position]) -> Table:
    """Each reason of a last sale, the most frequent first."""
    names = [one.reason for one in positions]
    order = sorted(set(names), key=lambda name: (-names.count(name), name))
    columns = (Column("reason", "Exit reason"), *_GROUPED)
    return Table("reasons", "By exit reason", columns, _grouped(positions, order, lambda one: one.reason))


def _grouped(
    positions: Sequence[Position], names: Iterable[str], key: Callable[[Position], str]
) -> tuple[tuple[Value, ...], ...]:
    groups: dict[str, list[Position]] = {name: [] for name in names}
    for one in positions:
        groups[key(one)].append(one)
    return tuple((name, *_figures(group)) for name, group in groups.items())


def _figures(group: Sequence[Position]) -> tuple[Value, ...]:
    """As `_GROUPED` names them; None where there is nothing to divide by."""
    if not group:
        return (0, None, 0.0, None, None, None, None)
    wins = sum(one.pnl_e8 for one in group if one.pnl_e8 > 0)
    losses = -sum(one.pnl_e8 for one in group if one.pnl_e8 < 0)
    return (
        len(group),
        sum(one.pnl_e8 > 0 for one in group) / len(group),
        (wins - losses) / E8,
        wins / losses if losses else None,
        sum(one.gain for one in group) / len(group),
        min(one.gain for one in group),
        sum(one.held_ns for one in group) / len(group) / NS_PER_HOUR,
    )


def costs_table(costs: Sequence[FillCost], market: Market) -> Table:
    """What each symbol paid, and all of them, with the sum in bps of what was traded."""
    columns = (
        Column("symbol", "Symbol"),
        Column("total", "Total", "money"),
        Column("bps", "bps of traded", "bps"),
        Column("taker", "Commission, taker", "money"),
        Column("maker", "Commission, maker", "money"),
        Column("spread", "Spread", "money"),
        Column("slippage", "Slippage", "money"),
        Column("traded", "Traded", "money"),
    )
    rows = [_costs_row(name, [one for one in costs if one.symbol == name]) for name in market.symbols]
    return Table("costs", "Costs", columns, (*rows, _costs_row("all", costs)))


def _costs_row(name: str, costs: Sequence[FillCost]) -> tuple[Value, ...]:
    traded = sum(one.notional_e8 for one in costs)
    total = sum(one.total_e8 for one in costs)
    return (
        name,
        total / E8,
        10_000 * total / traded if traded else None,
        sum(one.taker_e8 for one in costs) / E8,
        sum(one.maker_e8 for one in costs) / E8,
        sum(one.spread_e8 for one in costs) / E8,
        sum(one.slippage_e8 for one in costs) / E8,
        traded / E8,
    )


def daily_table(ts_ns: NDArray[np.int64], equity: NDArray[np.float64], initial: float, final: float) -> Table:
    """The last mark of each UTC day that has one, its return, and the drawdown from the highest mark so far.

    As in `metrics.walk_equity`, the mark at the end of the run stands for the last day.
    """
    columns = (
        Column("day", "Day", "day"),
        Column("equity", "Equity", "money"),
        Column("change", "Return", "change"),
        Column("drawdown", "Drawdown", "change"),
    )
    days = ts_ns // NS_PER_DAY
    last = np.flatnonzero(np.diff(days, append=np.iinfo(np.int64).max))
    if len(equity):
        equity = np.append(equity[:-1], final)
    peaks = np.maximum.accumulate(np.maximum(equity, initial))
    before = np.concatenate(([initial], equity[last]))[: len(last)]
    rows = tuple(
        (
            int(days[at]) * NS_PER_DAY,
            float(equity[at]),
            float(equity[at] / was - 1),
            float(equity[at] / peaks[at] - 1),
        )
        for at, was in zip(last, before, strict=True)
    )
    return Table("daily", "Daily marked equity", columns, rows)


def monthly_table(ts_ns: NDArray[np.int64], equity: NDArray[np.float64], initial: float) -> Table:
    """Return of each UTC month, from the mark at its end; a mark at midnight ends the month before."""
    columns = (
        Column("month", "Month"),
        Column("equity", "Equity at the end", "money"),
        Column("change", "Return", "change"),
    )
    rows: list[tuple[Value, ...]] = []
    ends: dict[str, float] = {}
    days = (ts_ns - 1) // NS_PER_DAY
    for at in np.flatnonzero(np.diff(days, append=np.iinfo(np.int64).max)).tolist():
        ends[format_utc(int(days[at]) * NS_PER_DAY)[:7]] = float(equity[at])
    before = initial
    for month, value in ends.items():
        rows.append((month, value, value / before - 1))
        before = value
    return Table("monthly", "Monthly returns", columns, tuple(rows))


def gaps_table(market: Market) -> Table:
    """Bars that the data lack in the traded range, by symbol."""
    columns = (
        Column("symbol", "Symbol"),
        Column("bars", "Bars traded", "count"),
        Column("gaps", "Gaps", "count"),
        Column("missing", "Bars missing", "count"),
        Column("longest", "Longest, bars", "count"),
        Column("longest_from", "Longest from (UTC)", "time"),
    )
    rows: list[tuple[Value, ...]] = []
    for name in market.symbols:
        opens = market.bars[name]["ts_open_ns"][market.first_row(name) :]
        gaps = find_gaps(opens, market.frame_ns)
        longest = max(gaps, key=lambda gap: gap.bars, default=None)
        missing = sum(gap.bars for gap in gaps)
        worst = (longest.bars, longest.ts_open_ns) if longest else (0, None)
        rows.append((name, len(opens), len(gaps), missing, *worst))
    return Table("gaps", "Data gaps", columns, tuple(rows))
