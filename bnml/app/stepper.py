"""The daemon's half of stepped time: confirm what was processed, and let the market take its next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.core.errors import Retryable
from bnml.venues.binance.errors import error_of
from bnml.venues.binance.rest import error_body

if TYPE_CHECKING:
    import aiohttp


class StepAnswer(msgspec.Struct, rename="camel"):
    """What the exchange says to a step; `sent` is the last number it has sent us."""

    advanced: bool
    sent: int
    ts_ns: int = 0
    done: bool = False


class _Registration(msgspec.Struct):
    stepper: str


class Stepper:
    """One registered stepper; the market waits for its word."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, stepper_id: str) -> None:
        self._session = session
        self._base_url = base_url
        self.stepper_id = stepper_id

    @classmethod
    async def register(cls, session: aiohttp.ClientSession, base_url: str) -> Stepper:
        """Announce ourselves; from now on the market does not move without us."""
        body = await _post(session, f"{base_url}/sim/steppers", {})
        return cls(session, base_url, msgspec.json.decode(body, type=_Registration).stepper)

    async def step(self, confirmed: int) -> StepAnswer:
        """Confirm everything up to `confirmed`, and ask for the next step."""
        body = await _post(
            self._session, f"{self._base_url}/sim/step", {"stepper": self.stepper_id, "confirmed": confirmed}
        )
        return msgspec.json.decode(body, type=StepAnswer)


async def _post(session: aiohttp.ClientSession, url: str, content: dict[str, str | int]) -> bytes:
    try:
        async with session.post(
            url, data=msgspec.json.encode(content), headers={"Content-Type": "application/json"}
        ) as response:
            body = await response.read()
    except OSError as error:
        raise Retryable(f"the embedded exchange does not answer ({error})") from error
    if response.status >= 400:
        raise error_of(response.status, error_body(body), url)
    return body
