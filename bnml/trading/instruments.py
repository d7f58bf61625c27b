"""A symbol's filters as kernels read them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from bnml.kernels import fills
from bnml.kernels.records import INSTRUMENT, record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument


@lru_cache(maxsize=4096)
def instrument_record(instrument: Instrument) -> NDArray[np.void]:
    """A symbol's filters as one record; treat as read-only."""
    made = record(INSTRUMENT)
    for name in INSTRUMENT.names or ():
        made[name] = (
            fills.symbol_key(instrument.symbol) if name == "symbol_key" else getattr(instrument, name)
        )
    made.flags.writeable = False
    return made
