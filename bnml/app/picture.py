"""The read model: folds what the engine concludes into what operators are shown; never changes anything."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from bnml.app.fees import FEE_ASSET
from bnml.app.health import cpu_s, resident_bytes
from bnml.app.strangers import foreign
from bnml.app.words import action_text, exit_text, mood_text, reason_text
from bnml.core.clock import NS_PER_S, format_utc
from bnml.core.events import Bar, Slice, VenueStatus
from bnml.core.instrument import plain
from bnml.core.orders import Side
from bnml.core.outcomes import Bareness, Decision, EquityPoint, Trade
from bnml.journal.schema import Health, Position
from bnml.kernels.records import Action, Reason
from bnml.trading.guarding import HALTED
from bnml.trading.portfolio import value_e8
from bnml.trading.standing import worst
from bnml.trading.state import OF_SYMBOL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bnml.app.health import LoopLag
    from bnml.core.events import Event
    from bnml.core.outcomes import Outcome
    from bnml.trading.coverage import Coverage
    from bnml.trading.crosscheck import CrossCheck
    from bnml.trading.engine import Engine
    from bnml.trading.positions import Position as OpenPosition
    from bnml.venues.binance.wire import OrderAnswer

RECENT_TRADES = 20


class Fill(NamedTuple):
    """One fill as shown; amounts are decimal texts, `pnl` is empty for a buy."""

    time: str
    symbol: str
    side: str
    quantity: str
    price: str
    pnl: str
    why: str


class Picture:
    """What happened so far in this session, and a `Health` of now."""

    def __init__(self, engine: Engine, mode: str, venue: str, session: int, market: str = "") -> None:
        self._engine = engine
        self._mode = mode
        self._venue = venue
        self._market = market
        self._session = session
        self.decisions: dict[str, Decision] = {}
        self.last_decision: Decision | None = None
        self.counts: Counter[str] = Counter()
        self.trades: deque[Trade] = deque(maxlen=RECENT_TRADES)
        self.trade_count = 0
        self.realised_e8 = 0
        self.first_equity_e8 = 0
        self.first_flows_e8 = 0
        self.equity: EquityPoint | None = None
        self.scans = 0
        self.bars = 0
        self.links: dict[str, bool] = {}
        self.foreign_orders: Counter[str] = Counter()
        self.bare_spells = 0
        self.longest_bare_ns = 0
        self.last_ticks: dict[str, int] = {}
        self.state = "starting"

    def follow(self, event: Event, outcomes: Sequence[Outcome]) -> None:
        """Fold one event and what came of it."""
        match event:
            case Bar():
                self.bars += 1
                self.last_ticks[event.symbol] = event.close
            case Slice():
                self.last_ticks[event.symbol] = event.last
            case VenueStatus():
                self.links[event.channel] = event.up
        for outcome in outcomes:
            self._conclude(outcome)

    def see_orders(self, instance: str, orders: Iterable[OrderAnswer]) -> None:
        """All open orders of the account, whenever somebody has read them: those of others are shown."""
        self.foreign_orders = Counter(one.symbol for one in foreign(orders, instance))

    def health(self, now_ns: int, lag: LoopLag, inbox: int, check: CrossCheck) -> Health:
        """Everything that status and view show."""
        ledger = self._engine.state.ledger
        quote, equity_e8 = ledger.quote, self._equity_e8()
        coverage = {one.symbol: one for one in self._engine.coverage()}
        longest_ns = max([self.longest_bare_ns, *(one.longest_ns for one in coverage.values())])
        reasons = self._engine.standings()
        return Health(
            mode=self._mode,
            venue=self._venue,
            state=self._state(),
            ts_ns=now_ns,
            trading=worst(reasons),
            reasons=tuple(f"{one.name} {one.level}: {one.detail}" for one in reasons),
            session=self._session,
            market=self._market,
            quote=quote,
            mood=mood_text(self._engine.state.breakers),
            equity=plain(equity_e8, 2),
            session_pnl=plain(equity_e8 - self.flows_e8 - (self.first_equity_e8 or equity_e8), 2),
            flows=plain(self.flows_e8, 2),
            free_quote=plain(ledger.totals.get(quote, 0), 2),
            realised=plain(self.realised_e8, 2),
            positions=tuple(
                self._position(one, coverage[name]) for name, one in sorted(ledger.positions.items())
            ),
            covered_pct=self._covered_pct(coverage),
            longest_bare_s=round(longest_ns / NS_PER_S, 3),
            bare_spells=self.bare_spells,
            dust=tuple(self._dust()),
            foreign_orders=dict(sorted(self.foreign_orders.items())),
            foreign_coins=tuple(self._foreign_coins()),
            ramp=self._engine.state.ramp.words(),
            open_orders=tuple(
                f"{order.symbol} {order.side} {order.role} {order.state} {order.client_order_id}"
                for order in self._engine.book.open()
            ),
            last_decision=self._last_decision(),
            decisions=dict(self.counts),
            scans=self.scans,
            trades=self.trade_count,
            loop_lag_ms=round(lag.lately.last_ms, 3),
            loop_lag_p99_ms=round(lag.lately.quantile_ms(0.99), 3),
            loop_lag_max_ms=round(lag.lately.longest_ms, 3),
            scan_lag_p50_ms=round(lag.around_scans.quantile_ms(0.5), 3),
            scan_lag_p99_ms=round(lag.around_scans.quantile_ms(0.99), 3),
            scan_lag_max_ms=round(lag.around_scans.longest_ms, 3),
            bars=self.bars,
            cpu_s=round(cpu_s(), 3),
            resident_bytes=resident_bytes(),
            inbox=inbox,
            market_time=format_utc(self._engine.state.now_ns),
            links=dict(self.links),
            bars_checked=check.checked,
            bars_differing=check.differing,
        )

    def fills(self) -> list[Fill]:
        """The last fills, newest first."""
        return [self._fill(trade) for trade in reversed(self.trades)]

    def prices(self) -> dict[str, str]:
        """The last known price of each symbol as decimal text."""
        return {
            symbol: state.instrument.price_text(ticks)
            for symbol, state in self._engine.state.symbols.items()
            if (ticks := self._last_ticks(symbol))
        }

    def _fill(self, trade: Trade) -> Fill:
        instrument = self._engine.state.symbols[trade.symbol].instrument
        return Fill(
            time=format_utc(trade.ts_ns),
            symbol=trade.symbol,
            side=trade.side.value,
            quantity=instrument.quantity_text(trade.quantity_lots),
            price=instrument.price_text(trade.price_ticks),
            pnl=plain(trade.pnl_e8, 2) if trade.side is Side.SELL else "",
            why=exit_text(trade.reason),
        )

    def _conclude(self, outcome: Outcome) -> None:
        match outcome:
            case Decision():
                self._decision(outcome)
            case Trade():
                self.trades.append(outcome)
                self.trade_count += 1
                self.realised_e8 += outcome.pnl_e8
            case Bareness():
                self.bare_spells += 1
                self.longest_bare_ns = max(self.longest_bare_ns, outcome.ts_ns - outcome.since_ns)
            case EquityPoint():
                self.scans += 1
                if not self.first_equity_e8:
                    self.first_equity_e8, self.first_flows_e8 = outcome.equity_e8, outcome.flows_e8
                self.equity = outcome

    def _decision(self, decision: Decision) -> None:
        self.decisions[decision.symbol] = decision
        self.counts[Reason(decision.reason).name] += 1
        if self.last_decision is None or _telling(decision) > _telling(self.last_decision):
            self.last_decision = decision

    def _state(self) -> str:
        if self.state != "running":
            return self.state
        activity = self._engine.state.activity
        if activity.halted:
            return f"halted: {activity.halted}"
        halts = [f"{name}: {detail}" for name, (level, detail) in activity.guards.items() if level == HALTED]
        if halts:
            return f"halted: {'; '.join(halts)}"
        if activity.channels_down:
            return "waiting for " + ", ".join(sorted(activity.channels_down))
        reasons = [
            f"{name}: {detail}" for name, (_, detail) in activity.guards.items() if OF_SYMBOL not in name
        ]
        if activity.is_reducing or not reasons:
            return "reducing" if activity.is_reducing else "running"
        return f"reducing: {'; '.join(reasons)}"

    @property
    def flows_e8(self) -> int:
        """Money that came in since the session's first scan, less what went."""
        return self._engine.state.ledger.flows_e8 - self.first_flows_e8 if self.first_equity_e8 else 0

    def _equity_e8(self) -> int:
        ledger = self._engine.state.ledger
        held = sum(
            value_e8(one, self._last_ticks(symbol), self._engine.state.symbols[symbol].instrument)
            for symbol, one in ledger.positions.items()
        )
        return ledger.totals.get(ledger.quote, 0) + held + self._engine.portfolio.dust_e8

    def _last_ticks(self, symbol: str) -> int:
        """The newest price; right after a restart that of the last bar; 0 for none."""
        state = self._engine.state.symbols.get(symbol)
        known = state.bar.close if state is not None and state.bar is not None else 0
        return self.last_ticks.get(symbol, known)

    def _covered_pct(self, coverage: Mapping[str, Coverage]) -> float:
        """Of the value of all positions; 100 without one."""
        whole = covered = 0.0
        for symbol, one in coverage.items():
            instrument = self._engine.state.symbols[symbol].instrument
            value_e8 = instrument.notional_e8(self._last_ticks(symbol) or 1, one.held_lots)
            whole, covered = whole + value_e8, covered + value_e8 * one.share
        return round(100 * covered / whole, 2) if whole else 100.0

    def _dust(self) -> Iterator[str]:
        ledger = self._engine.state.ledger
        for symbol, one in sorted(ledger.dust.items()):
            if one.cost_e8:  # crumbs below a lot are not worth a word
                yield f"{plain(one.base_e8)} {one.asset} of {symbol}, cost {plain(one.cost_e8, 2)} {ledger.quote}"

    def _foreign_coins(self) -> Iterator[str]:
        """What the account held of each traded base at the last comparison, less what is ours of it: fees are paid of what we bought for them."""
        portfolio, symbols = self._engine.portfolio, self._engine.state.symbols
        reserves = {FEE_ASSET} if self._engine.state.fees_asked_ns else set()
        ours_e8: Counter[str] = Counter()
        for symbol, position in portfolio.positions.items():
            ours_e8[symbols[symbol].instrument.base] += sum(one.base_e8 for one in position.tranches)
        for dust in portfolio.ledger.dust.values():
            ours_e8[dust.asset] += dust.base_e8
        for base in sorted({one.instrument.base for one in symbols.values()} - reserves):
            if (left_e8 := portfolio.total_e8(base) - ours_e8[base]) > 0:
                yield f"{plain(left_e8).rstrip('0').rstrip('.')} {base}"

    def _position(self, position: OpenPosition, coverage: Coverage) -> Position:
        instrument = self._engine.state.symbols[position.symbol].instrument
        lots = position.lots(instrument.lot_e8)
        last = self._last_ticks(position.symbol) or position.reference_ticks
        unrealised = instrument.notional_e8(last, lots) - position.cost_e8 if lots else 0
        pnl_e8 = position.pnl_e8 + unrealised
        stops = sorted({one.stop_ticks for one in position.tranches if one.lots(instrument.lot_e8)})
        return Position(
            symbol=position.symbol,
            quantity=instrument.quantity_text(lots),
            entry_price=instrument.price_text(position.reference_ticks),
            last_price=instrument.price_text(last),
            pnl=plain(pnl_e8, 2),
            cost=plain(instrument.notional_e8(position.reference_ticks, position.bought_lots), 2),
            stops=tuple(instrument.price_text(stop) for stop in stops),
            opened=format_utc(position.opened_ns),
            covered_pct=round(100 * coverage.share, 2),
            bare_s=round(coverage.bare_ns / NS_PER_S, 3),
            longest_bare_s=round(coverage.longest_ns / NS_PER_S, 3),
        )

    def _last_decision(self) -> dict[str, str | float | int] | None:
        decision = self.last_decision
        if decision is None:
            return None
        return {
            "symbol": decision.symbol,
            "time": format_utc(decision.ts_close_ns),
            "action": action_text(decision),
            "reason": Reason(decision.reason).name,
            "words": reason_text(decision),
            "measured": decision.measured,
            "limit": decision.limit,
            "score": round(decision.score, 2),
            "confidence": round(decision.confidence, 2),
        }


def _telling(decision: Decision) -> tuple[int, bool, float]:
    """Of the newest scan an entry, taken or refused, before all else; then the highest score."""
    return decision.ts_close_ns, decision.action == Action.BUY, decision.score
