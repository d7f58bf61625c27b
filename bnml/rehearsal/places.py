"""The two exchanges of a rehearsal: the venue that is looked at, and an embedded one that was started for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bnml.app.deployment import Deployment
from bnml.app.direct import account_of
from bnml.app.limits import make_budget
from bnml.app.sim_process import SimProcess, exchange_folder
from bnml.config import Settings, load
from bnml.core.clock import LiveClock
from bnml.core.errors import Rejected, UsageError
from bnml.options import RunOptions
from bnml.rehearsal.desk import Desk, Record
from bnml.rehearsal.socket import RawSocket
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue_clock import VenueClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AsyncExitStack

FRAME: Final = "1m"
SPEED: Final = 60.0  # a bar a second: prices hardly move while the steps are played


def check_kind(kind: str) -> None:
    """Where a rehearsal may be: nowhere that money is real."""
    if kind == "live":
        raise Rejected(
            "a rehearsal buys and sells, which costs real money on --venue live; rehearse with --venue testnet"
        )
    if kind == "paper":
        raise UsageError(
            "paper money is kept by the embedded exchange itself; rehearse with --venue testnet, or with --venue sim"
        )


async def embedded(folder: Path, symbol: str, stack: AsyncExitStack) -> tuple[Settings, Deployment]:
    """An exchange of its own on the generated market, which ends with the stack."""
    config = _empty_config(folder)
    chosen = {
        "venue.kind": "sim",
        "venue.sim.speed": SPEED,
        "features.base_frame": FRAME,
        "app.state_dir": str(folder / "state"),
        "universe.symbols": [symbol],
    }
    settings = load(config, {}, {name: (value, "") for name, value in chosen.items()})
    process = SimProcess(exchange_folder(settings))
    found = await process.attach_or_start(settings, RunOptions(config=config))
    stack.push_async_callback(process.stop)
    host = f"127.0.0.1:{found.port}"
    deployment = Deployment(
        f"http://{host}",
        f"ws://{host}/stream",
        f"ws://{host}/ws-api/v3?returnRateLimits=false",
        found.api_key,
        found.secret,
    )
    return settings, deployment


def _empty_config(folder: Path) -> Path:
    """So that the exchange does not read the operator's: faults and accounts would be in it."""
    folder.mkdir(parents=True)
    config = folder / "rehearsal.yaml"
    config.write_text("{}\n", "utf-8")
    return config


def configured(settings: Settings) -> Deployment:
    """The test network as the settings and the environment name it."""
    account, urls = account_of(settings), settings.venue.testnet
    return Deployment(
        account.rest_url,
        f"{urls.stream_url}/stream",
        f"{urls.api_url}?returnRateLimits=false",
        account.api_key,
        account.api_secret,
        more_rest_urls=urls.more_rest_urls,
    )


@asynccontextmanager
async def opened(
    settings: Settings, deployment: Deployment, symbol: str, expected: Record | None
) -> AsyncIterator[Desk]:
    """A desk at a venue, its clock set and the symbol's rules read."""
    clock, venue = LiveClock(), settings.venue
    signer, venue_clock = Signer(deployment.api_key, deployment.api_secret), VenueClock(LiveClock())
    budget = make_budget(settings, deployment, clock, venue_clock)
    try:
        async with RestClient(
            deployment.rest_url,
            signer,
            clock,
            timeout_s=venue.request_timeout_s,
            receive_window_ms=venue.receive_window_ms,
            more_urls=deployment.more_rest_urls,
            budget=budget,
            venue_clock=venue_clock,
        ) as rest:
            await rest.synchronise_clock()
            async with RawSocket(
                deployment.api_url,
                signer,
                rest.timestamp_ms,
                timeout_s=venue.request_timeout_s,
                window_ms=venue.receive_window_ms,
            ) as socket:
                desk = Desk(rest, socket, symbol, expected)
                await desk.begin()
                yield desk
    finally:
        budget.ledger.close()
