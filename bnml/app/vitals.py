"""The machine under the daemon as guards: disk, memory, event loop and journal, each with a margin before it is over."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bnml.app.health import resident_bytes
from bnml.app.logs import logger
from bnml.core.clock import NS_PER_S
from bnml.trading.guarding import ACTIVE, HALTED, REDUCING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.app.compose import Parts
    from bnml.app.guards import Guards
    from bnml.app.health import LoopLag
    from bnml.app.settings import GuardSettings
    from bnml.core.clock import Clock
    from bnml.journal.writer import JournalWriter

EVERY_S: Final = 1.0
CLEAR_SHARE: Final = 0.8  # of the limit: what is between has not got better
CLEAR_S: Final = 30.0  # so long below that before a reason is over
MIB: Final = 1 << 20
MEMORY_REDUCING: Final = 0.8
MEMORY_RESTART: Final = 0.95
LAG_QUANTILE: Final = 0.9


class Threshold:
    """A measure against its limits that does not flap: worse at once, better only clearly and for a while."""

    def __init__(self, reduce_at: float, halt_at: float, clear_s: float = CLEAR_S) -> None:
        self._reduce_at = reduce_at
        self._halt_at = halt_at
        self._clear_ns = int(clear_s * NS_PER_S)
        self._calm_since_ns: int | None = None
        self.level = ACTIVE

    def judge(self, measured: float, now_ns: int) -> str:
        """The level after this measurement; `now_ns` is monotonic."""
        if measured >= self._halt_at:
            self.level, self._calm_since_ns = HALTED, None
        elif measured >= self._reduce_at:
            self._calm_since_ns = None
            self.level = HALTED if self.level == HALTED else REDUCING
        elif self.level != ACTIVE:
            self._calm(measured, now_ns)
        return self.level

    def _calm(self, measured: float, now_ns: int) -> None:
        if measured >= self._reduce_at * CLEAR_SHARE:
            self._calm_since_ns = None
        elif self._calm_since_ns is None:
            self._calm_since_ns = now_ns
        elif now_ns - self._calm_since_ns >= self._clear_ns:
            self.level, self._calm_since_ns = ACTIVE, None


class JournalStall:
    """How long rows have waited without a commit."""

    def __init__(self) -> None:
        self._commits = -1
        self._since_ns = 0

    def measure_s(self, commits: int, now_ns: int, *, is_committed: bool) -> float:
        """Seconds since the last progress, 0 while nothing waits; `now_ns` is monotonic."""
        if is_committed or commits != self._commits:
            self._commits, self._since_ns = commits, now_ns
        return (now_ns - self._since_ns) / NS_PER_S


class Vitals:
    """Measures each second and reports; `restart` is called once when memory is nearly used up."""

    def __init__(
        self,
        settings: GuardSettings,
        guards: Guards,
        clock: Clock,
        journal: JournalWriter,
        lag: LoopLag,
        folder: Path,
        restart: Callable[[str], None],
    ) -> None:
        self._guards = guards
        self._clock = clock
        self._journal = journal
        self._lag = lag
        self._folder = folder
        self._restart = restart
        self._stall = JournalStall()
        self._is_restarting = False
        self._disk = Threshold(1.0, 4.0)
        self._memory = Threshold(MEMORY_REDUCING, float("inf"))
        self.use(settings)

    def use(self, settings: GuardSettings) -> None:
        """Measure against these limits from here on."""
        self._settings = settings
        self._memory_bytes = settings.memory_mib * MIB or cgroup_bytes()
        self._loop = Threshold(settings.loop_lag_ms, float("inf"))
        self._commit = Threshold(settings.journal_stall_s, 5 * settings.journal_stall_s, clear_s=5.0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.measure()
            await asyncio.sleep(EVERY_S)

    def measure(self) -> None:
        """Look at the machine as it is."""
        self.look(shutil.disk_usage(self._folder).free, resident_bytes())

    def look(self, free_bytes: int, used_bytes: int) -> None:
        """One round of measurements."""
        now_ns = self._clock.monotonic_ns()
        least = self._settings.least_free_mib * MIB
        self._report(
            "disk", self._disk.judge(least / max(1, free_bytes), now_ns), f"{free_bytes // MIB} MiB free"
        )
        if self._memory_bytes:
            share = used_bytes / self._memory_bytes
            words = f"{used_bytes // MIB} of {self._memory_bytes // MIB} MiB in use"
            self._report("memory", self._memory.judge(share, now_ns), words)
            if share >= MEMORY_RESTART and not self._is_restarting:
                self._is_restarting = True
                logger().critical("memory_used_up", used_mib=used_bytes // MIB, note="stopping for a restart")
                self._restart(words)
        else:
            self._report("memory", ACTIVE, "")
        lag_ms = self._lag.recent_quantile_ms(LAG_QUANTILE)
        self._report("loop", self._loop.judge(lag_ms, now_ns), f"the event loop lags by {lag_ms:.0f} ms")
        stall_s = self._stall.measure_s(self._journal.commits, now_ns, is_committed=self._journal.committed)
        self._report("journal", self._commit.judge(stall_s, now_ns), f"no commit for {stall_s:.1f} s")

    def _report(self, name: str, level: str, words: str) -> None:
        self._guards.report(name, level, words if level != ACTIVE else "")


def has_disk_room(parts: Parts) -> bool:
    """Whether there is room for more than the journal, the least to protect and to sell; stepped runs do not look."""
    if parts.deployment.stepper is not None:
        return True
    least = parts.settings.guards.least_free_mib * MIB
    models = parts.settings.learning.models_dir
    places = [parts.folder.path, *([models] if models.is_dir() else [])]
    is_calm = all(parts.guards.level(name) == ACTIVE for name in ("disk", "space"))
    return is_calm and all(shutil.disk_usage(place).free >= least for place in places)


def cgroup_bytes(root: Path = Path("/sys/fs/cgroup"), mine: Path = Path("/proc/self/cgroup")) -> int:
    """The memory that the control group of this process may use; 0 where there is no limit."""
    try:
        place = next(line for line in mine.read_text("ascii").splitlines() if line.startswith("0::"))
        text = (root / place.removeprefix("0::").lstrip("/") / "memory.max").read_text("ascii").strip()
    except (OSError, StopIteration):
        return 0
    return int(text) if text.isdigit() else 0
