"""One scan: mark equity, roll the breakers, exits first, then entries by rank; all decided before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from bnml.core.commands import Command, RequestTrain
from bnml.core.events import Book, Scan
from bnml.core.instrument import DELISTED, Instrument
from bnml.core.orders import RefusedOrder, Side
from bnml.core.outcomes import Decision, EquityPoint
from bnml.kernels import exits as exit_kernels
from bnml.kernels.mood import MIN_VOICES
from bnml.kernels.records import Action, Reason
from bnml.trading import exits
from bnml.trading.compile import EngineConfig
from bnml.trading.deciding import Decider, Opinion
from bnml.trading.entries import EntryPlan, fit, submit_entry
from bnml.trading.filling import Record
from bnml.trading.freeing import is_alone
from bnml.trading.orders import OrderBook
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio, value_e8
from bnml.trading.positions import Position
from bnml.trading.protection import Protection
from bnml.trading.ramp import capped, rest_measure_e8
from bnml.trading.risk import limits
from bnml.trading.risk.breakers import Breakers, correlation
from bnml.trading.risk.mood import voices
from bnml.trading.risk.sizing import Capital, SizedEntry, active_capital_e8, size_entry, split
from bnml.trading.scanner import ranked
from bnml.trading.state import EngineState
from bnml.trading.valuation import SANE_DEN, SANE_NUM, mark_of

_BUY = int(Action.BUY)


class ScanContext:
    """What the stages of one scan hand to each other."""

    __slots__ = (
        "active_e8",
        "books",
        "closes",
        "decisions",
        "equity_e8",
        "event",
        "facts",
        "marks",
        "opinions",
        "out",
        "tranches",
    )

    def __init__(self, event: Scan, out: Outbox) -> None:
        self.event = event
        self.out = out
        self.books: dict[str, Book] = {book.symbol: book for book in event.books}
        self.closes: dict[str, int] = {}  # of those whose opinion is a BUY
        self.marks: dict[str, int] = {}  # what values the positions
        self.opinions: dict[str, Opinion] = {}  # of all that delivered the bar of this closing time, by name
        self.decisions: dict[str, Decision] = {}
        self.facts = limits.new_facts()
        self.equity_e8 = 0
        self.active_e8 = 0
        self.tranches: tuple[tuple[int, int, int], ...] = ()  # of the candidate that was asked for last


class ScanStages:
    """The stages of a scan in their one order: `STAGES` names them, `run` walks them."""

    STAGES = ("mark", "roll", "opine", "hear", "leave", "enter", "conclude")

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
        self._limits: dict[str, Record] = {}
        self._early: dict[str, Opinion] = {}
        self._is_expected = False
        self._universe: tuple[str, ...] = ()
        self._members: frozenset[str] = frozenset()  # of that universe
        self._names: tuple[str, ...] = ()  # of its members, ascending

    def run(self, event: Scan, out: Outbox) -> None:
        """Decide every symbol that delivered the bar of this scan; a closing time already scanned is ignored."""
        if event.ts_close_ns <= self._state.scanned_ns:
            return
        self._state.scanned_ns = event.ts_close_ns
        self._is_expected = True
        context = ScanContext(event, out)
        for stage in self.STAGES:
            getattr(self, stage)(context)

    def prepare(self, symbol: str) -> None:
        """Think about a bar as it arrives, so that a scan of many symbols finds the work done; changes no result."""
        if self._is_expected and self._decider.prepares and symbol in self._universe_members():
            state = self._state
            bundle_id = state.models.get(symbol, "")
            self._early[symbol] = self._decider.opine(symbol, state.symbols[symbol], bundle_id)

    def expect(self) -> None:
        """From here on bars are followed by scans; the bars of the history before are not worth a thought."""
        self._is_expected = True

    def mark(self, context: ScanContext) -> None:
        """Equity at the last closes; the part of it that positions are sized from."""
        held = {name: self._state.symbols[name] for name in self._portfolio.positions}
        marks = context.marks = {
            name: mark_of(state, context.books.get(name)) for name, state in held.items()
        }
        instruments = {name: state.instrument for name, state in held.items()}
        context.equity_e8 = self._portfolio.equity_e8(marks, instruments)
        context.active_e8 = active_capital_e8(context.equity_e8, self._config)
        self._state.last_equity_e8 = context.equity_e8
        free_e8 = self._free_quote_e8()
        context.out.outcomes.append(
            EquityPoint(
                context.event.ts_close_ns,
                context.equity_e8,
                free_e8,
                len(self._portfolio.positions),
                self._portfolio.ledger.flows_e8,
            )
        )

    def roll(self, context: ScanContext) -> None:
        """Days, weeks, peak and pauses of the breakers."""
        self._breakers.roll(context.event.ts_close_ns, context.equity_e8)

    def opine(self, context: ScanContext) -> None:
        """Predict and score every symbol of this closing time."""
        ts_close_ns, missing = context.event.ts_close_ns, []
        symbols, models, early = self._state.symbols, self._state.models, self._early
        opinions = context.opinions
        for name in self._names_to_decide():
            state = symbols.get(name)
            if state is None or state.bar is None or state.bar.ts_close_ns != ts_close_ns:
                continue
            bundle_id = models.get(name, "")
            opinion = early.pop(name, None) if early else None
            if opinion is None or opinion.ts_close_ns != ts_close_ns or opinion.bundle_id != bundle_id:
                opinion = self._decider.opine(name, state, bundle_id)
            opinions[name] = opinion
            if opinion.action == _BUY:
                context.closes[name] = state.bar.close
            if not bundle_id and name not in self._state.asked_to_train:
                missing.append(name)
        if missing:
            self._state.asked_to_train.extend(missing)
            context.out.commands.append(RequestTrain(tuple(missing), "no model"))

    def hear(self, context: ScanContext) -> None:
        """The mood of the market, from all opinions; too few of them are not worth the work."""
        opinions = context.opinions if self._breakers.listens and len(context.opinions) >= MIN_VOICES else {}
        self._breakers.hear(voices(opinions, self._state.symbols, context.books, self._atr_column))

    def leave(self, context: ScanContext) -> None:
        """Time stop, opposite signal, dust: withdraw protection and sell; and mend protection left behind."""
        for name in sorted(self._portfolio.positions):
            position, state = self._portfolio.positions[name], self._state.symbols[name]
            opinion = context.opinions.get(name)
            if opinion is not None and state.bar is not None and not position.exit_reason:
                position.exit_reason = exits.scan_exit(
                    position,
                    context.marks[name] or state.bar.close,
                    context.event.ts_close_ns,
                    rest_measure_e8(name, context.active_e8, self._state.ramp),
                    state.instrument,
                    is_sell=opinion.action == Action.SELL,
                )
                if position.exit_reason:
                    self._protection.stir(name)
            if state.instrument.status != DELISTED:
                self._protection.tend(position, state.instrument, context.out, patient=False)

    def enter(self, context: ScanContext) -> None:
        """Ask the limits for every BUY in order of rank; each approval reserves its money before the next."""
        members = self._universe_members()
        candidates = ranked(one for one in context.opinions.values() if one.symbol in members)
        if candidates:
            self._write_shared_facts(context)
        for rank, opinion in candidates:
            answer = self._ask(context, opinion, rank)
            if isinstance(answer, RefusedOrder):
                made = _decision(opinion, answer.code, answer.measured, answer.limit)
            else:
                made = _decision(opinion, int(Reason.NONE), 0.0, 0.0, answer.lots)
                self._open(context, opinion.symbol, answer)
            context.decisions[opinion.symbol] = made

    def conclude(self, context: ScanContext) -> None:
        """Record one decision per symbol, by name."""
        decisions, outcomes = context.decisions, context.out.outcomes
        for name, opinion in context.opinions.items():
            made = decisions.get(name)
            if made is None:
                made = _decision(opinion, opinion.reason, opinion.measured, opinion.limit)
            outcomes.append(made)
        self._book.forget()

    def _universe_members(self) -> frozenset[str]:
        universe = self._state.universe
        if universe is not self._universe:
            self._universe, self._members, self._names = (
                universe,
                frozenset(universe),
                tuple(sorted(set(universe))),
            )
        return self._members

    def _names_to_decide(self) -> Sequence[str]:
        """The universe and whatever is held beside it, by name."""
        members, positions = self._universe_members(), self._portfolio.positions
        return self._names if positions.keys() <= members else sorted({*members, *positions})

    def _write_shared_facts(self, context: ScanContext) -> None:
        limits.write_account(
            context.facts,
            context.event.ts_close_ns,
            context.equity_e8,
            context.active_e8,
            is_active=self._state.activity.allows_entries,
        )
        self._breakers.write_facts(context.facts)
        members = self._universe_members()
        benchmark = self._config.benchmark if self._config.benchmark in members else min(members, default="")
        self._breakers.write_regime(context.facts, self._state.symbols.get(benchmark))

    def _ask(self, context: ScanContext, opinion: Opinion, rank: int) -> SizedEntry | RefusedOrder:
        """The sized entry, or the first refusal; sized only if no earlier rule refuses."""
        symbol, facts, positions = opinion.symbol, context.facts, self._portfolio.positions
        state = self._state.symbols[symbol]
        facts["active"] = int(self._state.activity.allows(symbol))
        limits.write_candidate(
            facts,
            opinion,
            rank,
            context.books.get(symbol),
            is_held=symbol in positions,
            open_positions=len(positions),
        )
        own = self._limits.get(symbol)
        if own is None:
            own = self._limits[symbol] = self._config.limits_of(symbol)
        refusal = limits.first_refusal(symbol, facts, own)
        if refusal is not None and limits.is_before_size(refusal):
            return refusal
        close, mark = context.closes[symbol], mark_of(state, context.books.get(symbol))
        if mark != close:  # nothing bears this close out: neither the one before nor the book
            ratio = max(close, mark) / max(1, min(close, mark))
            return RefusedOrder(symbol, int(Reason.DRIFT), ratio, SANE_NUM / SANE_DEN)
        capital = Capital(
            context.equity_e8,
            context.active_e8,
            self._free_quote_e8(),
            self._exposure_e8(),
            self._portfolio.paid_e8 + self._reserved_e8(),
        )
        atr_ratio = float(state.row[self._atr_column])
        sized = size_entry(close, atr_ratio, state.instrument, capital, self._config)
        sized = capped(sized, state.instrument, self._state.ramp, self._config)
        limits.write_size(
            facts, sized, capital, state.instrument, _alike(symbol, self._state, self._portfolio)
        )
        return limits.first_refusal(symbol, facts, own) or _with_room(
            context,
            state.instrument,
            sized,
            fit(split(sized, state.instrument, self._config), state.instrument, self._book),
        )

    def rehearse(self) -> list[Command]:
        """Make the entry of a candidate that nothing speaks against, to be thrown away; changes no result.

        What was not used for some milliseconds is slow: this keeps code, models and tables at hand.
        """
        name = next((one for one in self._names_to_decide() if one not in self._portfolio.positions), "")
        state, bundle_id = self._state.symbols.get(name), self._state.models.get(name, "")
        if state is None or state.bar is None or state.bar.close <= 0:
            return []
        close, ts_ns, out = state.bar.close, state.bar.ts_close_ns, Outbox(self._config.ids, 0)
        opinion = self._decider.opine(name, state, bundle_id)
        best = replace(opinion, score=100.0, confidence=100.0, expected_edge_ppm=1e6)
        context = ScanContext(Scan(ts_ns, ts_ns, (Book(name, close, close + 1, 2**60),)), out)
        context.closes[name] = close
        context.equity_e8 = self._state.last_equity_e8
        context.active_e8 = active_capital_e8(context.equity_e8, self._config)
        self._write_shared_facts(context)
        sized = self._ask(context, best, 1)
        if isinstance(sized, SizedEntry):
            plan = _plan(context, name, sized, self._config, is_alone=True)
            submit_entry(plan, state.instrument, OrderBook(), out)
        return out.commands

    def _open(self, context: ScanContext, symbol: str, sized: SizedEntry) -> None:
        """Send an approved entry and hold its place from now on."""
        instrument = self._state.symbols[symbol].instrument
        self._protection.stir(symbol)
        alone = is_alone(instrument, self._book, self._portfolio)
        plan = _plan(context, symbol, sized, self._config, is_alone=alone)
        self._portfolio.positions[symbol] = Position(
            symbol=symbol,
            opened_ns=context.event.ts_close_ns,
            reference_ticks=sized.reference_ticks,
            atr_ticks=sized.atr_ticks,
            activation_ticks=int(exit_kernels.trail_activation(sized.reference_ticks, self._config.rules[0])),
            rules=self._config.rules.tobytes(),
            tranches=submit_entry(plan, instrument, self._book, context.out),
        )

    def _reserved_e8(self) -> int:
        return sum(
            self._state.symbols[order.symbol].instrument.notional_e8(order.ticks, order.due_lots)
            for order in self._book.unsettled()
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


def _with_room(
    context: ScanContext,
    instrument: Instrument,
    sized: SizedEntry,
    tranches: tuple[tuple[int, int, int], ...],
) -> SizedEntry | RefusedOrder:
    """No entry where the venue would not take its stops."""
    context.tranches = tranches
    if tranches:
        return sized
    symbol = instrument.symbol
    text = f"{symbol}: our open orders leave no room for an entry and its stops under the symbol's limits"
    context.out.alert("warning", "no_room_for_stops", text)
    return RefusedOrder(symbol, int(Reason.NOT_ACTIVE), 0.0, 1.0)


def _alike(symbol: str, state: EngineState, portfolio: Portfolio) -> float:
    """The highest correlation with anything that is held."""
    held = (name for name in sorted(portfolio.positions) if name != symbol)
    return max((correlation(state.symbols[symbol], state.symbols[name]) for name in held), default=0.0)


def _plan(
    context: ScanContext, symbol: str, sized: SizedEntry, config: EngineConfig, *, is_alone: bool
) -> EntryPlan:
    return EntryPlan(
        symbol,
        sized.cap_ticks,
        sized.stop_ticks,
        sized.stop_reason,
        context.tranches,
        int(config.costs["taker_ppm"][0]),
        is_alone,
    )


def _decision(opinion: Opinion, reason: int, measured: float, limit: float, lots: int = 0) -> Decision:
    return Decision(
        opinion.symbol,
        opinion.ts_close_ns,
        opinion.action,
        reason,
        measured,
        limit,
        lots,
        opinion.score,
        opinion.confidence,
        opinion.p_sell,
        opinion.p_hold,
        opinion.p_buy,
        opinion.bundle_id,
    )
