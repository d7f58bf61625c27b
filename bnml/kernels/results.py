"""Closed positions, traded value and commissions straight from the rows of a run, without an object for each fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import lean
from bnml.kernels.fills import E8, notional_e8

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOLDING = np.dtype(
    [
        ("opened_ns", np.int64),
        ("buys", np.int64),  # fills that bought; 0 = nothing is held
        ("sold", np.int64),  # 1: something was sold
        ("base_e8", np.int64),
        ("pnl_e8", np.int64),
    ]
)
"""The position of one symbol as its fills come; scratch of the caller, zeros at the start."""


@lean
def is_sold(held: np.void, lot_e8: int) -> bool:
    """All but what commission in base left of whole lots, less than one lot for each buy."""
    return held["sold"] != 0 and held["base_e8"] < lot_e8 * held["buys"]


@lean
def book_rows(
    rows: NDArray[np.void],
    instruments: NDArray[np.void],
    holdings: NDArray[np.void],
    results_e8: NDArray[np.int64],
) -> tuple[int, float, int]:
    """Number of closed positions, notional of all fills, and commissions in quote, of TRADE_ROW records.

    `instruments` and `holdings` have one record per symbol number. Results go to `results_e8`, which is as
    long as `rows`, in the order in which the next buy or the end of the rows shows that they are closed.
    A tranche bought at the time of the first one belongs to the same position even if an earlier tranche was
    already sold at that very print; a commission in base is valued at the price of its fill.
    """
    count, traded, commission_e8 = 0, 0.0, 0
    for i in range(len(rows)):
        row = rows[i]
        held, instrument = holdings[row["symbol"]], instruments[row["symbol"]]
        amount_e8 = row["quantity_lots"] * instrument["lot_e8"]
        traded += notional_e8(row["price_ticks"], row["quantity_lots"], instrument)
        if is_sold(held, instrument["lot_e8"]) and row["ts_ns"] != held["opened_ns"]:
            results_e8[count] = held["pnl_e8"]
            count += 1
            held["buys"] = held["sold"] = held["base_e8"] = held["pnl_e8"] = 0
        if held["buys"] == 0 and held["sold"] == 0:
            held["opened_ns"] = row["ts_ns"]
        if row["is_buy"] != 0:
            held["buys"] += 1
            held["base_e8"] += amount_e8 - row["commission_e8"]
            price_e8 = row["price_ticks"] * instrument["tick_e8"]
            commission_e8 += row["commission_e8"] * (price_e8 // E8)
            commission_e8 += row["commission_e8"] * (price_e8 % E8) // E8
        else:
            held["sold"] = 1
            held["base_e8"] -= amount_e8
            held["pnl_e8"] += row["pnl_e8"]
            commission_e8 += row["commission_e8"]
    for k in range(len(holdings)):
        if is_sold(holdings[k], instruments[k]["lot_e8"]):
            results_e8[count] = holdings[k]["pnl_e8"]
            count += 1
    return count, traded, commission_e8
