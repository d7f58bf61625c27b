"""Signatures as REST and WebSocket API want them, HMAC or Ed25519, for as long as the venue accepts the key."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from bnml.core.errors import AccessRefused, Misconfigured

Params = Mapping[str, str]
SignText = Callable[[str], str]
PEM_MARK: Final = "-----BEGIN"
"""Begins a secret that is an Ed25519 private key; any other secret is for HMAC."""


class Signer:
    """Signs with one key at a time; REST signs the percent-encoded payload, the WebSocket API the raw sorted one.

    Everybody who signs shares it. After `lose` nothing is signed any more until `use` or `try_again`, so that
    no further signed request leaves; `on_lost` is told of each loss with its cause. `waits` while somebody can
    give another key, or say that this one is good again.
    """

    def __init__(self, api_key: str, api_secret: str) -> None:
        self.waits = False
        self.api_key = api_key
        self._sign = sign_with(api_secret)
        self.lost = ""
        self.on_lost: Callable[[str], None] | None = None
        self._usable = asyncio.Event()
        self._usable.set()

    def query(self, params: Params) -> str:
        """Percent-encode parameters in their order, and append the signature of exactly that text."""
        payload = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in params.items())
        return f"{payload}&signature={quote(self._signature(payload), safe='')}"

    def signed(self, params: Params) -> dict[str, str]:
        """Parameters of a WebSocket API request with key and signature, signed sorted and unencoded."""
        full = {**params, "apiKey": self.api_key}
        payload = "&".join(f"{key}={full[key]}" for key in sorted(full))
        return {**full, "signature": self._signature(payload)}

    def header(self) -> dict[str, str]:
        """What names the key in a REST request."""
        return {"X-MBX-APIKEY": self.api_key} if self.api_key and not self.lost else {}

    def lose(self, cause: str) -> None:
        """The venue does not accept the key any more."""
        is_new, self.lost = not self.lost, cause
        self._usable.clear()
        if is_new and self.on_lost is not None:
            self.on_lost(cause)

    def try_again(self) -> None:
        """The operator says that the venue will accept the key now."""
        self.lost = ""
        self._usable.set()

    def use(self, api_key: str, api_secret: str) -> None:
        """Sign with another key from here on."""
        self.api_key, self._sign = api_key, sign_with(api_secret)
        self.try_again()

    async def usable(self) -> None:
        """Return when something may be signed; AccessRefused for a key that is lost and that nobody can mend now."""
        if self.lost and not self.waits:
            raise AccessRefused(self.lost)
        await self._usable.wait()

    def _signature(self, payload: str) -> str:
        if self.lost:
            raise AccessRefused(f"nothing is signed any more: {self.lost}")
        return self._sign(payload)


def sign_with(secret: str) -> SignText:
    """How to sign with a secret; Misconfigured for a private key that is not Ed25519."""
    if secret.lstrip().startswith(PEM_MARK):
        return _ed25519(secret)
    key = secret.encode()
    return lambda payload: hmac.new(key, payload.encode(), hashlib.sha256).hexdigest()


def _ed25519(pem: str) -> SignText:
    # Imported for those who have such a key only.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise Misconfigured(
            "the API secret looks like a private key and cannot be read; give an unencrypted Ed25519 key in PEM"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured("the API secret is a private key of another kind; Ed25519 and HMAC are known")
    return lambda payload: b64encode(key.sign(payload.encode())).decode()
