"""THE reducer: one event in, commands out; routes each event to the one part that owns what it changes.

Nothing here computes. One writer calls `process`; the engine knows no clock, no network and no log, and
its `now` is the time of the last event. The same state and the same events give the same commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bnml.core.commands import Command
from bnml.core.events import (
    Adoption,
    Balances,
    Bar,
    CancelFailed,
    CapitalFlow,
    Event,
    FeePurchase,
    FreeCoins,
    Guard,
    InstrumentUpdate,
    ModelPublished,
    OperatorCommand,
    OrderReport,
    Scan,
    Slice,
    Timer,
    UniverseUpdate,
    VenueStatus,
)
from bnml.core.outcomes import Outcome
from bnml.core.ports import FloatArray, PredictorSource
from bnml.kernels import KERNEL_HASH
from bnml.trading import exits, snapshot
from bnml.trading.adopting import AdoptionDesk
from bnml.trading.compile import EngineConfig
from bnml.trading.coverage import Coverage, coverage_of
from bnml.trading.deciding import Decider
from bnml.trading.dusting import DUST, DustDesk
from bnml.trading.features import FeatureStore
from bnml.trading.fees import FeeDesk
from bnml.trading.flows import FlowDesk
from bnml.trading.guarding import GuardDesk
from bnml.trading.operating import OperatorDesk
from bnml.trading.orders import OrderBook
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Ledger, Portfolio
from bnml.trading.protection import Protection
from bnml.trading.ramp import AGREED, RampDesk
from bnml.trading.reference import ReferenceDesk
from bnml.trading.rejects import RejectGuard
from bnml.trading.reports import ReportDesk
from bnml.trading.returning import ReturnDesk
from bnml.trading.risk.breakers import Breakers, new_breakers
from bnml.trading.scan import ScanStages
from bnml.trading.shortage import ShortageDesk
from bnml.trading.standing import Standing, standings
from bnml.trading.state import EngineState
from bnml.trading.valuation import is_sane_rise
from bnml.trading.watching import WATCH, Watch

RECONCILE = "reconcile"
"""Name of the Timer that asks the venue for every order whose state is not sure."""

DUE_CHANNELS = frozenset({"user", "orders"})
"""Channels after whose return reports may be missing."""


class Engine:
    """Decides and protects; `process` is its only door in, commands and `drain` its only doors out."""

    def __init__(
        self,
        config: EngineConfig,
        predictors: PredictorSource,
        state: EngineState | None = None,
        *,
        features: FeatureStore | None = None,
        decider: Decider | None = None,
    ) -> None:
        self.config = config
        self.state = EngineState(Ledger(config.quote), new_breakers()) if state is None else state
        self.book = OrderBook(self.state.orders)
        self.portfolio = Portfolio(self.state.ledger)
        self._features = FeatureStore(config.layout) if features is None else features
        self._reference = ReferenceDesk(config, self.state, self._features, predictors)
        self._breakers = Breakers(self.state.breakers, config.limits, config.time_zone)
        self._protection = protection = Protection(self.book, self.portfolio, self.state)
        self._watch = Watch(self.state, self.book, protection)
        self._adoption = AdoptionDesk(config, self.state, self.book, self.portfolio)
        returning = ReturnDesk(config, self.book, self.portfolio, self._adoption.measure)
        self.fees = FeeDesk(config, self.state, self.book, self.portfolio, self._breakers)
        self._reports = ReportDesk(
            config, self.state, self.book, self.portfolio, protection, self._breakers, returning, self.fees
        )
        self._flows = FlowDesk(self.state, self.portfolio, protection, self._reports, self._breakers)
        self.shortage = ShortageDesk(self.state, self.book, protection, self._reports)
        self._guards = GuardDesk(self.state.activity)
        self._ramp = RampDesk(config, self.state)
        self._dust = DustDesk(config, self.state, self.book, self.portfolio)
        self._operator = OperatorDesk(
            self.state, self.book, self.portfolio, self._breakers, self._guards, self._ramp
        )
        self._scan = ScanStages(
            config,
            self.state,
            self.book,
            self.portfolio,
            protection,
            self._breakers,
            Decider(config, predictors) if decider is None else decider,
        )
        self._rejects = RejectGuard(
            self.state.activity, self.book, self._guards, config.risk, self._reports.report, self._scan.run
        )
        self._out = Outbox(config.ids, 0)
        self.handlers = self._table()

    def _table(self) -> dict[type, Callable[[Any, Outbox], None]]:
        """All that can happen, in the order in which concerns come first; there is no other table."""
        return {
            OperatorCommand: self._on_operator,
            Guard: self._guards.take,
            VenueStatus: self._on_venue_status,
            OrderReport: self._rejects.report,
            CancelFailed: self._reports.cancel_failed,
            Balances: self._flows.balances,
            CapitalFlow: self._flows.flow,
            InstrumentUpdate: self._on_instrument,
            UniverseUpdate: self._reference.universe,
            ModelPublished: self._reference.model,
            Slice: self._on_slice,
            Bar: self._on_bar,
            Scan: self._rejects.scan,
            Timer: self._on_timer,
            Adoption: self._on_adoption,
            FeePurchase: self.fees.buy,
            FreeCoins: self.shortage.take,
        }

    @classmethod
    def restore(cls, config: EngineConfig, predictors: PredictorSource, content: bytes) -> Engine:
        """An engine that goes on where `snapshot` was taken; RecoveryNeeded for bytes it cannot read."""
        state, _ = snapshot.decode(content)
        return cls(config, predictors, state)

    def snapshot(self) -> bytes:
        """Everything this engine remembers; take it between two events."""
        return snapshot.encode(self.state, KERNEL_HASH)

    def process(self, event: Event, sequence: int) -> list[Command]:
        """Apply one event; `sequence` is its journal number, from which the ids of new orders are made."""
        kind, out, state = type(event), self._out, self.state
        ts_ns = event.ts_close_ns if isinstance(event, Bar) else event.ts_ns
        if ts_ns > state.now_ns:  # noqa: PLR1730 - once for each event
            state.now_ns = ts_ns
        out.renew(sequence)
        known = len(out.outcomes)
        self.handlers[kind](event, out)
        if state.ramp.round_trips:
            self._ramp.follow(event, out.outcomes[known:], out.commands.copy(), out)
        return out.take_commands() if out.commands else []

    def drain(self) -> list[Outcome]:
        """What was concluded since the last call: decisions, trades, equity points, in order."""
        return self._out.take_outcomes()

    def at_stake(self, symbol: str) -> bool:
        """Whether prints of this symbol matter: a position is open, or an entry is under way."""
        return symbol in self.state.ledger.positions

    @property
    def needs_seconds(self) -> bool:
        """Whether a WATCH timer each second would find something to look at."""
        return self._watch.is_needed()

    @property
    def needs_dusting(self) -> bool:
        """Whether a DUST timer would sell something."""
        return self._dust.is_due

    def coverage(self) -> list[Coverage]:
        """For each position by name: how much of it live stops at the venue protect, and how long it was less than all."""
        symbols, now_ns = self.state.symbols, self.state.now_ns
        return [
            coverage_of(position, self.book, symbols[name].instrument, now_ns)
            for name, position in sorted(self.portfolio.positions.items())
        ]

    def standings(self) -> tuple[Standing, ...]:
        """Every reason why entries may not come now."""
        return standings(self.state, self.config, self._breakers)

    def rehearse(self) -> list[Command]:
        """The commands of an entry that is not made: they must not be sent, and nothing changes."""
        return self._scan.rehearse()

    def feature_row(self, symbol: str) -> FloatArray:
        """The row of the symbol's last bar; the engine's own array, valid until the next bar."""
        return self.state.symbols[symbol].row

    def _on_operator(self, event: OperatorCommand, out: Outbox) -> None:
        self._protection.stir()
        for symbol in self._operator.obey(event, out):
            self._reports.advance(symbol, event.ts_ns, out, patient=False)

    def _on_venue_status(self, event: VenueStatus, out: Outbox) -> None:
        down = self.state.activity.channels_down
        self._scan.expect()
        if not event.up:
            down[event.channel] = event.detail
        elif down.pop(event.channel, None) is not None and event.channel in DUE_CHANNELS:
            self._reports.query_unsure(out, at_once=True)

    def _on_instrument(self, event: InstrumentUpdate, out: Outbox) -> None:
        symbol = event.instrument.symbol
        self._protection.stir(symbol)
        self._reference.instrument(event, out)
        position = self.portfolio.positions.get(symbol)
        if position is not None and not self.state.activity.is_closed(self.state.symbols[symbol].instrument):
            self._protection.refusals.try_now(position)

    def _on_adoption(self, event: Adoption, out: Outbox) -> None:
        self._protection.stir(event.symbol)
        for report in event.known:
            self._reports.report(report, out, advance=False)
        self._adoption.adopt(event, out)
        self._reports.advance(event.symbol, event.ts_ns, out, patient=False)

    def _on_slice(self, event: Slice, out: Outbox) -> None:
        position = self.portfolio.positions.get(event.symbol)
        if position is None or event.last <= 0:
            return  # a price of zero is nobody's
        state = self.state.symbols[event.symbol]
        seen_ticks, position.last_ticks = position.last_ticks, event.last
        self._watch.on_slice(position, event)
        if event.last >= position.activation_ticks:
            close = 0 if state.bar is None else state.bar.close
            instrument = state.instrument
            if is_sane_rise(event.last, close, seen_ticks) and exits.trail(position, event.last, instrument):
                self._protection.stir(event.symbol)
        if 0 < position.look_ns <= self.state.now_ns:
            self._watch.look(position, state.instrument, out)
        self._reports.advance(event.symbol, event.ts_ns, out, patient=False)

    def _on_bar(self, event: Bar, out: Outbox) -> None:
        state = self.state.symbols.get(event.symbol)
        if state is None:
            self._reference.unknown_symbol(event.symbol, out)
        elif self._features.push(state, event):
            self._scan.prepare(event.symbol)

    def _on_timer(self, event: Timer, out: Outbox) -> None:
        if event.name == DUST:
            for symbol in self._dust.take_up(out):
                self._protection.stir(symbol)
                self._reports.advance(symbol, event.ts_ns, out, patient=False)
            return
        if event.name == AGREED:
            self.portfolio.ledger.trust(event.ts_ns)
            self._protection.stir()  # a rest that no stop sells is left alone beside coins of others only
            return
        if event.name == RECONCILE:
            self._reports.query_unsure(out, at_once=False)
        elif event.name != WATCH:
            return  # a mark in the journal
        self._watch.ask_untold(out)
        for symbol, position in sorted(self.portfolio.positions.items()):
            self._watch.look(position, self.state.symbols[symbol].instrument, out)
            self._reports.advance(symbol, event.ts_ns, out, patient=False)
