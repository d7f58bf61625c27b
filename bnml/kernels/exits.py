"""Where the protection of a position lies and when it moves: stops, targets, trailing, exits of a scan.

All prices are integer ticks, all money 1e-8 of the quote asset. `rules` is a record of
`records.RULES`: the one the position was opened with. The reference price is the close of the bar
on which the entry was decided, or with `from_fill` the price of the entry; the ATR is frozen at entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import lean, njit
from bnml.kernels.fills import PPM, ceil_ppm, mul_ppm
from bnml.kernels.records import ExitReason

if TYPE_CHECKING:
    import numpy as np

NEVER = 1 << 62
"""A price that no print reaches."""
_NONE = int(ExitReason.NONE)
_STOP = int(ExitReason.STOP)
_HARD_STOP = int(ExitReason.HARD_STOP)
_GAP = int(ExitReason.GAP)
_TIME = int(ExitReason.TIME)
_SIGNAL = int(ExitReason.SIGNAL)
_DUST = int(ExitReason.DUST)


@lean
def atr_ticks(atr_ratio: float, close_ticks: int) -> int:
    """ATR in ticks, cut to an integer, from the feature `atr_ratio_14` (ATR / close)."""
    return int(atr_ratio * close_ticks)


@lean
def entry_cap(reference_ticks: int, rules: np.void) -> int:
    """Limit of the fill-or-kill entry: floor(reference * (1 + price_cap))."""
    return reference_ticks + mul_ppm(reference_ticks, rules["price_cap_ppm"])


@njit
def target_level(
    reference_ticks: int, stop_ticks: int, target_ppm: int, target_r_ppm: int, rules: np.void
) -> int:
    """Level of a target; 0 for none.

    reference + ceil(target_r * (reference - stop)) where `target_r_ppm` is given and there is a stop, else
    ceil(reference * (1 + target)); above the entry's price cap, because a maker order must not meet its own
    entry (above the entry itself where levels are measured from it).
    """
    if target_r_ppm > 0 and stop_ticks > 0:
        gain = ceil_ppm(reference_ticks - stop_ticks, target_r_ppm)
    elif target_ppm > 0:
        gain = ceil_ppm(reference_ticks, target_ppm)
    else:
        return 0
    floor = reference_ticks if rules["from_fill"] == 1 else entry_cap(reference_ticks, rules)
    return max(reference_ticks + gain, floor + 1)


@njit
def initial_stop(reference_ticks: int, atr: int, rules: np.void) -> tuple[int, int]:
    """(stop, ExitReason STOP or HARD_STOP): the higher of the ATR stop and the hard bound, below the reference.

    Stop 0: the rules have neither.
    """
    has_atr, has_hard = rules["stop_atr_ppm"] > 0, rules["hard_stop_ppm"] > 0
    if not (has_atr or has_hard):
        return 0, _STOP
    by_atr = reference_ticks - mul_ppm(atr, rules["stop_atr_ppm"]) if has_atr else 0
    hard = reference_ticks - mul_ppm(reference_ticks, rules["hard_stop_ppm"]) if has_hard else by_atr
    stop = max(1, min(max(by_atr, hard), reference_ticks - 1))
    return stop, (_HARD_STOP if hard > by_atr else _STOP)


@lean
def trail_activation(reference_ticks: int, rules: np.void) -> int:
    """Print from which trailing acts: ceil(reference * (1 + trail_start))."""
    return reference_ticks + ceil_ppm(reference_ticks, rules["trail_start_ppm"])


@lean
def trail_candidate(print_ticks: int, atr: int, rules: np.void) -> int:
    """The stop that trails a print, if it is above the one there is; 0 without trailing."""
    if rules["trail_ppm"] > 0:
        distance = print_ticks * rules["trail_ppm"] // PPM  # fits: prices are below 9e10 ticks, see `fills`
    elif rules["trail_atr_ppm"] > 0:
        distance = mul_ppm(atr, rules["trail_atr_ppm"])
    else:
        return 0
    return print_ticks - max(distance, 1)


@njit
def trail_stop(stop_ticks: int, print_ticks: int, activation_ticks: int, atr: int, rules: np.void) -> int:
    """The stop after a print; unchanged unless it rises by at least the step. Valid for later prints only."""
    if print_ticks < activation_ticks:
        return stop_ticks
    candidate, step_ppm = trail_candidate(print_ticks, atr, rules), rules["trail_step_ppm"]
    if candidate >= stop_ticks + (ceil_ppm(stop_ticks, step_ppm) if step_ppm > 0 else 0):
        return candidate
    return stop_ticks


@lean
def trail_least(stop_ticks: int, rules: np.void) -> int:
    """The lowest stop that is a step above this one, and truly above it."""
    return stop_ticks + max(1, (stop_ticks * rules["trail_step_ppm"] + PPM - 1) // PPM)


@njit
def trail_trigger(stop_ticks: int, activation_ticks: int, atr: int, rules: np.void) -> int:
    """The lowest print at which `trail_stop` raises the stop; NEVER without trailing."""
    least = trail_least(stop_ticks, rules)
    if rules["trail_ppm"] > 0:
        # print - floor(print * share) >= least  <=>  print * (1 - share) > least - 1
        left = PPM - rules["trail_ppm"]
        trigger = (least - 1) * PPM // left + 1 if left > 0 else NEVER
    elif rules["trail_atr_ppm"] > 0:
        trigger = least + mul_ppm(atr, rules["trail_atr_ppm"])
    else:
        return NEVER
    return max(trigger, least + 1, activation_ticks)


@lean
def stop_reason(stop_kind: int, fill_ticks: int, level_fill_ticks: int) -> int:
    """Reason of a stop's fill: GAP if it got less than `level_fill_ticks`, else the kind of the stop.

    `level_fill_ticks` is `fills.taker_fill(MARKET, sell, lots, 0, stop, last published bar, costs)`: what
    the same order gets when its level is crossed. So the reason follows from the report alone.
    """
    return _GAP if fill_ticks < level_fill_ticks else stop_kind


@lean
def time_stop(age_ns: int, open_value_e8: int, open_cost_e8: int, rules: np.void) -> bool:
    """Old and going nowhere: age (scan's closing time minus that of the deciding scan), and |P&L| in the band."""
    if rules["time_stop_ns"] == 0 or age_ns < rules["time_stop_ns"]:
        return False
    return abs(open_value_e8 - open_cost_e8) < mul_ppm(open_cost_e8, rules["time_stop_band_ppm"])


@lean
def dust(open_value_e8: int, active_e8: int, partly_closed: bool, rules: np.void) -> bool:
    """A rest (something was sold already) worth less than a share of the active capital."""
    return partly_closed and open_value_e8 < mul_ppm(active_e8, rules["dust_ppm"])


@njit
def scan_exit(
    age_ns: int,
    open_value_e8: int,
    open_cost_e8: int,
    active_e8: int,
    partly_closed: bool,
    is_sell: bool,
    rules: np.void,
) -> int:
    """ExitReason with which a scan closes a position at market, or NONE; first of time, signal, dust.

    Value (at the scan's close) and cost are those of the lots still open. `is_sell`: the prediction of
    this scan is SELL.
    """
    if time_stop(age_ns, open_value_e8, open_cost_e8, rules):
        return _TIME
    if is_sell and rules["exit_on_sell"] == 1:
        return _SIGNAL
    if dust(open_value_e8, active_e8, partly_closed, rules):
        return _DUST
    return _NONE
