"""Which opinions could become positions: each BUY that fills at the next open, and the exit signal that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import njit
from bnml.kernels.exit_tables import NEVER
from bnml.kernels.exits import atr_ticks, entry_cap
from bnml.kernels.fills import taker_fill, volume_cap_lots
from bnml.kernels.records import Action, FillTier, Taking

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market

_BUY = int(Action.BUY)
_SELL = int(Action.SELL)
_IOC = int(Taking.IOC)
_F1 = int(FillTier.F1)
_NO_CAP = 1 << 62


@njit
def collect_entries(
    market: Market,
    opinions: NDArray[np.void],
    first: int,
    entries: NDArray[np.void],
    origins: NDArray[np.void],
    next_entry: NDArray[np.int64],
) -> int:
    """Write the entries decided from bar `first` on, ascending; returns their number.

    An opinion is left out if its fill would cost more than its cap, or if there is no volume to take: it
    can do nothing. `next_entry` gets, for each bar and one more, the first entry decided on it or later.
    """
    bars, rules, costs, last = market.bars, market.rules[0], market.costs[0], len(market.bars) - 1
    count, marked, sell = 0, 0, 0
    for o in range(len(opinions)):
        opinion, t = opinions[o], opinions[o]["bar"]
        if opinion["action"] != _BUY or t < first or t >= last:
            continue
        bar, entry, origin = bars[t], entries[count], origins[count]
        close = bar["close"]
        cap = entry_cap(close, rules)
        filled, price = taker_fill(_IOC, True, 1, cap, market.opens[t + 1], bar, costs)
        if filled == 0:
            continue
        entry["bar"], entry["close"], entry["cap"], entry["price"] = t, close, cap, price
        entry["most_lots"] = volume_cap_lots(bar["volume_lots"], costs) if costs["tier"] == _F1 else _NO_CAP
        entry["size_ppm"], entry["ts_ns"] = opinion["size_ppm"], bars[t + 1]["ts_open_ns"]
        origin["reference"] = price if rules["from_fill"] == 1 else close
        origin["atr"], origin["sell_scan"] = atr_ticks(opinion["atr_ratio"], close), NEVER
        if rules["exit_on_sell"] == 1:
            sell = max(sell, o)
            while sell < len(opinions) and (opinions[sell]["action"] != _SELL or opinions[sell]["bar"] <= t):
                sell += 1
            origin["sell_scan"] = opinions[sell]["bar"] if sell < len(opinions) else NEVER
        while marked <= t:
            next_entry[marked] = count
            marked += 1
        count += 1
    next_entry[marked:] = count
    return count
