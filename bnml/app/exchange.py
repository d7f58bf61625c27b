"""`bnml exchange`: the embedded exchange as a process, from settings and options to a graceful stop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import signal
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.app.announcement import Endpoint, announce
from bnml.app.exchange_faults import begin_faults, read_faults
from bnml.app.exchange_feed import make_feed, record_tier
from bnml.app.folder import write_durably
from bnml.app.follower import Follower
from bnml.app.logs import configure, logger
from bnml.app.paper import PaperMarket
from bnml.app.sim_process import exchange_folder
from bnml.core.clock import NS_PER_MS, LiveClock
from bnml.core.errors import BnmlError, Misconfigured, Rejected, Retryable
from bnml.core.instrument import money_e8
from bnml.trading.filling import compile_costs
from bnml.venues.binance.errors import leaves
from bnml.venues.sim.access import KEY_BYTES, Access, make_key
from bnml.venues.sim.control import Control
from bnml.venues.sim.driver import Pacing, Stepping, steps_of
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.market import Market
from bnml.venues.sim.recorded import RecordedStreamFeed
from bnml.venues.sim.server import Server
from bnml.venues.sim.signing import ApiKey, KeyKind
from bnml.venues.sim.venue import Venue

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from bnml.config import Settings
    from bnml.core.clock import Clock
    from bnml.options import ExchangeOptions
    from bnml.venues.sim.faults.rules import Script
    from bnml.venues.sim.faults.words import Words

Mover = Stepping | Pacing | Follower

ENDPOINT_FILE: Final = "endpoint.json"
FOLLOW_TIMEOUT_S: Final = 60.0


def serve(settings: Settings, options: ExchangeOptions) -> int:
    """Serve until SIGINT or SIGTERM; the exit code is 0. What was acknowledged is in the ledger."""
    configure(settings.app.log_level, settings.app.log_format)
    if settings.venue.kind == "paper" and (options.replay is not None or options.stepped):
        raise Misconfigured("a paper market is Binance's own; leave out --replay and --stepped")
    faults = read_faults(settings)
    folder = exchange_folder(settings)
    os.umask(0o077)  # ledger and endpoint file hold the account's secret
    with _owned(folder):
        try:
            _run(_serve(settings, options, folder, faults))
        except BaseExceptionGroup as group:
            found = leaves(group)
            raise next((one for one in found if isinstance(one, BnmlError)), found[0]) from group
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


async def _serve(
    settings: Settings, options: ExchangeOptions, folder: Path, faults: tuple[Script, Words] | None
) -> None:
    """Open the market, serve it, and move it; a signal ends this at any point."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stopped = asyncio.create_task(stop.wait())
        opening = asyncio.create_task(_open(settings, options, folder, stack))
        for task in (stopped, opening):
            stack.callback(task.cancel)
        await asyncio.wait({stopped, opening}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            return
        venue, key, mover = opening.result()
        token = secrets.token_hex(KEY_BYTES)
        server = Server(venue, Control(venue, mover, token))
        stack.push_async_callback(server.stop)
        moving: set[asyncio.Task[None]] = set()
        if not isinstance(mover, Stepping):
            moving.add(asyncio.create_task(mover.run()))
            stack.callback(next(iter(moving)).cancel)
        if isinstance(mover, Follower):
            await _until_followed(mover, settings, moving, stopped)
        if not stopped.done():
            begin_faults(venue, faults)
            port = await server.start(settings.venue.sim.port)
            others = _other_keys(venue)
            endpoint = Endpoint(
                os.getpid(), port, key.api_key, key.secret, token, mover.speed, venue.mode, others
            )
            _publish(folder, endpoint)
            announce(endpoint, venue, folder / ENDPOINT_FILE, json=options.json)
        await _until_stopped(stopped, {server.failed, *moving})
        logger().info("exchange_stopped", steps_done=venue.exchange.ordinal)


async def _open(
    settings: Settings, options: ExchangeOptions, folder: Path, stack: AsyncExitStack
) -> tuple[Venue, ApiKey, Mover]:
    """The exchange with its account and whoever moves it; its ledger is closed with the stack."""
    clock, file = LiveClock(), folder / "ledger.db"
    if settings.venue.kind == "paper":
        paper = await PaperMarket.open(settings, file, clock, stack)
        venue, key = _venue_of(settings, paper.market, paper.ledger, clock, live=True)
        follower = Follower(paper, venue)
        venue.market_time = follower
        return venue, key, follower
    pricing, feed = make_feed(settings, options, compile_costs(settings.costs))
    ledger = Ledger(file, feed.fingerprint)
    stack.callback(ledger.close)
    market = Market(feed.instruments, feed.frame_ns, pricing, feed.history(ledger.position()))
    if isinstance(feed, RecordedStreamFeed):
        for change in feed.depth(ledger.position()):
            market.change_depth(change)
    venue, key = _venue_of(settings, market, ledger, clock, live=not options.stepped)
    steps = steps_of(feed, venue.exchange.ordinal)
    begin = venue.hub.heard if options.wait else None
    speed = settings.venue.sim.speed
    driver = Stepping(venue, steps) if options.stepped else Pacing(venue, steps, speed, clock, begin)
    venue.market_time = driver
    return venue, key, driver


def _venue_of(
    settings: Settings, market: Market, ledger: Ledger, clock: Clock, *, live: bool
) -> tuple[Venue, ApiKey]:
    record_tier(ledger, market.pricing.tier)
    exchange = Exchange(market, ledger=ledger)
    money = {settings.universe.quote: money_e8(str(settings.venue.sim.initial_quote))}
    exchange.open_account(ACCOUNT, money)
    key = _key_pair(ledger)
    access = Access([key], ledger)
    for text in settings.venue.sim.accounts:
        name, _, amount = text.partition("=")
        balances = {settings.universe.quote: money_e8(amount)} if amount else money
        exchange.open_account(name, balances)
        if not access.keys_of(name):
            access.add_key(make_key(name, KeyKind.HMAC, "", clock.now_ns() // NS_PER_MS)[0])
    venue = Venue(exchange, access, clock, live=live)
    venue.ledger = ledger
    venue.socket_time_scale = settings.venue.sim.socket_time_scale
    return venue, key


async def _until_followed(
    follower: Follower, settings: Settings, moving: set[asyncio.Task[None]], stopped: asyncio.Task[bool]
) -> None:
    """Wait for the first connection, so that nobody is served a market that stands still."""
    ready = asyncio.create_task(follower.ready.wait())
    waiting: set[asyncio.Task[Any]] = {ready, stopped, *moving}
    done, _ = await asyncio.wait(waiting, timeout=FOLLOW_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    for task in done & moving:
        task.result()
    if not done:
        raise Retryable(
            f"the public streams of {settings.venue.paper.stream_url} did not come up within "
            f"{FOLLOW_TIMEOUT_S:.0f} s; check venue.paper.stream_url and the network"
        )


async def _until_stopped(stopped: asyncio.Task[bool], others: set[asyncio.Future[None]]) -> None:
    """Serve until told to stop; a market that ended stays to be looked at. Raises what failed."""
    waiting: set[asyncio.Future[Any]] = {stopped, *others}
    while not stopped.done():
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            ended.result()
        waiting -= done


def _key_pair(ledger: Ledger) -> ApiKey:
    """The account's key, made at random with the ledger and kept in it."""
    api_key = ledger.note("api_key") or ledger.note("api_key", secrets.token_hex(KEY_BYTES))
    secret = ledger.note("secret") or ledger.note("secret", secrets.token_hex(KEY_BYTES))
    return ApiKey(str(api_key), str(secret), ACCOUNT)


def _other_keys(venue: Venue) -> dict[str, dict[str, str]]:
    """A key of each account beside the first, where its secret is known here."""
    known = [key for key in venue.keys if key.kind is KeyKind.HMAC and key.account != ACCOUNT]
    return {key.account: {"api_key": key.api_key, "secret": key.secret} for key in reversed(known)}


def _publish(folder: Path, endpoint: Endpoint) -> None:
    """Write the endpoint file whole; it is born unreadable for others (umask)."""
    write_durably(folder / ENDPOINT_FILE, msgspec.json.encode(endpoint))
