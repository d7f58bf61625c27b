"""What an API key may do: refused with the right to withdraw, watched for its end, changed without touching a stop."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.access import ACCESS
from bnml.app.accounting import compare_balances
from bnml.app.logs import logger
from bnml.app.patience import patiently
from bnml.core.clock import NS_PER_DAY, NS_PER_MS, LiveClock, format_utc
from bnml.core.errors import AccessRefused, Misconfigured, Rejected, Retryable
from bnml.core.orders import OrderState
from bnml.trading.guarding import ACTIVE, REDUCING
from bnml.venues.binance.reports import balances_of
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer

if TYPE_CHECKING:
    from bnml.app.compose import Parts
    from bnml.config import Settings

RESTRICTIONS: Final = "/sapi/v1/account/apiRestrictions"
FILES: Final = ("binance_api_key", "binance_api_secret")
EXPIRES_SOON_NS: Final = 7 * NS_PER_DAY
LOOK_EVERY_S: Final = 3600.0
LOOK_SOON_S: Final = 60.0
RESTING: Final = frozenset({OrderState.OPEN, OrderState.PARTLY_FILLED})
KEY: Final = "key"
"""Of the guard that stands while what the key may do could not be read."""
RIGHTS: Final = "key_rights"
"""Of the guard that stands while the key may do what a start refuses."""
WAY_OUT: Final = "take that right from the key at the venue, or `bnml keys rotate`"

Told = dict[str, int]
"""When each finding was told of last, by the wall clock: once a day is enough."""


class NotTold(Rejected):
    """The venue does not say what a key may do: a start may refuse that, a running daemon has learned nothing."""


class Restrictions(msgspec.Struct, rename="camel"):
    """The venue's answer about a key; a right that it does not name is not there, but for the one that all have."""

    enable_spot_and_margin_trading: bool
    ip_restrict: bool = False
    enable_withdrawals: bool = False
    enable_internal_transfer: bool = False
    permits_universal_transfer: bool = False
    trading_authority_expiration_time: int = 0  # ms; 0 = it does not end


class _Uid(msgspec.Struct):
    uid: int = 0


async def check_key(rest: RestClient, settings: Settings, now_ns: int, told: Told | None = None) -> None:
    """Refuse a key that can take money out or cannot trade; warn of one without addresses, or that ends soon."""
    try:
        found = msgspec.json.decode(await rest.read(RESTRICTIONS, {}), type=Restrictions)
    except Retryable:
        raise
    except (Rejected, ValueError) as error:
        if settings.venue.key_permissions_unverified == "accept":
            logger().warning("key_permissions_unverified", note="accepted by the configuration")
            return
        raise NotTold(
            f"this venue does not tell what the API key may do ({error}); make sure that it cannot withdraw, then set "
            "venue.key_permissions_unverified to accept"
        ) from error
    if found.enable_withdrawals:
        raise Rejected(
            "the API key may withdraw; give one that only reads and trades spot, and delete this one"
        )
    if not found.enable_spot_and_margin_trading:
        raise Rejected("the API key may not trade spot; allow it at the venue, or give another one")
    _warn(found, now_ns, {} if told is None else told)


def _warn(found: Restrictions, now_ns: int, told: Told) -> None:
    """What is no reason to refuse a key, each at most once a day."""

    def is_due(name: str) -> bool:
        if now_ns - told.get(name, -NS_PER_DAY) < NS_PER_DAY:
            return False
        told[name] = now_ns
        return True

    transfers = found.enable_internal_transfer or found.permits_universal_transfer
    if transfers and is_due("transfer"):
        logger().warning("key_may_transfer", note="take that right from the key at the venue")
    if not found.ip_restrict and is_due("addresses"):
        logger().warning(
            "key_without_addresses", note="restrict the key to this machine's address at the venue"
        )
    ends_ns = found.trading_authority_expiration_time * NS_PER_MS
    if ends_ns and ends_ns - now_ns < EXPIRES_SOON_NS and is_due("end"):
        logger().error("key_ends_soon", ends=format_utc(ends_ns), way_out="`bnml keys rotate` before that")


async def check_at_start(parts: Parts, told: Told) -> None:
    """Nothing begins with a key of unknown rights; what is held does not wait for that read, only entries do."""
    check = partial(check_key, parts.venue.rest, parts.settings, parts.clock.now_ns(), told)
    holds = bool(parts.engine.portfolio.positions)
    try:
        await (check() if holds else patiently(check))
    except Retryable as error:
        if not holds or isinstance(error, AccessRefused):
            raise
        parts.guards.report(KEY, REDUCING, f"what the API key may do is not known yet ({error})")
    else:
        _is_good(parts)


async def watch_key(parts: Parts, told: Told) -> None:
    """Look again each hour: rights change, and ends come near. Each minute while they are not known, or too many.

    A key that could take the money out, which somebody may have made so on purpose, buys nothing more; what is held
    keeps its stops and its exits, which such a key serves as well as any other.
    """
    guards = parts.guards
    while True:
        is_good = guards.level(KEY) == guards.level(RIGHTS) == ACTIVE
        await asyncio.sleep(LOOK_EVERY_S if is_good else LOOK_SOON_S)
        await parts.venue.rest.signer.usable()
        try:
            await check_key(parts.venue.rest, parts.settings, parts.clock.now_ns(), told)
        except NotTold as error:
            logger().warning("key_not_looked_at", error=str(error))
        except Rejected as error:
            if guards.level(RIGHTS) == ACTIVE:
                logger().critical("key_not_acceptable", cause=str(error), way_out=WAY_OUT)
            guards.report(RIGHTS, REDUCING, f"{error}; {WAY_OUT}")
        except Retryable as error:
            logger().debug("key_not_looked_at", error=str(error))
        else:
            _is_good(parts)


def _is_good(parts: Parts) -> None:
    for guard in (KEY, RIGHTS):
        parts.guards.report(guard, ACTIVE)


async def rotate(parts: Parts, folder: Path) -> str:
    """Prove the key in a folder of credentials and go over to it; returns what to tell the operator.

    The user stream is handed over make before break, the old key is forgotten, nothing that rests is touched.
    Raises by the error tree and keeps the old key when anything about the new one is wrong.
    """
    api_key, api_secret = await asyncio.to_thread(read_credentials, folder)
    rest, settings = parts.venue.rest, parts.settings
    if api_key == rest.signer.api_key and not rest.signer.lost:
        raise Rejected(f"{folder} holds the key that is in use")
    candidate = RestClient(
        parts.deployment.rest_url,
        Signer(api_key, api_secret),
        LiveClock(),
        timeout_s=settings.venue.request_timeout_s,
        receive_window_ms=settings.venue.receive_window_ms,
        budget=rest.budget,
        venue_clock=rest.clock,
    )
    async with candidate:
        await check_key(candidate, settings, parts.clock.now_ns())
        uid = await _uid(candidate)
        if rest.signer.lost or not uid:  # not every venue tells whose account it is
            await _same_orders(parts, candidate)
        elif uid != await _uid(rest):
            raise Rejected("the new key belongs to another account; positions and stops are on the old one")
    rest.signer.use(api_key, api_secret)
    _is_good(parts)
    parts.guards.report(ACCESS, ACTIVE)  # the connection is handed over without a break that would say so
    if parts.deployment.control is not None:
        parts.deployment.control.use(api_key)
    parts.venue.api.replace()
    logger().warning("key_rotated", ends_with=api_key[-4:])
    return f"the key ending in {api_key[-4:]} is in use; delete the old one at the venue"


async def _same_orders(parts: Parts, candidate: RestClient) -> None:
    """The old key cannot tell its account any more: a resting order of ours must be there, or else what we hold."""
    known = [order for order in parts.engine.book.open() if order.state in RESTING]
    if not known:
        body = await candidate.read("/api/v3/account", {"omitZeroBalances": "true"})
        if compare_balances(parts.engine.state.ledger.totals, balances_of(body, 0)):
            raise Rejected(
                "the new key's account does not hold what the ledger says, and no order of ours rests that would show "
                "whose it is; if money was moved meanwhile, stop the daemon and start it with the new key"
            )
        return
    params = {"symbol": known[0].symbol, "origClientOrderId": known[0].client_order_id}
    try:
        await candidate.read("/api/v3/order", params)
    except Rejected as error:
        raise Rejected(
            f"the new key does not show our order {known[0].client_order_id}: it belongs to another account"
        ) from error


def read_credentials(folder: Path) -> tuple[str, str]:
    """Key and secret from a folder laid out as systemd's credentials; Misconfigured without them."""
    found = []
    for name in FILES:
        try:
            found.append((folder / name).read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(
                f"{folder / name} cannot be read ({error}); name a folder with the files {' and '.join(FILES)} that the "
                "daemon's user may read"
            ) from error
    if not all(found):
        raise Misconfigured(f"a file of {folder} is empty; both {' and '.join(FILES)} are needed")
    return found[0], found[1]


async def _uid(rest: RestClient) -> int:
    body = await rest.read("/api/v3/account", {"omitZeroBalances": "true"})
    return msgspec.json.decode(body, type=_Uid).uid
