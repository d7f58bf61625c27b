"""`bnml deadman`: beside the daemon, never inside it; when its heart stops, stops are verified and entries cancelled."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.alerts import post_alert
from bnml.app.direct import check_venue, direct
from bnml.app.heartbeat import FILE, Heartbeat, last_beat
from bnml.app.rescue import Rescue, booked_fills, instance_of, stops_e8
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import BnmlError, Misconfigured, Retryable
from bnml.core.instrument import plain
from bnml.core.orders import Side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bnml.app.rescue import VenueOrder
    from bnml.config import Settings
    from bnml.options import DeadmanOptions

LOOK_S: Final = 1.0
QUIET: Final = "stopped"
"""The state in which the daemon has said farewell. One that has failed may not be started again, and cannot tell."""

UNREADABLE: Final = "the journal cannot be read, so what is ours is counted from the venue's orders alone; `bnml recover` looks at it"


class Findings(msgspec.Struct):
    """What was seen and done at the venue."""

    cancelled: list[str] = []
    unknown: list[str] = []
    covered: list[str] = []
    bare: list[str] = []

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
        self._acted_ns: int | None = None

    def is_due(self, found: Heartbeat | None, now_ns: int) -> bool:
        """Whether to act now; `now_ns` is monotonic. None, for a sign that is gone or unreadable, is no farewell."""
        found = found or self._seen
        if self._since_ns is None or found != self._seen:
            self._seen, self._since_ns, self._acted_ns = found, now_ns, None
        if found is None or found.state.startswith(QUIET) or now_ns - self._since_ns < self._stale_ns:
            return False
        if self._acted_ns is not None and now_ns - self._acted_ns < self._repeat_ns:
            return False
        self._acted_ns = now_ns
        return True


def deadman(settings: Settings, options: DeadmanOptions) -> int:
    """Watch until stopped; with `once` look at the venue now, 0 when everything held has a stop."""
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
    told = ""
    while not stop.is_set():
        found, obstacle = _look(settings.app.state_dir)
        if obstacle not in {"", told}:
            _say(f"cannot look: {obstacle}")
        told = obstacle
        if watch.is_due(found, clock.monotonic_ns()):
            await _act(settings, obstacle or ("" if found else f"{FILE} is gone"))
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


async def _act(settings: Settings, obstacle: str) -> None:
    silent = (
        f"the daemon of {settings.app.state_dir} has given no sign of life for {settings.deadman.stale_s:g} s"
        f"{f' ({obstacle})' if obstacle else ''}"
    )
    try:
        text = f"{silent}; {(await check(settings)).text()}"
    except BnmlError as error:
        text = f"{silent}, and the venue cannot be asked: {error}"
    _say(text)
    await post_alert(settings.alerts, "critical", "deadman", text)


async def check(settings: Settings) -> Findings:
    """Cancel our open entries and hold our stops against what is ours."""
    state_dir = settings.app.state_dir
    booked = booked_fills(state_dir / "journal.db")
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
