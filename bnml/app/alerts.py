"""Alerts on their way to a person: a bounded queue and one poster, so that a slow receiver never slows trading."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.app.settings import AlertSettings

WAITING: Final = 100
LEVELS: Final = {"warning": 30, "error": 40, "critical": 50}
TOLD: Final = frozenset(
    {
        "balances_compared_again",
        "balances_not_compared",
        "entries_off",
        "entries_off_over",
        "fee_reserve_low",
        "fee_reserve_not_bought",
        "fee_reserve_refused",
        "fees_run_out",
        "key_may_transfer",
        "key_rotated",
        "key_without_addresses",
        "order_history_cut",
        "orders_adopted",
        "outlook_not_told",
        "outlook_told_again",
        "position_leaves_before_delisting",
        "process_is_dumpable",
        "protected_in_part",
        "ramp_slippage",
        "stop_unfilled",
    }
)
"""Lines that a person is told of as errors although the daemon goes on by itself, so that its log calls them less."""
TOLD_BY_SPELL: Final = frozenset({"guard_changed", "trading_halted"})
"""Lines that are no alert however severe: `entries_off` tells what they say, once for each spell, and its end."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
OF_THE_ALERT: Final = frozenset({400, 413, 422})
"""Answers that are about what was posted: the same words get the same answer."""
REFUSALS: Final = 3
"""Of one alert, until it is given up for those that wait behind it."""


class Alert(msgspec.Struct, frozen=True):
    """What the receiver gets, as JSON."""

    severity: str
    name: str
    text: str
    dropped: int = 0  # alerts that were given up before this one


class Alerts:
    """Takes what is logged severely enough; the oldest gives way when the receiver is down for long."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._waiting: deque[Alert] = deque()
        self._filled = asyncio.Event()
        self.dropped = 0
        self.posted = 0
        self.failed = 0

    def offer(self, severity: str, name: str, text: str) -> None:
        """Never waits; does nothing without a receiver."""
        if not self._settings.webhook_url or LEVELS.get(severity, 0) < LEVELS[self._settings.level]:
            return
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(Alert(severity, name, text, self.dropped))
        self._filled.set()

    async def run(self) -> None:
        """Post until cancelled, with growing pauses while the receiver does not take it."""
        pause_s, refusals, alert = FIRST_PAUSE_S, 0, None
        while True:
            await self._filled.wait()
            if alert is not self._waiting[0]:  # the one before was taken, given up, or pushed out
                alert, refusals = self._waiting[0], 0
            status = await _post(self._settings, alert)
            if _is_taken(status):
                self.posted += 1
                pause_s = FIRST_PAUSE_S
                self._leave(alert)
                continue
            self.failed += 1
            refusals = refusals + 1 if status in OF_THE_ALERT else 0
            if refusals >= REFUSALS:
                self.dropped += self._leave(alert)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _leave(self, alert: Alert) -> bool:
        """It is the oldest no longer, unless newer ones have pushed it out meanwhile."""
        is_oldest = bool(self._waiting) and self._waiting[0] is alert
        if is_oldest:
            self._waiting.popleft()
        if not self._waiting:
            self._filled.clear()
        return is_oldest

    def use(self, settings: AlertSettings) -> None:
        """Post to this receiver from here on."""
        self._settings = settings

    def take(self, event: Mapping[str, object]) -> None:
        """Offer a line of the log, after secrets were taken out."""
        words = " ".join(
            f"{key}={value}" for key, value in event.items() if key not in {"event", "level", "timestamp"}
        )
        name, severity = str(event.get("event")), str(event.get("level"))
        if name in TOLD and LEVELS.get(severity, 0) < LEVELS["error"]:
            severity = "error"
        if name not in TOLD_BY_SPELL:
            self.offer(severity, name, words)


async def post_alert(settings: AlertSettings, severity: str, name: str, text: str) -> bool:
    """Post one alert now, for programs that have no queue; whether the receiver took it."""
    return bool(settings.webhook_url) and _is_taken(await _post(settings, Alert(severity, name, text)))


def _is_taken(status: int) -> bool:
    return 0 < status < 400


async def _post(settings: AlertSettings, alert: Alert) -> int:
    """The receiver's answer, 0 for none."""
    timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                settings.webhook_url,
                data=msgspec.json.encode(alert),
                headers={"Content-Type": "application/json"},
            ) as response,
        ):
            return response.status
    except (TimeoutError, aiohttp.ClientError, OSError):
        return 0  # told by the counter; a log line here would become an alert of its own
