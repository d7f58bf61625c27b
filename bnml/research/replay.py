"""The engine against the exchange in process, market step by market step, in the order of a stepped daemon."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from bnml.core.commands import Alert, Command
from bnml.core.events import Event, Scan, UniverseUpdate
from bnml.core.outcomes import Bareness, Decision, EquityPoint, Outcome, Trade
from bnml.trading.bars import BarGate, GateEvent
from bnml.trading.engine import Engine
from bnml.trading.portfolio import value_e8
from bnml.venues.sim.inprocess import Advance, SimVenue

YOUNG_OBJECTS = 200_000
"""A replay makes many objects and hardly a cycle among them: looking for cycles at the usual pace costs it a fifth."""


@contextmanager
def _rare_collections() -> Iterator[None]:
    usual = gc.get_threshold()
    gc.set_threshold(YOUNG_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class ReplayResult(msgspec.Struct):
    """What the engine concluded; `bars` counts those that were printed, not the history before them."""

    trades: list[Trade] = msgspec.field(default_factory=list)
    decisions: list[Decision] = msgspec.field(default_factory=list)
    equity: list[EquityPoint] = msgspec.field(default_factory=list)
    bareness: list[Bareness] = msgspec.field(default_factory=list)
    alerts: list[Alert] = msgspec.field(default_factory=list)
    bars: int = 0
    events: int = 0
    initial_equity_e8: int = 0
    final_equity_e8: int = 0


class Replay:
    """One run over a feed.

    `history_bars` of each symbol are fed before the first step; the oldest is the anchor. `before_scan` holds events that came right before the scan of a closing time.

    Within a step the engine sees the reports of its prints, then prints, books and candles; what its
    commands led to comes after them, and the next step only when nothing is left.
    """

    def __init__(
        self,
        engine: Engine,
        venue: SimVenue,
        symbols: Iterable[str],
        grace_ns: int,
        history_bars: int | None = None,
        first_events: Iterable[Event] = (),
        before_scan: Mapping[int, Sequence[Event]] | None = None,
    ) -> None:
        self._engine = engine
        self._venue = venue
        self._symbols = tuple(symbols)
        self._gate = BarGate(self._symbols, grace_ns, self._at_stake)
        self._pending: deque[Event] = deque()
        self._history_bars = history_bars
        self._first_events = tuple(first_events)
        self._before_scan = {} if before_scan is None else before_scan
        self._now_ns = 0
        self.result = ReplayResult()

    def run(self) -> ReplayResult:
        """Start, take every step of the feed, and mark what is still open at the last prints."""
        self.start()
        with _rare_collections():
            self._walk()
        self._venue.catch_up()
        self.result.final_equity_e8 = self._marked_equity_e8()
        return self.result

    def _walk(self) -> None:
        while (advance := self._venue.advance(self._engine.portfolio.positions)) is not None:
            self.step(advance)

    def start(self) -> None:
        """What the engine learns before the market moves: filters, balances, universe, models, history."""
        for event in self._venue.start():
            self.feed(event)
        self.feed(UniverseUpdate(self._symbols, 0))
        for event in self._first_events:
            self.feed(event)
        for symbol in self._symbols:
            for bar in self._venue.history(symbol, self._history_bars):
                self.feed(bar)
        self.result.initial_equity_e8 = self._marked_equity_e8()

    def step(self, advance: Advance) -> None:
        """One market step, until nothing is left to process."""
        step, gate = advance.step, self._gate
        now_ns = self._now_ns = max(self._now_ns, step.ts_ns)
        for report in advance.reports:
            self.feed(report)
        if not step.prints:
            self._feed_all(gate.on_clock(now_ns))
        for one in step.prints:
            self._feed_all(gate.on_print(one.symbol, one.price_ticks, one.quantity_lots, one.ts_ns))
        if advance.books:
            self._feed_all(gate.on_books(advance.books, now_ns))
        if advance.bars:
            self.result.bars += len(advance.bars)
            self._feed_all(gate.on_bars(advance.bars, now_ns))
        while self._pending:
            self.feed(self._pending.popleft())

    def feed(self, event: Event) -> None:
        """One event through the engine; its commands are carried out, their consequences wait for their turn."""
        result = self.result
        result.events += 1
        commands = self._engine.process(event, result.events)
        if outcomes := self._engine.drain():
            self._keep(outcomes)
        for command in commands:
            self._execute(command)

    def restart(self, engine: Engine) -> None:
        """Go on with another engine in the same place, as after a restart of the daemon."""
        self._engine = engine

    def _at_stake(self, symbol: str) -> bool:
        return self._engine.at_stake(symbol)

    def _execute(self, command: Command) -> None:
        if isinstance(command, Alert):
            self.result.alerts.append(command)
        self._pending.extend(self._venue.execute(command))

    def _feed_all(self, events: Iterable[GateEvent]) -> None:
        for event in events:
            if isinstance(event, Scan):
                for earlier in self._before_scan.get(event.ts_close_ns, ()):
                    self.feed(earlier)
            self.feed(event)

    def _keep(self, outcomes: Iterable[Outcome]) -> None:
        result = self.result
        for outcome in outcomes:
            if isinstance(outcome, Decision):
                result.decisions.append(outcome)
            elif isinstance(outcome, Trade):
                result.trades.append(outcome)
            elif isinstance(outcome, EquityPoint):
                result.equity.append(outcome)
            else:
                result.bareness.append(outcome)

    def _marked_equity_e8(self) -> int:
        engine = self._engine
        total_e8 = engine.portfolio.total_e8(engine.config.quote)
        for symbol, position in engine.portfolio.positions.items():
            market = self._venue.exchange.market[symbol]
            total_e8 += value_e8(position, market.state.last_ticks, market.instrument)
        return total_e8
