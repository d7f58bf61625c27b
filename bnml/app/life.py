"""What tells others that the daemon lives, and why it trades less: heartbeat, changes of its standing, vital signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bnml.app import logs
from bnml.app.alerts import Alerts
from bnml.app.heartbeat import FAILED, FAREWELL, beat
from bnml.app.keys import check_at_start, watch_key
from bnml.app.logs import logger
from bnml.app.planned import PlannedMaintenance
from bnml.app.preflight import say_what_is_off
from bnml.app.spells import Spells
from bnml.app.stall import StackSampler
from bnml.app.vitals import Vitals
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Retryable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from types import TracebackType

    from bnml.app.compose import Parts
    from bnml.app.health import LoopLag
    from bnml.app.keys import Told
    from bnml.config import Settings
    from bnml.journal.schema import Health


class Life:
    """Around one session; leaving it after memory was used up raises, so that the service is started again."""

    def __init__(self, parts: Parts, lag: LoopLag, stop: asyncio.Event) -> None:
        self._parts = parts
        self._stop = stop
        self._restart = ""
        self._told: tuple[str, ...] = ()
        self._is_writable = True
        self._lag = lag
        self._sampler = lag.sampler = StackSampler(parts.clock, parts.settings.guards.loop_lag_ms)
        self._told_of_key: Told = {}
        self._spells = Spells(parts.clock)
        self.alerts = Alerts(parts.settings.alerts)
        self.vitals = Vitals(
            parts.settings.guards,
            parts.guards,
            parts.clock,
            parts.journal,
            lag,
            parts.folder.path,
            self._restart_for,
        )
        self.planned = PlannedMaintenance(
            parts.settings.guards, parts.guards, lambda: parts.venue.rest.clock.now_ms() * NS_PER_MS
        )

    async def __aenter__(self) -> Self:
        self._sampler.start()
        logs.tap = self.alerts.take
        while logs.early:
            self.alerts.take(logs.early.popleft())
        say_what_is_off(self._parts.settings)
        if self._parts.settings.venue.kind in {"testnet", "live"}:
            await check_at_start(self._parts, self._told_of_key)
        return self

    def use(self, settings: Settings) -> None:
        """Go on with other limits and another receiver."""
        self.vitals.use(settings.guards)
        self.planned.use(settings.guards)
        self.alerts.use(settings.alerts)

    def watches(self) -> tuple[Coroutine[None, None, None], ...]:
        """What runs as long as a session that follows the wall clock."""
        usual = self.vitals.run(), self.planned.run()
        if self._parts.settings.venue.kind in {"testnet", "live"}:
            return *usual, watch_key(self._parts, self._told_of_key)
        return usual

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sampler.stop()
        logs.tap = None
        if error is None and self._restart:
            raise Retryable(f"memory was nearly used up ({self._restart}); stopped in order, start again")

    def is_well(self) -> bool:
        """Whether the event loop has served everything within its limit since the last call."""
        return self._lag.take_worst_ms() <= self._parts.settings.guards.loop_limit_ms

    def ending(self, *, failed: bool) -> str:
        """The state to leave in: one that ends to be started again says no farewell, for it may not be."""
        return FAILED if failed or self._restart else FAREWELL

    def beat(self, health: Health) -> None:
        """Each second: the sign of life, and a line when a reason has come or gone."""
        try:
            beat(self._parts.folder.path, self._parts.clock.now_ns(), health.state, health.scans)
            self._is_writable = True
        except OSError as error:
            if self._is_writable:
                logger().error(
                    "heartbeat_not_written",
                    error=str(error),
                    note="the dead-man will take this daemon for dead",
                )
            self._is_writable = False
        names = tuple(one.partition(": ")[0] for one in health.reasons)
        if names != self._told:
            logger().warning("standing_changed", trading=health.trading, reasons=health.reasons)
            self._told = names
        if health.state not in {"starting", "stopping"}:  # connections come up, and go down, by intent
            self._spells.look(health.reasons)

    def _restart_for(self, words: str) -> None:
        self._restart = words
        self._stop.set()
        self._parts.inbox.complete(0)
