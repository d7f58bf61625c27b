"""A combination whose positions are split into tranches, walked over its trades; see `kernels.grid`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.exit_tables import NEVER, settled_bar
from bnml.kernels.fills import commission_quote_e8, mul_ppm, notional_e8, pending_lots
from bnml.kernels.grid_row import count_position
from bnml.kernels.grid_trade import approved_lots, market_price
from bnml.kernels.records import Taking
from bnml.kernels.sizing import split_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market, Tables
    from bnml.kernels.grid_trade import Account

_FOK = int(Taking.FOK)
_TRANCHES = 3

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


class Memory(NamedTuple):
    """The position at hand."""

    pieces: NDArray[np.void]
    position: NDArray[np.void]


def new_memory() -> Memory:
    """Room for one position at a time."""
    return Memory(np.zeros(PIECES, PIECE), np.zeros(1, POSITION))


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
        price = market_price(piece["lots"], cell, code, False, entered, bars, costs)
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
def run_tranches(
    chosen: np.void,
    rules: np.void,
    limits: np.void,
    market: Market,
    account: Account,
    tables: Tables,
    memory: Memory,
    marks: NDArray[np.int64],
    row: np.void,
) -> None:
    """Trade all entries in tranches; fills `row` but for its daily figures, and `marks` by day."""
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
    position, pieces = memory.position[0], memory.pieces
    together = pieces[_TRANCHES]
    for piece in pieces:
        piece["lots"], piece["credit_e8"], piece["settled"] = 0, 0, 0
    cash, day, i = account.initial_e8, 0, 0
    while i < len(entries):
        entry = entries[i]
        while day_bars[day] <= entry["bar"]:
            marks[day] = cash
            day += 1
        lots = approved_lots(cash, entry, sizes[i], limits, instrument)
        _begin(position, entry, i, together)
        code, cell, scan_code = stop_codes[i], stops[i], scan_codes[i]
        if trail_codes[i] < code or (trail_codes[i] == code and trails[i]["price"] > cell["price"]):
            code, cell = trail_codes[i], trails[i]
        if scan_code < code:
            cell = scans[i]
        stop = sizes[i]["stop"]
        parts = split_lots(lots, stop if stop > 0 else entry["close"], costs["taker_ppm"], rules, instrument)
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
            price = market_price(together["lots"], cell, scan_code, True, entry["bar"] + 1, bars, costs)
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
