"""Who may ask: API keys and their permissions, signatures over the text as sent, and the receive window."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import msgspec

from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.signatures import KeyKind, is_signed_by, sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bnml.venues.sim.params import Params

__all__ = [
    "ApiKey",
    "KeyKind",
    "KeyRing",
    "check_time",
    "read_request",
    "receive_window_ms",
    "rest_payload",
    "sign",
    "socket_payload",
]

DEFAULT_WINDOW_MS: Final = 5_000
MAX_WINDOW_MS: Final = 60_000
AHEAD_MS: Final = 1_000
_MICROSECONDS_FROM: Final = 10**14
_WINDOW: Final = re.compile(r"^[0-9]{1,5}(\.[0-9]{1,3})?$")
INVALID_SIGNATURE: Final = "Signature for this request is not valid."
NOT_PERMITTED: Final = "Invalid API-key, IP, or permissions for action."
_API_KEY: Final = re.compile(r"^[A-Za-z0-9]{64}$")
_SIGNATURE: Final = re.compile(r"^[A-Za-z0-9+/=]{1,512}$")


class ApiKey(msgspec.Struct, frozen=True, gc=False):
    """A key, the account it opens and what it may do there.

    `secret` is shared with the owner (HMAC), or the owner's public key (PEM). Without `addresses` it may be
    used from anywhere.
    """

    api_key: str
    secret: str
    account: str
    kind: KeyKind = KeyKind.HMAC
    reading: bool = True
    trading: bool = True
    addresses: tuple[str, ...] = ()
    created_ms: int = 0


def split_pairs(text: str) -> list[tuple[str, str]]:
    """The name=value pairs of a query or form text, percent-decoded, in the order sent."""
    pairs = (part.partition("=") for part in text.split("&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def read_request(query: str, body: str) -> dict[str, str]:
    """Parameters of query and body together; the query wins, a name twice in one place is -1101."""
    values: dict[str, str] = {}
    for text in (body, query):
        pairs = split_pairs(text)
        if len({name for name, _ in pairs}) != len(pairs):
            raise VenueReject(-1101, "Duplicate values for a parameter detected.")
        values.update(pairs)
    return values


def rest_payload(query: str, body: str) -> bytes:
    """What a REST client signs: query and body as sent, without separator and without the signature.

    What is not ASCII had to be percent-encoded before it was signed: else no signature can be right (-1022).
    """
    text = "".join(_unsigned(text) for text in (query, body))
    if not text.isascii():
        raise VenueReject(-1022, INVALID_SIGNATURE)
    return text.encode()


def _unsigned(text: str) -> str:
    return "&".join(part for part in text.split("&") if not part.startswith("signature="))


def socket_payload(values: Mapping[str, str]) -> bytes:
    """What a WebSocket API client signs: all parameters sorted by name, in UTF-8 and not encoded."""
    text = "&".join(f"{name}={values[name]}" for name in sorted(values) if name != "signature")
    return text.encode("utf-8", "surrogatepass")


class KeyRing:
    """The keys that this exchange knows."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.api_key: key for key in keys}

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self._keys.values())

    def knows(self, api_key: str) -> bool:
        """Whether the key is one of ours."""
        return api_key in self._keys

    def add(self, key: ApiKey) -> None:
        """Make a key valid, or give a valid one other permissions."""
        self._keys[key.api_key] = key

    def remove(self, api_key: str) -> bool:
        """Make a key invalid; False if it was."""
        return self._keys.pop(api_key, None) is not None

    def find(self, api_key: str | None) -> ApiKey:
        """The key of a request; a missing or misshapen one is -2014, an unknown one -2015."""
        key = self._keys.get(api_key or "")
        if key is not None:
            return key
        if not api_key or not _API_KEY.fullmatch(api_key):
            raise VenueReject(-2014, "API-key format invalid.")
        raise VenueReject(-2015, NOT_PERMITTED)

    def permit(self, key: ApiKey, address: str, *, trading: bool) -> None:
        """Refuse what the owner of the key has not allowed it: -2015."""
        allowed = key.trading if trading else key.reading
        if not allowed or (key.addresses and address not in key.addresses):
            raise VenueReject(-2015, NOT_PERMITTED)

    def verify(self, key: ApiKey, params: Params, payload: bytes, now_ms: float) -> None:
        """Check time and signature of one request, in the order in which Binance complains."""
        timestamp = params.integer("timestamp")
        window_ms = receive_window_ms(params)
        given = params.text("signature")
        check_time(timestamp, window_ms, now_ms)
        if not _SIGNATURE.fullmatch(given):
            raise VenueReject(
                -1100,
                f"Illegal characters found in parameter 'signature'; legal range is '{_SIGNATURE.pattern}'.",
            )
        if not is_signed_by(key.kind, key.secret, given, payload):
            raise VenueReject(-1022, INVALID_SIGNATURE)


def receive_window_ms(params: Params) -> float:
    """`recvWindow`: at most 60,000 ms, up to three decimals."""
    text = params.optional("recvWindow")
    if text is None:
        return DEFAULT_WINDOW_MS
    if not _WINDOW.fullmatch(text):
        raise VenueReject(
            -1100,
            f"Illegal characters found in parameter 'recvWindow'; legal range is '{_WINDOW.pattern}'.",
        )
    if float(text) > MAX_WINDOW_MS:
        raise VenueReject(-1131, "recvWindow must be less than 60000.")
    return float(text)


def check_time(timestamp: int, window_ms: float, now_ms: float) -> None:
    """Refuse a request that comes from the future or is older than its window; microseconds are understood."""
    if sent_ms(timestamp) >= now_ms + AHEAD_MS:
        raise VenueReject(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    check_age(timestamp, window_ms, now_ms)


def check_age(timestamp: int, window_ms: float, now_ms: float) -> None:
    """Refuse a request that is older than its window; asked again right before the matching engine."""
    if now_ms - sent_ms(timestamp) > window_ms:
        raise VenueReject(-1021, "Timestamp for this request is outside of the recvWindow.")


def sent_ms(timestamp: int) -> float:
    """A timestamp in milliseconds, given in milliseconds or microseconds."""
    return timestamp / 1_000 if timestamp >= _MICROSECONDS_FROM else timestamp
