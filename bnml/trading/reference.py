"""What the engine is told about the world it trades in: filters of symbols, the universe, models in use."""

from __future__ import annotations

from bnml.core.events import InstrumentUpdate, ModelPublished, UniverseUpdate
from bnml.core.ports import PredictorSource
from bnml.trading.compile import EngineConfig
from bnml.trading.features import FeatureStore
from bnml.trading.outbox import Outbox
from bnml.trading.state import EngineState


class ReferenceDesk:
    """Adopts what fits and tells of what does not; the old value stays in use then."""

    def __init__(
        self, config: EngineConfig, state: EngineState, features: FeatureStore, predictors: PredictorSource
    ) -> None:
        self._version = config.layout.version
        self._state = state
        self._features = features
        self._predictors = predictors

    def instrument(self, event: InstrumentUpdate, out: Outbox) -> None:
        """A new symbol starts without history; a known one keeps its units while a position is open."""
        symbol = event.instrument.symbol
        state = self._state.symbols.get(symbol)
        if state is None:
            self._state.symbols[symbol] = self._features.open(event.instrument)
        elif symbol in self._state.ledger.positions and self._features.has_new_units(state, event.instrument):
            text = f"{symbol}: tick or lot changed while a position is open; old units kept"
            out.alert("critical", "units_changed", text)
        else:
            self._features.update(state, event.instrument)

    def universe(self, event: UniverseUpdate, _: Outbox) -> None:
        """These symbols may be entered from now on; positions in others are still protected and left."""
        self._state.universe = event.symbols

    def model(self, event: ModelPublished, out: Outbox) -> None:
        """Decide with this bundle from the next scan, if it reads the rows that we make; an empty id: with none."""
        if not event.bundle_id:
            self._state.models.pop(event.symbol, None)
            return
        found = self._predictors.predictor(event.bundle_id).features_version
        if found != self._version:
            text = f"{event.symbol}: bundle {event.bundle_id} has features {found}, we make {self._version}"
            out.alert("warning", "bundle_refused", f"{text}; the previous one is kept")
            return
        self._state.models[event.symbol] = event.bundle_id
        if event.symbol in self._state.asked_to_train:
            self._state.asked_to_train.remove(event.symbol)

    def unknown_symbol(self, symbol: str, out: Outbox) -> None:
        """Tell once of bars that nothing can be done with."""
        if symbol not in self._state.told:
            self._state.told.append(symbol)
            out.alert("warning", "symbol_unknown", f"{symbol}: bars without an instrument are ignored")
