"""What the venue and the way to it allow: bans, obstacles, maintenance, and the clock, told as guards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.logs import logger
from bnml.core.clock import NS_PER_MS, NS_PER_S, format_utc
from bnml.core.errors import BnmlError, Rejected
from bnml.trading.guarding import ACTIVE, REDUCING
from bnml.venues.binance.budget import Lane

if TYPE_CHECKING:
    from bnml.app.compose import Parts
    from bnml.app.guards import Guards
    from bnml.core.clock import Clock
    from bnml.venues.binance.venue import BinanceVenue

LOOK_S: Final = 0.5
CLOCK_EVERY_S: Final = 60.0
STATUS_EVERY_S: Final = 60.0
STATUS_WHILE_SHUT_S: Final = 10.0
DRIFT_MS: Final = 500
LARGEST_DRIFT_MS: Final = 2_000
SYNCHRONISE: Final = "synchronise this machine's clock (chrony, systemd-timesyncd)"
SYSTEM_STATUS: Final = "/sapi/v1/system/status"


class _Status(msgspec.Struct):
    status: int = 0
    msg: str = ""


class Weather:
    """Looks at what requests have met, and asks by itself where nothing else would: clock and system status."""

    def __init__(self, venue: BinanceVenue, guards: Guards, clock: Clock, *, asks_status: bool) -> None:
        self._venue = venue
        self._guards = guards
        self._clock = clock
        self._asks_status = asks_status
        self._shut = ""
        self._is_untold = False
        self._next_clock_ns = clock.monotonic_ns() + int(CLOCK_EVERY_S * NS_PER_S)
        self._next_status_ns = 0
        self.drift_ms = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look_anew(self) -> None:
        """Clock and account read now, then all told: for a session that looks once, maybe long after it began."""
        if not self._venue.rest.budget.banned_s:
            await self._measure_clock()
            await self._read_account()
        await self.look()

    async def look(self) -> None:
        """Tell what holds now."""
        rest, now_ns = self._venue.rest, self._clock.monotonic_ns()
        self._judge_drift(rest.clock.skew_ms)
        banned_s = rest.budget.banned_s
        if banned_s:
            until_ns = self._clock.now_ns() + int(banned_s * NS_PER_S)
            until = format_utc(until_ns // NS_PER_MS * NS_PER_MS)
            if self._guards.level("ban") == ACTIVE:
                # Told at once, unlike other reasons: nothing can be sent, whatever happens.
                note = "what rests at the exchange protects until then"
                logger().error("address_banned", until=until, note=note)
            self._guards.report("ban", REDUCING, f"the venue has banned this address until {until}")
            return  # nothing may be asked
        self._guards.report("ban", ACTIVE)
        self._tell_cause()  # before questions that may have to wait for just that
        if now_ns >= self._next_clock_ns:
            self._next_clock_ns = now_ns + int(CLOCK_EVERY_S * NS_PER_S)
            await self._measure_clock()
        if now_ns >= self._next_status_ns and (self._asks_status or self._cause()):
            await self._ask_status()
            pause_s = STATUS_WHILE_SHUT_S if self._cause() else STATUS_EVERY_S
            self._next_status_ns = now_ns + int(pause_s * NS_PER_S)
        self._tell_cause()

    def _tell_cause(self) -> None:
        cause = self._cause()
        self._guards.report("maintenance", REDUCING if cause else ACTIVE, cause)

    def _cause(self) -> str:
        penalties = self._venue.rest.penalties
        if penalties.obstacle:
            return f"nothing gets through to the venue: {penalties.obstacle}"
        if penalties.is_offline:
            return "the venue says that it is not in service"
        return self._shut or ("" if self._venue.can_trade else "the account may not trade")

    async def _measure_clock(self) -> None:
        try:
            await self._venue.rest.synchronise_clock()
        except (BnmlError, ValueError) as error:
            logger().warning("clock_not_measured", error=str(error))

    async def _read_account(self) -> None:
        """Whether it may trade: the venue remembers the answer."""
        try:
            await self._venue.balances()
        except (BnmlError, ValueError) as error:
            logger().warning("account_not_read", error=str(error))

    def _judge_drift(self, drift_ms: int) -> None:
        if abs(drift_ms) > DRIFT_MS >= abs(self.drift_ms):
            logger().warning("clock_drifts", ms=drift_ms, limit_ms=LARGEST_DRIFT_MS, way_out=SYNCHRONISE)
        self.drift_ms = drift_ms
        is_far = abs(drift_ms) > LARGEST_DRIFT_MS
        self._guards.report(
            "clock", REDUCING if is_far else ACTIVE, f"{drift_ms} ms off the venue's" if is_far else ""
        )

    async def _ask_status(self) -> None:
        """Whether the venue is in service again, and the account may trade."""
        rest = self._venue.rest
        try:
            if self._asks_status:
                await self._read_status()
            if self._cause():
                await rest.public("/api/v3/ping", {}, Lane.RECONCILE)
            if not self._venue.can_trade:
                await self._venue.balances()
        except (BnmlError, ValueError) as error:
            logger().debug("status_not_known", error=str(error))

    async def _read_status(self) -> None:
        """What is refused once (by something in between) is asked for again: it ends a maintenance, too."""
        try:
            body = await self._venue.rest.public(SYSTEM_STATUS, {})
        except Rejected as error:
            if not self._is_untold:
                logger().warning("status_not_told", error=str(error), note="asked again each minute")
            self._is_untold = True
            return
        self._is_untold = False
        found = msgspec.json.decode(body, type=_Status)
        self._shut = f"the venue is under maintenance: {found.msg}" if found.status else ""


def make_weather(parts: Parts) -> Weather:
    """Of a composed session; only Binance itself tells its status."""
    asks_status = parts.settings.venue.kind == "live"
    return Weather(parts.venue, parts.guards, parts.clock, asks_status=asks_status)
