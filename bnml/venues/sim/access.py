"""Who has an account and which keys, what is closed to whom; kept with the ledger, so that a restart knows it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.signatures import KeyKind, new_ed25519_pair, public_pem
from bnml.venues.sim.signing import ApiKey, KeyRing

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_BYTES: Final = 32
_NOTE: Final = "access"


class Notes(Protocol):
    """Where small texts outlive the process."""

    def note(self, name: str, text: str | None = None) -> str | None:
        """Read, or first write, a text."""
        ...


class Remembered(msgspec.Struct):
    """What is written down; times in milliseconds of market time."""

    keys: dict[str, ApiKey] = {}
    removed: set[str] = set()
    numbers: dict[str, int] = {}  # uid by account
    frozen: set[str] = set()  # accounts that may not trade
    statuses: dict[str, str] = {}  # by symbol, where it is not as listed
    delistings: dict[str, int] = {}  # by symbol


class Access:
    """Accounts' numbers and keys, frozen accounts, switched symbols and the delist schedule."""

    def __init__(self, keys: Iterable[ApiKey] = (), notes: Notes | None = None) -> None:
        self._notes = notes
        text = notes.note(_NOTE) if notes is not None else None
        self._kept = Remembered() if text is None else msgspec.json.decode(text, type=Remembered)
        known = {key.api_key: key for key in keys} | self._kept.keys
        self.keys = KeyRing(key for key in known.values() if key.api_key not in self._kept.removed)
        self.in_maintenance = False

    @property
    def statuses(self) -> dict[str, str]:
        """Symbol status by symbol, where it was switched."""
        return self._kept.statuses

    @property
    def delistings(self) -> dict[str, int]:
        """When symbols stop trading, in milliseconds of market time."""
        return self._kept.delistings

    def number(self, account: str) -> int:
        """The account's uid."""
        found = self._kept.numbers.get(account)
        if found is None:
            found = self._kept.numbers[account] = len(self._kept.numbers) + 1
            self._save()
        return found

    def is_frozen(self, account: str) -> bool:
        """Whether the account may not place or cancel orders."""
        return account in self._kept.frozen

    def freeze(self, account: str, *, frozen: bool) -> None:
        """Forbid or allow an account to trade."""
        (self._kept.frozen.add if frozen else self._kept.frozen.discard)(account)
        self._save()

    def keys_of(self, account: str) -> list[ApiKey]:
        """The valid keys of an account."""
        return [key for key in self.keys if key.account == account]

    def add_key(self, key: ApiKey) -> None:
        """Make a key valid, or change what a valid one may do."""
        self.keys.add(key)
        self._kept.keys[key.api_key] = key
        self._kept.removed.discard(key.api_key)
        self._save()

    def remove_key(self, api_key: str) -> None:
        """Make a key invalid; -2015 when it is none."""
        if not self.keys.remove(api_key):
            raise VenueReject(-2015, "this exchange has no such key")
        self._kept.keys.pop(api_key, None)
        self._kept.removed.add(api_key)
        self._save()

    def note_status(self, symbol: str, status: str) -> None:
        """Remember a switched status over a restart."""
        self._kept.statuses[symbol] = status
        self._save()

    def schedule(self, symbol: str, ts_ms: int | None) -> None:
        """Set, move or (None) call off a delisting."""
        if ts_ms is None:
            self._kept.delistings.pop(symbol, None)
        else:
            self._kept.delistings[symbol] = ts_ms
        self._save()

    def _save(self) -> None:
        if self._notes is not None:
            self._notes.note(_NOTE, msgspec.json.encode(self._kept).decode())


def make_key(account: str, kind: KeyKind, public_key: str, created_ms: int) -> tuple[ApiKey, str]:
    """A new key, and what only its owner keeps: the secret, the private key made for it, or nothing."""
    api_key = secrets.token_hex(KEY_BYTES)
    if kind is KeyKind.HMAC:
        secret = secrets.token_hex(KEY_BYTES)
        return ApiKey(api_key, secret, account, kind, created_ms=created_ms), secret
    private = ""
    if not public_key:
        if kind is KeyKind.RSA:
            raise VenueReject(-1102, "an RSA key needs publicKey, in PEM")
        private, public_key = new_ed25519_pair()
    try:
        pem = public_pem(kind, public_key)
    except ValueError as error:
        raise VenueReject(-1130, f"publicKey: {error}; send it in PEM") from error
    return ApiKey(api_key, pem, account, kind, created_ms=created_ms), private
