"""One scan: mark equity, roll the breakers, exits first, then entries by rank; all decided before anything is sent."""

from __future__ import annotations

from bnml.core.commands import RequestTrain
from bnml.core.events import Book, Scan
from bnml.core.instrument import Instrument
from bnml.core.orders import Side
from bnml.core.outcomes import Decision, EquityPoint
from bnml.kernels import exits as exit_kernels
from bnml.kernels.records import Action, Reason
from bnml.trading import exits
from bnml.trading.compile import EngineConfig
from bnml.trading.deciding import Decider, Opinion
from bnml.trading.entries import EntryPlan, submit_entry
from bnml.trading.orders import OrderBook
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio, value_e8
from bnml.trading.positions import Position
from bnml.trading.protection import Protection
from bnml.trading.risk import limits
from bnml.trading.risk.breakers import Breakers, correlation
from bnml.trading.risk.sizing import Capital, SizedEntry, active_capital_e8, size_entry, split
from bnml.trading.scanner import ranked
from bnml.trading.state import EngineState, SymbolState


class ScanContext:
    """What the stages of one scan hand to each other."""

    __slots__ = (
        "active_e8",
        "books",
        "decisions",
        "equity_e8",
        "event",
        "facts",
        "opinions",
        "out",
        "symbols",
    )

    def __init__(self, event: Scan, out: Outbox) -> None:
        self.event = event
        self.out = out
        self.books: dict[str, Book] = {book.symbol: book for book in event.books}
        self.symbols: list[str] = []  # delivered the bar of this closing time, by name
        self.opinions: dict[str, Opinion] = {}
        self.decisions: dict[str, Decision] = {}
        self.facts = limits.new_facts()
        self.equity_e8 = 0
        self.active_e8 = 0


class ScanStages:
    """The stages of a scan in their one order: `STAGES` names them, `run` walks them."""

    STAGES = ("mark", "roll", "opine", "leave", "enter", "conclude")

    def __init__(
        self,
        config: EngineConfig,
        state: EngineState,
        book: OrderBook,
        portfolio: Portfolio,
        protection: Protection,
        breakers: Breakers,
        decider: Decider,
    ) -> None:
        self._config = config
        self._state = state
        self._book = book
        self._portfolio = portfolio
        self._protection = protection
        self._breakers = breakers
        self._decider = decider
        self._atr_column = config.layout.column("atr_ratio_14")
        self._early: dict[str, Opinion] = {}

    def run(self, event: Scan, out: Outbox) -> None:
        """Decide every symbol that delivered the bar of this scan; a closing time already scanned is ignored."""
        if event.ts_close_ns <= self._state.scanned_ns:
            return
        self._state.scanned_ns = event.ts_close_ns
        context = ScanContext(event, out)
        for stage in self.STAGES:
            getattr(self, stage)(context)

    def prepare(self, symbol: str) -> None:
        """Think about a bar as it arrives, so that a scan of many symbols finds the work done; changes no result."""
        state = self._state.symbols[symbol]
        if self._state.scanned_ns and symbol in self._state.universe:
            self._early[symbol] = self._decider.opine(symbol, state, self._state.models.get(symbol, ""))

    def mark(self, context: ScanContext) -> None:
        """Equity at the last closes; the part of it that positions are sized from."""
        held = {name: self._state.symbols[name] for name in self._portfolio.positions}
        marks = {name: state.bar.close for name, state in held.items() if state.bar is not None}
        instruments = {name: state.instrument for name, state in held.items()}
        context.equity_e8 = self._portfolio.equity_e8(marks, instruments)
        context.active_e8 = active_capital_e8(context.equity_e8, self._config)
        self._state.last_equity_e8 = context.equity_e8
        free_e8 = self._free_quote_e8()
        context.out.outcomes.append(
            EquityPoint(context.event.ts_close_ns, context.equity_e8, free_e8, len(self._portfolio.positions))
        )

    def roll(self, context: ScanContext) -> None:
        """Days, weeks, peak and pauses of the breakers."""
        self._breakers.roll(context.event.ts_close_ns, context.equity_e8)

    def opine(self, context: ScanContext) -> None:
        """Predict and score every symbol of this closing time."""
        ts_close_ns, missing = context.event.ts_close_ns, []
        for name in sorted({*self._state.universe, *self._portfolio.positions}):
            state = self._state.symbols.get(name)
            if state is None or state.bar is None or state.bar.ts_close_ns != ts_close_ns:
                continue
            context.symbols.append(name)
            bundle_id = self._state.models.get(name, "")
            early = self._early.pop(name, None)
            if early is None or early.ts_close_ns != ts_close_ns or early.bundle_id != bundle_id:
                early = self._decider.opine(name, state, bundle_id)
            context.opinions[name] = early
            if not bundle_id and name not in self._state.asked_to_train:
                missing.append(name)
        if missing:
            self._state.asked_to_train.extend(missing)
            context.out.commands.append(RequestTrain(tuple(missing), "no model"))

    def leave(self, context: ScanContext) -> None:
        """Time stop, opposite signal, dust: withdraw protection and sell; and mend protection left behind."""
        for name in sorted(self._portfolio.positions):
            position, state = self._portfolio.positions[name], self._state.symbols[name]
            opinion = context.opinions.get(name)
            if opinion is not None and state.bar is not None:
                position.exit_reason = position.exit_reason or exits.scan_exit(
                    position,
                    state.bar.close,
                    context.event.ts_close_ns,
                    context.active_e8,
                    state.instrument,
                    is_sell=opinion.action == Action.SELL,
                )
            self._protection.tend(position, state.instrument, context.out, patient=False)

    def enter(self, context: ScanContext) -> None:
        """Ask the limits for every BUY in order of rank; each approval reserves its money before the next."""
        in_universe = [one for name, one in context.opinions.items() if name in self._state.universe]
        candidates = ranked(in_universe)
        if candidates:
            self._write_shared_facts(context)
        for rank, opinion in candidates:
            sized, instrument = self._measure(context, opinion, rank)
            refusal = limits.first_refusal(opinion.symbol, context.facts, self._config.limits)
            if refusal is not None:
                context.decisions[opinion.symbol] = _decision(
                    opinion, refusal.code, refusal.measured, refusal.limit
                )
                continue
            context.decisions[opinion.symbol] = _decision(opinion, int(Reason.NONE), 0.0, 0.0, sized.lots)
            plan = EntryPlan(
                opinion.symbol,
                sized.cap_ticks,
                sized.stop_ticks,
                sized.stop_reason,
                split(sized, instrument, self._config),
                int(self._config.costs["taker_ppm"][0]),
            )
            tranches = submit_entry(plan, instrument, self._book, context.out)
            self._portfolio.positions[opinion.symbol] = Position(
                symbol=opinion.symbol,
                opened_ns=context.event.ts_close_ns,
                reference_ticks=sized.reference_ticks,
                atr_ticks=sized.atr_ticks,
                activation_ticks=int(
                    exit_kernels.trail_activation(sized.reference_ticks, self._config.rules[0])
                ),
                rules=self._config.rules.tobytes(),
                tranches=tranches,
            )

    def conclude(self, context: ScanContext) -> None:
        """Record one decision per symbol, by name."""
        for name in context.symbols:
            opinion = context.opinions[name]
            made = context.decisions.get(name)
            if made is None:
                made = _decision(opinion, opinion.reason, opinion.measured, opinion.limit)
            context.out.outcomes.append(made)
        self._book.forget()

    def _write_shared_facts(self, context: ScanContext) -> None:
        context.facts["ts_ns"] = context.event.ts_close_ns
        context.facts["active"] = int(self._state.activity.allows_entries)
        self._breakers.write_facts(context.facts)
        universe = self._state.universe
        benchmark = (
            self._config.benchmark if self._config.benchmark in universe else min(universe, default="")
        )
        self._breakers.write_regime(context.facts, self._state.symbols.get(benchmark))

    def _measure(self, context: ScanContext, opinion: Opinion, rank: int) -> tuple[SizedEntry, Instrument]:
        state = self._state.symbols[opinion.symbol]
        assert state.bar is not None  # noqa: S101 - an opinion is made of a bar
        capital = Capital(context.equity_e8, context.active_e8, self._free_quote_e8(), self._exposure_e8())
        sized = size_entry(
            state.bar.close, float(state.row[self._atr_column]), state.instrument, capital, self._config
        )
        limits.write_candidate(
            context.facts,
            opinion,
            rank,
            is_held=opinion.symbol in self._portfolio.positions,
            open_positions=len(self._portfolio.positions),
            correlation=self._correlation(opinion.symbol, state),
        )
        limits.write_market(context.facts, context.books.get(opinion.symbol))
        limits.write_size(context.facts, sized, capital, state.instrument)
        return sized, state.instrument

    def _correlation(self, symbol: str, state: SymbolState) -> float:
        held = (name for name in sorted(self._portfolio.positions) if name != symbol)
        return max((correlation(state, self._state.symbols[name]) for name in held), default=0.0)

    def _reserved_e8(self) -> int:
        return sum(
            self._state.symbols[order.symbol].instrument.notional_e8(order.ticks, order.open_lots)
            for order in self._book.open()
            if order.side is Side.BUY
        )

    def _free_quote_e8(self) -> int:
        return self._portfolio.total_e8(self._config.quote) - self._reserved_e8()

    def _exposure_e8(self) -> int:
        held = 0
        for name, position in self._portfolio.positions.items():
            state = self._state.symbols[name]
            held += value_e8(position, state.bar.close if state.bar else 0, state.instrument)
        return held + self._reserved_e8()


def _decision(opinion: Opinion, reason: int, measured: float, limit: float, lots: int = 0) -> Decision:
    return Decision(
        symbol=opinion.symbol,
        ts_close_ns=opinion.ts_close_ns,
        action=opinion.action,
        reason=reason,
        measured=float(measured),
        limit=float(limit),
        quantity_lots=lots,
        score=opinion.score,
        confidence=opinion.confidence,
        p_sell=opinion.p_sell,
        p_hold=opinion.p_hold,
        p_buy=opinion.p_buy,
        bundle_id=opinion.bundle_id,
    )
