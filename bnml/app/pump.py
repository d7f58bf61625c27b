"""The one writer of the engine: number an event, journal it, process it, journal what came of it, pass commands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bnml.app.gaps import Filled
from bnml.app.logs import logger
from bnml.app.silence import Tick
from bnml.core.clock import format_utc
from bnml.core.events import (
    Balances,
    Bar,
    Book,
    CapitalFlow,
    OrderReport,
    Scan,
)
from bnml.core.outcomes import Decision
from bnml.kernels.records import Action
from bnml.trading.crosscheck import CrossCheck, Difference
from bnml.trading.flows import takes_ours
from bnml.trading.freeing import strange_e8
from bnml.venues.binance.codec import Beat, Print, Shutdown
from bnml.venues.binance.reports import StreamEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.app.inbox import Item
    from bnml.core.commands import Command
    from bnml.core.events import Event
    from bnml.core.outcomes import Outcome
    from bnml.journal.writer import JournalWriter
    from bnml.trading.bars import BarGate
    from bnml.trading.engine import Engine


class Follower(Protocol):
    """Sees what the engine concluded, after the journal has accepted it."""

    def follow(self, event: Event, outcomes: Sequence[Outcome]) -> None: ...


class Pump:
    """Turns items of the inbox into events and feeds them; `now_ns` is market time as far as it is known.

    `fill_gap(symbol, from, to)` asks for candles that no stream brought, which come as `Filled`; bars of that
    symbol wait for them, everything else goes on. None trusts the stream (stepped mode, where a missing bar is
    the market's own). `compare` has the account compared with the ledger, which tells what a payment has taken of ours;
    None trusts the word of the payment.
    """

    def __init__(
        self,
        engine: Engine,
        gate: BarGate,
        journal: JournalWriter,
        *,
        submit: Callable[[int, list[Command]], None],
        follower: Follower,
        fill_gap: Callable[[str, int, int], None] | None,
        snapshot_every: int,
        snapshot_version: str,
        frame_ns: int,
        compare: Callable[[], None] | None = None,
    ) -> None:
        self._engine = engine
        self._compare = compare
        self._gate = gate
        self._journal = journal
        self._submit = submit
        self._follower = follower
        self._fill_gap = fill_gap
        self._held: dict[str, list[Bar]] = {}  # bars after a gap that is being filled
        self._frame_ns = frame_ns
        self.cross_check = CrossCheck(frame_ns)
        self._snapshot_every = snapshot_every
        self._snapshot_version = snapshot_version
        self._photographed_seq = journal.last_seq
        self._last_close_ns: dict[str, int] = {}
        self._traded_ns: dict[str, int] = {}  # by asset: time of the newest trade that was told
        self.now_ns = 0
        self.scans = 0
        self.last_scan_ns = 0
        # With several sockets: what all have reached, the only time that makes a scan overdue.
        self._common_ns = 0
        self.in_history = False  # bars of a start: photographed once, when all are in

    def remember_bars(self, closes_ns: dict[str, int]) -> None:
        """Bars up to these closing times are known already (restored engine)."""
        self._last_close_ns.update(closes_ns)

    def remember_replay(self, events: int) -> None:
        """So many were replayed since the last photograph: lives that end before the next one would make starts ever longer."""
        self._photographed_seq -= events

    def last_close_ns(self, symbol: str) -> int:
        """Closing time of the newest bar fed, 0 for none."""
        return self._last_close_ns.get(symbol, 0)

    async def take(self, item: Item) -> None:
        """Deal with one item of the inbox."""
        match item:
            case Print():
                self._advance(item.ts_ns)
                _report(
                    self.cross_check.on_trade(item.symbol, item.ts_ns, item.ticks, item.lots, item.trade_id)
                )
                clock_ns = self._common_ns or item.ts_ns
                self._feed_all(
                    self._gate.on_print(item.symbol, item.ticks, item.lots, item.ts_ns, clock_ns=clock_ns)
                )
            case Book():
                self._feed_all(self._gate.on_book(item, self._common_ns or self.now_ns))
            case Bar():
                self._bar(item)
            case Filled():
                self._filled(item)
            case Tick():
                self._advance(item.ts_ns)
            case Beat():
                self._advance(item.ts_ns)
                self._common_ns = item.ts_ns if item.is_common else 0
                self._feed_all(self._gate.on_clock(self._common_ns or self.now_ns))
            case Balances():
                # They name only some assets; the ledger follows the fills, and reconciliation reads the whole account.
                self._suspect(item)
                return
            case Shutdown() | StreamEnded():
                return
            case CapitalFlow():
                self._flow(item)
            case _:
                self._note_trade(item)
                self.feed(item)
        await self._journal.room()

    def _flow(self, item: CapitalFlow) -> None:
        self._advance(item.ts_ns)
        if not self._is_left_to_comparison(item):
            self.feed(item)

    def _is_left_to_comparison(self, flow: CapitalFlow) -> bool:
        """Coins that are paid out may have been bought by somebody else a moment ago: no position gets smaller for that."""
        if self._compare is None or flow.is_compared:
            return False
        if not takes_ours(flow, self._engine.portfolio, self._engine.state):
            return False
        logger().info(
            "payment_left_to_comparison",
            asset=flow.asset,
            amount_e8=flow.amount_e8,
            text="more was paid out than the ledger knows beside our positions; it is booked as the account shows it",
        )
        self._compare()
        return True

    def _suspect(self, shown: Balances) -> None:
        """Coins that others bring are told of here long before the account is compared, and no order of ours may sell them."""
        if self._compare is None:
            return
        engine = self._engine
        for asset, (free_e8, locked_e8) in shown.assets.items():
            if shown.ts_ns <= self._traded_ns.get(asset, 0):
                continue  # late: what was sold since is still in it
            more_e8 = strange_e8(asset, free_e8 + locked_e8, engine.state, engine.book, engine.portfolio)
            if more_e8:
                self.feed(CapitalFlow(asset, 0, max(self.now_ns, shown.ts_ns), strange_e8=more_e8))

    def _note_trade(self, event: Event) -> None:
        if not isinstance(event, OrderReport) or event.trade_id <= 0:
            return
        state = self._engine.state.symbols.get(event.symbol)
        if state is not None:
            asset = state.instrument.base
            self._traded_ns[asset] = max(self._traded_ns.get(asset, 0), event.ts_ns)

    def feed(self, event: Event) -> None:
        """Number, journal, process, journal, pass on. The engine never sees what the journal has not accepted."""
        if isinstance(event, Bar):
            self._last_close_ns[event.symbol] = event.ts_close_ns
        seq = self._journal.append_event(event)
        commands = self._engine.process(event, seq)
        if commands:
            self._journal.append_commands(seq, commands)
        outcomes = self._engine.drain()
        if outcomes:
            self._journal.append_outcomes(seq, outcomes, self._rows(outcomes))
        if isinstance(event, Scan):
            self.scans += 1
            self.last_scan_ns = event.ts_close_ns
        if commands:
            self._submit(seq, commands)
        self._follower.follow(event, outcomes)
        if seq - self._photographed_seq >= self._snapshot_every and not self.in_history:
            self.photograph()

    def photograph(self) -> None:
        """Write the engine's state after the last event."""
        self._photographed_seq = self._journal.last_seq
        self._journal.append_snapshot(self._snapshot_version, self._engine.snapshot())

    def _feed_all(self, events: Sequence[Event]) -> None:
        for event in events:
            self.feed(event)

    def _bar(self, bar: Bar) -> None:
        known_ns, held = self._last_close_ns.get(bar.symbol, 0), self._held.get(bar.symbol)
        if bar.ts_open_ns < known_ns:
            return
        if held is not None:
            held.append(bar)
        elif self._fill_gap is not None and known_ns and bar.ts_open_ns > known_ns:
            self._held[bar.symbol] = [bar]
            self._fill_gap(bar.symbol, known_ns, bar.ts_open_ns)
        else:
            self._enter(bar)

    def _filled(self, found: Filled) -> None:
        """The bars that were missed, then those that waited for them; another gap among those is asked for, too."""
        first, *others = self._held.pop(found.symbol)
        for bar in found.bars:
            if self._last_close_ns.get(bar.symbol, 0) <= bar.ts_open_ns < first.ts_open_ns:
                self.feed(bar)
        if first.ts_open_ns >= self._last_close_ns.get(first.symbol, 0):
            self._enter(first)
        for bar in others:
            self._bar(bar)

    def _enter(self, bar: Bar) -> None:
        _report(self.cross_check.on_bar(bar))
        still_missing = (
            bar.ts_open_ns - self._last_close_ns.get(bar.symbol, bar.ts_open_ns)
        ) // self._frame_ns
        if still_missing:
            logger().warning(
                "bars_missing", symbol=bar.symbol, bars=still_missing, until=format_utc(bar.ts_open_ns)
            )
        self._advance(bar.ts_close_ns)
        self._feed_all(self._gate.on_bar(bar, self._common_ns or self.now_ns))

    def _advance(self, ts_ns: int) -> None:
        self.now_ns = max(self.now_ns, ts_ns)

    def _rows(self, outcomes: Sequence[Outcome]) -> dict[str, bytes]:
        """Feature rows of the decisions that were not HOLD."""
        return {
            outcome.symbol: self._engine.feature_row(outcome.symbol).tobytes()
            for outcome in outcomes
            if isinstance(outcome, Decision) and outcome.action != Action.HOLD
        }


def _report(difference: Difference | None) -> None:
    """The venue's candle is the true one; that its trades say something else is for the operator to know."""
    if difference is not None:
        stated, seen = difference.stated, difference.seen
        logger().warning(
            "bar_differs_from_trades",
            symbol=stated.symbol,
            opened=format_utc(stated.ts_open_ns),
            stated=(stated.open, stated.high, stated.low, stated.close, stated.volume_lots),
            seen=(seen.open, seen.high, seen.low, seen.close, seen.volume_lots),
        )
