"""How the process feels: lag of the event loop, systemd's readiness and watchdog."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import numpy as np

from bnml.app.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.core.clock import Clock

PROBE_S = 0.05
WINDOW = 1200  # probes kept: one minute
ALARM_MS = 250.0


class LoopLag:
    """Measures how late a short sleep wakes; that is how long a frame would have waited."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags_ms = np.zeros(WINDOW)
        self._count = 0

    @property
    def last_ms(self) -> float:
        return float(self._lags_ms[(self._count - 1) % WINDOW]) if self._count else 0.0

    def quantile_ms(self, quantile: float) -> float:
        """Over the last minute."""
        known = self._lags_ms[: min(self._count, WINDOW)]
        return float(np.quantile(known, quantile)) if known.size else 0.0

    async def run(self) -> None:
        """Probe until cancelled."""
        log = logger()
        while True:
            before_ns = self._clock.monotonic_ns()
            await asyncio.sleep(PROBE_S)
            lag_ms = (self._clock.monotonic_ns() - before_ns) / 1e6 - PROBE_S * 1000
            self._lags_ms[self._count % WINDOW] = max(0.0, lag_ms)
            self._count += 1
            if lag_ms > ALARM_MS:
                log.warning("loop_lagged", lag_ms=round(lag_ms, 1))


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

    async def run(self) -> None:
        """Feed the watchdog from the loop itself, so that a stuck loop is noticed."""
        while self.watchdog_s:
            self.send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 2)
