"""Combinations whose exits depend on the path of prices and of the position: each is walked bar by bar while it holds.

For a stop that moves in steps, a time stop that looks at profit and loss, dust. Entries are those of the
tables, so bars without a position cost nothing; a bar that can change nothing costs two comparisons. The
integers are those of the loop over all bars, by the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit
from bnml.kernels.exit_tables import NEVER
from bnml.kernels.exits import (
    initial_stop,
    scan_exit,
    target_level,
    trail_activation,
    trail_stop,
    trail_trigger,
)
from bnml.kernels.fills import (
    SLOT_CLOSE,
    SLOT_LOW,
    bar_path,
    commission_quote_e8,
    limit_fills,
    mul_ppm,
    notional_e8,
    pending_lots,
    print_ts_ns,
    stop_print,
    stop_triggered,
    taker_fill,
)
from bnml.kernels.grid_row import count_position, judge_days
from bnml.kernels.grid_trade import approved_lots, end_days, filled_lots, mark_flat
from bnml.kernels.passage import first_bar_at, size_entry
from bnml.kernels.records import ExitReason, Taking
from bnml.kernels.sizing import active_capital_e8, split_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market, Tables
    from bnml.kernels.grid_trade import Account

TRANCHES = 3
_MARKET = int(Taking.MARKET)
_NONE = int(ExitReason.NONE)
_NO_LEVEL = 1 << 62

HELD = np.dtype(
    [
        ("entered", np.int64),  # bar of the fill
        ("cash_e8", np.int64),
        ("result_e8", np.int64),
        ("commission_e8", np.int64),
        ("sold", np.int64),  # 1: a part was sold already
        ("ts_ns", np.int64),  # of the last sale
        ("settled", np.int64),  # first bar whose scan may enter again; NEVER while something is held
        ("stop", np.int64),
        ("ceiling", np.int64),  # lowest print above which a target may fill or the stop trails
        ("activation", np.int64),
        ("atr", np.int64),
        ("lots", np.int64, (TRANCHES,)),
        ("cost_e8", np.int64, (TRANCHES,)),
        ("target", np.int64, (TRANCHES,)),
    ]
)
"""The position at hand, and the account with it."""


@njit
def _lots(held: np.void) -> int:
    lots = held["lots"]
    return lots[0] + lots[1] + lots[2]


@njit
def _set_ceiling(held: np.void, rules: np.void) -> None:
    lowest = trail_trigger(held["stop"], held["activation"], held["atr"], rules)
    for k in range(TRANCHES):
        if held["lots"][k] > 0 and held["target"][k] > 0:
            lowest = min(lowest, held["target"][k])
    held["ceiling"] = lowest


@njit
def _sell(held: np.void, k: int, price: int, ppm: int, ts_ns: int, instrument: np.void) -> None:
    """Sell tranche `k`."""
    proceeds = notional_e8(price, held["lots"][k], instrument)
    fee = commission_quote_e8(proceeds, ppm)
    held["cash_e8"] += proceeds - fee
    held["result_e8"] += proceeds - fee - held["cost_e8"][k]
    held["commission_e8"] += fee
    held["lots"][k] = 0
    held["cost_e8"][k] = 0
    held["sold"], held["ts_ns"] = 1, ts_ns


@njit
def _stop_out(
    held: np.void, at: int, ts_ns: int, pricing: np.void, costs: np.void, instrument: np.void
) -> None:
    """Sell each tranche at market where its stop met it."""
    for k in range(TRANCHES):
        lots = held["lots"][k]
        if lots > 0:
            _, price = taker_fill(_MARKET, False, lots, 0, at, pricing, costs)
            _sell(held, k, price, costs["taker_ppm"], ts_ns, instrument)


@njit
def _meet(
    held: np.void,
    print_ticks: int,
    ts_ns: int,
    is_jump: bool,
    pricing: np.void,
    rules: np.void,
    costs: np.void,
    instrument: np.void,
) -> bool:
    """A print against the position: stop, targets, then trailing for what follows; whether all is sold."""
    if stop_triggered(held["stop"], print_ticks):
        _stop_out(held, stop_print(held["stop"], print_ticks, is_jump), ts_ns, pricing, costs, instrument)
        return True
    if print_ticks < held["ceiling"]:
        return False
    for k in range(TRANCHES):
        target = held["target"][k]
        if held["lots"][k] == 0 or target == 0:
            continue
        if limit_fills(False, target, print_ticks, instrument["symbol_key"], ts_ns, costs):
            _sell(held, k, target, costs["maker_ppm"], ts_ns, instrument)
    held["stop"] = trail_stop(held["stop"], print_ticks, held["activation"], held["atr"], rules)
    _set_ceiling(held, rules)
    return _lots(held) == 0


@njit
def _enter(
    held: np.void,
    lots: int,
    entry: np.void,
    origin: np.void,
    taking: int,
    size: np.void,
    bars: NDArray[np.void],
    rules: np.void,
    costs: np.void,
    instrument: np.void,
) -> bool:
    """Buy what fills; whether anything did. A stop already passed sells at once."""
    reference, bought = origin["reference"], False
    held["entered"], held["settled"], held["ts_ns"] = entry["bar"] + 1, NEVER, entry["ts_ns"]
    held["result_e8"], held["commission_e8"], held["sold"], held["atr"] = 0, 0, 0, origin["atr"]
    stop, _ = initial_stop(reference, origin["atr"], rules)
    held["stop"], held["activation"] = stop, trail_activation(reference, rules)
    held["target"][0] = target_level(reference, stop, rules["target1_ppm"], rules["target1_r_ppm"], rules)
    held["target"][1] = target_level(reference, stop, rules["target2_ppm"], rules["target2_r_ppm"], rules)
    held["target"][2] = 0
    least = size["stop"] if size["stop"] > 0 else entry["close"]
    parts = split_lots(lots, least, costs["taker_ppm"], rules, instrument)
    for k in range(TRANCHES):
        filled = filled_lots(parts[k], entry, taking)
        kept = pending_lots(filled, costs["taker_ppm"], instrument["lot_e8"])
        held["lots"][k] = kept
        held["cost_e8"][k] = 0
        if kept == 0:
            continue
        cost = notional_e8(entry["price"], filled, instrument)
        held["cost_e8"][k] = cost
        held["cash_e8"] -= cost
        held["commission_e8"] += mul_ppm(cost, costs["taker_ppm"])
        bought = True
    _set_ceiling(held, rules)
    opened = bars[held["entered"]]["open"]
    if bought and stop_triggered(stop, opened):
        _stop_out(held, opened, entry["ts_ns"], bars[held["entered"] - 1], costs, instrument)
        held["settled"] = held["entered"]
    return bought


@njit
def _scan(
    held: np.void,
    bar: int,
    is_sell: bool,
    bars: NDArray[np.void],
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> bool:
    """The scan of the bar before, whose exit meets the open of `bar`; whether it sells."""
    decided_ns, scanned = bars[held["entered"] - 1]["ts_open_ns"], bars[bar - 1]
    lots, cost = _lots(held), held["cost_e8"][0] + held["cost_e8"][1] + held["cost_e8"][2]
    value = notional_e8(scanned["close"], lots, instrument)
    active = active_capital_e8(held["cash_e8"] + value, limits)
    age_ns = scanned["ts_open_ns"] - decided_ns
    if scan_exit(age_ns, value, cost, active, held["sold"] == 1, is_sell, rules) == _NONE:
        return False
    _, price = taker_fill(_MARKET, False, lots, 0, bars[bar]["open"], scanned, costs)
    held["lots"][0] = lots
    held["cost_e8"][0] = cost
    _sell(held, 0, price, costs["taker_ppm"], bars[bar]["ts_open_ns"], instrument)
    return True


@njit
def _trails_through(held: np.void, bar: np.void, rules: np.void) -> bool:
    """A bar that stays above the stop and below the targets: whether it stays above what it raises the stop to."""
    low, activation, atr = bar["low"], held["activation"], held["atr"]
    raised = trail_stop(held["stop"], bar["open"], activation, atr, rules)
    if low <= raised:
        return False
    raised = trail_stop(raised, bar["high"], activation, atr, rules)
    if bar["close"] <= raised:
        return False
    if raised > held["stop"]:
        held["stop"] = raised
        _set_ceiling(held, rules)
    return True


@njit
def _lowest_target(held: np.void) -> int:
    lowest = _NO_LEVEL
    for k in range(TRANCHES):
        if held["lots"][k] > 0 and held["target"][k] > 0:
            lowest = min(lowest, held["target"][k])
    return lowest


@njit
def _walk_bar(
    held: np.void,
    bar: int,
    frame_ns: int,
    bars: NDArray[np.void],
    rules: np.void,
    costs: np.void,
    instrument: np.void,
) -> None:
    """Low, high and close of a bar."""
    path, opened_ns = bar_path(bars[bar]), bars[bar]["ts_open_ns"]
    for slot in range(SLOT_LOW, SLOT_CLOSE + 1):
        ts_ns = print_ts_ns(opened_ns, frame_ns, slot)
        if _meet(held, path[slot], ts_ns, False, bars[bar - 1], rules, costs, instrument):
            held["settled"] = bar
            return


@njit
def _follow(
    held: np.void,
    day: int,
    sell_scan: int,
    frame_ns: int,
    bars: NDArray[np.void],
    highs: NDArray[np.int64],
    lows: NDArray[np.int64],
    day_bars: NDArray[np.int64],
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> int:
    """From the fill to the last sale or the end of the data; returns the next day to be marked."""
    entered, count = held["entered"], len(bars)
    due = NEVER
    if rules["time_stop_ns"] > 0:
        due = first_bar_at(bars, bars[entered - 1]["ts_open_ns"] + rules["time_stop_ns"], entered, frame_ns)
    bar = entered
    while bar < count and held["settled"] == NEVER:
        # From this bar on, the scan of the bar before may do something.
        watch = min(day_bars[day], sell_scan, due) + 1
        if rules["dust_ppm"] > 0 and held["sold"] == 1:
            watch = bar
        end, stop, ceiling = min(count, max(watch, bar)), held["stop"], held["ceiling"]
        while bar < end and lows[bar] > stop and highs[bar] < ceiling:
            bar += 1
        if bar == count:
            break
        may_trail = entered < bar < watch and lows[bar] > stop and highs[bar] < _lowest_target(held)
        if may_trail and _trails_through(held, bars[bar], rules):
            bar += 1
            continue
        if bar > entered:
            opened, ts_ns = bars[bar]["open"], bars[bar]["ts_open_ns"]
            if _meet(held, opened, ts_ns, True, bars[bar - 2], rules, costs, instrument):
                held["settled"] = bar - 1
            while day_bars[day] < bar:
                value = notional_e8(bars[bar - 1]["close"], _lots(held), instrument)
                marks[day] = held["cash_e8"] + value
                day += 1
            if held["settled"] != NEVER:
                break
            if bar >= watch and _scan(
                held, bar, sell_scan == bar - 1, bars, rules, limits, costs, instrument
            ):
                held["settled"] = bar
                break
        _walk_bar(held, bar, frame_ns, bars, rules, costs, instrument)
        bar += 1
    while held["settled"] == NEVER and day < len(marks):
        marks[day] = held["cash_e8"] + notional_e8(bars[count - 1]["close"], _lots(held), instrument)
        day += 1
    return day


@njit
def run_walked(
    rules: np.void,
    limits: np.void,
    market: Market,
    account: Account,
    tables: Tables,
    size: np.void,
    held: np.void,
    marks: NDArray[np.int64],
    row: np.void,
) -> None:
    """Trade all entries; fills `row` but for its daily figures, and `marks` by day."""
    entries, origins, next_entry = tables.entries, tables.origins, tables.next_entry
    bars, highs, lows, frame_ns = market.bars, market.highs, market.lows, market.frame_ns
    instrument, costs = market.instrument[0], market.costs[0]
    taking, day_bars = account.taking, account.day_bars
    day, i = 0, 0
    held["cash_e8"] = account.initial_e8
    while i < len(entries):
        entry, origin = entries[i], origins[i]
        day = mark_flat(day, entry["bar"], held["cash_e8"], day_bars, marks)
        size_entry(size, entry, origin["atr"], rules, costs["taker_ppm"], instrument)
        lots = approved_lots(held["cash_e8"], entry, size, limits, instrument)
        if lots == 0 or not _enter(held, lots, entry, origin, taking, size, bars, rules, costs, instrument):
            i += 1
            continue
        day = _follow(
            held,
            day,
            origin["sell_scan"],
            frame_ns,
            bars,
            highs,
            lows,
            day_bars,
            marks,
            rules,
            limits,
            costs,
            instrument,
        )
        row["commission_e8"] += held["commission_e8"]
        is_open = held["settled"] == NEVER
        left_ns = bars[len(bars) - 1]["ts_open_ns"] + frame_ns if is_open else held["ts_ns"]
        count_position(row, held["result_e8"], left_ns - entry["ts_ns"], is_open)
        if is_open:
            break
        i = next_entry[held["settled"]]
    end_days(day, held["cash_e8"], marks, row)


@njit
def run_all_walked(
    numbers: NDArray[np.int64],
    sizes: NDArray[np.int64],
    rules: NDArray[np.void],
    limits: NDArray[np.void],
    market: Market,
    account: Account,
    tables: Tables,
    size: NDArray[np.void],
    held: NDArray[np.void],
    marks: NDArray[np.int64],
    returns: NDArray[np.float64],
    rows: NDArray[np.void],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """A row and the block sums of each combination, by `rules[k]` and `limits[sizes[k]]`; the rest is scratch."""
    for k in range(len(numbers)):
        run_walked(rules[k], limits[sizes[k]], market, account, tables, size[0], held[0], marks, rows[k])
        rows[k]["combination"] = numbers[k]
        judge_days(marks, account.initial_e8, returns, rows[k], sums[k], squares[k])
