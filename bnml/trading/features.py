"""Running features of each symbol: one kernel call per closed bar, the row kept for whoever decides."""

from __future__ import annotations

import numpy as np

from bnml.core.events import Bar
from bnml.core.instrument import Instrument
from bnml.kernels.features import FeatureLayout, new_state
from bnml.kernels.history import remember_step
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
        remember_step(
            state.features,
            self._frames_ns,
            bar.ts_open_ns,
            bar.ts_close_ns,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume_lots,
            instrument.tick_e8,
            instrument.lot_e8,
            state.row,
            state.bars,
            state.close_ts_ns,
            state.closes,
            state.atr_ratios,
            self._atr_column,
        )
        state.bar = bar
        state.bars += 1
        return True
