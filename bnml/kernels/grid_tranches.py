"""A combination whose positions are split into tranches, walked over its trades; see `kernels.grid`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import part
from bnml.kernels.exit_tables import NEVER, settled_bar
from bnml.kernels.fills import commission_quote_e8, mul_ppm, notional_e8, pending_lots
from bnml.kernels.grid_row import count_position
from bnml.kernels.grid_trade import (
    approved_lots,
    end_days,
    filled_lots,
    is_broke,
    is_trailed,
    mark_flat,
    market_price,
)
from bnml.kernels.sizing import split_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market, Tables
    from bnml.kernels.grid_trade import Account

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
        ("entered", np.int64),  # bar of the fill
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
    codes: NDArray[np.int64]


def new_memory() -> Memory:
    """Room for one position at a time."""
    return Memory(np.zeros(PIECES, PIECE), np.zeros(1, POSITION), np.empty(PIECES, np.int64))


@part
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
    filled = filled_lots(lots, entry, taking)
    kept = pending_lots(filled, costs["taker_ppm"], instrument["lot_e8"])
    if kept == 0:  # could never be sold
        filled = 0
    cost = notional_e8(entry["price"], filled, instrument)
    piece["lots"], piece["cost_e8"], piece["credit_e8"], piece["settled"] = kept, cost, 0, 0
    position["bought"] += filled
    position["paid_e8"] += cost
    position["commission_e8"] += mul_ppm(cost, costs["taker_ppm"])


@part
def _sell(piece: np.void, price: int, ppm: int, settled: int, position: np.void, instrument: np.void) -> None:
    """Book a sale; its credit is the piece's from the scan of bar `settled` on."""
    proceeds = notional_e8(price, piece["lots"], instrument)
    commission = commission_quote_e8(proceeds, ppm)
    piece["credit_e8"], piece["settled"] = proceeds - commission, settled
    position["credit_e8"] += proceeds - commission
    position["result_e8"] += proceeds - commission - piece["cost_e8"]
    position["commission_e8"] += commission


@part
def _leave(position: np.void, code: int, settled: int, cell: np.void) -> None:
    """A piece is left at a print; the position with its last piece."""
    if code > position["code"] or (code == position["code"] and settled >= position["settled"]):
        position["code"], position["settled"] = code, settled
        if code < NEVER:
            position["ts_ns"], position["next"] = cell["ts_ns"], cell["next"]


@part
def _keep(
    piece: np.void,
    together: np.void,
    target_code: int,
    target: np.void,
    end: tuple[int, bool],
    cell: np.void,
    bars: NDArray[np.void],
    instrument: np.void,
    costs: np.void,
    position: np.void,
) -> None:
    """A piece is sold at its target, or where the position ends; by a scan together with others."""
    (code, is_scan), entered = end, position["entered"]
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


@part
def _begin(position: np.void, entry: np.void, i: int, pieces: NDArray[np.void]) -> None:
    """Nothing is bought yet: left at its own print, before the next entry."""
    position["bought"], position["paid_e8"], position["credit_e8"] = 0, 0, 0
    position["commission_e8"], position["result_e8"] = 0, 0
    position["entered"], position["settled"] = entry["bar"] + 1, entry["bar"] + 1
    position["code"] = position["entered"] * 4
    position["ts_ns"], position["next"] = entry["ts_ns"], i + 1
    for piece in pieces:
        piece["lots"], piece["cost_e8"], piece["credit_e8"], piece["settled"] = 0, 0, 0, 0


@part
def _hold(
    parts: tuple[int, int, int],
    entry: np.void,
    codes: NDArray[np.int64],
    exits: tuple[np.void, np.void, np.void, np.void],
    is_scan: bool,
    taking: int,
    bars: NDArray[np.void],
    instrument: np.void,
    costs: np.void,
    pieces: NDArray[np.void],
    position: np.void,
) -> None:
    """One position from entry to end; `position` says what it paid and got, `pieces` when.

    `codes` and `exits` are those of the end whatever the targets, and of the target of each tranche.
    """
    together = pieces[_TRANCHES]
    for k in range(_TRANCHES):
        if parts[k] > 0:
            _buy(parts[k], entry, taking, costs, instrument, pieces[k], position)
        if pieces[k]["lots"] > 0:
            end = (codes[0], is_scan)
            _keep(
                pieces[k],
                together,
                codes[k + 1],
                exits[k + 1],
                end,
                exits[0],
                bars,
                instrument,
                costs,
                position,
            )
    if together["lots"] > 0:
        price = market_price(together["lots"], exits[0], codes[0], True, position["entered"], bars, costs)
        _sell(together, price, costs["taker_ppm"], codes[0] // 4, position, instrument)
        together["lots"] = 0


@part
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


@part
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
    stop_codes, trail_codes = tables.stops.codes[chosen["stop"]], tables.trails.codes[chosen["trail"]]
    stops, trails = tables.stops.cells[chosen["stop"]], tables.trails.cells[chosen["trail"]]
    scan_codes, scans = tables.scans.codes[chosen["hold"]], tables.scans.cells[chosen["hold"]]
    first_codes, firsts = tables.targets.codes[chosen["target1"]], tables.targets.cells[chosen["target1"]]
    second_codes, seconds = tables.targets.codes[chosen["target2"]], tables.targets.cells[chosen["target2"]]
    instrument, costs = market.instrument[0], market.costs[0]
    taking, day_bars = account.taking, account.day_bars
    position, pieces, codes = memory.position[0], memory.pieces, memory.codes
    cash, day, i = account.initial_e8, 0, 0
    while i < len(entries):
        entry = entries[i]
        day = mark_flat(day, entry["bar"], cash, day_bars, marks)
        lots = approved_lots(cash, entry, sizes[i], limits, instrument)
        _begin(position, entry, i, pieces)
        code, cell = stop_codes[i], stops[i]
        if is_trailed(code, cell, trail_codes[i], trails[i]):
            code, cell = trail_codes[i], trails[i]
        is_scan = scan_codes[i] < code
        if is_scan:
            code, cell = scan_codes[i], scans[i]
        codes[0], codes[1], codes[2], codes[3] = code, first_codes[i], second_codes[i], NEVER
        exits = (cell, firsts[i], seconds[i], seconds[i])
        least = sizes[i]["stop"] if sizes[i]["stop"] > 0 else entry["close"]
        parts = split_lots(lots, least, costs["taker_ppm"], rules, instrument)
        _hold(parts, entry, codes, exits, is_scan, taking, bars, instrument, costs, pieces, position)
        if position["bought"] == 0:
            if is_broke(cash, tables.least_e8[chosen["stop"]], limits):
                break
            i += 1
            continue
        cash -= position["paid_e8"]
        row["commission_e8"] += position["commission_e8"]
        is_open = position["code"] == NEVER
        if is_open:
            position["ts_ns"] = bars[len(bars) - 1]["ts_open_ns"] + market.frame_ns
        count_position(row, position["result_e8"], position["ts_ns"] - entry["ts_ns"], is_open)
        if day_bars[day] < position["settled"]:
            day = _mark_held(day, cash, position["settled"], pieces, bars, day_bars, instrument, marks)
        cash += position["credit_e8"]
        if is_open:
            break
        i = position["next"]
    end_days(day, cash, marks, row)
