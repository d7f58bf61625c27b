"""Maintenance that the venue has announced: entries end some time before it, and come back after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_S, format_utc
from bnml.trading.guarding import ACTIVE, REDUCING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.app.guards import Guards
    from bnml.app.settings import GuardSettings

LOOK_S: Final = 1.0
NS_PER_MINUTE: Final = 60 * NS_PER_S


class PlannedMaintenance:
    """Follows the windows that the operator wrote down, by the venue's clock: no interface of Binance tells them."""

    def __init__(self, settings: GuardSettings, guards: Guards, now_ns: Callable[[], int]) -> None:
        self._settings = settings
        self._guards = guards
        self._now_ns = now_ns

    def use(self, settings: GuardSettings) -> None:
        """Follow these windows from here on."""
        self._settings = settings

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Tell what holds now; a window's end itself belongs to the time after it."""
        now_ns = self._now_ns()
        lead_ns = self._settings.maintenance_lead_min * NS_PER_MINUTE
        for start_ns, end_ns in self._settings.maintenance_windows():
            if start_ns - lead_ns <= now_ns < end_ns:
                words = f"maintenance from {format_utc(start_ns)} to {format_utc(end_ns)}"
                self._guards.report("planned", REDUCING, words)
                return
        self._guards.report("planned", ACTIVE)
