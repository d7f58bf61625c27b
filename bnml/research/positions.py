"""Positions from a list of fills: what each bought and brought, how long it was held, how far the price ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.instrument import E8, Instrument
from bnml.core.orders import Side
from bnml.core.outcomes import Trade
from bnml.kernels.excursions import HELD, excursion_batch
from bnml.kernels.records import ExitReason

if TYPE_CHECKING:
    from bnml.research.market import Market

InitialRisk = Callable[[str, int], int]
"""Symbol and time of an entry -> ticks between the reference price and the initial stop, 0 if there is none."""


class PositionResult(msgspec.Struct, frozen=True):
    """One closed position: times of its first buy and last sale, realised profit or loss in 1e-8 of the quote."""

    symbol: str
    opened_ns: int
    closed_ns: int
    pnl_e8: int


class Position(msgspec.Struct, frozen=True):
    """What one entry bought, until its last lot is sold; of an open one the rest is valued at the last close.

    `favourable` and `adverse` (MFE, MAE) are shares of the mean entry price over the path while it was held.
    `r` is the result in multiples of what the initial stop put at risk, None where there was none.
    """

    symbol: str
    opened_ns: int
    closed_ns: int
    is_open: bool
    lots: int
    entry_ticks: float  # mean of its buys
    exit_ticks: float  # mean of its sales
    cost_e8: int
    pnl_e8: int
    favourable: float
    adverse: float
    r: float | None
    reason: str  # of the last sale
    commission_e8: int  # in quote, of all its fills

    @property
    def gain(self) -> float:
        """Result as a share of what was paid."""
        return self.pnl_e8 / self.cost_e8 if self.cost_e8 else 0.0

    @property
    def held_ns(self) -> int:
        return self.closed_ns - self.opened_ns


class _Group:
    """The fills of one position as they come."""

    __slots__ = ("base_e8", "buys", "sales")

    def __init__(self) -> None:
        self.base_e8 = 0
        self.buys: list[Trade] = []
        self.sales: list[Trade] = []

    @property
    def opened_ns(self) -> int:
        return self.buys[0].ts_ns if self.buys else self.sales[0].ts_ns

    def is_sold(self, lot_e8: int) -> bool:
        """All but what commission in base left of whole lots, less than one lot for each buy."""
        return bool(self.sales) and self.base_e8 < lot_e8 * len(self.buys)

    def book(self, trade: Trade, instrument: Instrument) -> None:
        amount_e8 = trade.quantity_lots * instrument.lot_e8
        if trade.side is Side.SELL:
            self.base_e8 -= amount_e8
            self.sales.append(trade)
            return
        in_base = trade.commission_asset == instrument.base
        self.base_e8 += amount_e8 - (trade.commission_e8 if in_base else 0)
        self.buys.append(trade)


def _grouped(trades: Iterable[Trade], instruments: Mapping[str, Instrument]) -> list[_Group]:
    """Fills by position. `trades` of each symbol in their order in time.

    A tranche bought at the time of the first one belongs to the same position even if an earlier tranche
    was already sold at that very print.
    """
    current: dict[str, _Group] = {}
    groups: list[_Group] = []
    for trade in trades:
        instrument = instruments[trade.symbol]
        group = current.get(trade.symbol)
        if group is None or (group.is_sold(instrument.lot_e8) and trade.ts_ns != group.opened_ns):
            group = current[trade.symbol] = _Group()
            groups.append(group)
        group.book(trade, instrument)
    return groups


def closed_positions(trades: Iterable[Trade], instruments: Mapping[str, Instrument]) -> list[PositionResult]:
    """Results of positions that are wholly sold, in the order of their last sale."""
    closed = [
        PositionResult(sales[0].symbol, group.opened_ns, sales[-1].ts_ns, sum(sale.pnl_e8 for sale in sales))
        for group in _grouped(trades, instruments)
        if (sales := group.sales) and group.is_sold(instruments[sales[0].symbol].lot_e8)
    ]
    return sorted(closed, key=lambda result: (result.closed_ns, result.symbol))


def positions_of(
    trades: Iterable[Trade],
    market: Market,
    *,
    fast: Mapping[str, NDArray[np.void]] | None = None,
    fast_frame_ns: int = 0,
    initial_risk: InitialRisk | None = None,
) -> list[Position]:
    """All positions, open ones too, in the order of their entries.

    Excursions are read from `fast` bars of `fast_frame_ns` where a symbol has them, else from the market's.
    """
    by_symbol: dict[str, list[_Group]] = {}
    for group in _grouped(trades, market.instruments):
        if group.buys:
            by_symbol.setdefault(group.buys[0].symbol, []).append(group)
    found = []
    for symbol, groups in by_symbol.items():
        last = market.bars[symbol][-1]
        held = np.zeros(len(groups), dtype=HELD)
        for row, group in zip(held, groups, strict=True):
            row["entry_ns"] = group.opened_ns
            if group.is_sold(market.instruments[symbol].lot_e8):
                row["exit_ns"], row["exit_ticks"] = group.sales[-1].ts_ns, group.sales[-1].price_ticks
            else:
                row["exit_ns"], row["exit_ticks"] = last["ts_open_ns"] + market.frame_ns, last["close"]
        bars = None if fast is None else fast.get(symbol)
        if bars is None:
            excursion_batch(market.bars[symbol], market.frame_ns, held)
        else:
            excursion_batch(bars, fast_frame_ns, held)
        risk = (lambda _symbol, _ts: 0) if initial_risk is None else initial_risk
        found += [
            _position(group, row, market.instruments[symbol], risk(symbol, group.opened_ns))
            for group, row in zip(groups, held, strict=True)
        ]
    return sorted(found, key=lambda one: (one.opened_ns, one.symbol))


def _position(group: _Group, held: np.void, instrument: Instrument, risk_ticks: int) -> Position:
    lots = sum(buy.quantity_lots for buy in group.buys)
    sold = sum(sale.quantity_lots for sale in group.sales)
    entry = sum(buy.quantity_lots * buy.price_ticks for buy in group.buys) / lots
    cost_e8 = sum(instrument.notional_e8(buy.price_ticks, buy.quantity_lots) for buy in group.buys)
    pnl_e8 = sum(sale.pnl_e8 for sale in group.sales)
    received = sum(sale.quantity_lots * sale.price_ticks for sale in group.sales)
    is_open = not group.is_sold(instrument.lot_e8)
    rest = max(0, group.base_e8 // instrument.lot_e8) if is_open else 0
    if rest:
        received += rest * int(held["exit_ticks"])
    if is_open:
        value_e8 = instrument.notional_e8(int(held["exit_ticks"]), rest)
        pnl_e8 = value_e8 - cost_e8 + sum(_proceeds_e8(sale, instrument) for sale in group.sales)
    at_risk_e8 = instrument.notional_e8(risk_ticks, lots)
    return Position(
        symbol=instrument.symbol,
        opened_ns=group.opened_ns,
        closed_ns=int(held["exit_ns"]),
        is_open=is_open,
        lots=lots,
        entry_ticks=entry,
        exit_ticks=received / (sold + rest) if sold + rest else float(held["exit_ticks"]),
        cost_e8=cost_e8,
        pnl_e8=pnl_e8,
        favourable=float(held["high_ticks"]) / entry - 1.0,
        adverse=float(held["low_ticks"]) / entry - 1.0,
        r=pnl_e8 / at_risk_e8 if at_risk_e8 > 0 else None,
        reason=ExitReason.END_OF_DATA.name.lower() if is_open else _reason(group.sales),
        commission_e8=sum(commission_quote_e8(trade, instrument) for trade in (*group.buys, *group.sales)),
    )


def _proceeds_e8(sale: Trade, instrument: Instrument) -> int:
    return instrument.notional_e8(sale.price_ticks, sale.quantity_lots) - sale.commission_e8


def _reason(sales: Sequence[Trade]) -> str:
    return ExitReason(sales[-1].reason).name.lower()


def commission_quote_e8(trade: Trade, instrument: Instrument) -> int:
    """Commission of a fill in 1e-8 of the quote asset; one paid in base is valued at the fill's price."""
    if trade.commission_asset == instrument.base:
        return trade.commission_e8 * trade.price_ticks * instrument.tick_e8 // E8
    return trade.commission_e8
