"""Features and opinions of recorded bars made in blocks by the batch kernels, in the place where an engine steps for them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.events import Bar
from bnml.core.instrument import Instrument
from bnml.core.ports import FloatArray
from bnml.kernels.features import FeatureLayout, bar_floats, features_batch, new_state
from bnml.kernels.opinions import VIEW, Model, opinion_batch
from bnml.learn.predictors import ModelStore
from bnml.research.models import probabilities
from bnml.trading.compile import EngineConfig
from bnml.trading.deciding import Decider, Opinion
from bnml.trading.features import FeatureStore
from bnml.trading.state import SymbolState

BLOCK = 512
"""Bars of one symbol that are thought about at once."""


class Given(msgspec.Struct, frozen=True):
    """What is known of the bars of a market already, one row per bar, by symbol; what is not named is computed."""

    rows: Mapping[str, FloatArray] = {}
    probabilities: Mapping[str, FloatArray] = {}


class Track:
    """One symbol's bars, and the block of them that the engine is in."""

    def __init__(
        self, symbol: str, instrument: Instrument, bars: NDArray[np.void], layout: FeatureLayout
    ) -> None:
        self.symbol = symbol
        self.first = self.count = 0  # of the block
        self.opens: list[int] = []
        self.rows = np.full((BLOCK, layout.count), np.nan)
        self.each_row: list[FloatArray] = []
        self.close_ts_ns = bars["ts_open_ns"] + layout.base_frame_ns
        self.closes = np.ascontiguousarray(bars["close"])
        self.atr_ratios = np.full(len(bars), np.nan)
        self.opinions: list[Opinion] = []
        self.opinions_from = 0  # place in the block of the first of them
        self.bundle_id: str | None = None  # whose opinions they are; None: none are made yet
        self._bars = bars
        self._instrument = instrument
        self._layout = layout
        self._atr_column = layout.column("atr_ratio_14")
        self._state = new_state(layout)

    def load(self, first: int, given: FloatArray | None) -> None:
        """Enter the block that begins with bar `first`; blocks follow each other."""
        bars = self._bars[first : first + BLOCK]
        self.first, self.count, self.bundle_id = first, len(bars), None
        self.opens = bars["ts_open_ns"].tolist()
        if given is not None:
            self.rows = given[first : first + BLOCK]
        else:
            floats = bar_floats(bars, self._instrument.tick_e8, self._instrument.lot_e8)
            opens = np.ascontiguousarray(bars["ts_open_ns"])
            features_batch(self._state, self._layout.frames_ns, opens, *floats, self.rows)
        self.each_row = list(self.rows)
        self.atr_ratios[first : first + len(bars)] = self.rows[: len(bars), self._atr_column]


class Tracks(dict[str, Track]):
    """The tracks of a market by symbol."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        bars: Mapping[str, NDArray[np.void]],
        layout: FeatureLayout,
        given: Given | None = None,
    ) -> None:
        super().__init__((name, Track(name, instruments[name], rows, layout)) for name, rows in bars.items())
        self.given = Given() if given is None else given


class AheadFeatures(FeatureStore):
    """Moves a symbol along its track; the running values of `SymbolState.features` stay as they are."""

    def __init__(self, layout: FeatureLayout, tracks: Tracks) -> None:
        super().__init__(layout)
        self._tracks = tracks

    def open(self, instrument: Instrument) -> SymbolState:
        """A symbol before its first bar; its memories are the whole track."""
        state, track = super().open(instrument), self._tracks[instrument.symbol]
        state.close_ts_ns, state.closes, state.atr_ratios = track.close_ts_ns, track.closes, track.atr_ratios
        return state

    def push(self, state: SymbolState, bar: Bar) -> bool:
        """Advance by one bar; ValueError for one that is not the next of the track."""
        last, index, ts_open_ns = state.bar, state.bars, bar.ts_open_ns
        if last is not None and ts_open_ns <= last.ts_open_ns:
            return False
        track = self._tracks[bar.symbol]
        place = index - track.first
        if place >= track.count:
            track.load(index, self._tracks.given.rows.get(bar.symbol))
            place = 0
        if track.opens[place] != ts_open_ns:
            raise ValueError(f"{bar.symbol}: bar {index} of the run is not bar {index} of the market")
        state.row = track.each_row[place]
        state.bar = bar
        state.bars = index + 1
        return True


class AheadDecider(Decider):
    """Thinks about the rest of a block with the bundle that is asked for first."""

    prepares = False

    def __init__(self, config: EngineConfig, store: ModelStore, tracks: Tracks) -> None:
        super().__init__(config, store)
        self._store = store
        self._tracks = tracks
        self._given = tracks.given

    def opine(self, symbol: str, state: SymbolState, bundle_id: str) -> Opinion:
        """The opinion on the symbol's last bar."""
        track = self._tracks[symbol]
        place = state.bars - 1 - track.first
        if track.bundle_id != bundle_id:
            self._think(track, place, bundle_id)
        return track.opinions[place - track.opinions_from]

    def _think(self, track: Track, place: int, bundle_id: str) -> None:
        rows, first, end = track.rows[place : track.count], track.first + place, track.first + track.count
        model, columns, policy = self._without_model, self._no_columns, self._no_policy
        chances = np.empty((len(rows), 3))
        if bundle_id:
            predictor = self._store.predictor(bundle_id)
            model, columns, policy = int(Model.BUNDLE), predictor.columns, predictor.policy
            given = self._given.probabilities.get(track.symbol)
            chances = probabilities(predictor, rows) if given is None else given[first:end]
        out = np.empty(len(rows), VIEW)
        opinion_batch(model, rows, self._columns, columns, policy, chances, self._weights, out)
        closes_ns = track.close_ts_ns[first:end].tolist()
        track.opinions = [
            Opinion(track.symbol, ts_close_ns, bundle_id, *thought)
            for ts_close_ns, thought in zip(closes_ns, out.tolist(), strict=True)
        ]
        track.opinions_from, track.bundle_id = place, bundle_id
