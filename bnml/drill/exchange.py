"""The exchange of a stage: its controls, its faults, and what it says of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from bnml.app.sim_process import Endpoint
from bnml.core.clock import parse_utc_ns
from bnml.core.errors import BnmlError, Fatal
from bnml.drill.cover import Window, window_of
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bnml.core.clock import Clock
    from bnml.journal.schema import Health


class Exchange:
    """Speaks to whatever exchange serves from a folder now; it may be started anew in between."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def faults(self, *rules: Mapping[str, Any]) -> None:
        """Put a script of faults in, in place of the one before."""
        await self.control("POST", "/sim/faults", {"seed": 7, "rules": list(rules)})

    async def fired(self) -> int:
        """How often the rules of the script struck."""
        found = await self.control("GET", "/sim/faults")
        return sum(rule["fired"] for rule in found.get("rules", []))

    async def matched(self, name: str) -> int:
        """How many events the rule of this name was about, struck or not."""
        found = await self.control("GET", "/sim/faults")
        return sum(rule["matched"] for rule in found.get("rules", []) if rule["name"] == name)

    async def strikes(self, speed: float) -> list[Window]:
        """When the script kept the venue from answering orders, by the market's clock."""
        found = await self.control("GET", "/sim/faults")
        rules = {rule["name"]: rule for rule in found.get("rules", [])}
        struck = [(parse_utc_ns(one["marketTime"]), one) for one in found.get("fired", [])]
        return [
            window
            for at_ns, one in struck
            if (window := window_of(at_ns, one, rules[one["rule"]]["when"], speed)) is not None
        ]

    def foreign_clock(self, now: Health | None) -> str:  # noqa: ARG002 - a venue of others asks
        """Why times of the venue cannot be held against those of this machine; empty when they can."""
        return ""

    async def market_ns(self) -> int:
        """Time of the market, as the venue stamps orders."""
        return int((await self.control("GET", "/sim/state"))["marketTsNs"])

    async def calm(self) -> None:
        """Take the script out."""
        await self.control("DELETE", "/sim/faults")

    async def pace(self, speed: float) -> None:
        """Change the speed of the market."""
        await self.control("POST", "/sim/speed", {"speed": speed})

    async def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request to the exchange's own controls."""
        if self._session is None:
            raise Fatal("the drill speaks to an exchange that it has not opened")
        endpoint = self.endpoint()
        content = None if body is None else msgspec.json.encode(body)
        async with self._session.request(
            method,
            f"http://127.0.0.1:{endpoint.port}{path}",
            data=content,
            headers={"X-SIM-TOKEN": endpoint.token},
        ) as response:
            text = await response.read()
            if response.status != 200:
                raise BnmlError(f"{method} {path}: {response.status} {text[:300].decode('utf-8', 'replace')}")
            found: dict[str, Any] = msgspec.json.decode(text)
            return found

    def endpoint(self) -> Endpoint:
        """Where the exchange of this stage listens."""
        return msgspec.json.decode((self._folder / "endpoint.json").read_bytes(), type=Endpoint)

    async def read(self, path: str, params: Mapping[str, str]) -> Any:
        """A signed read of the venue, as the account's owner would make it."""
        async with self._client() as rest:
            return msgspec.json.decode(await rest.read(path, params, Lane.RECONCILE))

    async def read_public(self, path: str, params: Mapping[str, str]) -> Any:
        """A read of what everybody may see."""
        async with self._client() as rest:
            return msgspec.json.decode(await rest.public(path, params))

    def _client(self) -> RestClient:
        endpoint = self.endpoint()
        signer = Signer(endpoint.api_key, endpoint.secret)
        url = f"http://127.0.0.1:{endpoint.port}"
        return RestClient(url, signer, self._clock, timeout_s=10.0, receive_window_ms=60_000)
