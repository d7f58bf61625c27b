"""Controls of accounts under `/sim/`: accounts and their keys, deposits, the ledger, and a new beginning."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from bnml.core.instrument import money_e8, plain
from bnml.venues.sim.access import make_key
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.signatures import KeyKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.venues.sim.signing import ApiKey
    from bnml.venues.sim.venue import Venue

Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.-]{1,40}$")]
Asset = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{1,20}$")]
Amount = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,8})?$")]
Change = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,8})?$")]
_ZERO: Final = (0, 0)


class DepositRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /sim/deposit`: a decimal amount; negative withdraws."""

    asset: Asset
    amount: Change
    account: str = ACCOUNT


class AccountRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`POST /sim/accounts`: open an account, or freeze and thaw one."""

    account: Name
    balances: dict[Asset, Amount] = {}
    can_trade: bool | None = None


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`POST /sim/keys`: make a key, or with `apiKey` change what one may do."""

    account: str = ACCOUNT
    api_key: str = ""
    kind: KeyKind = KeyKind.HMAC
    public_key: str = ""
    reading: bool = True
    trading: bool = True
    addresses: tuple[str, ...] = ()


class RemoveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`DELETE /sim/keys`."""

    api_key: str


class ResetRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /sim/reset`: the balances that the account begins anew with."""

    balances: dict[Asset, Amount]
    account: str = ACCOUNT


def account_routes(venue: Venue) -> dict[tuple[str, str], Callable[[bytes], dict[str, Any]]]:
    """Handlers by method and path."""
    return {
        ("POST", "/sim/deposit"): partial(_deposit, venue),
        ("GET", "/sim/accounts"): partial(_accounts, venue),
        ("POST", "/sim/accounts"): partial(_open, venue),
        ("POST", "/sim/keys"): partial(_key, venue),
        ("DELETE", "/sim/keys"): partial(_remove, venue),
        ("GET", "/sim/ledger"): partial(_ledger, venue),
        ("POST", "/sim/reset"): partial(_reset, venue),
    }


def _deposit(venue: Venue, body: bytes) -> dict[str, Any]:
    wanted = msgspec.json.decode(body, type=DepositRequest)
    _known(venue, wanted.account)
    venue.begin_request()
    venue.exchange.deposit(wanted.account, wanted.asset, money_e8(wanted.amount))
    venue.settle_request()
    return {"account": wanted.account, "asset": wanted.asset, "amount": wanted.amount}


def _accounts(venue: Venue, _body: bytes) -> dict[str, Any]:
    return {"accounts": [_account(venue, name) for name in venue.exchange.read.accounts()]}


def _account(venue: Venue, name: str) -> dict[str, Any]:
    return {
        "account": name,
        "uid": venue.access.number(name),
        "canTrade": not venue.access.is_frozen(name),
        "keys": [_shown(key) for key in venue.access.keys_of(name)],
    }


def _shown(key: ApiKey) -> dict[str, Any]:
    """A key without what only its owner may know."""
    return {
        "apiKey": key.api_key,
        "kind": key.kind,
        "reading": key.reading,
        "trading": key.trading,
        "addresses": key.addresses,
    }


def _open(venue: Venue, body: bytes) -> dict[str, Any]:
    """A new account with a first key; an existing one is changed where the request says so."""
    wanted = msgspec.json.decode(body, type=AccountRequest)
    balances = {asset: money_e8(amount) for asset, amount in wanted.balances.items()}
    is_new = venue.exchange.open_account(wanted.account, balances)
    if not is_new and balances:
        raise VenueReject(
            -1130, f"account {wanted.account} exists; use /sim/deposit, or /sim/reset for new balances"
        )
    if wanted.can_trade is not None:
        venue.access.freeze(wanted.account, frozen=not wanted.can_trade)
    if not is_new:
        return _account(venue, wanted.account)
    key, secret = make_key(wanted.account, KeyKind.HMAC, "", venue.wall_ms())
    venue.access.add_key(key)
    return {**_account(venue, wanted.account), "apiKey": key.api_key, "secret": secret}


def _key(venue: Venue, body: bytes) -> dict[str, Any]:
    wanted = msgspec.json.decode(body, type=KeyRequest)
    secret = ""
    if wanted.api_key:
        key = next((one for one in venue.keys if one.api_key == wanted.api_key), None)
        if key is None:
            raise VenueReject(-2015, "this exchange has no such key")
    else:
        _known(venue, wanted.account)
        key, secret = make_key(wanted.account, wanted.kind, wanted.public_key, venue.wall_ms())
    key = msgspec.structs.replace(
        key, reading=wanted.reading, trading=wanted.trading, addresses=wanted.addresses
    )
    venue.access.add_key(key)
    shown = {"account": key.account, **_shown(key)}
    if not secret:
        return shown
    return {**shown, "secret" if key.kind is KeyKind.HMAC else "privateKey": secret}


def _remove(venue: Venue, body: bytes) -> dict[str, Any]:
    """Make a key invalid; user streams of an account without any key end."""
    wanted = msgspec.json.decode(body, type=RemoveRequest)
    account = next((key.account for key in venue.keys if key.api_key == wanted.api_key), "")
    venue.access.remove_key(wanted.api_key)
    if not venue.access.keys_of(account):
        venue.users.close_account(account, venue.now_ns)
    return {"removed": wanted.api_key}


def _ledger(venue: Venue, _body: bytes) -> dict[str, Any]:
    """Everything that every account has, has open and has paid."""
    read = venue.exchange.read
    return {
        "marketTsNs": venue.now_ns,
        "accounts": {
            name: {
                "balances": {
                    asset: {"free": plain(free), "locked": plain(locked)}
                    for asset, (free, locked) in read.account(name).balances.items()
                },
                "commissions": {asset: plain(paid) for asset, paid in read.commissions(name).items()},
                "openOrders": [venue.account_payloads.order(order) for order in read.open_orders(name)],
                "openLists": [
                    venue.account_payloads.order_list(one) for one in read.lists(name, open_only=True)
                ],
            }
            for name in read.accounts()
        },
    }


def _reset(venue: Venue, body: bytes) -> dict[str, Any]:
    """Cancel all orders, pay in or out to the balances asked for, and empty the rate windows."""
    wanted = msgspec.json.decode(body, type=ResetRequest)
    _known(venue, wanted.account)
    venue.begin_request()
    exchange = venue.exchange
    for symbol in {order.symbol for order in exchange.read.open_orders(wanted.account)}:
        exchange.cancel_all(wanted.account, symbol)
    held = exchange.read.account(wanted.account).balances
    for asset in sorted({*held, *wanted.balances}):
        change_e8 = money_e8(wanted.balances.get(asset, "0")) - held.get(asset, _ZERO)[0]
        if change_e8:
            exchange.deposit(wanted.account, asset, change_e8)
    venue.settle_request()
    venue.limits.forget()
    return _account(venue, wanted.account)


def _known(venue: Venue, account: str) -> None:
    if account not in venue.exchange.read.accounts():
        raise VenueReject(-1130, f"there is no account {account!r}; POST /sim/accounts opens one")
