"""One position of a combination that is walked: what prints and scans do to it, by the functions of the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import part
from bnml.kernels.exit_tables import NEVER
from bnml.kernels.exits import (
    initial_stop,
    scan_exit,
    target_level,
    trail_activation,
    trail_candidate,
    trail_least,
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
from bnml.kernels.grid_trade import filled_lots, is_whole
from bnml.kernels.records import ExitReason, Taking
from bnml.kernels.sizing import active_capital_e8, split_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        ("target", np.int64),  # the lowest of what is held
        ("ceiling", np.int64),  # below it no target fills and no stop trails
        ("least", np.int64),  # what a higher stop must reach
        ("activation", np.int64),
        ("atr", np.int64),
        ("bar", np.int64),  # all before it is done
        ("record", np.int64),  # the last bar before it whose high was not below those since the entry
        ("due", np.int64),  # bar whose scan may find the position too old; NEVER for none
        ("day", np.int64),  # the next to be marked
        ("entry", np.int64),  # of the position, or the next
    ]
)
"""A combination on its way through the bars: its account, and the position at hand."""
PIECE = np.dtype([("lots", np.int64), ("cost_e8", np.int64), ("target", np.int64)])
"""A tranche of it; target 0: none."""


@part
def open_lots(pieces: NDArray[np.void]) -> int:
    """Lots held in all tranches."""
    return pieces[0]["lots"] + pieces[1]["lots"] + pieces[2]["lots"]


@part
def _set_ceiling(held: np.void, pieces: NDArray[np.void], rules: np.void) -> None:
    """After any change of the tranches."""
    lowest = _NO_LEVEL
    for piece in pieces:
        if piece["lots"] > 0 and piece["target"] > 0:
            lowest = min(lowest, piece["target"])
    held["target"], held["least"] = lowest, trail_least(held["stop"], rules)
    held["ceiling"] = min(lowest, trail_trigger(held["stop"], held["activation"], held["atr"], rules))


@part
def _sell(held: np.void, piece: np.void, price: int, ppm: int, ts_ns: int, instrument: np.void) -> None:
    proceeds = notional_e8(price, piece["lots"], instrument)
    fee = commission_quote_e8(proceeds, ppm)
    held["cash_e8"] += proceeds - fee
    held["result_e8"] += proceeds - fee - piece["cost_e8"]
    held["commission_e8"] += fee
    piece["lots"], piece["cost_e8"] = 0, 0
    held["sold"], held["ts_ns"] = 1, ts_ns


@part
def _stop_out(
    held: np.void,
    pieces: NDArray[np.void],
    at: int,
    ts_ns: int,
    pricing: np.void,
    costs: np.void,
    instrument: np.void,
) -> None:
    """Sell each tranche at market where its stop met it."""
    for k in range(TRANCHES):
        lots = pieces[k]["lots"]
        if lots > 0:
            _, price = taker_fill(_MARKET, False, lots, 0, at, pricing, costs)
            _sell(held, pieces[k], price, costs["taker_ppm"], ts_ns, instrument)


@part
def meet(
    held: np.void,
    pieces: NDArray[np.void],
    print_ticks: int,
    ts_ns: int,
    is_jump: bool,
    pricing: np.void,
    rules: np.void,
    costs: np.void,
    instrument: np.void,
) -> bool:
    """A print at the stop or the ceiling, or beyond: stop, targets, then trailing; whether all is sold."""
    if stop_triggered(held["stop"], print_ticks):
        _stop_out(
            held, pieces, stop_print(held["stop"], print_ticks, is_jump), ts_ns, pricing, costs, instrument
        )
        return True
    for k in range(TRANCHES):
        target = pieces[k]["target"]
        if pieces[k]["lots"] == 0 or target == 0:
            continue
        if limit_fills(False, target, print_ticks, instrument["symbol_key"], ts_ns, costs):
            _sell(held, pieces[k], target, costs["maker_ppm"], ts_ns, instrument)
    held["stop"] = trail_stop(held["stop"], print_ticks, held["activation"], held["atr"], rules)
    _set_ceiling(held, pieces, rules)
    return open_lots(pieces) == 0


@part
def enter(
    held: np.void,
    pieces: NDArray[np.void],
    lots: int,
    entry: np.void,
    origin: np.void,
    taking: int,
    least_price: int,
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
    pieces[0]["target"] = target_level(reference, stop, rules["target1_ppm"], rules["target1_r_ppm"], rules)
    pieces[1]["target"] = target_level(reference, stop, rules["target2_ppm"], rules["target2_r_ppm"], rules)
    pieces[2]["target"] = 0
    parts = (lots, 0, 0)
    if not is_whole(rules):
        parts = split_lots(lots, least_price, costs["taker_ppm"], rules, instrument)
    for k in range(TRANCHES):
        pieces[k]["lots"], pieces[k]["cost_e8"] = 0, 0
        if parts[k] == 0:
            continue
        filled = filled_lots(parts[k], entry, taking)
        kept = pending_lots(filled, costs["taker_ppm"], instrument["lot_e8"])
        if kept == 0:
            continue
        pieces[k]["lots"] = kept
        cost = notional_e8(entry["price"], filled, instrument)
        pieces[k]["cost_e8"] = cost
        held["cash_e8"] -= cost
        held["commission_e8"] += mul_ppm(cost, costs["taker_ppm"])
        bought = True
    _set_ceiling(held, pieces, rules)
    opened = bars[held["entered"]]["open"]
    if bought and stop_triggered(stop, opened):
        _stop_out(held, pieces, opened, entry["ts_ns"], bars[held["entered"] - 1], costs, instrument)
        held["settled"] = held["entered"]
    return bought


@part
def leave_by_scan(
    held: np.void,
    pieces: NDArray[np.void],
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
    lots, cost = open_lots(pieces), pieces[0]["cost_e8"] + pieces[1]["cost_e8"] + pieces[2]["cost_e8"]
    value = notional_e8(scanned["close"], lots, instrument)
    active = active_capital_e8(held["cash_e8"] + value, limits)
    age_ns = scanned["ts_open_ns"] - decided_ns
    if scan_exit(age_ns, value, cost, active, held["sold"] == 1, is_sell, rules) == _NONE:
        return False
    _, price = taker_fill(_MARKET, False, lots, 0, bars[bar]["open"], scanned, costs)
    pieces[0]["lots"] = lots
    pieces[0]["cost_e8"] = cost
    _sell(held, pieces[0], price, costs["taker_ppm"], bars[bar]["ts_open_ns"], instrument)
    return True


@part
def trails_through(held: np.void, bar: np.void, rules: np.void) -> bool:
    """A bar that stays above the stop and below the targets: whether it stays above what its high raises the stop to.

    The ceiling is then no more than a bound, which costs no division: a stop that trails rises by no more
    than the prints do.
    """
    if bar["open"] >= held["ceiling"]:  # raises the stop before the low and the high do
        return False
    raised = trail_candidate(bar["high"], held["atr"], rules)
    if raised >= held["least"]:
        if bar["close"] <= raised:
            return False
        held["stop"], held["least"] = raised, trail_least(raised, rules)
    held["ceiling"] = min(held["target"], bar["high"] + held["least"] - raised)
    return True


@part
def walk_bar(
    held: np.void,
    pieces: NDArray[np.void],
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
        if held["stop"] < path[slot] < held["ceiling"]:
            continue
        ts_ns = print_ts_ns(opened_ns, frame_ns, slot)
        if meet(held, pieces, path[slot], ts_ns, False, bars[bar - 1], rules, costs, instrument):
            held["settled"] = bar
            return
