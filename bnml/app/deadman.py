"""`bnml deadman`: beside the daemon, never inside it; when its heart stops, stops are verified and entries cancelled."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.alerts import post_alert
from bnml.app.direct import check_venue, direct
from bnml.app.hardening import harden
from bnml.app.heartbeat import FAREWELL, FILE, Heartbeat, last_beat
from bnml.app.rescue import Rescue, booked_fills, instance_of, stops_e8
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import BnmlError, Misconfigured, Retryable
from bnml.core.instrument import plain
from bnml.core.orders import Side
from bnml.journal.schema import JOURNAL_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bnml.app.rescue import VenueOrder
    from bnml.config import Settings
    from bnml.options import DeadmanOptions

LOOK_S: Final = 1.0
RETRY_S: Final = 10.0  # after a look that failed, or that nobody was told of
_NUMBER: Final = re.compile(r"\b\d+(?:\.\d+)?\b")

UNREADABLE: Final = "the journal cannot be read, so what is ours is counted from the venue's orders alone; `bnml recover` looks at it"


class Findings(msgspec.Struct):
    """What was seen and done at the venue."""

    cancelled: list[str] = []
    unknown: list[str] = []
    covered: list[str] = []
    bare: list[str] = []

    @property
    def is_worth_another(self) -> bool:
        """Whether what was not done may be done soon; a journal does not mend itself."""
        return any(one != UNREADABLE for one in self.unknown)

    def text(self) -> str:
        """One sentence for a person at night."""
        parts = [
            f"entries cancelled: {', '.join(self.cancelled) or 'none'}",
            f"protected: {', '.join(self.covered) or 'nothing is held'}",
        ]
        if self.unknown:
            parts.insert(0, f"NOT DONE: {', '.join(self.unknown)}")
        if self.bare:
            parts.insert(0, f"WITHOUT A STOP: {', '.join(self.bare)}; `bnml panic` sells them")
        return "; ".join(parts)


class Watch:
    """Whether the heart beats: by changes of the sign of life, so that no clock has to agree with another."""

    def __init__(self, stale_ns: int, repeat_ns: int) -> None:
        self._stale_ns = stale_ns
        self._repeat_ns = repeat_ns
        self._seen: Heartbeat | None = None
        self._since_ns: int | None = None
        self._next_ns = 0

    def is_due(self, found: Heartbeat | None, now_ns: int, *, is_unreadable: bool = False) -> bool:
        """Whether to act now; `now_ns` is monotonic. None, for a sign that is gone or unreadable, is no farewell.

        Where there has never been one, nobody is waited for; but one that cannot be read from the start on is one.
        """
        found = found or self._seen
        if self._since_ns is None or found != self._seen or (found is None and not is_unreadable):
            self._seen, self._since_ns, self._next_ns = found, now_ns, 0
        is_over = not is_unreadable if found is None else found.state.startswith(FAREWELL)
        if is_over or now_ns - self._since_ns < self._stale_ns:
            return False
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._repeat_ns
        return True

    def act_again(self, at_ns: int) -> None:
        """Before the usual time, if that is later."""
        self._next_ns = min(self._next_ns, at_ns)

    @property
    def seen(self) -> Heartbeat | None:
        """The last good sign of life."""
        return self._seen


class Rounds:
    """Looks at the venue for a dead daemon; each is told, but the same words again only with the usual repetition."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dead: Heartbeat | None = None
        self._pause_s = RETRY_S
        self._told, self._told_ns = "", 0

    async def act(self, dead: Heartbeat | None, obstacle: str, now_ns: int) -> float | None:
        """Look, and tell; in how many seconds to do so again, None for the usual time.

        A venue that could not be asked cost one request. Whole looks weigh: they are repeated less and less often,
        so that the shared limits leave room for whoever sells by hand.
        """
        if dead != self._dead:
            self._dead, self._told, self._pause_s = dead, "", RETRY_S
        settings, retry_s = self._settings, None
        silent = (
            f"the daemon of {settings.app.state_dir} has given no sign of life for {settings.deadman.stale_s:g} s"
            f"{f' ({obstacle})' if obstacle else ''}"
        )
        try:
            found = await check(settings)
            text, is_done = f"{silent}; {found.text()}", not found.is_worth_another
        except BnmlError as error:
            text, is_done = f"{silent}, and the venue cannot be asked: {error}", True
            retry_s = max(RETRY_S, getattr(error, "retry_after_s", None) or 0.0)
        _say(text)
        is_told = await self._tell(text, now_ns)
        if retry_s is None and not (is_done and is_told):
            retry_s, self._pause_s = self._pause_s, 2 * self._pause_s
        elif retry_s is None:
            self._pause_s = RETRY_S
        return retry_s

    async def _tell(self, text: str, now_ns: int) -> bool:
        """Whether nobody remains to be told; a number that counts down is no news."""
        words, settings = _NUMBER.sub("#", text), self._settings
        if words == self._told and now_ns - self._told_ns < settings.deadman.repeat_s * NS_PER_S:
            return True
        if not await post_alert(settings.alerts, "critical", "deadman", text):
            return not settings.alerts.webhook_url
        self._told, self._told_ns = words, now_ns
        return True


def deadman(settings: Settings, options: DeadmanOptions) -> int:
    """Watch until stopped; with `once` look at the venue now, 0 when everything held has a stop."""
    harden()  # its key is in the environment from the beginning, whether it is ever used or not
    check_venue(settings)
    if options.once:
        found = asyncio.run(check(settings))
        _say(found.text())
        return Retryable.exit_code if found.bare or found.unknown else 0
    asyncio.run(_watch(settings))
    return 0


async def _watch(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    deadman_settings, clock = settings.deadman, LiveClock()
    watch = Watch(int(deadman_settings.stale_s * NS_PER_S), int(deadman_settings.repeat_s * NS_PER_S))
    _say(f"watching the heartbeat in {settings.app.state_dir}")
    rounds, told = Rounds(settings), ""
    while not stop.is_set():
        found, obstacle = _look(settings.app.state_dir)
        if obstacle not in {"", told}:
            _say(f"cannot look: {obstacle}")
        told = obstacle
        now_ns = clock.monotonic_ns()
        if watch.is_due(found, now_ns, is_unreadable=bool(obstacle)):
            again_s = await rounds.act(watch.seen, obstacle or ("" if found else f"{FILE} is gone"), now_ns)
            if again_s is not None:
                watch.act_again(clock.monotonic_ns() + int(again_s * NS_PER_S))
        try:
            async with asyncio.timeout(LOOK_S):
                await stop.wait()
        except TimeoutError:
            _ = None  # the usual pause between two looks


def _look(state_dir: Path) -> tuple[Heartbeat | None, str]:
    """The newest sign of life, and what keeps it from being read."""
    try:
        return last_beat(state_dir), ""
    except Misconfigured as error:
        return None, str(error)


async def check(settings: Settings) -> Findings:
    """Cancel our open entries and hold our stops against what is ours."""
    state_dir = settings.app.state_dir
    booked = booked_fills(state_dir / JOURNAL_FILE)
    findings = Findings()
    async with direct(settings, waits=False) as rest:
        rescue = Rescue(rest, instance_of(state_dir), booked)
        orders = await rescue.open_orders()
        for order in orders:
            if order.side is Side.BUY:
                await _cancel(rescue, order, findings)
        if booked is None:
            findings.unknown.append(UNREADABLE)
        symbols = await rescue.symbols(orders, settings.universe.quote)
        await rescue.learn(symbols)
        for symbol in symbols:
            if symbol not in rescue.instruments:
                continue  # gone from the venue
            try:
                await _hold_against(rescue, symbol, orders, findings)
            except BnmlError as error:
                findings.unknown.append(f"{symbol} is not verified ({error})")
    return findings


async def _cancel(rescue: Rescue, order: VenueOrder, findings: Findings) -> None:
    """One that fails must not keep the others, and the stops, from being looked at."""
    name = f"{order.symbol} {order.client_order_id}"
    try:
        if await rescue.cancel(order):
            findings.cancelled.append(name)
    except BnmlError as error:
        findings.unknown.append(f"{name} is not cancelled ({error})")


async def _hold_against(
    rescue: Rescue, symbol: str, orders: Sequence[VenueOrder], findings: Findings
) -> None:
    instrument = rescue.instruments[symbol]
    held_e8 = await rescue.held_e8(symbol)
    bare_lots = (held_e8 - stops_e8(orders, symbol)) // instrument.lot_e8
    if bare_lots >= instrument.min_lots and not await rescue.is_dust(instrument, bare_lots):
        findings.bare.append(f"{plain(bare_lots * instrument.lot_e8)} {instrument.base}")
    elif stops_e8(orders, symbol):
        findings.covered.append(symbol)


def _say(words: str) -> None:
    sys.stderr.write(f"bnml deadman: {words}\n")
    sys.stderr.flush()
