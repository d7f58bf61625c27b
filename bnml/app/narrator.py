"""Writes what the engine concludes to the log: each scan, each refused entry, each fill."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.app.words import exit_text, reason_text
from bnml.core.clock import format_utc
from bnml.core.events import Scan
from bnml.core.instrument import plain
from bnml.core.outcomes import Decision, EquityPoint, Trade
from bnml.kernels.records import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.app.pump import Follower
    from bnml.core.events import Event
    from bnml.core.outcomes import Outcome
    from bnml.trading.engine import Engine


class Narrator:
    """A follower that logs and then passes everything on; without a terminal the log is all there is to see."""

    def __init__(self, engine: Engine, following: Follower) -> None:
        self._engine = engine
        self._following = following

    def follow(self, event: Event, outcomes: Sequence[Outcome]) -> None:
        """One event and what came of it."""
        for outcome in outcomes:
            match outcome:
                case Trade():
                    self._filled(outcome)
                case Decision() if outcome.action == Action.BUY:
                    self._entry(outcome)
        if isinstance(event, Scan):
            _scanned(event, outcomes)
        self._following.follow(event, outcomes)

    def _filled(self, trade: Trade) -> None:
        instrument = self._engine.state.symbols[trade.symbol].instrument
        logger().info(
            "order_filled",
            symbol=trade.symbol,
            side=trade.side.value,
            quantity=instrument.quantity_text(trade.quantity_lots),
            price=instrument.price_text(trade.price_ticks),
            why=exit_text(trade.reason),
            pnl=plain(trade.pnl_e8, 2),
            client_order_id=trade.client_order_id,
            market_time=format_utc(trade.ts_ns),
        )

    def _entry(self, decision: Decision) -> None:
        taken = decision.quantity_lots > 0
        logger().info(
            "entry_decided" if taken else "entry_refused",
            symbol=decision.symbol,
            why=reason_text(decision),
            reason=Reason(decision.reason).name,
            measured=round(decision.measured, 6),
            limit=round(decision.limit, 6),
            score=round(decision.score, 1),
            confidence=round(decision.confidence, 1),
            bundle=decision.bundle_id,
            market_time=format_utc(decision.ts_close_ns),
        )


def _scanned(scan: Scan, outcomes: Sequence[Outcome]) -> None:
    decisions = [one for one in outcomes if isinstance(one, Decision)]
    points = [one for one in outcomes if isinstance(one, EquityPoint)]
    logger().info(
        "scan_decided",
        market_time=format_utc(scan.ts_close_ns),
        symbols=len(decisions),
        **{name.lower(): count for name, count in Counter(Reason(d.reason).name for d in decisions).items()},
        **({"equity": plain(points[-1].equity_e8, 2), "positions": points[-1].positions} if points else {}),
    )
