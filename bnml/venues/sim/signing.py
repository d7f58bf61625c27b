"""Who may ask: API keys, HMAC-SHA256 signatures over the text as sent, and the receive window."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import msgspec

from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.venues.sim.params import Params

DEFAULT_WINDOW_MS: Final = 5_000
MAX_WINDOW_MS: Final = 60_000
AHEAD_MS: Final = 1_000
_MICROSECONDS_FROM: Final = 10**14
_WINDOW: Final = re.compile(r"^[0-9]{1,5}(\.[0-9]{1,3})?$")
_SIGNATURE: Final = re.compile(r"^[A-Za-z0-9+/=]{1,512}$")


class ApiKey(msgspec.Struct, frozen=True, gc=False):
    """A key pair and the account it opens."""

    api_key: str
    secret: str
    account: str


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
    """What a REST client signs: query and body as sent, without separator and without the signature."""
    return "".join(_unsigned(text) for text in (query, body)).encode()


def _unsigned(text: str) -> str:
    return "&".join(part for part in text.split("&") if part and not part.startswith("signature="))


def socket_payload(values: Mapping[str, str]) -> bytes:
    """What a WebSocket API client signs: all parameters sorted by name, not encoded."""
    return "&".join(f"{name}={values[name]}" for name in sorted(values) if name != "signature").encode()


def sign(secret: str, payload: bytes) -> str:
    """HMAC-SHA256 in lower-case hexadecimal."""
    return hmac.digest(secret.encode(), payload, hashlib.sha256).hex()


class KeyRing:
    """The keys that this exchange knows."""

    def __init__(self, keys: list[ApiKey]) -> None:
        self._keys = {key.api_key: key for key in keys}

    def knows(self, api_key: str) -> bool:
        """Whether the key is one of ours."""
        return api_key in self._keys

    def find(self, api_key: str | None) -> ApiKey:
        """The key of a request; a missing one is -2014, an unknown one -2015."""
        if not api_key:
            raise VenueReject(-2014, "API-key format invalid.")
        key = self._keys.get(api_key)
        if key is None:
            raise VenueReject(-2015, "Invalid API-key, IP, or permissions for action.")
        return key

    def verify(self, key: ApiKey, params: Params, payload: bytes, now_ms: int) -> None:
        """Check time and signature of one request, in the order in which Binance complains."""
        timestamp = params.integer("timestamp")
        window_ms = receive_window_ms(params)
        given = params.text("signature")
        check_time(timestamp, window_ms, now_ms)
        if not _SIGNATURE.match(given):
            raise VenueReject(
                -1100,
                f"Illegal characters found in parameter 'signature'; legal range is '{_SIGNATURE.pattern}'.",
            )
        if not hmac.compare_digest(given.lower(), sign(key.secret, payload)):
            raise VenueReject(-1022, "Signature for this request is not valid.")


def receive_window_ms(params: Params) -> float:
    """`recvWindow`: at most 60,000 ms, up to three decimals."""
    text = params.optional("recvWindow")
    if text is None:
        return DEFAULT_WINDOW_MS
    if not _WINDOW.match(text):
        raise VenueReject(
            -1100,
            f"Illegal characters found in parameter 'recvWindow'; legal range is '{_WINDOW.pattern}'.",
        )
    if float(text) > MAX_WINDOW_MS:
        raise VenueReject(-1131, "recvWindow must be less than 60000.")
    return float(text)


def check_time(timestamp: int, window_ms: float, now_ms: int) -> None:
    """Refuse a request that comes from the future or is older than its window; microseconds are understood."""
    sent_ms = timestamp / 1_000 if timestamp >= _MICROSECONDS_FROM else timestamp
    if sent_ms >= now_ms + AHEAD_MS:
        raise VenueReject(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent_ms > window_ms:
        raise VenueReject(-1021, "Timestamp for this request is outside of the recvWindow.")
