"""The limits of one address, with the ledger that other processes share: made from the settings."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import yarl

from bnml.app.logs import logger
from bnml.app.preflight import is_loopback
from bnml.core.errors import Misconfigured
from bnml.venues.binance.budget import ENTRY_PATIENCE_S, Ledger, WeightBudget
from bnml.venues.binance.shared_numbers import SharedNumbers
from bnml.venues.binance.succession import NEVER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.app.deployment import Deployment
    from bnml.config import Settings
    from bnml.core.clock import Clock
    from bnml.venues.binance.venue_clock import VenueClock

ADDRESS_NUMBERS = 3
LASTING_TEMPORARY = Path("/var/tmp")  # noqa: S108 - for a user without a home; unlike /tmp it outlives a reboot
ACCOUNT_NUMBERS = 5
JITTER = 0.02  # of a connection's age at which it is replaced: many sockets must not do so at once


def make_budget(
    settings: Settings, deployment: Deployment, clock: Clock, venue_clock: VenueClock
) -> WeightBudget:
    """The budget of a deployment; what is known of bans and used weight comes from the ledger."""
    return _budget(
        settings,
        open_ledger(settings, deployment),
        clock,
        venue_clock,
        NEVER_S if deployment.stepper is not None else ENTRY_PATIENCE_S,
    )


def commanders_budget(
    settings: Settings, rest_url: str, api_key: str, clock: Clock, venue_clock: VenueClock
) -> WeightBudget:
    """Of a command that acts on the account itself: it shares what the daemon of that key has used and met."""
    return _budget(settings, _files(settings, rest_url, api_key), clock, venue_clock, ENTRY_PATIENCE_S)


def _budget(
    settings: Settings, ledger: Ledger, clock: Clock, venue_clock: VenueClock, entry_patience_s: float
) -> WeightBudget:
    budget = WeightBudget(
        clock,
        ledger=ledger,
        venue_ms=venue_clock.now_ms,
        is_scaled=settings.venue.kind == "sim",
        jitter=Random(os.getpid()).random,  # noqa: S311 - spreads processes, keeps no secret
        entry_patience_s=entry_patience_s,
    )
    if budget.banned_s:
        logger().error(
            "address_banned",
            seconds=round(budget.banned_s),
            note="the venue banned this address in an earlier session; nothing is sent before that is over",
        )
    return budget


def readers_budget(settings: Settings, rest_url: str, clock: Clock) -> WeightBudget:
    """Of a process beside the daemon that only reads: it shares the address, and an exchange here with nobody."""
    return WeightBudget(clock, ledger=Ledger() if is_loopback(rest_url) else _files(settings, rest_url, ""))


def open_ledger(settings: Settings, deployment: Deployment) -> Ledger:
    """Files by host and by account; a stepped session shares with nobody."""
    if deployment.stepper is not None:
        return Ledger()
    return _files(settings, deployment.rest_url, deployment.api_key)


def _files(settings: Settings, rest_url: str, api_key: str) -> Ledger:
    folder = budget_folder(settings, rest_url)
    url = yarl.URL(rest_url)
    host = f"{url.host}-{url.port}" if is_loopback(rest_url) else str(url.host)
    account = hashlib.sha256(api_key.encode()).hexdigest()[:12]
    try:
        return Ledger(
            SharedNumbers(folder / f"{host}.limits", ADDRESS_NUMBERS),
            SharedNumbers(folder / f"{host}-{account}.limits", ACCOUNT_NUMBERS),
        )
    except OSError as error:
        raise Misconfigured(
            f"venue.budget_dir: the limits' ledger in {folder} cannot be opened ({error.strerror}); "
            "name a folder that this user may write, the same for all daemons of this machine"
        ) from error


def budget_folder(settings: Settings, rest_url: str) -> Path:
    """Where the ledger lies: one place for all daemons of a user, the state folder for an exchange on this machine."""
    if settings.venue.budget_dir:
        return Path(settings.venue.budget_dir)
    if is_loopback(rest_url):
        return settings.app.state_dir / "limits"
    units = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if units:  # of systemd: its temporary folder is each unit's own, and gone with each stop
        return Path(units) / "limits"
    return _users_folder()


def _users_folder() -> Path:
    """Among the user's state, which outlives logout and reboot as a ban does: for up to three days."""
    roots = [Path(os.environ.get("XDG_STATE_HOME", ""))]
    with suppress(RuntimeError):  # a user whom no list of users knows
        roots.append(Path.home() / ".local" / "state")
    folders = [root / "bnml" / "limits" for root in roots if root.is_absolute()]  # else to be ignored
    return next(filter(_is_ours, folders), LASTING_TEMPORARY / f"bnml-limits-{os.getuid()}")


def _is_ours(folder: Path) -> bool:
    """Whether it can be made and written; root, who can do so everywhere, would leave there what its user cannot open."""
    try:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        is_writable = os.access(there, os.W_OK | os.X_OK)
        return is_writable and there != Path("/") and (os.geteuid() != 0 or there.stat().st_uid == 0)
    except OSError:  # not even to be looked at
        return False


def time_scale(settings: Settings) -> float:
    """How many times as fast as on Binance connections live."""
    return settings.venue.sim.socket_time_scale if settings.venue.kind in {"sim", "paper"} else 1.0


def rotation(settings: Settings, deployment: Deployment) -> Callable[[], float] | None:
    """Age at which a connection is replaced, drawn anew for each; None in a stepped session, whose sockets count."""
    if deployment.stepper is not None:
        return None
    age_s = settings.venue.rotate_after_s / time_scale(settings)
    dice = Random(os.getpid())  # noqa: S311 - as above
    return lambda: age_s * (1 - JITTER * dice.random())
