"""How much of a result stays when fills are worse or costs higher, and the commission that eats all of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.instrument import E8
from bnml.kernels.records import FillTier
from bnml.research.costs import FillCost, fill_costs
from bnml.research.positions import closed_positions
from bnml.research.reruns import Rerun, Reruns
from bnml.research.tables import Column, Table, Value

RATES = ("maker_ppm", "taker_ppm", "slippage_ppm", "spread_floor_ppm", "spread_range_ppm", "spread_cap_ppm")
FIRST_PPM = 3_200
MOST_PPM = 51_200  # 5 % a side: nobody pays that
PRECISION_PPM = 20


class Sensitivity(msgspec.Struct, frozen=True):
    """Runs again with other costs, and where nothing is left."""

    table: Table
    break_even_bps: float | None  # all costs of one side on average; None: no trade, or nothing to lose
    cost_bps: float | None  # what a side costs in the run as it was
    as_configured: float  # net return with nothing changed


def sensitivity(reruns: Reruns, ts_ns: NDArray[np.int64], initial_e8: int) -> Sensitivity:
    """Both tiers with once and twice the costs, and without any; costs are those of the configuration."""
    own = reruns.config.costs
    tier = FillTier(int(own["tier"][0]))
    rows: list[tuple[Value, ...]] = []
    own_row: tuple[Value, ...] = ()
    for other in FillTier:
        for factor in (0.0, 1.0, 2.0):
            if factor == 0.0 and other is not tier:
                continue
            costs = scaled(own, factor, other)
            mark = " (as configured)" if factor == 1.0 and other is tier else ""
            words = "no costs" if factor == 0.0 else f"{factor:g}x costs"
            rows.append(
                _row(
                    f"{other.name}, {words}{mark}",
                    reruns,
                    reruns.again(costs, ts_ns, spread_factor=max(1.0, factor)),
                    costs,
                    initial_e8,
                )
            )
            if mark:
                own_row = rows[-1]
    table = Table("sensitivity", "Sensitivity", COLUMNS, tuple(rows))
    _, net_return, *_, paid = own_row
    return Sensitivity(
        table,
        _break_even_bps(reruns, ts_ns),
        None if paid is None else float(paid),
        float(net_return or 0.0),
    )


COLUMNS = (
    Column("case", "Fills and costs"),
    Column("net_return", "Net return", "change"),
    Column("max_drawdown", "Max drawdown", "share"),
    Column("positions", "Positions", "count"),
    Column("win_rate", "Win rate", "share"),
    Column("profit_factor", "Profit factor", "ratio"),
    Column("cost_bps", "Cost, bps a side", "bps"),
)


def scaled(costs: NDArray[np.void], factor: float, tier: FillTier) -> NDArray[np.void]:
    """The same costs times `factor`, filled by another tier."""
    made = costs.copy()
    for name in RATES:
        made[name] = round(int(costs[name][0]) * factor)
    made["tier"] = int(tier)
    return made


def _row(
    case: str,
    reruns: Reruns,
    again: Rerun,
    costs: NDArray[np.void],
    initial_e8: int,
) -> tuple[Value, ...]:
    results = [one.pnl_e8 for one in closed_positions(again.trades, reruns.market.instruments)]
    gains = sum(one for one in results if one > 0)
    losses = -sum(one for one in results if one < 0)
    path = np.concatenate(([0], again.pnl_e8, [again.final_pnl_e8])) / E8 + initial_e8 / E8
    peaks = np.maximum.accumulate(path)
    return (
        case,
        again.final_pnl_e8 / initial_e8,
        float(((peaks - path) / peaks).max()),
        len(results),
        sum(one > 0 for one in results) / len(results) if results else None,
        gains / losses if losses else None,
        _bps(fill_costs(again.trades, reruns.market, costs)),
    )


def _bps(paid: list[FillCost]) -> float | None:
    traded = sum(one.notional_e8 for one in paid)
    return 10_000 * sum(one.total_e8 for one in paid) / traded if traded else None


def _break_even_bps(reruns: Reruns, ts_ns: NDArray[np.int64]) -> float | None:
    """Mean cost of a side at which the run ends where it began, by raising the commission; None if there is none.

    Only the commission is moved: spread and slippage also decide whether an entry fits below its limit.
    """

    def again(ppm: int) -> tuple[Rerun, NDArray[np.void]]:
        costs = reruns.config.costs.copy()
        costs["maker_ppm"] = costs["taker_ppm"] = ppm
        return reruns.again(costs, ts_ns), costs

    ppm = _last_profit(lambda ppm: again(ppm)[0].final_pnl_e8)
    if ppm is None:
        return None
    found, costs = again(ppm)
    return _bps(fill_costs(found.trades, reruns.market, costs))


def _last_profit(pnl_e8: Callable[[int], int]) -> int | None:
    """Commission (ppm) with a profit, and none at `PRECISION_PPM` more, by regula falsi (Illinois)."""
    low, high = 0, FIRST_PPM
    gain = float(pnl_e8(low))
    if gain <= 0:
        return None
    loss = float(pnl_e8(high))
    while loss > 0:
        if high >= MOST_PPM:
            return None
        low, gain, high = high, loss, 2 * high
        loss = float(pnl_e8(high))
    side = 0
    while high - low > PRECISION_PPM:
        between = low + round((high - low) * gain / (gain - loss))
        middle = min(max(between, low + PRECISION_PPM // 2), high - PRECISION_PPM // 2)
        value = pnl_e8(middle)
        if value > 0:
            low, gain = middle, float(value)
            loss = loss / 2 if side > 0 else loss
            side = 1
        else:
            high, loss = middle, float(value)
            gain = gain / 2 if side < 0 else gain
            side = -1
    return low
