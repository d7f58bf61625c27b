"""Which exchange this run talks to: the embedded one as a process (sim, paper), or Binance's test and live networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from bnml.app.preflight import check_live_intent
from bnml.app.stepper import Stepper
from bnml.core.errors import Misconfigured, Rejected, Retryable

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from bnml.app.sim_process import SimProcess
    from bnml.config import Settings
    from bnml.options import RunOptions
    from bnml.venues.settings import Credentials


STREAMS: Final = "/stream"


class Deployment(msgspec.Struct, frozen=True):
    """Addresses and key of one exchange; `stepper` is set in a stepped session."""

    rest_url: str
    stream_url: str
    api_url: str
    api_key: str
    api_secret: str
    control: SimControl | None = None
    stepper: Stepper | None = None
    more_rest_urls: tuple[str, ...] = ()
    more_stream_urls: tuple[str, ...] = ()
    more_api_urls: tuple[str, ...] = ()


class _SimState(msgspec.Struct, rename="camel"):
    market_ts_ns: int
    done: bool = False


class SimControl:
    """The embedded exchange's own controls."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session = session
        self.base_url = base_url

    def use(self, api_key: str) -> None:
        """Go on with another key."""
        self.session.headers["X-MBX-APIKEY"] = api_key

    async def market_now_ns(self) -> int:
        """Market time; wall time is what its REST clock shows. Retryable where it is not told."""
        try:
            async with self.session.get(f"{self.base_url}/sim/state") as response:
                body = await response.read()
            return msgspec.json.decode(body, type=_SimState).market_ts_ns
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Retryable(f"the embedded exchange does not tell its time ({error})") from error


async def deploy(
    settings: Settings,
    options: RunOptions,
    credentials: Credentials,
    process: SimProcess,
    stack: AsyncExitStack,
) -> Deployment:
    """Find or start the exchange of `venue.kind`; refuses what that kind cannot do."""
    kind = settings.venue.kind
    if kind != "sim" and (options.stepped or options.replay is not None):
        raise Misconfigured(
            f"--stepped and --replay are for the market of --venue sim; leave them out with --venue {kind}"
        )
    if kind in {"sim", "paper"}:
        return await _deploy_embedded(settings, options, process, stack)
    if kind == "live":
        check_live_intent(settings, credentials)
    if not credentials.present:
        raise Rejected(
            f"--venue {kind} needs an API key; set BINANCE_API_KEY and BINANCE_API_SECRET, or use systemd's LoadCredential"
        )
    urls = settings.venue.testnet if kind == "testnet" else settings.venue.live
    return Deployment(
        urls.rest_url,
        f"{urls.stream_url}{STREAMS}",
        urls.api_url,  # each answer tells the account's order counts, also of orders that others have placed
        credentials.api_key.get_secret_value(),
        credentials.api_secret.get_secret_value(),
        more_rest_urls=urls.others("rest_url"),
        more_stream_urls=tuple(f"{url}{STREAMS}" for url in urls.others("stream_url")),
        more_api_urls=urls.others("api_url"),
    )


async def _deploy_embedded(
    settings: Settings, options: RunOptions, process: SimProcess, stack: AsyncExitStack
) -> Deployment:
    endpoint = await process.attach_or_start(settings, options)
    stack.push_async_callback(process.stop)
    base_url, sockets = f"http://127.0.0.1:{endpoint.port}", f"ws://127.0.0.1:{endpoint.port}"
    headers = {"X-MBX-APIKEY": endpoint.api_key}
    timeout = aiohttp.ClientTimeout(total=settings.venue.request_timeout_s)
    session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers, timeout=timeout))
    control = SimControl(session, base_url)
    stepper = await Stepper.register(session, base_url) if options.stepped else None
    mark = f"stepper={stepper.stepper_id}" if stepper is not None else ""
    return Deployment(
        base_url,
        f"{sockets}/stream?{mark}" if mark else f"{sockets}/stream",
        f"{sockets}/ws-api/v3?returnRateLimits=false{'&' + mark if mark else ''}",
        endpoint.api_key,
        endpoint.secret,
        control,
        stepper,
    )
