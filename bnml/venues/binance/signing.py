"""HMAC signatures as REST and WebSocket API want them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

Params = Mapping[str, str]


class Signer:
    """Signs with one key; REST signs the percent-encoded payload, the WebSocket API the raw sorted one."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        self.api_key = api_key
        self._secret = api_secret.encode()

    def query(self, params: Params) -> str:
        """Percent-encode parameters in their order, and append the signature of exactly that text."""
        payload = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in params.items())
        return f"{payload}&signature={self._sign(payload)}"

    def signed(self, params: Params) -> dict[str, str]:
        """Parameters of a WebSocket API request with key and signature, signed sorted and unencoded."""
        full = {**params, "apiKey": self.api_key}
        payload = "&".join(f"{key}={full[key]}" for key in sorted(full))
        return {**full, "signature": self._sign(payload)}

    def _sign(self, payload: str) -> str:
        return hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()
