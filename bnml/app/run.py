"""`bnml run`: settings and options in, a trading session, one exit code out."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec

from bnml.app import logs
from bnml.app.compose import compose
from bnml.app.folder import StateFolder
from bnml.app.links import Links
from bnml.app.runtime import Daemon
from bnml.config import load_credentials
from bnml.core.clock import LiveClock
from bnml.core.errors import BnmlError
from bnml.core.instrument import plain
from bnml.venues.binance.errors import leaves

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bnml.config import Settings
    from bnml.options import RunOptions


def run(settings: Settings, options: RunOptions) -> int:
    """Trade until stopped; 0 after a graceful end, else the exit code of what went wrong."""
    with_view = sys.stdout.isatty() and not options.json and not options.once
    with StateFolder(settings.app.state_dir) as folder:
        file = folder.path / "daemon.log" if with_view else None
        logs.configure(settings.app.log_level, settings.app.log_format, file)
        try:
            summary = _run_loop(_session(settings, options, folder, with_view=with_view))
        except BaseExceptionGroup as group:
            raise _first(group) from group
    _print_summary(summary, json=options.json)
    return 0


async def _session(
    settings: Settings, options: RunOptions, folder: StateFolder, *, with_view: bool
) -> dict[str, object]:
    """Trade; a stop that comes before trading began cancels whatever the start is doing."""
    stop = asyncio.Event()
    links = Links()
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    session = asyncio.create_task(
        _trade(settings, options, folder, links, stop, started, with_view=with_view)
    )

    def on_signal() -> None:
        stop.set()
        if not started.is_set():
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


async def _trade(
    settings: Settings,
    options: RunOptions,
    folder: StateFolder,
    links: Links,
    stop: asyncio.Event,
    started: asyncio.Event,
    *,
    with_view: bool,
) -> dict[str, object]:
    async with AsyncExitStack() as stack:
        parts = await compose(settings, options, load_credentials(), folder, LiveClock(), links, stack)
        daemon = Daemon(parts, stop, started, with_view=with_view)
        await daemon.run()
        health, picture = daemon.health(), daemon.picture
        return {
            "session": parts.journal.session,
            "venue": settings.venue.kind,
            "mode": parts.header.mode,
            "symbols": list(parts.symbols),
            "scans": picture.scans,
            "trades": picture.trade_count,
            "decisions": dict(picture.counts),
            "equity_start": plain(picture.first_equity_e8, 2),
            "equity_end": health.equity,
            "realised": health.realised,
            "positions": len(health.positions),
            "open_orders": len(health.open_orders),
            "loop_lag_p99_ms": health.loop_lag_p99_ms,
        }


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


def _print_summary(summary: dict[str, object], *, json: bool) -> None:
    if json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
        return
    if not summary["session"]:
        sys.stdout.write("bnml stopped before trading began\n")
        return
    sys.stdout.write(
        "bnml stopped: {scans} scans, {trades} fills, equity {equity_start} -> {equity_end}, realised {realised}, "
        "{positions} positions open with {open_orders} orders at the exchange\n".format(**summary)
    )
