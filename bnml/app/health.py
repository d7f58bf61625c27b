"""How the process feels: lag of the event loop, processor and memory, systemd's readiness and watchdog."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnml.app.logs import logger
from bnml.trading.guarding import ACTIVE, REDUCING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bnml.app.guards import Guards
    from bnml.app.stall import StackSampler
    from bnml.core.clock import Clock
    from bnml.journal.writer import JournalWriter

PROBE_S = 0.01
WINDOW = 6000  # probes kept: one minute
RECENT = 1000  # probes: ten seconds
ALARM_MS = 250.0
AROUND_SCAN_S = 1.0
KEPT_AROUND_SCANS = 30_000  # probes: five minutes of nothing but scans
STATM = Path("/proc/self/statm")


class Lags:
    """The last so many lags, and the longest of all."""

    def __init__(self, kept: int) -> None:
        self._lags_ms: NDArray[np.float64] = np.zeros(kept)
        self._count = 0
        self.last_ms = 0.0
        self.longest_ms = 0.0

    def add(self, lag_ms: float) -> None:
        """One lag."""
        self._lags_ms[self._count % len(self._lags_ms)] = self.last_ms = lag_ms
        self._count += 1
        self.longest_ms = max(self.longest_ms, lag_ms)

    def quantile_ms(self, quantile: float) -> float:
        """Of those kept; 0 before the first."""
        known = self._lags_ms[: min(self._count, len(self._lags_ms))]
        return float(np.quantile(known, quantile)) if known.size else 0.0


class LoopLag:
    """Measures how late a short sleep wakes; that is how long a frame would have waited.

    Frames may come at any moment of a stall, so the probes that should have woken during it count too, each
    with the rest that it would have waited. `around_scans` holds what was measured from `AROUND_SCAN_S`
    before a scan to as long after it; `scans` tells how many there were.
    """

    def __init__(self, clock: Clock, scans: Callable[[], int], alarm_ms: float = ALARM_MS) -> None:
        self._clock = clock
        self._alarm_ms = alarm_ms
        self._scans = scans
        self._seen_scans = 0
        self._around_until_ns = 0
        self._lately: deque[float] = deque(maxlen=round(AROUND_SCAN_S / PROBE_S))
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._worst_ms = 0.0
        self.alarms = 0
        self.sampler: StackSampler | None = None
        self.lately = Lags(WINDOW)
        self.around_scans = Lags(KEPT_AROUND_SCANS)

    def recent_quantile_ms(self, quantile: float) -> float:
        """Of the last `RECENT` probes; 0 while there are fewer."""
        if len(self._recent) < RECENT:
            return 0.0
        return sorted(self._recent)[min(RECENT - 1, int(quantile * RECENT))]

    def take_worst_ms(self) -> float:
        """The longest lag since the last call."""
        worst_ms, self._worst_ms = self._worst_ms, 0.0
        return worst_ms

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            if self.sampler is not None:
                self.sampler.beat()
            before_ns = self._clock.monotonic_ns()
            await asyncio.sleep(PROBE_S)
            now_ns = self._clock.monotonic_ns()
            self.take(max(0.0, (now_ns - before_ns) / 1e6 - PROBE_S * 1000), now_ns)

    def take(self, lag_ms: float, now_ns: int) -> None:
        """File the lag of a probe that has woken now."""
        self._worst_ms = max(self._worst_ms, lag_ms)
        if lag_ms > self._alarm_ms:
            self.alarms += 1
            stack = self.sampler.take() if self.sampler is not None else ""
            logger().warning("loop_lagged", lag_ms=round(lag_ms, 1), stack=stack or "not seen")
        if self._scans() != self._seen_scans:
            self._seen_scans = self._scans()
            self._around_until_ns = now_ns + round(AROUND_SCAN_S * 1e9)
            for earlier_ms in self._lately:
                self.around_scans.add(earlier_ms)
            self._lately.clear()
        missed = [lag_ms]
        while missed[-1] > PROBE_S * 1000:
            missed.append(missed[-1] - PROBE_S * 1000)
        for one_ms in reversed(missed):  # the longest last: it is the one that was measured
            self.lately.add(one_ms)
            self._recent.append(one_ms)
            if now_ns < self._around_until_ns:
                self.around_scans.add(one_ms)
            else:
                self._lately.append(one_ms)


def cpu_s() -> float:
    """Processor time of this process so far, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_bytes() -> int:
    """Memory of this process that is in use now; its highest where the system does not tell that."""
    if STATM.is_file():
        return int(STATM.read_text("ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Notifier:
    """Speaks sd_notify: a datagram to the socket that systemd names; silent without systemd."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdigit() and for_us else 0.0

    def send(self, state: str) -> None:
        """`READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=...`."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            try:
                channel.sendto(state.encode(), address)
            except OSError as error:
                logger().warning("systemd_not_notified", error=str(error))

    async def run(self, is_well: Callable[[], bool] = lambda: True) -> None:
        """Feed the watchdog from the loop itself, so that a stuck loop is noticed, while it is well."""
        while self.watchdog_s:
            if is_well():
                self.send("WATCHDOG=1")
            else:
                logger().error("watchdog_not_fed", note="the event loop lagged beyond its limit")
            await asyncio.sleep(self.watchdog_s / 2)


def watch_space(journal: JournalWriter, guards: Guards) -> None:
    """A full disk: no entries while the journal lives on its reserve; over when the reserve can be held again."""
    if (
        not journal.is_full and guards.level("space") == ACTIVE
    ):  # else of a session before: nobody else ends it
        return
    journal.is_full = journal.reserve is None or not journal.reserve.hold()
    if journal.is_full:
        guards.report("space", REDUCING, "the disk is full and the journal lives on its reserve; make room")
    else:
        guards.report("space", ACTIVE)
