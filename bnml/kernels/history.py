"""One closed bar into a symbol's memory: its feature row, and the last closes that risk rules look back on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnml.kernels import njit
from bnml.kernels.features import features_step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


@njit
def append(memory: NDArray[Any], count: int, value: float) -> None:
    """Add a value after the first `count`; when all places are taken, the oldest is forgotten."""
    last = len(memory) - 1
    if count <= last:
        memory[count] = value
        return
    for i in range(last):
        memory[i] = memory[i + 1]
    memory[last] = value


@njit
def remember_step(
    features: Floats,
    frames_ns: Integers,
    ts_open_ns: int,
    ts_close_ns: int,
    opened: int,
    high: int,
    low: int,
    close: int,
    lots: int,
    tick_e8: int,
    lot_e8: int,
    row: Floats,
    count: int,
    close_ts_ns: Integers,
    closes: Integers,
    atr_ratios: Floats,
    atr_column: int,
) -> None:
    """Take in a bar of ticks and lots, after `count` others; allocates nothing.

    Prices and volume reach the features as the doubles nearest to their decimals, as `features.bar_floats` makes them.
    """
    features_step(
        features,
        frames_ns,
        ts_open_ns,
        opened * tick_e8 / 1e8,
        high * tick_e8 / 1e8,
        low * tick_e8 / 1e8,
        close * tick_e8 / 1e8,
        lots * lot_e8 / 1e8,
        row,
    )
    append(close_ts_ns, count, ts_close_ns)
    append(closes, count, close)
    append(atr_ratios, count, row[atr_column])
