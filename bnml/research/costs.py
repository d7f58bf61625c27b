"""What trading cost, fill by fill: commission as charged; spread and slippage, which are in the prices, by the model."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.orders import Side
from bnml.core.outcomes import Trade
from bnml.kernels import fills
from bnml.kernels.records import ExitReason
from bnml.research.market import Market
from bnml.research.positions import commission_quote_e8

PPM = fills.PPM
RESTING = frozenset({int(ExitReason.TARGET1), int(ExitReason.TARGET2)})
"""Exits that rested in the book: they pay the maker's commission, no spread and no slippage."""
TRIGGERED = frozenset(map(int, (ExitReason.STOP, ExitReason.HARD_STOP, ExitReason.TRAILING, ExitReason.GAP)))


class FillCost(msgspec.Struct, frozen=True):
    """Parts of one fill's cost in 1e-8 of the quote asset, and what was traded."""

    symbol: str
    notional_e8: int
    maker_e8: int = 0
    taker_e8: int = 0
    spread_e8: int = 0
    slippage_e8: int = 0

    @property
    def total_e8(self) -> int:
        return self.maker_e8 + self.taker_e8 + self.spread_e8 + self.slippage_e8


def fill_costs(trades: Iterable[Trade], market: Market, costs: NDArray[np.void]) -> list[FillCost]:
    """Costs of each fill, in the order of `trades` (of each symbol in time); `costs` is records.COSTS."""
    entered_ns: dict[str, int] = {}
    found = []
    for trade in trades:
        if trade.side is Side.BUY:
            entered_ns[trade.symbol] = trade.ts_ns
        instrument = market.instruments[trade.symbol]
        notional = instrument.notional_e8(trade.price_ticks, trade.quantity_lots)
        commission = commission_quote_e8(trade, instrument)
        if trade.side is Side.SELL and trade.reason in RESTING:
            found.append(FillCost(trade.symbol, notional, maker_e8=commission))
            continue
        rested = trade.reason in TRIGGERED and trade.ts_ns != entered_ns.get(trade.symbol)
        bar = published_bar(market.bars[trade.symbol], trade.ts_ns, rested=rested)
        spread, slippage = taking_ppm(trade, bar, costs[0])
        found.append(
            FillCost(
                trade.symbol,
                notional,
                taker_e8=commission,
                spread_e8=notional * spread // PPM,
                slippage_e8=notional * slippage // PPM,
            )
        )
    return found


def published_bar(bars: NDArray[np.void], ts_ns: int, *, rested: bool) -> np.void:
    """The bar that prices a taking fill at `ts_ns`; at an open, an order that rested knows one bar less."""
    at = int(np.searchsorted(bars["ts_open_ns"], ts_ns, side="right")) - 1
    back = 2 if rested and at >= 0 and int(bars["ts_open_ns"][at]) == ts_ns else 1
    bar: np.void = bars[max(0, at - back)]
    return bar


def taking_ppm(trade: Trade, bar: np.void, costs: np.void) -> tuple[int, int]:
    """(half spread, slippage) of a taking fill in ppm; an entry never slips beyond its limit."""
    half = int(fills.half_spread_ppm(bar, costs))
    if trade.side is Side.BUY:
        return half, int(costs["slippage_ppm"])
    return half, int(fills.slippage_ppm(trade.quantity_lots, int(bar["volume_lots"]), costs))
