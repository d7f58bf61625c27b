"""`bnml run`: settings and options in, a trading session, one exit code out."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

from bnml.app import logs
from bnml.app.compose import compose
from bnml.app.folder import StateFolder
from bnml.app.hardening import harden
from bnml.app.heartbeat import take_back_farewell
from bnml.app.links import Links
from bnml.app.runtime import Daemon
from bnml.app.summary import as_json, as_text, summarize
from bnml.app.view import LiveView, fits_terminal
from bnml.app.words import market_of
from bnml.config import load_credentials
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import BnmlError, Rejected
from bnml.venues.binance.errors import leaves

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from bnml.config import Settings
    from bnml.core.clock import Clock
    from bnml.options import RunOptions


def run(settings: Settings, options: RunOptions) -> int:
    """Trade until stopped; 0 after a graceful end, else the exit code of what went wrong."""
    clock = LiveClock()
    began_ns = clock.monotonic_ns()
    with StateFolder(settings.app.state_dir) as folder, _farewell_unless_failed(folder.path, clock):
        view = None
        if fits_terminal() and not options.json and not options.once:
            view = LiveView(market_of(settings), folder.path / "daemon.log", clock)
        logs.configure(settings.app.log_level, settings.app.log_format, *_log_target(view))
        harden()
        try:
            summary = _run_loop(_session(settings, options, folder, view))
        except BaseExceptionGroup as group:
            raise _first(group) from group
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C must not cut the summary
    summary["elapsed_s"] = round((clock.monotonic_ns() - began_ns) / NS_PER_S, 1)
    sys.stdout.write(as_json(summary) if options.json else as_text(summary, _log_target(view)[0]))
    return 0


@contextmanager
def _farewell_unless_failed(state_dir: Path, clock: Clock) -> Iterator[None]:
    """The dead-man looks after who ends with an error; not after a second daemon, which would harm the first."""
    try:
        yield
    except Rejected:
        raise
    except BaseException:
        take_back_farewell(state_dir, clock.now_ns())
        raise


def _log_target(view: LiveView | None) -> tuple[Path | None, deque[logs.Line] | None]:
    return (None, None) if view is None else (view.log_file, view.lines)


async def _session(
    settings: Settings, options: RunOptions, folder: StateFolder, view: LiveView | None
) -> dict[str, object]:
    """Trade; a stop that comes before trading began cancels whatever the start is doing."""
    stop = asyncio.Event()
    links = Links()
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    painting = asyncio.create_task(view.show()) if view is not None else None
    session = asyncio.create_task(_trade(settings, options, folder, links, stop, started, view))

    def on_signal() -> None:
        again = stop.is_set()
        stop.set()
        if view is not None:
            view.is_stopping = True
        if not started.is_set():
            if not again:  # a second one would cut short how the start is undone
                session.cancel()
        elif links.inbox is not None:
            links.inbox.complete(0)  # wakes a pump that waits for the market

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        return await session
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return {"session": 0, "venue": settings.venue.kind, "scans": 0, "trades": 0}
    finally:
        if painting is not None:
            painting.cancel()
            await asyncio.wait([painting])


async def _trade(
    settings: Settings,
    options: RunOptions,
    folder: StateFolder,
    links: Links,
    stop: asyncio.Event,
    started: asyncio.Event,
    view: LiveView | None,
) -> dict[str, object]:
    async with AsyncExitStack() as stack:
        parts = await compose(settings, options, load_credentials(), folder, LiveClock(), links, stack)
        daemon = Daemon(parts, stop, started)
        if view is not None:
            view.follow(daemon)
        await daemon.run()
        return summarize(parts, daemon)


def _run_loop(main: Coroutine[None, None, dict[str, object]]) -> dict[str, object]:
    """Uvloop where it exists."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to report: one that is meant for the operator, else the first; all are in the log."""
    found = leaves(group)
    for error in found:
        logs.logger().error("task_failed", error=str(error), kind=type(error).__name__, exc_info=error)
    return next((error for error in found if isinstance(error, BnmlError)), found[0])
