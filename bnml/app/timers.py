"""What event time makes due in a session, whoever is traded: each second, each reconcile interval, each look at dust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_S
from bnml.core.events import Timer
from bnml.trading.dusting import DUST
from bnml.trading.engine import RECONCILE
from bnml.trading.watching import WATCH

if TYPE_CHECKING:
    from bnml.app.pump import Pump
    from bnml.trading.engine import Engine

DUST_NS: Final = 60 * NS_PER_S


class Timers:
    """Feeds the engine's timers when it needs them; `interval_s` is that of reconciliation.

    `sells_dust` is off in stepped sessions: those are compared, row by row, with a simulation that keeps no dust.
    """

    def __init__(self, engine: Engine, pump: Pump, interval_s: int, *, sells_dust: bool) -> None:
        self._engine = engine
        self._pump = pump
        self._interval_ns = interval_s * NS_PER_S
        self._sells_dust = sells_dust
        self._watched_ns = 0
        self._next_dust_ns = 0
        self._next_reconcile_ns = pump.now_ns + self._interval_ns

    def feed_due(self) -> bool:
        """Feed what is due now; returns whether it is time to hold the books against the venue, too."""
        now_ns = self._pump.now_ns
        if now_ns >= self._watched_ns + NS_PER_S and self._engine.needs_seconds:
            self._watched_ns = now_ns
            self._pump.feed(Timer(WATCH, now_ns))
        if self._sells_dust and now_ns >= self._next_dust_ns:
            self._next_dust_ns = now_ns + DUST_NS
            if self._engine.needs_dusting:
                self._pump.feed(Timer(DUST, now_ns))
        if now_ns < self._next_reconcile_ns:
            return False
        self._next_reconcile_ns = now_ns + self._interval_ns
        self._pump.feed(Timer(RECONCILE, now_ns))
        return True
