"""Combinations of exit rules walked over their trades: look up the exit, book it, go to the next entry.

One costs O(trades + days) and gives the integers of the loop over all bars, because sizes, fills,
commissions and the order of things are those of the loop. An exit takes effect, for marks and for the
next decision, with the first scan after it (`exit_tables.settled_bar`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit, part
from bnml.kernels.exit_tables import NEVER, settled_bar
from bnml.kernels.fills import commission_quote_e8, mul_ppm, notional_e8, pending_lots
from bnml.kernels.grid_row import count_position, judge_days
from bnml.kernels.grid_trade import (
    approved_lots,
    end_days,
    filled_lots,
    is_broke,
    is_trailed,
    is_whole,
    mark_flat,
    market_price,
)
from bnml.kernels.grid_tranches import run_tranches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market, Tables
    from bnml.kernels.grid_trade import Account
    from bnml.kernels.grid_tranches import Memory


@part
def run_whole(
    chosen: np.void,
    limits: np.void,
    market: Market,
    account: Account,
    tables: Tables,
    marks: NDArray[np.int64],
    row: np.void,
) -> None:
    """Trade all entries, each as one piece; fills `row` but for its daily figures, and `marks` by day."""
    # Everything is taken out of its tuple once: handing tuples of arrays to a call for each trade costs more.
    s, g, v, h = chosen["stop"], chosen["target1"], chosen["trail"], chosen["hold"]
    sizes, entries, bars, day_bars = tables.sizes[s], tables.entries, market.bars, account.day_bars
    stop_codes, trail_codes, scan_codes = tables.stops.codes[s], tables.trails.codes[v], tables.scans.codes[h]
    stops, trails, scans = tables.stops.cells[s], tables.trails.cells[v], tables.scans.cells[h]
    target_codes, targets = tables.targets.codes[g], tables.targets.cells[g]
    instrument, costs, taking = market.instrument[0], market.costs[0], account.taking
    taker_ppm, cash, commission, day, i = costs["taker_ppm"], account.initial_e8, 0, 0, 0
    while i < len(entries):
        entry, size = entries[i], sizes[i]
        entered = entry["bar"] + 1
        day = mark_flat(day, entry["bar"], cash, day_bars, marks)
        filled = filled_lots(approved_lots(cash, entry, size, limits, instrument), entry, taking)
        kept = pending_lots(filled, taker_ppm, instrument["lot_e8"])
        if kept == 0:
            if is_broke(cash, tables.least_e8[s], limits):
                break
            i += 1
            continue
        code, cell = stop_codes[i], stops[i]
        if is_trailed(code, cell, trail_codes[i], trails[i]):
            code, cell = trail_codes[i], trails[i]
        is_scan = scan_codes[i] < code
        if is_scan:
            code, cell = scan_codes[i], scans[i]
        is_target = target_codes[i] < code or (is_scan and target_codes[i] == code)
        if is_target:
            code, cell, is_scan = target_codes[i], targets[i], False
        cost = notional_e8(entry["price"], filled, instrument)
        cash -= cost
        commission += mul_ppm(cost, taker_ppm)
        settled = settled_bar(code, is_scan, entered)
        while day_bars[day] < settled:
            marks[day] = cash + notional_e8(bars[day_bars[day]]["close"], kept, instrument)
            day += 1
        if code == NEVER:
            count_position(row, 0, bars[len(bars) - 1]["ts_open_ns"] + market.frame_ns - entry["ts_ns"], True)
            break
        price, ppm = cell["price"], costs["maker_ppm"]
        if not is_target:
            price, ppm = market_price(kept, cell, code, is_scan, entered, bars, costs), taker_ppm
        proceeds = notional_e8(price, kept, instrument)
        fee = commission_quote_e8(proceeds, ppm)
        cash += proceeds - fee
        commission += fee
        count_position(row, proceeds - fee - cost, cell["ts_ns"] - entry["ts_ns"], False)
        i = cell["next"]
    end_days(day, cash, marks, row)
    row["commission_e8"] = commission


@njit
def run_combinations(
    chosen: NDArray[np.void],
    rules: NDArray[np.void],
    limits: NDArray[np.void],
    market: Market,
    account: Account,
    tables: Tables,
    memory: Memory,
    marks: NDArray[np.int64],
    returns: NDArray[np.float64],
    rows: NDArray[np.void],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """A row and the block sums of each combination; `marks` and `returns` (by day) are scratch, as is `memory`."""
    for k in range(len(chosen)):
        one, row = chosen[k], rows[k]
        shares, sizes = rules[one["rules"]], limits[one["limits"]]
        if is_whole(shares):
            run_whole(one, sizes, market, account, tables, marks, row)
        else:
            run_tranches(one, shares, sizes, market, account, tables, memory, marks, row)
        row["combination"] = one["combination"]
        judge_days(marks, account.initial_e8, returns, row, sums[k], squares[k])
