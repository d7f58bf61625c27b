"""Where the protection of a position lies and when it moves: stops, targets, trailing, exits of a scan.

All prices are integer ticks, all money 1e-8 of the quote asset. `rules` is a record of
`records.RULES`: the one the position was opened with. The reference price is the close of the bar
on which the entry was decided; the ATR is frozen at entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit
from bnml.kernels.fills import ceil_ppm, mul_ppm
from bnml.kernels.records import ExitReason

if TYPE_CHECKING:
    import numpy as np

_NONE = int(ExitReason.NONE)
_STOP = int(ExitReason.STOP)
_HARD_STOP = int(ExitReason.HARD_STOP)
_GAP = int(ExitReason.GAP)
_TIME = int(ExitReason.TIME)
_SIGNAL = int(ExitReason.SIGNAL)
_DUST = int(ExitReason.DUST)


@njit
def atr_ticks(atr_ratio: float, close_ticks: int) -> int:
    """ATR in ticks, cut to an integer, from the feature `atr_ratio_14` (ATR / close)."""
    return int(atr_ratio * close_ticks)


@njit
def entry_cap(reference_ticks: int, rules: np.void) -> int:
    """Limit of the fill-or-kill entry: floor(reference * (1 + price_cap))."""
    return reference_ticks + mul_ppm(reference_ticks, rules["price_cap_ppm"])


@njit
def target_level(reference_ticks: int, target_ppm: int, rules: np.void) -> int:
    """ceil(reference * (1 + target)), but above the entry's cap: a maker order must not meet its own entry."""
    return max(reference_ticks + ceil_ppm(reference_ticks, target_ppm), entry_cap(reference_ticks, rules) + 1)


@njit
def initial_stop(reference_ticks: int, atr: int, rules: np.void) -> tuple[int, int]:
    """(stop, ExitReason STOP or HARD_STOP): the higher of the ATR stop and the hard bound, below the reference."""
    by_atr = reference_ticks - mul_ppm(atr, rules["stop_atr_ppm"])
    hard = reference_ticks - mul_ppm(reference_ticks, rules["hard_stop_ppm"])
    stop = max(1, min(max(by_atr, hard), reference_ticks - 1))
    return stop, (_HARD_STOP if hard > by_atr else _STOP)


@njit
def trail_activation(reference_ticks: int, rules: np.void) -> int:
    """Print from which trailing acts: ceil(reference * (1 + trail_start))."""
    return reference_ticks + ceil_ppm(reference_ticks, rules["trail_start_ppm"])


@njit
def trail_stop(stop_ticks: int, print_ticks: int, activation_ticks: int, atr: int, rules: np.void) -> int:
    """The stop after a print; unchanged unless it rises by at least the step. Valid for later prints only."""
    if print_ticks < activation_ticks:
        return stop_ticks
    candidate = min(print_ticks - mul_ppm(atr, rules["trail_atr_ppm"]), print_ticks - 1)
    if candidate >= stop_ticks + ceil_ppm(stop_ticks, rules["trail_step_ppm"]):
        return candidate
    return stop_ticks


@njit
def stop_reason(stop_kind: int, fill_ticks: int, level_fill_ticks: int) -> int:
    """Reason of a stop's fill: GAP if it got less than `level_fill_ticks`, else the kind of the stop.

    `level_fill_ticks` is `fills.taker_fill(MARKET, sell, lots, 0, stop, last published bar, costs)`: what
    the same order gets when its level is crossed. So the reason follows from the report alone.
    """
    return _GAP if fill_ticks < level_fill_ticks else stop_kind


@njit
def time_stop(age_ns: int, open_value_e8: int, open_cost_e8: int, rules: np.void) -> bool:
    """Old and going nowhere: age (scan's closing time minus that of the deciding scan), and |P&L| in the band."""
    if age_ns < rules["time_stop_ns"]:
        return False
    return abs(open_value_e8 - open_cost_e8) < mul_ppm(open_cost_e8, rules["time_stop_band_ppm"])


@njit
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
