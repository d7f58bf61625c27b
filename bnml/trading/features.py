"""Running features of each symbol: one kernel call per closed bar, the row kept for whoever decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnml.core.events import Bar
from bnml.core.instrument import Instrument
from bnml.kernels.features import FeatureLayout, features_step, new_state
from bnml.trading.state import SymbolState


class FeatureStore:
    """Owns how `SymbolState` moves with bars; rows become known only with the bar that completes them."""

    def __init__(self, layout: FeatureLayout) -> None:
        self._layout = layout
        self._frames_ns = layout.frames_ns
        self._atr_column = layout.column("atr_ratio_14")

    def open(self, instrument: Instrument) -> SymbolState:
        """A symbol without history: its next bar is the anchor of all running values."""
        row = np.full(len(self._layout.names), np.nan)
        return SymbolState(instrument, new_state(self._layout), row)

    def has_new_units(self, state: SymbolState, instrument: Instrument) -> bool:
        """Whether ticks or lots would mean something else from now on."""
        old = state.instrument
        return (old.tick_e8, old.lot_e8) != (instrument.tick_e8, instrument.lot_e8)

    def update(self, state: SymbolState, instrument: Instrument) -> None:
        """Adopt new filters; closes kept in old ticks become the nearest new ones, running features are in floats."""
        if state.instrument.tick_e8 != instrument.tick_e8:
            state.closes = (
                state.closes * state.instrument.tick_e8 + instrument.tick_e8 // 2
            ) // instrument.tick_e8
        state.instrument = instrument

    def push(self, state: SymbolState, bar: Bar) -> bool:
        """Advance by one bar; a bar that is not newer than the last one changes nothing and gives False."""
        last, instrument = state.bar, state.instrument
        if last is not None and bar.ts_open_ns <= last.ts_open_ns:
            return False
        features_step(
            state.features,
            self._frames_ns,
            bar.ts_open_ns,
            instrument.price_float(bar.open),
            instrument.price_float(bar.high),
            instrument.price_float(bar.low),
            instrument.price_float(bar.close),
            instrument.quantity_float(bar.volume_lots),
            state.row,
        )
        state.bar = bar
        state.bars += 1
        _append(state.close_ts_ns, bar.ts_close_ns)
        _append(state.closes, bar.close)
        _append(state.atr_ratios, state.row[self._atr_column])
        return True


def _append(ring: NDArray[Any], value: float) -> None:
    ring[:-1] = ring[1:]
    ring[-1] = value
