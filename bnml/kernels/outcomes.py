"""What an entry would have earned: the exit rules and fill prices of trading, run on one entry alone.

Learning measures its scores with this: the return of a position opened at any bar, as if it were the
only one and small against the volume. Stops, targets and trailing come from `kernels.exits`, prices
from `kernels.fills`; the order of prints is that of a recorded bar market (open as a jump, then low,
high, close; market exits of a scan meet the next open).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels import njit
from bnml.kernels.exits import (
    atr_ticks,
    entry_cap,
    initial_stop,
    target_level,
    time_stop,
    trail_activation,
    trail_stop,
)
from bnml.kernels.fills import (
    PPM,
    SLOT_CLOSE,
    bar_path,
    half_spread_ppm,
    limit_fills,
    print_ts_ns,
    stop_print,
    stop_triggered,
    taker_price,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

COST_E8 = 10**12


@njit
def _sold(price_ticks: int, bought_ticks: int, share_ppm: int, fee_ppm: int, costs: np.void) -> float:
    """Return of a share of the position in ppm of the whole cost; the buy's commission is paid in base."""
    kept = (1.0 - costs["taker_ppm"] / PPM) * (1.0 - fee_ppm / PPM)
    return share_ppm * (price_ticks * kept / bought_ticks - 1.0)


@njit
def _sold_at_market(
    print_ticks: int, bought_ticks: int, share_ppm: int, pricing: np.void, costs: np.void
) -> float:
    """The same for a sale that takes at a print; `pricing` is the last published bar."""
    cost = half_spread_ppm(pricing, costs) + costs["slippage_ppm"]
    return _sold(taker_price(print_ticks, cost, False), bought_ticks, share_ppm, costs["taker_ppm"], costs)


@njit
def _is_stale(bar: np.void, first: np.void, bought_ticks: int, share_ppm: int, rules: np.void) -> bool:
    """The time stop at the close of `bar`, for what is open of an entry decided on bar `first`."""
    cost = COST_E8 * share_ppm // PPM
    value = int(cost * (bar["close"] / bought_ticks))
    return time_stop(bar["ts_open_ns"] - first["ts_open_ns"], value, cost, rules)


@njit
def _hold(
    bars: NDArray[np.void],
    row: int,
    bought: int,
    atr: int,
    frame_ns: int,
    key: int,
    rules: np.void,
    costs: np.void,
    out: NDArray[np.float64],
) -> None:
    """Follow a position bought at the open after bar `row` until everything is sold; fills `out`."""
    reference = bought if rules["from_fill"] == 1 else bars[row]["close"]
    stop, _ = initial_stop(reference, atr, rules)
    activation = trail_activation(reference, rules)
    level1 = target_level(reference, stop, rules["target1_ppm"], rules["target1_r_ppm"], rules)
    level2 = target_level(reference, stop, rules["target2_ppm"], rules["target2_r_ppm"], rules)
    share1 = rules["share1_ppm"]
    share2 = rules["share2_ppm"]
    rest = PPM - share1 - share2
    net = 0.0
    leaving = False
    for index in range(row + 1, bars.shape[0]):
        path = bar_path(bars[index])
        for slot in range(4):
            price = path[slot]
            ts_ns = print_ts_ns(bars[index]["ts_open_ns"], frame_ns, slot)
            is_open = slot == 0
            is_entry = is_open and index == row + 1
            pricing = bars[index - 2] if is_open and not is_entry else bars[index - 1]
            stopped = stop_triggered(stop, price)
            # The entry's own print comes before its targets rest at the exchange.
            if not stopped and not is_entry:
                if share1 > 0 and level1 > 0 and limit_fills(False, level1, price, key, ts_ns, costs):
                    net += _sold(level1, bought, share1, costs["maker_ppm"], costs)
                    share1 = 0
                if share2 > 0 and level2 > 0 and limit_fills(False, level2, price, key, ts_ns, costs):
                    net += _sold(level2, bought, share2, costs["maker_ppm"], costs)
                    share2 = 0
            share = share1 + share2 + rest
            at_end = index + 1 == bars.shape[0] and slot == SLOT_CLOSE
            if stopped:
                net += _sold_at_market(stop_print(stop, price, is_open), bought, share, pricing, costs)
            elif leaving and is_open:
                net += _sold_at_market(price, bought, share, bars[index - 1], costs)
            elif at_end:
                net += _sold_at_market(price, bought, share, bars[index], costs)
            if stopped or share == 0 or (leaving and is_open) or at_end:
                out[0] = net
                out[1] = float(index - row)
                return
            stop = trail_stop(stop, price, activation, atr, rules)
        leaving = _is_stale(bars[index], bars[row], bought, share1 + share2 + rest, rules)


@njit
def entry_outcome(
    bars: NDArray[np.void],
    row: int,
    atr_ratio: float,
    frame_ns: int,
    instrument: np.void,
    rules: np.void,
    costs: np.void,
    out: NDArray[np.float64],
) -> None:
    """Fill `out` with (net return in ppm of the cost, bars until all was sold) of an entry decided on `row`.

    NaN, 0 when the entry would not fill (no next bar, price beyond the cap, no ATR). What is still open
    at the end of the bars is sold at the last close.
    """
    out[0] = np.nan
    out[1] = 0.0
    if row + 1 >= bars.shape[0] or not atr_ratio > 0.0:
        return
    reference = bars[row]["close"]
    cost = half_spread_ppm(bars[row], costs) + costs["slippage_ppm"]
    bought = taker_price(bars[row + 1]["open"], cost, True)
    if bought <= entry_cap(reference, rules):
        atr = atr_ticks(atr_ratio, reference)
        _hold(bars, row, bought, atr, frame_ns, instrument["symbol_key"], rules, costs, out)


@njit
def entry_outcomes(
    bars: NDArray[np.void],
    rows: NDArray[np.int64],
    atr_ratios: NDArray[np.float64],
    frame_ns: int,
    instrument: np.void,
    rules: np.void,
    costs: np.void,
    out: NDArray[np.float64],
) -> None:
    """`entry_outcome` for each index in `rows` (with its ATR ratio), into the rows of `out` [n, 2]."""
    for index in range(rows.shape[0]):
        entry_outcome(bars, rows[index], atr_ratios[index], frame_ns, instrument, rules, costs, out[index])
