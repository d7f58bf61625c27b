"""The books of a run over one symbol: cash, tranches, and the rows it leaves behind; all in integers.

A position has up to three tranches (0-based here, 1-based in rows) that share stop, trailing and
deciding scan. Every array is the caller's; a row is written in place and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.breakers import note_closed
from bnml.kernels.fills import commission_base_e8, commission_quote_e8, notional_e8, pending_lots
from bnml.kernels.records import ExitReason

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRANCHES = 3
_NONE = int(ExitReason.NONE)

TRADE_ROW = np.dtype(
    [
        ("ts_ns", np.int64),
        ("is_buy", np.int64),
        ("tranche", np.int64),  # 1-based; 0 = several sold together
        ("quantity_lots", np.int64),
        ("price_ticks", np.int64),
        ("commission_e8", np.int64),  # of a buy in base, of a sell in quote
        ("reason", np.int64),  # ExitReason; NONE for buys
        ("pnl_e8", np.int64),
        ("symbol", np.int64),  # number of the input
    ]
)

DECISION_ROW = np.dtype(
    [
        ("bar", np.int64),  # index of the decided bar
        ("action", np.int64),
        ("reason", np.int64),
        ("measured", np.float64),
        ("limit", np.float64),
        ("quantity_lots", np.int64),
        ("score", np.float64),
        ("confidence", np.float64),
    ]
)

EQUITY_ROW = np.dtype(
    [("ts_ns", np.int64), ("equity_e8", np.int64), ("free_quote_e8", np.int64), ("positions", np.int64)]
)

STATE = np.dtype(
    [
        ("cash_e8", np.int64),
        ("is_open", np.int64),
        ("sold", np.int64),  # 1: a part of the position was sold already
        ("stop", np.int64),
        ("stop_kind", np.int64),  # ExitReason if the stop is hit at its level
        ("activation", np.int64),
        ("atr", np.int64),
        ("decided_ns", np.int64),  # closing time of the deciding scan
        ("result_e8", np.int64),  # realised by the position so far
        ("trades", np.int64),  # rows written
        ("scans", np.int64),
        ("lots", np.int64, (TRANCHES,)),  # held, by tranche
        ("cost_e8", np.int64, (TRANCHES,)),  # of the last buy, by tranche
        ("target", np.int64, (TRANCHES,)),  # resting limit, by tranche; 0 = none
    ]
)
"""What a run changes: money, the position and its tranches, counts of rows."""


class Kit(NamedTuple):
    """All records of one run, plain numbers beside them: what each step gets, without an array to count."""

    state: np.void  # STATE
    breakers: np.void
    facts: np.void  # scratch
    instrument: np.void
    costs: np.void
    rules: np.void
    limits: np.void
    policy: np.void
    weight_ml: float
    weight_technical: float
    weight_momentum: float
    frame_ns: int
    model: int


def new_state(cash_e8: int) -> NDArray[np.void]:
    """Nothing but cash, as a one-element record."""
    state = np.zeros(1, dtype=STATE)
    state["cash_e8"] = cash_e8
    return state


@njit
def open_lots(kit: Kit) -> int:
    """Lots held in all tranches."""
    lots = kit.state["lots"]
    return lots[0] + lots[1] + lots[2]


@njit
def open_cost_e8(kit: Kit) -> int:
    """What the lots still held were bought for."""
    total = 0
    for k in range(TRANCHES):
        if kit.state["lots"][k] > 0:
            total += kit.state["cost_e8"][k]
    return total


@njit
def _write(
    kit: Kit,
    rows: NDArray[np.void],
    ts_ns: int,
    is_buy: int,
    tranche: int,
    quantity_lots: int,
    price_ticks: int,
    commission_e8: int,
    reason: int,
    pnl_e8: int,
) -> None:
    state = kit.state
    row = rows[state["trades"]]
    row["ts_ns"] = ts_ns
    row["is_buy"] = is_buy
    row["tranche"] = tranche
    row["quantity_lots"] = quantity_lots
    row["price_ticks"] = price_ticks
    row["commission_e8"] = commission_e8
    row["reason"] = reason
    row["pnl_e8"] = pnl_e8
    row["symbol"] = 0
    state["trades"] += 1


@njit
def buy_tranche(
    kit: Kit,
    rows: NDArray[np.void],
    k: int,
    quantity_lots: int,
    price_ticks: int,
    ppm: int,
    ts_ns: int,
) -> None:
    """Pay for tranche `k`; commission is taken in base, whole lots stay, the rest is dust at its cost."""
    state = kit.state
    cost = notional_e8(price_ticks, quantity_lots, kit.instrument)
    lot_e8 = kit.instrument["lot_e8"]
    commission = commission_base_e8(quantity_lots, ppm, lot_e8)
    state["cash_e8"] -= cost
    kit.state["cost_e8"][k] = cost
    kit.state["lots"][k] = pending_lots(quantity_lots, ppm, lot_e8)
    _write(kit, rows, ts_ns, 1, k + 1, quantity_lots, price_ticks, commission, _NONE, 0)


@njit
def _credit(
    kit: Kit,
    rows: NDArray[np.void],
    tranche: int,
    quantity_lots: int,
    cost_e8: int,
    price_ticks: int,
    ppm: int,
    reason: int,
    ts_ns: int,
) -> None:
    state = kit.state
    proceeds = notional_e8(price_ticks, quantity_lots, kit.instrument)
    commission = commission_quote_e8(proceeds, ppm)
    pnl = proceeds - commission - cost_e8
    state["cash_e8"] += proceeds - commission
    state["result_e8"] += pnl
    state["sold"] = 1
    _write(kit, rows, ts_ns, 0, tranche, quantity_lots, price_ticks, commission, reason, pnl)


@njit
def sell_tranche(
    kit: Kit,
    rows: NDArray[np.void],
    k: int,
    price_ticks: int,
    ppm: int,
    reason: int,
    ts_ns: int,
) -> None:
    """Sell all of tranche `k`; the caller settles the position afterwards."""
    lots, cost = kit.state["lots"][k], kit.state["cost_e8"][k]
    kit.state["lots"][k] = 0
    _credit(kit, rows, k + 1, lots, cost, price_ticks, ppm, reason, ts_ns)


@njit
def sell_all(
    kit: Kit,
    rows: NDArray[np.void],
    price_ticks: int,
    ppm: int,
    reason: int,
    ts_ns: int,
) -> None:
    """Sell every open tranche in one order; the caller settles the position afterwards."""
    lots, cost = open_lots(kit), open_cost_e8(kit)
    for k in range(TRANCHES):
        kit.state["lots"][k] = 0
    _credit(kit, rows, 0, lots, cost, price_ticks, ppm, reason, ts_ns)


@njit
def settle(kit: Kit, ts_ns: int) -> None:
    """After sales: a position without lots is closed, and its result counts for the loss streak."""
    state = kit.state
    if state["is_open"] == 1 and open_lots(kit) == 0:
        state["is_open"] = 0
        note_closed(kit.breakers, state["result_e8"], ts_ns, kit.limits)


@njit
def begin_position(kit: Kit, stop: int, stop_kind: int, activation: int, atr: int, decided_ns: int) -> None:
    """Set what all tranches of a new position share."""
    state = kit.state
    state["is_open"] = 1
    state["sold"] = 0
    state["result_e8"] = 0
    state["stop"] = stop
    state["stop_kind"] = stop_kind
    state["activation"] = activation
    state["atr"] = atr
    state["decided_ns"] = decided_ns
