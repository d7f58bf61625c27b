"""What the account remembers between scans: day and week starts, peak, loss streak; each pause is time-boxed.

All functions write the caller's record of `records.BREAKERS` and nothing else. Equity is in 1e-8 of
the quote asset, times are ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit, part
from bnml.kernels.fills import PPM, mul_ppm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit
def week_of_day(day: int) -> int:
    """Number of the week, Monday first, of a day number (1970-01-01 was a Thursday); as `core.clock.week_number`."""
    return (day + 3) // 7


@njit
def roll(breakers: np.void, ts_close_ns: int, day: int, equity_e8: int, limits: np.void) -> None:
    """At each scan, after marking equity: begin days and weeks, follow the peak, trip and release pauses."""
    if breakers["rolled"] == 0 or day != breakers["day"]:
        breakers["day_start_equity_e8"] = equity_e8
    if breakers["rolled"] == 0 or week_of_day(day) != week_of_day(breakers["day"]):
        breakers["week_start_equity_e8"] = equity_e8
    if breakers["rolled"] == 0:
        breakers["peak_equity_e8"] = equity_e8
    breakers["rolled"] = 1
    breakers["day"] = day
    _roll_drawdown(breakers, ts_close_ns, equity_e8, limits)
    if breakers["losses_in_row"] >= limits["max_losses_in_row"] and ts_close_ns >= breakers["loss_until_ns"]:
        breakers["losses_in_row"] = 0


@part
def roll_memory(
    memory: NDArray[np.void], ts_close_ns: int, day: int, equity_e8: int, limits: NDArray[np.void]
) -> None:
    """`roll` of the first records: for Python, where a record takes far longer to hand over than an array."""
    roll(memory[0], ts_close_ns, day, equity_e8, limits[0])


@njit
def _roll_drawdown(breakers: np.void, ts_close_ns: int, equity_e8: int, limits: np.void) -> None:
    if breakers["drawdown_until_ns"] > 0:
        if ts_close_ns >= breakers["drawdown_until_ns"]:
            breakers["drawdown_until_ns"] = 0
            breakers["peak_equity_e8"] = equity_e8
        return
    peak = max(breakers["peak_equity_e8"], equity_e8)
    breakers["peak_equity_e8"] = peak
    loss = peak - equity_e8
    if loss > 0 and loss >= mul_ppm(peak, limits["max_drawdown_ppm"]):
        breakers["drawdown_until_ns"] = ts_close_ns + limits["drawdown_pause_ns"]
        breakers["drawdown_ppm"] = loss // max(1, peak // PPM)


@njit
def note_closed(breakers: np.void, result_e8: int, ts_ns: int, limits: np.void) -> None:
    """A position is closed: a loss lengthens the streak and starts its pause anew, anything else ends it."""
    if result_e8 < 0:
        breakers["losses_in_row"] += 1
        breakers["loss_until_ns"] = ts_ns + limits["loss_pause_ns"]
    else:
        breakers["losses_in_row"] = 0


@njit
def copy_to_facts(breakers: np.void, facts: np.void) -> None:
    """Fill the fields of a FACTS record that come from the account's memory."""
    facts["day_start_equity_e8"] = breakers["day_start_equity_e8"]
    facts["week_start_equity_e8"] = breakers["week_start_equity_e8"]
    facts["drawdown_until_ns"] = breakers["drawdown_until_ns"]
    facts["drawdown_ppm"] = breakers["drawdown_ppm"]
    facts["losses_in_row"] = breakers["losses_in_row"]
    facts["loss_until_ns"] = breakers["loss_until_ns"]
    facts["mood_score"] = breakers["mood_score"]
    facts["mood_confidence"] = breakers["mood_confidence"]
    facts["mood_side"] = breakers["mood_side"]
    facts["mood_risk"] = breakers["mood_risk"]
    facts["mood_regime"] = breakers["mood_regime"]
