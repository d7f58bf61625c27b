"""`bnml exchange`: the embedded exchange as a process, from settings and options to a graceful stop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.app.exchange_feed import make_feed
from bnml.app.folder import write_durably
from bnml.app.logs import configure, logger
from bnml.core.clock import LiveClock
from bnml.core.errors import Misconfigured, Rejected
from bnml.core.instrument import money_e8
from bnml.trading.compile import compile_costs
from bnml.venues.sim.control import Control
from bnml.venues.sim.driver import Driver, Pacing, Stepping, steps_of
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.market import Market
from bnml.venues.sim.server import HOST, Server
from bnml.venues.sim.signing import ApiKey, KeyRing
from bnml.venues.sim.venue import Venue

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from bnml.config import Settings
    from bnml.options import ExchangeOptions

KEY_BYTES: Final = 32
ENDPOINT_FILE: Final = "endpoint.json"


class Endpoint(msgspec.Struct, frozen=True):
    """What `endpoint.json` tells clients of this user; nobody else may read it."""

    pid: int
    port: int
    api_key: str
    secret: str
    token: str  # for /sim/
    speed: float
    mode: str  # timed, stepped


def serve(settings: Settings, options: ExchangeOptions) -> int:
    """Serve until SIGINT or SIGTERM; the exit code is 0. What was acknowledged is in the ledger."""
    configure(settings.app.log_level, settings.app.log_format)
    folder = settings.app.state_dir / "exchange"
    os.umask(0o077)  # ledger and endpoint file hold the account's secret
    with _owned(folder):
        _run(_serve(settings, options, folder))
    return 0


def _run(main: Coroutine[None, None, None]) -> None:
    """Run on uvloop where it exists: it writes the frames of one step together."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two exchanges must not write one ledger."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "exchange.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"the folder {folder} cannot be written ({error.strerror}); change its owner or choose --state-dir"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise Rejected(
            f"another exchange already serves {folder}; use that one, stop it first, "
            "or give this one a folder of its own with --state-dir"
        ) from error
    try:
        yield
    finally:
        (folder / ENDPOINT_FILE).unlink(missing_ok=True)
        os.close(lock)


async def _serve(settings: Settings, options: ExchangeOptions, folder: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sim = settings.venue.sim
    pricing, feed = make_feed(settings, options, compile_costs(settings.costs))
    ledger = Ledger(folder / "ledger.db", feed.fingerprint)
    try:
        market = Market(feed.instruments, feed.frame_ns, pricing, feed.history(ledger.position()))
        exchange = Exchange(market, ledger=ledger)
        exchange.open_account(ACCOUNT, {settings.universe.quote: money_e8(str(sim.initial_quote))})
        key = _key_pair(ledger)
        clock = LiveClock()
        venue = Venue(exchange, KeyRing([key]), clock, live=not options.stepped)
        steps = steps_of(feed, exchange.ordinal)
        driver = Stepping(venue, steps) if options.stepped else Pacing(venue, steps, sim.speed, clock)
        venue.market_time = driver
        token = secrets.token_hex(KEY_BYTES)
        server = Server(venue, Control(venue, driver, token))
        port = await server.start(sim.port)
        endpoint = Endpoint(os.getpid(), port, key.api_key, key.secret, token, driver.speed, venue.mode)
        _publish(folder, endpoint)
        _announce(endpoint, venue, json=options.json)
        await _until_stopped(stop, server, driver)
        logger().info("exchange_stopped", steps_done=exchange.ordinal)
    finally:
        ledger.close()


async def _until_stopped(stop: asyncio.Event, server: Server, driver: Driver) -> None:
    """Move the market until told to stop; a market that ended stays to be looked at. Raises what failed."""
    stopped = asyncio.create_task(stop.wait())
    pace = asyncio.create_task(driver.run()) if isinstance(driver, Pacing) else None
    waiting: set[asyncio.Future[Any]] = {stopped, server.failed}
    if pace is not None:
        waiting.add(pace)
    try:
        while not stopped.done():
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
            waiting -= done
    finally:
        for task in (stopped, pace):
            if task is not None:
                task.cancel()
        await server.stop()


def _key_pair(ledger: Ledger) -> ApiKey:
    """The account's key, made at random with the ledger and kept in it."""
    api_key = ledger.note("api_key") or ledger.note("api_key", secrets.token_hex(KEY_BYTES))
    secret = ledger.note("secret") or ledger.note("secret", secrets.token_hex(KEY_BYTES))
    return ApiKey(str(api_key), str(secret), ACCOUNT)


def _publish(folder: Path, endpoint: Endpoint) -> None:
    """Write the endpoint file whole; it is born unreadable for others (umask)."""
    write_durably(folder / ENDPOINT_FILE, msgspec.json.encode(endpoint))


def _announce(endpoint: Endpoint, venue: Venue, *, json: bool) -> None:
    address = f"{HOST}:{endpoint.port}"
    if json:
        shown = {
            "rest_url": f"http://{address}",
            "stream_url": f"ws://{address}/stream/ws",
            "api_url": f"ws://{address}/ws-api/v3",
            "pid": endpoint.pid,
            "mode": endpoint.mode,
            "speed": endpoint.speed,
            "symbols": list(venue.instruments),
        }
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
        sys.stdout.flush()
    logger().info(
        "exchange_listening",
        address=address,
        mode=endpoint.mode,
        speed=endpoint.speed,
        symbols=len(venue.instruments),
        steps_done=venue.exchange.ordinal,
    )
