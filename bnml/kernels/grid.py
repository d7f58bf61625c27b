"""A combination of exit rules walked over its trades: look up the exit, book it, go to the next entry.

Costs O(trades + days) and gives the integers of the loop over all bars, because sizes, fills, commissions
and the order of things are those of `backtest`. An exit takes effect, for marks and for the next decision,
with the first scan after it: that of the bar before for one at an open, that of its own bar else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.exit_tables import NEVER, settled_bar
from bnml.kernels.fills import (
    PPM,
    SLOT_OPEN,
    commission_quote_e8,
    lots_for,
    mul_ppm,
    notional_e8,
    pending_lots,
    taker_fill,
)
from bnml.kernels.grid_row import count_position, judge_days
from bnml.kernels.records import FillTier, Taking
from bnml.kernels.sizing import active_capital_e8, size_lots, split_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market, Tables

_FOK = int(Taking.FOK)
_TRANCHES = 3
_MARKET = int(Taking.MARKET)
_F1 = int(FillTier.F1)

COMBINATION = np.dtype(
    [
        ("combination", np.int64),
        ("stop", np.int64),  # variants
        ("target1", np.int64),
        ("target2", np.int64),
        ("trail", np.int64),
        ("hold", np.int64),
        ("rules", np.int64),  # index of the shares
        ("limits", np.int64),  # index of the sizes
    ]
)
PIECE = np.dtype(
    [
        ("bought", np.int64),
        ("cost_e8", np.int64),
        ("lots", np.int64),  # held until it is sold
        ("credit_e8", np.int64),  # what its sale brings
        ("settled", np.int64),  # first bar whose scan finds it sold
    ]
)
POSITION = np.dtype(
    [
        ("bought", np.int64),  # lots
        ("paid_e8", np.int64),
        ("credit_e8", np.int64),
        ("result_e8", np.int64),
        ("commission_e8", np.int64),
        ("code", np.int64),  # of its last sale; NEVER: something is held at the end
        ("settled", np.int64),  # first bar whose scan finds all sold
        ("ts_ns", np.int64),  # of its last sale
        ("next", np.int64),  # first entry that can follow
    ]
)
PIECES = 4
"""The tranches, and what a scan sells of them in one order."""


class Account(NamedTuple):
    """What all combinations share beside market and tables."""

    initial_e8: int
    taking: int  # of entries
    day_bars: NDArray[np.int64]  # bar whose scan marks each UTC day; one more that never comes


class Memory(NamedTuple):
    """Working memory of one thread."""

    pieces: NDArray[np.void]
    position: NDArray[np.void]
    marks_e8: NDArray[np.int64]  # by day
    returns: NDArray[np.float64]  # by day


def new_memory(days: int) -> Memory:
    """Working memory for runs of so many days."""
    return Memory(np.zeros(PIECES, PIECE), np.zeros(1, POSITION), np.empty(days, np.int64), np.empty(days))


@njit
def is_whole(rules: np.void) -> bool:
    """Whether a position is one piece, closed by its first target."""
    return rules["share1_ppm"] == PPM and rules["share2_ppm"] == 0


@njit
def _approved_lots(cash_e8: int, entry: np.void, size: np.void, limits: np.void, instrument: np.void) -> int:
    """Lots of an entry from an account without positions; 0: refused for its size, see `limits`."""
    _, lots = size_lots(cash_e8, cash_e8, 0, entry["close"], size["stop"], entry["cap"], limits, instrument)
    if entry["size_ppm"] > 0:
        lots = min(lots, lots_for(mul_ppm(max(0, cash_e8), entry["size_ppm"]), entry["cap"], instrument))
    if lots < size["least_lots"] and notional_e8(entry["cap"], lots, instrument) < size["least_e8"]:
        return 0  # not enough wanted, or not enough to pay it with
    exposure_e8 = mul_ppm(active_capital_e8(cash_e8, limits), limits["max_exposure_ppm"])
    return 0 if size["least_e8"] > exposure_e8 else lots


@njit
def _price(
    lots: int,
    cell: np.void,
    code: int,
    is_scan: bool,
    entered: int,
    bars: NDArray[np.void],
    costs: np.void,
) -> int:
    """What a sale at market gets."""
    if costs["tier"] != _F1:
        return cell["price"]
    before = 2 if code % 4 == SLOT_OPEN and not is_scan and code != entered * 4 else 1
    return taker_fill(_MARKET, False, lots, 0, cell["price"], bars[code // 4 - before], costs)[1]


@njit
def _buy(
    lots: int,
    entry: np.void,
    taking: int,
    costs: np.void,
    instrument: np.void,
    piece: np.void,
    position: np.void,
) -> None:
    """Buy a piece, or nothing where the order cannot fill."""
    filled = min(lots, entry["most_lots"])
    if filled < lots and taking == _FOK:
        filled = 0
    kept = pending_lots(filled, costs["taker_ppm"], instrument["lot_e8"])
    if kept == 0:  # could never be sold
        filled = 0
    cost = notional_e8(entry["price"], filled, instrument)
    piece["lots"], piece["cost_e8"], piece["credit_e8"], piece["settled"] = kept, cost, 0, 0
    position["bought"] += filled
    position["paid_e8"] += cost
    position["commission_e8"] += mul_ppm(cost, costs["taker_ppm"])


@njit
def _sell(piece: np.void, price: int, ppm: int, settled: int, position: np.void, instrument: np.void) -> None:
    """Book a sale; its credit is the piece's from the scan of bar `settled` on."""
    proceeds = notional_e8(price, piece["lots"], instrument)
    commission = commission_quote_e8(proceeds, ppm)
    piece["credit_e8"], piece["settled"] = proceeds - commission, settled
    position["credit_e8"] += proceeds - commission
    position["result_e8"] += proceeds - commission - piece["cost_e8"]
    position["commission_e8"] += commission


@njit
def _leave(position: np.void, code: int, settled: int, cell: np.void) -> None:
    """A piece is left at a print; the position with its last piece."""
    if code > position["code"] or (code == position["code"] and settled >= position["settled"]):
        position["code"], position["settled"] = code, settled
        if code < NEVER:
            position["ts_ns"], position["next"] = cell["ts_ns"], cell["next"]


@njit
def _keep(
    piece: np.void,
    together: np.void,
    target_code: int,
    target: np.void,
    code: int,
    is_scan: bool,
    cell: np.void,
    entered: int,
    bars: NDArray[np.void],
    instrument: np.void,
    costs: np.void,
    position: np.void,
) -> None:
    """A piece is sold at its target, or where the position ends: at `code`, together with others by a scan."""
    if target_code < code or (is_scan and target_code == code):
        then = settled_bar(target_code, False, entered)
        _sell(piece, target["price"], costs["maker_ppm"], then, position, instrument)
        _leave(position, target_code, then, target)
        return
    settled = settled_bar(code, is_scan, entered)
    piece["settled"] = settled
    _leave(position, code, settled, cell)
    if is_scan:
        together["lots"] += piece["lots"]
        together["cost_e8"] += piece["cost_e8"]
    elif code < NEVER:
        price = _price(piece["lots"], cell, code, False, entered, bars, costs)
        _sell(piece, price, costs["taker_ppm"], settled, position, instrument)


@njit
def _begin(position: np.void, entry: np.void, i: int, together: np.void) -> None:
    """Nothing is bought yet: left at its own print, before the next entry."""
    position["bought"], position["paid_e8"], position["credit_e8"] = 0, 0, 0
    position["commission_e8"], position["result_e8"] = 0, 0
    position["code"], position["settled"] = (entry["bar"] + 1) * 4, entry["bar"] + 1
    position["ts_ns"], position["next"] = entry["ts_ns"], i + 1
    together["lots"], together["cost_e8"], together["credit_e8"], together["settled"] = 0, 0, 0, 0


@njit
def _mark_held(
    day: int,
    cash_e8: int,
    settled: int,
    pieces: NDArray[np.void],
    bars: NDArray[np.void],
    day_bars: NDArray[np.int64],
    instrument: np.void,
    marks_e8: NDArray[np.int64],
) -> int:
    """Mark the days before the scan of bar `settled`, when a position is held; returns the next day."""
    while day_bars[day] < settled:
        bar, lots, equity = day_bars[day], 0, cash_e8
        for piece in pieces:
            if piece["settled"] > bar:
                lots += piece["lots"]
            else:
                equity += piece["credit_e8"]
        marks_e8[day] = equity + notional_e8(bars[bar]["close"], lots, instrument)
        day += 1
    return day


@njit
def run_combination(
    chosen: np.void,
    rules: np.void,
    limits: np.void,
    market: Market,
    account: Account,
    tables: Tables,
    memory: Memory,
    row: np.void,
) -> None:
    """Trade all entries; fills `row` but for its daily figures, and the daily marks in `memory`."""
    # Everything is taken out of its tuple once: handing tuples of arrays to a call for each trade costs more.
    sizes, entries, bars = tables.sizes[chosen["stop"]], tables.entries, market.bars
    stop_codes, stops = tables.stops.codes[chosen["stop"]], tables.stops.cells[chosen["stop"]]
    trail_codes, trails = tables.trails.codes[chosen["trail"]], tables.trails.cells[chosen["trail"]]
    scan_codes, scans = tables.scans.codes[chosen["hold"]], tables.scans.cells[chosen["hold"]]
    target_codes, targets = tables.targets.codes, tables.targets.cells
    instrument, costs, taking, day_bars = (
        market.instrument[0],
        market.costs[0],
        account.taking,
        account.day_bars,
    )
    position, pieces, marks = memory.position[0], memory.pieces, memory.marks_e8
    together, whole = pieces[_TRANCHES], is_whole(rules)
    for piece in pieces:
        piece["lots"], piece["credit_e8"], piece["settled"] = 0, 0, 0
    cash, day, i = account.initial_e8, 0, 0
    while i < len(entries):
        entry = entries[i]
        while day_bars[day] <= entry["bar"]:
            marks[day] = cash
            day += 1
        lots = _approved_lots(cash, entry, sizes[i], limits, instrument)
        _begin(position, entry, i, together)
        code, cell, scan_code = stop_codes[i], stops[i], scan_codes[i]
        if trail_codes[i] < code or (trail_codes[i] == code and trails[i]["price"] > cell["price"]):
            code, cell = trail_codes[i], trails[i]
        if scan_code < code:
            cell = scans[i]
        parts = (lots, 0, 0)
        if not whole:
            stop = sizes[i]["stop"]
            least = stop if stop > 0 else entry["close"]
            parts = split_lots(lots, least, costs["taker_ppm"], rules, instrument)
        for k in range(_TRANCHES):
            if parts[k] == 0:
                pieces[k]["lots"], pieces[k]["credit_e8"] = 0, 0
                continue
            _buy(parts[k], entry, taking, costs, instrument, pieces[k], position)
            if pieces[k]["lots"] > 0:
                g = chosen["target1"] if k == 0 else chosen["target2"]
                _keep(
                    pieces[k],
                    together,
                    target_codes[g, i] if k < 2 else NEVER,
                    targets[g, i],
                    min(code, scan_code),
                    scan_code < code,
                    cell,
                    entry["bar"] + 1,
                    bars,
                    instrument,
                    costs,
                    position,
                )
        if together["lots"] > 0:
            price = _price(together["lots"], cell, scan_code, True, entry["bar"] + 1, bars, costs)
            _sell(together, price, costs["taker_ppm"], scan_code // 4, position, instrument)
            together["lots"] = 0
        if position["bought"] == 0:
            i += 1
            continue
        cash -= position["paid_e8"]
        if position["code"] == NEVER:
            position["ts_ns"] = bars[len(bars) - 1]["ts_open_ns"] + market.frame_ns
        row["commission_e8"] += position["commission_e8"]
        is_open = position["code"] == NEVER
        count_position(row, position["result_e8"], position["ts_ns"] - entry["ts_ns"], is_open)
        if day_bars[day] < position["settled"]:
            day = _mark_held(day, cash, position["settled"], pieces, bars, day_bars, instrument, marks)
        cash += position["credit_e8"]
        if is_open:
            break
        i = position["next"]
    while day < len(marks):
        marks[day] = cash
        day += 1
    row["final_equity_e8"] = marks[len(marks) - 1]


@njit
def run_combinations(
    chosen: NDArray[np.void],
    rules: NDArray[np.void],
    limits: NDArray[np.void],
    market: Market,
    account: Account,
    tables: Tables,
    memory: Memory,
    rows: NDArray[np.void],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """A row and the block sums of each combination; threads share all but `memory` and the output."""
    for k in range(len(chosen)):
        one, row = chosen[k], rows[k]
        run_combination(one, rules[one["rules"]], limits[one["limits"]], market, account, tables, memory, row)
        row["combination"] = one["combination"]
        judge_days(memory.marks_e8, account.initial_e8, memory.returns, row, sums[k], squares[k])
