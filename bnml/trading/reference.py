"""What the engine is told about the world it trades in: filters of symbols, the universe, models in use."""

from __future__ import annotations

from math import gcd

import msgspec

from bnml.core.commands import QueryOrder
from bnml.core.events import InstrumentUpdate, ModelPublished, UniverseUpdate
from bnml.core.instrument import Instrument
from bnml.core.ports import PredictorSource
from bnml.trading.compile import EngineConfig
from bnml.trading.features import FeatureStore
from bnml.trading.outbox import Outbox
from bnml.trading.positions import Position
from bnml.trading.state import EngineState


def in_units_of(old: Instrument, new: Instrument) -> Instrument:
    """The new filters counted in the old tick and lot; where the grid became coarser, in steps of several of them."""

    def lots(count: int) -> int:
        return count * new.lot_e8 // old.lot_e8

    def ticks(count: int) -> int:
        return count * new.tick_e8 // old.tick_e8

    return msgspec.structs.replace(
        new,
        tick_e8=old.tick_e8,
        lot_e8=old.lot_e8,
        price_step=new.tick_e8 // gcd(new.tick_e8, old.tick_e8),
        lot_step=new.lot_e8 // gcd(new.lot_e8, old.lot_e8),
        min_lots=max(1, -(-new.min_lots * new.lot_e8 // old.lot_e8)),
        max_lots=lots(new.max_lots),
        market_max_lots=lots(new.market_max_lots),
        min_ticks=max(1, -(-new.min_ticks * new.tick_e8 // old.tick_e8)),
        max_ticks=ticks(new.max_ticks),
    )


def keep_units(state: EngineState, instruments: dict[str, Instrument]) -> list[str]:
    """Have what is held counted in the units that it was bought in; returns the symbols that the venue shows in others.

    Levels, quantities and orders are counted so: requests, prices and fills must be, too.
    """
    kept: list[str] = []
    for symbol in state.ledger.positions:
        known, shown = state.symbols[symbol].instrument, instruments[symbol]
        if (known.tick_e8, known.lot_e8) != (shown.tick_e8, shown.lot_e8):
            instruments[symbol] = in_units_of(known, shown)
            kept.append(symbol)
    return kept


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
            text = f"{symbol}: tick or lot changed while a position is open; old units kept, prices on the new grid"
            out.alert("critical", "units_changed", text)
            state.instrument = in_units_of(state.instrument, event.instrument)
        else:
            self._features.update(state, event.instrument)
        position = self._state.ledger.positions.get(symbol)
        if position is not None:
            self._recheck(position, self._state.symbols[symbol].instrument, out)

    def _recheck(self, position: Position, instrument: Instrument, out: Outbox) -> None:
        """Levels move onto the grid in force, stops down and targets up; orders off it are asked about.

        An order keeps resting under the filters that it was placed with, but a venue may also have ended it.
        """
        step = instrument.price_step
        for tranche in position.tranches:
            tranche.stop_ticks -= tranche.stop_ticks % step
            tranche.target_ticks += -tranche.target_ticks % step
            for leg in tranche.legs:
                order = self._state.orders.get(leg)
                if order is None or order.is_final:
                    continue
                is_off = order.ticks % step or order.open_lots % instrument.lot_step
                if (
                    is_off
                    or instrument.notional_e8(order.ticks, order.open_lots) < instrument.min_notional_e8
                ):
                    out.commands.append(QueryOrder(order.symbol, order.client_order_id))

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
        if self._state.is_news(symbol):
            out.alert("warning", "symbol_unknown", f"{symbol}: bars without an instrument are ignored")
