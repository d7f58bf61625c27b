"""What the engine concluded, for journal, reports and parity: decisions, trades, equity points."""

from __future__ import annotations

import msgspec

from bnml.core.orders import Side


class Decision(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """One symbol at one scan. `action` and `reason` are codes of `kernels.records`; for a BUY `quantity_lots` > 0."""

    symbol: str
    ts_close_ns: int
    action: int
    reason: int
    measured: float
    limit: float
    quantity_lots: int
    score: float  # global score, 0..100
    confidence: float  # 0..100
    p_sell: float
    p_hold: float
    p_buy: float
    bundle_id: str = ""


class Trade(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """One fill. `pnl_e8` is 0 for buys; for sells proceeds net of commission minus the cost of what was sold."""

    symbol: str
    ts_ns: int
    side: Side
    tranche: int  # 1-based; 0 = several tranches sold together
    quantity_lots: int
    price_ticks: int
    commission_e8: int
    commission_asset: str
    reason: int  # ExitReason; NONE for entries
    pnl_e8: int
    client_order_id: str


class EquityPoint(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Marked at each scan with the closes of that scan; `flows_e8` of the equity came in (or went, negative) since the start."""

    ts_ns: int
    equity_e8: int
    free_quote_e8: int
    positions: int
    flows_e8: int = 0


class Bareness(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A spell in which some of a position had no live stop at the venue; `lots` is the most that had none.

    `is_sold`: it ended because nothing was left to protect. Spells within one venue time are not told of.
    """

    symbol: str
    ts_ns: int  # its end
    since_ns: int
    lots: int
    is_sold: bool


Outcome = Decision | Trade | EquityPoint | Bareness
