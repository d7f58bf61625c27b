"""The embedded exchange as a process of its own: attach to a running one, else start it; stop what we started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from bnml.app.hardening import childs_environment
from bnml.app.logs import logger
from bnml.core.clock import format_utc
from bnml.core.errors import BnmlError, Misconfigured, RecoveryNeeded, Rejected, Retryable

if TYPE_CHECKING:
    from pathlib import Path

    from bnml.config import Settings
    from bnml.options import RunOptions

START_TIMEOUT_S = 90.0  # a first start compiles kernels and writes the generated history
PAPER_START_TIMEOUT_S = 300.0  # and in paper reads the candles of every symbol
STOP_TIMEOUT_S = 6.0
POLL_S = 0.05
MARKER = "started_by_daemon"
"""Beside the address: which exchange ends with the daemon that ends in order."""


class Endpoint(msgspec.Struct):
    """Where the exchange listens, as it says itself in `endpoint.json`."""

    pid: int
    port: int
    api_key: str
    secret: str
    speed: float = 1.0
    mode: str = ""
    token: str = ""  # for its controls


class SimProcess:
    """The exchange of one state folder; it outlives a killed daemon, and the next one attaches to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._is_ours = False

    async def attach_or_start(self, settings: Settings, options: RunOptions) -> Endpoint:
        """The address of a running exchange on this folder, or of a new one."""
        mode = "stepped" if options.stepped else "timed"
        found = self._running()
        if found is not None:
            if found.mode and (found.mode == "stepped") != options.stepped:
                raise Rejected(
                    f"the exchange of {self._folder} (process {found.pid}) runs {found.mode}, this run wants {mode}; "
                    "stop that process first, or use another --state-dir"
                )
            self._is_ours = self._marker_pid() == found.pid
            logger().info("exchange_attached", process=found.pid, port=found.port)
            return found
        return await self._start(settings, options)

    async def stop(self) -> None:
        """End an exchange that this daemon (or a killed one before it) started; its ledger stays."""
        found = self._running()
        if not self._is_ours or found is None:
            return
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
        # Polled, because the process may be nobody's child any more.
        while _alive(found.pid, self._process) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        if _alive(found.pid, self._process):
            logger().warning("exchange_killed", process=found.pid)
            with suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
        self._marker.unlink(missing_ok=True)

    def running(self) -> Endpoint | None:
        """The address of the exchange that serves this folder at the moment, whoever started it."""
        return self._running()

    async def _start(self, settings: Settings, options: RunOptions) -> Endpoint:
        self._folder.mkdir(parents=True, exist_ok=True)
        earlier = self._marker_pid()  # of a daemon that was killed before its exchange had answered
        if not _alive(earlier, None):
            self._endpoint_file.unlink(missing_ok=True)
        log_file = self._folder / "exchange.log"
        with log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bnml",
                *exchange_arguments(settings, options),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=childs_environment(),
            )
        self._is_ours = True
        if not _alive(earlier, None):
            self._marker.write_text(str(self._process.pid), "ascii")
        logger().info("exchange_started", process=self._process.pid)
        timeout_s = PAPER_START_TIMEOUT_S if settings.venue.kind == "paper" else START_TIMEOUT_S
        deadline = asyncio.get_running_loop().time() + timeout_s
        while (found := self._running()) is None:
            is_over = asyncio.get_running_loop().time() > deadline
            code = self._process.returncode
            # Refused because the earlier one has the folder: that one is about to answer.
            if code is not None and (is_over or code != Rejected.exit_code or not _alive(earlier, None)):
                raise _failure(code, log_file)
            if is_over:
                raise Retryable(
                    f"the embedded exchange did not answer within {timeout_s:.0f} s; see {log_file}"
                )
            await asyncio.sleep(POLL_S)
        if found.pid != self._process.pid:
            logger().info("exchange_attached", process=found.pid, port=found.port)
        self._marker.write_text(str(found.pid), "ascii")
        return found

    def _running(self) -> Endpoint | None:
        try:
            found = msgspec.json.decode(self._endpoint_file.read_bytes(), type=Endpoint)
        except (FileNotFoundError, ValueError):
            return None
        return found if _alive(found.pid, self._process) else None

    def _marker_pid(self) -> int:
        try:
            return int(self._marker.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    @property
    def _endpoint_file(self) -> Path:
        return self._folder / "endpoint.json"

    @property
    def _marker(self) -> Path:
        return self._folder / MARKER


def exchange_folder(settings: Settings) -> Path:
    """Where ledger, lock and address are: paper and sim money never meet."""
    return settings.app.state_dir / ("paper" if settings.venue.kind == "paper" else "exchange")


def exchange_arguments(settings: Settings, options: RunOptions) -> list[str]:
    """The command line that serves the same market to us."""
    arguments = [
        "exchange",
        "--json",
        "--venue",
        settings.venue.kind,
        "--state-dir",
        str(settings.app.state_dir),
    ]
    if options.config is not None:
        arguments += ["--config", str(options.config)]
    if options.replay is not None:
        arguments += ["--replay", str(options.replay)]
    if settings.universe.symbols:
        arguments += ["--symbols", ",".join(settings.universe.symbols)]
    if options.from_ns is not None:
        arguments += ["--from", format_utc(options.from_ns)]
    if options.to_ns is not None:
        arguments += ["--to", format_utc(options.to_ns)]
    arguments += ["--base-frame", settings.features.base_frame]
    arguments += ["--speed", f"{settings.venue.sim.speed:g}", "--seed", str(settings.venue.sim.seed)]
    if settings.venue.sim.fill_tier:
        arguments += ["--fill-tier", settings.venue.sim.fill_tier]
    arguments += ["--port", str(settings.venue.sim.port)]
    if settings.venue.sim.faults:
        arguments += ["--faults", settings.venue.sim.faults]
    return [*arguments, "--stepped" if options.stepped else "--wait"]


def _alive(pid: int, child: asyncio.subprocess.Process | None) -> bool:
    if child is not None and child.pid == pid:
        return child.returncode is None
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _failure(exit_code: int, log_file: Path) -> BnmlError:
    """The last words of an exchange that did not start, with its exit code: its fault is this run's fault."""
    lines = [line for line in log_file.read_text("utf-8", "replace").splitlines() if line.strip()]
    words = lines[-1].removeprefix("bnml: ") if lines else f"it said nothing; see {log_file}"
    message = f"the embedded exchange did not start: {words}"
    kinds: tuple[type[BnmlError], ...] = (Misconfigured, Rejected, Retryable, RecoveryNeeded)
    return next((kind(message) for kind in kinds if kind.exit_code == exit_code), BnmlError(message))
