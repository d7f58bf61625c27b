"""The way to the venue for commands that do without the daemon: addresses and key of the state folder's account."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bnml.app.hardening import harden
from bnml.app.limits import commanders_budget
from bnml.app.logs import logger
from bnml.app.patience import patiently
from bnml.app.sim_process import SimProcess, exchange_folder
from bnml.config import load_credentials
from bnml.core.clock import LiveClock
from bnml.core.errors import BnmlError, Misconfigured, Rejected, Retryable
from bnml.journal.reader import JournalReader
from bnml.journal.schema import JOURNAL_FILE
from bnml.venues.binance.budget import Lane, WeightBudget
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue_clock import VenueClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bnml.config import Settings
    from bnml.core.clock import Clock


class Account(msgspec.Struct, frozen=True):
    """Where an account is, and its key."""

    rest_url: str
    api_key: str
    api_secret: str
    more_rest_urls: tuple[str, ...] = ()


def check_venue(settings: Settings) -> None:
    """Refuse to look for what is held at another venue than that of the state folder, and to call it gone."""
    state_dir = settings.app.state_dir
    try:
        with JournalReader(state_dir / JOURNAL_FILE) as journal:
            belongs = journal.session().header.venue
    except (BnmlError, OSError, sqlite3.Error, ValueError):
        return  # a journal that cannot be read says nothing
    if belongs != settings.venue.kind:
        raise Rejected(
            f"the state folder {state_dir} belongs to --venue {belongs}, and this would look at {settings.venue.kind}; "
            f"add --venue {belongs}"
        )


def account_of(settings: Settings) -> Account:
    """Of `venue.kind`: the running embedded exchange of the state folder, or Binance with the key of the environment."""
    kind = settings.venue.kind
    if kind in {"sim", "paper"}:
        found = SimProcess(exchange_folder(settings)).running()
        if found is None:
            raise Retryable(
                f"the embedded exchange of {settings.app.state_dir} is not running; start it with `bnml exchange`, "
                "nothing moves there meanwhile"
            )
        return Account(f"http://127.0.0.1:{found.port}", found.api_key, found.secret)
    credentials = load_credentials()
    if not credentials.present:
        raise Rejected(
            f"--venue {kind} needs an API key; set BINANCE_API_KEY and BINANCE_API_SECRET, or use systemd's LoadCredential"
        )
    urls = settings.venue.testnet if kind == "testnet" else settings.venue.live
    return Account(
        urls.rest_url,
        credentials.api_key.get_secret_value(),
        credentials.api_secret.get_secret_value(),
        urls.others("rest_url"),
    )


@asynccontextmanager
async def direct(settings: Settings, *, waits: bool = True) -> AsyncIterator[RestClient]:
    """A REST client of that account, its clock set; the limits and bans are those that the daemon has met.

    Unless it `waits`, a ban or an outage is a Retryable at once: whoever has to tell somebody must not stand still.
    """
    harden()
    account, clock = account_of(settings), LiveClock()
    venue_clock = VenueClock(clock)
    budget = _budget(settings, account, clock, venue_clock)
    try:
        if budget.banned_s and not waits:
            raise Retryable(
                f"the venue has banned this address for {budget.banned_s:.0f} s more; nothing may be asked before",
                retry_after_s=budget.banned_s,
            )
        async with RestClient(
            account.rest_url,
            Signer(account.api_key, account.api_secret),
            clock,
            timeout_s=settings.venue.request_timeout_s,
            receive_window_ms=settings.venue.receive_window_ms,
            more_urls=account.more_rest_urls,
            budget=budget,
            venue_clock=venue_clock,
        ) as rest:
            measure = partial(rest.synchronise_clock, Lane.EXIT)
            await (patiently(measure) if waits else measure())
            yield rest
    finally:
        budget.ledger.close()


def _budget(settings: Settings, account: Account, clock: Clock, venue_clock: VenueClock) -> WeightBudget:
    """What all processes of this address share; whoever cannot read that still has to get out."""
    try:
        return commanders_budget(settings, account.rest_url, account.api_key, clock, venue_clock)
    except Misconfigured as error:
        logger().warning("limits_not_shared", error=str(error))
        return WeightBudget(clock, venue_ms=venue_clock.now_ms)
