"""The way to the venue for commands that do without the daemon: addresses and key of the state folder's account."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from bnml.app.sim_process import SimProcess, exchange_folder
from bnml.config import load_credentials
from bnml.core.clock import LiveClock
from bnml.core.errors import Rejected, Retryable
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bnml.config import Settings


class Account(msgspec.Struct, frozen=True):
    """Where an account is, and its key."""

    rest_url: str
    api_key: str
    api_secret: str


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
        urls.rest_url, credentials.api_key.get_secret_value(), credentials.api_secret.get_secret_value()
    )


@asynccontextmanager
async def direct(settings: Settings) -> AsyncIterator[RestClient]:
    """A REST client of that account, its clock set."""
    account = account_of(settings)
    async with RestClient(
        account.rest_url,
        Signer(account.api_key, account.api_secret),
        LiveClock(),
        timeout_s=settings.venue.request_timeout_s,
        receive_window_ms=settings.venue.receive_window_ms,
    ) as rest:
        await rest.synchronise_clock()
        yield rest
