"""The books of a run: cash, one place per symbol for its position and orders, the rows left behind; all in integers.

A position has up to three tranches (0-based here, 1-based in rows) that share stop, trailing and
deciding scan. Every array is the caller's; a row is written in place and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import lean, part
from bnml.kernels.exits import trail_trigger
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

ANSWER = np.dtype(
    [
        ("reason", np.int64),  # Reason; UNASKED where no scan came to it
        ("measured", np.float64),
        ("limit", np.float64),
        ("quantity_lots", np.int64),
    ]
)
"""What became of an opinion; one for each, in the same order."""

UNASKED = -1
"""Reason of an answer before any scan came to its opinion."""

EQUITY_ROW = np.dtype(
    [("ts_ns", np.int64), ("equity_e8", np.int64), ("free_quote_e8", np.int64), ("positions", np.int64)]
)

CHANGE = np.dtype([("scan", np.int64), ("free_quote_e8", np.int64), ("positions", np.int64)])
"""Free quote and number of positions from a scan on, until the next change."""

BOOK = np.dtype(
    [
        ("cash_e8", np.int64),
        ("reserved_e8", np.int64),  # at the caps of entries under way
        ("positions", np.int64),  # held, or an entry under way
        ("trades", np.int64),  # rows written
        ("scans", np.int64),
        ("changes", np.int64),
        ("scanned_ns", np.int64),  # closing time of the last scan
        ("waiting", np.int64),  # entries under way, in the queue
        ("held", np.int64),  # symbols in the list of those that may have a position
        ("now_ns", np.int64),  # the boundary
        ("next_ns", np.int64),  # the next one
        ("earliest_ns", np.int64),  # closing times of the bars published at this one, from
        ("latest_ns", np.int64),  # to, 0 for none
        ("published", np.int64),  # how many
        ("walked", np.int64),  # bars whose prints were looked at one by one
        ("fallbacks", np.int64),  # of these, bars that lacked a stretch of the fast frame
        ("passed", np.int64),  # of no meaning, see kernels.gliding
        ("day_at", np.int64),  # place in the calendar of the day roll
        ("closed", np.int64),  # positions closed that nobody has counted yet
        ("in_step", np.int64),  # lanes that are, see kernels.in_step,
        ("step", np.int64),  # boundaries since then; 0: they are not
        ("steps", np.int64),  # until it ends
        ("rest", np.int64),  # boundaries until it is tried again
    ]
)
"""What all symbols share."""

SLOT = np.dtype(
    [
        ("is_open", np.int64),  # 1: lots are held or an entry is under way
        ("sold", np.int64),  # 1: a part of the position was sold already
        ("stop", np.int64),  # 0: none
        ("stop_kind", np.int64),  # ExitReason if the stop is hit at its level
        ("ceiling", np.int64),  # lowest print above which a target may fill or the stop trails
        ("activation", np.int64),
        ("atr", np.int64),
        ("decided_ns", np.int64),  # closing time of the deciding scan
        ("result_e8", np.int64),  # realised by the position so far
        ("closed_ns", np.int64),  # 0, or when it was closed and nobody has counted that yet
        ("lots", np.int64, (TRANCHES,)),  # held, by tranche
        ("cost_e8", np.int64, (TRANCHES,)),  # of the last buy, by tranche
        ("target", np.int64, (TRANCHES,)),  # resting limit, by tranche; 0 = none
        ("entering", np.int64),  # 1: an entry is under way
        ("leaving", np.int64),  # ExitReason of a market exit under way
        ("due_bar", np.int64),  # bar at whose open the order meets the market
        ("due_ns", np.int64),  # time from which it does
        ("parts", np.int64, (TRANCHES,)),  # lots of the entry, by tranche
        ("cap", np.int64),
        ("reference", np.int64),
        ("reserved_e8", np.int64),
    ]
)
"""One symbol's position and the order under way."""


LANE = np.dtype(
    [
        ("next_ns", np.int64),  # open time of its next bar; NEVER after the last
        ("opened_ns", np.int64),  # open time of its last bar
        ("published_ns", np.int64),  # closing time of the bar published at this boundary; 0: none
        ("bar", np.int64),  # its last bar that has opened
        ("opinion_bar", np.int64),  # bar of its next opinion; NEVER after the last
        ("opinion", np.int64),
        ("opinions_start", np.int64),
        ("opinions_end", np.int64),
        ("sell", np.int64),  # its next opinion that says SELL; moved only where bars are passed in stretches
        ("start", np.int64),  # its first bar, its first traded one, and the end of its bars
        ("first", np.int64),
        ("end", np.int64),
        ("is_regular", np.int64),  # 1: no bar is missing from the first traded one on
        ("fast", np.int64),  # its next bar of the fast frame
        ("fast_end", np.int64),
        ("bars_at", np.int64),  # kernels.borrowed.address_of its bars
    ]
)
"""Where one symbol is in time; numbers are places in the arrays of all symbols joined."""


class Kit(NamedTuple):
    """One symbol's part of the books, and what its fills follow."""

    slot: np.void
    book: np.void
    instrument: np.void
    costs: np.void
    rules: np.void
    symbol: int
    trades: NDArray[np.void]


@lean
def is_held(slot: np.void) -> bool:
    """Whether lots are held: not while an entry is under way."""
    return slot["is_open"] == 1 and slot["entering"] == 0


@lean
def open_lots(slot: np.void) -> int:
    """Lots held in all tranches."""
    lots = slot["lots"]
    return lots[0] + lots[1] + lots[2]


@lean
def open_cost_e8(slot: np.void) -> int:
    """What the lots still held were bought for."""
    total = 0
    for k in range(TRANCHES):
        if slot["lots"][k] > 0:
            total += slot["cost_e8"][k]
    return total


@part
def note_change(book: np.void, changes: NDArray[np.void], scan: int) -> None:
    """Before the equity point of a scan: remember free quote and positions if they are others than before."""
    free, positions, count = book["cash_e8"] - book["reserved_e8"], book["positions"], book["changes"]
    if count > 0:
        last = changes[count - 1]
        if last["free_quote_e8"] == free and last["positions"] == positions:
            return
    change = changes[count]
    change["scan"] = scan
    change["free_quote_e8"] = free
    change["positions"] = positions
    book["changes"] = count + 1


@lean
def lowest_target(slot: np.void, never: int) -> int:
    """The lowest target of a tranche still held; `never` without one."""
    lowest = never
    for k in range(TRANCHES):
        target = slot["target"][k]
        if slot["lots"][k] > 0 and target > 0:
            lowest = min(lowest, target)
    return lowest


@lean
def set_ceiling(slot: np.void, rules: np.void) -> None:
    """After any change of stop or tranches: the lowest print from which something may happen above."""
    trigger = trail_trigger(slot["stop"], slot["activation"], slot["atr"], rules)
    slot["ceiling"] = lowest_target(slot, trigger)


@lean
def _write(
    kit: Kit,
    ts_ns: int,
    is_buy: int,
    tranche: int,
    quantity_lots: int,
    price_ticks: int,
    commission_e8: int,
    reason: int,
    pnl_e8: int,
) -> None:
    row = kit.trades[kit.book["trades"]]
    row["ts_ns"] = ts_ns
    row["is_buy"] = is_buy
    row["tranche"] = tranche
    row["quantity_lots"] = quantity_lots
    row["price_ticks"] = price_ticks
    row["commission_e8"] = commission_e8
    row["reason"] = reason
    row["pnl_e8"] = pnl_e8
    row["symbol"] = kit.symbol
    kit.book["trades"] += 1


@part
def buy_tranche(kit: Kit, k: int, quantity_lots: int, price_ticks: int, ppm: int, ts_ns: int) -> None:
    """Pay for tranche `k`; commission is taken in base, whole lots stay, the rest is dust at its cost."""
    lot_e8 = kit.instrument["lot_e8"]
    cost = notional_e8(price_ticks, quantity_lots, kit.instrument)
    kit.book["cash_e8"] -= cost
    kit.slot["cost_e8"][k] = cost
    kit.slot["lots"][k] = pending_lots(quantity_lots, ppm, lot_e8)
    commission = commission_base_e8(quantity_lots, ppm, lot_e8)
    _write(kit, ts_ns, 1, k + 1, quantity_lots, price_ticks, commission, _NONE, 0)


@lean
def _credit(
    kit: Kit, tranche: int, lots: int, cost_e8: int, price_ticks: int, ppm: int, reason: int, ts_ns: int
) -> None:
    slot = kit.slot
    proceeds = notional_e8(price_ticks, lots, kit.instrument)
    commission = commission_quote_e8(proceeds, ppm)
    pnl = proceeds - commission - cost_e8
    kit.book["cash_e8"] += proceeds - commission
    slot["result_e8"] += pnl
    slot["sold"] = 1
    _write(kit, ts_ns, 0, tranche, lots, price_ticks, commission, reason, pnl)


@lean
def sell_tranche(kit: Kit, k: int, price_ticks: int, ppm: int, reason: int, ts_ns: int) -> None:
    """Sell all of tranche `k`; the caller settles the position afterwards."""
    lots, cost = kit.slot["lots"][k], kit.slot["cost_e8"][k]
    kit.slot["lots"][k] = 0
    _credit(kit, k + 1, lots, cost, price_ticks, ppm, reason, ts_ns)


@part
def sell_all(kit: Kit, price_ticks: int, ppm: int, reason: int, ts_ns: int) -> None:
    """Sell every open tranche in one order; the caller settles the position afterwards."""
    lots, cost = open_lots(kit.slot), open_cost_e8(kit.slot)
    for k in range(TRANCHES):
        kit.slot["lots"][k] = 0
    _credit(kit, 0, lots, cost, price_ticks, ppm, reason, ts_ns)


@lean
def settle(kit: Kit, ts_ns: int) -> None:
    """After fills: a position without lots is closed; else its ceiling is set anew."""
    slot = kit.slot
    if open_lots(slot) > 0:
        set_ceiling(slot, kit.rules)
        return
    slot["is_open"] = 0
    slot["leaving"] = _NONE
    slot["closed_ns"] = ts_ns
    kit.book["closed"] += 1
    kit.book["positions"] -= 1
