"""Where a drill plays: a daemon of its own in a folder of its own, and the exchange that it trades on."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from bnml.app.hardening import childs_environment
from bnml.app.sim_process import exchange_folder
from bnml.config import Settings, load
from bnml.core.clock import LiveClock
from bnml.core.errors import Fatal, Misconfigured, Retryable
from bnml.drill.daemon_log import DaemonLog
from bnml.drill.exchange import Exchange
from bnml.drill.excuses import Excuses
from bnml.journal.reader import JournalReader
from bnml.journal.schema import JOURNAL_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bnml.journal.schema import Health

T = TypeVar("T")

SYMBOLS = ("ADAUSDT", "BTCUSDT", "DOGEUSDT", *(f"SIM{number:03d}USDT" for number in range(1, 13)))
SPEED = 120.0  # market seconds per second: two bars of a minute
STILL = 1e-6  # a market that stands, for a look at both sides at one moment
POLL_S = 0.05
START_S = 180.0
STOP_S = 30.0
EXCHANGE_END_S = 5.0

# Trades as often as the rule strategy lets it: drills are about what survives, not about what earns.
CONFIG = """\
decision: {without_model: rule}
features: {base_frame: 1m, higher_frames: [], history_bars: 600}
scanner: {min_global_score: 0}
risk:
  {min_ml_confidence: 0, min_depth_quote: 0, max_spread_pct: 5, max_drawdown_pct: 90, max_daily_loss_pct: 90,
  max_correlation: 1.0, max_exposure_pct: 100, max_positions: 20, max_position_pct: 8, drift_ks: 1.0,
  drift_volatility_ratio: 100, max_volatility_ratio: 100, daily_budget_pct: 100, weekly_budget_pct: 100,
  max_losses_in_row: 100, market_mood: "off"}
exits: {time_stop_h: 1, time_stop_band_pct: 5, trail_start_pct: 0.3, trail_step_bps: 1.0}
journal: {snapshot_every_events: 1000}
app: {retrain: false, reconcile_interval_s: 600}
venue: {request_timeout_s: 1.0, stale_s: 5.0}
"""


class Stage:
    """Starts, kills and watches one daemon; what it logged is read back as events with their fields."""

    kind = "sim"
    is_away = False
    looks = 5  # at both books, until they agree
    patience_s = 120.0  # until something is held
    settle_s = 60.0
    struck_s = 120.0  # until a fault has struck
    most_strikes = 1_000  # of one fault in a drill

    def __init__(self, folder: Path, symbols: Sequence[str] = SYMBOLS, speed: float = SPEED) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._log_file = folder / "daemon.log"
        self.log = DaemonLog(self._log_file)
        self.config = folder / "drill.yaml"
        self.config.write_text(CONFIG, "utf-8")
        self.symbols = tuple(symbols)
        self.speed = speed
        self.clock = LiveClock()
        self._daemon: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.coarsest: dict[str, int] = {}  # step of each symbol so far: its rests may be held still
        self.most_dust_e8: dict[str, int] = {}  # of each symbol so far: none of it has a stop
        self.excuses = Excuses(self)
        self.exchange = Exchange(exchange_folder(self.settings), self.clock)

    async def __aenter__(self) -> Self:
        await self.exchange.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await end_daemon(self)
            await self._end_exchange()
        finally:
            await self.exchange.close()

    @property
    def settings(self) -> Settings:
        """What the daemon reads."""
        return load(
            self.config,
            {},
            {"app.state_dir": (str(self.state), ""), "universe.symbols": (list(self.symbols), "")},
        )

    @property
    def run_words(self) -> tuple[str, ...]:
        """The daemon's command line."""
        return ("run", "--venue", "sim", "--speed", f"{self.speed:g}", "--symbols", ",".join(self.symbols))

    @property
    def alive(self) -> bool:
        return self._daemon is not None and self._daemon.returncode is None

    @property
    def pid(self) -> int:
        """Of the daemon; raises Fatal when there is none."""
        if self._daemon is None:
            raise Fatal("the drill asked for a daemon that it has not started")
        return self._daemon.pid

    async def command(self, *words: str) -> tuple[int, str]:
        """Run `bnml WORDS` on this stage to its end; its exit code and all that it said."""
        process = await self._spawn(words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode("utf-8", "replace")

    async def start(self) -> None:
        """Start the daemon, and return when it trades."""
        await self.launch()
        await self.trading(0)

    async def launch(self) -> None:
        """Start the daemon and do not wait."""
        self.excuses.launched()
        self._daemon = await self._spawn(
            self.run_words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        # Written by us: what a daemon says of a disk that takes nothing more must be heard, too.
        self._listening = asyncio.create_task(self._write_down(self._daemon))

    async def ended(self, timeout_s: float = STOP_S) -> int:
        """The exit code of a daemon that ends by itself."""
        if self._daemon is None:
            raise Fatal("the drill waits for the end of a daemon that it has not started")
        try:
            async with asyncio.timeout(timeout_s):
                code = await self._daemon.wait()
        except TimeoutError:
            raise Retryable(f"the daemon did not end within {timeout_s:.0f} s") from None
        if self._listening is not None:
            await self._listening
        return code

    async def kill(self) -> None:
        """As a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        await self.ended()
        await self.excuses.death()

    async def stop(self) -> int:
        """As an operator would."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended()

    def health(self) -> Health | None:
        """The newest status of the daemon; None before the first."""
        if not (self.state / JOURNAL_FILE).is_file():
            return None
        try:
            with JournalReader(self.state / JOURNAL_FILE) as journal:
                return journal.status()
        except (
            Misconfigured,
            sqlite3.DatabaseError,
        ):  # the tables are just being made, or a drill has torn them
            return None

    async def trading(self, scans: int, timeout_s: float = START_S) -> Health:
        """Until this process has said that it runs, after so many scans."""
        begun_ns = self.clock.now_ns()

        def is_trading() -> Health | None:
            now = self.health()
            is_new = now is not None and now.ts_ns > begun_ns
            return (
                now if is_new and now is not None and now.state == "running" and now.scans >= scans else None
            )

        return await self.until(is_trading, timeout_s, f"the daemon trades ({scans} scans)")

    async def until(
        self, look: Callable[[], T | None], timeout_s: float, what: str, *, dead: bool = False
    ) -> T:
        """Poll until `look` finds something; Retryable when it does not, or when the daemon is gone before."""
        deadline_ns = self.clock.monotonic_ns() + int(timeout_s * 1e9)
        while not (found := look()):
            if not dead and not self.alive:
                raise Retryable(f"the daemon ended before this came about: {what}; {self.log.last_words()}")
            if self.clock.monotonic_ns() > deadline_ns:
                raise Retryable(f"this did not come about within {timeout_s:.0f} s: {what}")
            await asyncio.sleep(POLL_S)
        await self.excuses.birth()
        return found

    async def logged(
        self, name: str, since: int, timeout_s: float, *, times: int = 1
    ) -> list[dict[str, Any]]:
        """Until the daemon has logged this so often."""

        def look() -> list[dict[str, Any]] | None:
            found = self.log.events(name, since)
            return found if len(found) >= times else None

        return await self.until(look, timeout_s, f"{name} in the log, {times} times")

    async def _write_down(self, daemon: asyncio.subprocess.Process) -> None:
        """What it says goes to the log, to its last word."""
        with self._log_file.open("ab", buffering=0) as log:
            while daemon.stdout is not None and (said := await daemon.stdout.read(65536)):
                log.write(said)

    async def _spawn(self, words: Sequence[str], **streams: Any) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bnml",
            words[0],
            "--config",
            str(self.config),
            "--state-dir",
            str(self.state),
            *words[1:],
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env=dict(os.environ) if self.kind == "testnet" else childs_environment(),
            **streams,
        )

    async def _end_exchange(self) -> None:
        """An exchange that a killed daemon left behind."""
        try:
            pid = self.exchange.endpoint().pid
        except FileNotFoundError:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            # It closes its ledger in a folder that is removed next.
            for _ in range(int(EXCHANGE_END_S / POLL_S)):
                await asyncio.sleep(POLL_S)
                os.kill(pid, 0)


async def end_daemon(stage: Stage) -> None:
    """One that still lives when the drills are over; one that does not listen must not go on without us."""
    if not stage.alive:
        return
    try:
        await stage.stop()
    except Retryable:
        await stage.kill()
