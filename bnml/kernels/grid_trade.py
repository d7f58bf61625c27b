"""What a combination of exit rules is, and how one of its entries is sized and sold: the same integers as the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit, part
from bnml.kernels.fills import PPM, SLOT_OPEN, lots_for, mul_ppm, notional_e8, taker_fill
from bnml.kernels.records import FillTier, Taking
from bnml.kernels.sizing import active_capital_e8, size_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOK = int(Taking.FOK)
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


class Account(NamedTuple):
    """What all combinations share beside market and tables."""

    initial_e8: int
    taking: int  # of entries
    day_bars: NDArray[np.int64]  # bar whose scan marks each UTC day; one more that never comes


@njit
def is_whole(rules: np.void) -> bool:
    """Whether a position is one piece, closed by its first target."""
    return rules["share1_ppm"] == PPM and rules["share2_ppm"] == 0


@part
def wished_lots(cash_e8: int, entry: np.void, stop: int, limits: np.void, instrument: np.void) -> int:
    """Lots of an entry as sized, from an account without positions."""
    _, lots = size_lots(cash_e8, cash_e8, 0, 0, entry["close"], stop, entry["cap"], limits, instrument)
    if entry["size_ppm"] > 0:
        lots = min(lots, lots_for(mul_ppm(max(0, cash_e8), entry["size_ppm"]), entry["cap"], instrument))
    return lots


@part
def approved_lots(cash_e8: int, entry: np.void, size: np.void, limits: np.void, instrument: np.void) -> int:
    """The same, 0 where it is refused for its size, see `limits`.

    What is as large as the least is not refused: sizing stays within the exposure and the money.
    """
    lots = wished_lots(cash_e8, entry, size["stop"], limits, instrument)
    if lots >= size["least_lots"]:
        return lots
    exposure_e8 = mul_ppm(active_capital_e8(cash_e8, limits), limits["max_exposure_ppm"])
    if size["least_e8"] > exposure_e8 or notional_e8(entry["cap"], lots, instrument) < size["least_e8"]:
        return 0
    return lots


@part
def is_broke(cash_e8: int, least_e8: int, limits: np.void) -> bool:
    """Whether no entry at all can be approved: what a position may take is less than the smallest order takes."""
    return mul_ppm(active_capital_e8(cash_e8, limits), limits["max_position_ppm"]) < least_e8


@part
def filled_lots(lots: int, entry: np.void, taking: int) -> int:
    """What the market gives of an order; its price is within the cap."""
    if lots <= entry["most_lots"]:
        return lots
    return 0 if taking == _FOK else entry["most_lots"]


@part
def is_trailed(stop_code: int, stop: np.void, trail_code: int, trail: np.void) -> bool:
    """Whether the trailing stop is met first; of two that one print meets the higher counts."""
    return trail_code < stop_code or (trail_code == stop_code and trail["price"] > stop["price"])


@part
def market_price(
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


@part
def mark_flat(
    day: int, bar: int, cash_e8: int, day_bars: NDArray[np.int64], marks_e8: NDArray[np.int64]
) -> int:
    """Mark the days up to the scan of `bar`, without a position; returns the next day."""
    while day_bars[day] <= bar:
        marks_e8[day] = cash_e8
        day += 1
    return day


@part
def end_days(day: int, cash_e8: int, marks_e8: NDArray[np.int64], row: np.void) -> None:
    """Mark the days from `day` on, on which nothing happens any more."""
    for later in range(day, len(marks_e8)):
        marks_e8[later] = cash_e8
    row["final_equity_e8"] = marks_e8[len(marks_e8) - 1]
