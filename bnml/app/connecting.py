"""Joins REST, WebSocket API and their shared limits to the inbox: one venue as the daemon uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.access import ACCESS, watch_access
from bnml.app.limits import make_budget, rotation, time_scale
from bnml.trading.guarding import ACTIVE
from bnml.venues.binance.oddities import UNREADABLE, Oddities
from bnml.venues.binance.reports import user_item
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.binance.venue_clock import VenueClock
from bnml.venues.binance.wsapi import ApiConnection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack

    import msgspec

    from bnml.app.deployment import Deployment
    from bnml.app.guards import Guards
    from bnml.app.inbox import LiveInbox, SteppedInbox
    from bnml.app.links import Links
    from bnml.config import Settings
    from bnml.core.clock import Clock
    from bnml.core.instrument import Instrument


async def connect_venue(
    settings: Settings,
    deployment: Deployment,
    clock: Clock,
    inbox: LiveInbox | SteppedInbox,
    links: Links,
    guards: Guards,
    stack: AsyncExitStack,
) -> BinanceVenue:
    """Open the REST session; the WebSocket API connects when the daemon runs it."""
    signer = Signer(deployment.api_key, deployment.api_secret)
    watch_access(signer, guards)
    stepper = deployment.stepper
    venue_clock = VenueClock(clock)
    budget = make_budget(settings, deployment, clock, venue_clock)
    stack.callback(budget.ledger.close)
    rest = await stack.enter_async_context(
        RestClient(
            deployment.rest_url,
            signer,
            clock,
            timeout_s=settings.venue.request_timeout_s,
            data_timeout_s=0.0 if stepper is not None else settings.venue.data_timeout_s,
            receive_window_ms=settings.venue.receive_window_ms,
            stepper=stepper.stepper_id if stepper is not None else "",
            on_number=inbox.complete,
            more_urls=deployment.more_rest_urls,
            budget=budget,
            venue_clock=venue_clock,
        )
    )
    instruments: dict[str, Instrument] = {}
    oddities = Oddities() if stepper is None else None

    async def on_link(up: bool, detail: str) -> None:
        if up:
            guards.report(ACCESS, ACTIVE)
        await links.account(up, detail)

    api = ApiConnection(
        deployment.api_url,
        signer,
        clock,
        timestamp_ms=rest.timestamp_ms,
        on_event=_events(inbox, links, instruments, oddities),
        on_link=on_link,
        on_number=inbox.complete,
        timeout_s=settings.venue.request_timeout_s,
        receive_window_ms=settings.venue.receive_window_ms,
        rest=rest,
        rotate_after_s=rotation(settings, deployment),
        probe_s=0.0 if stepper is not None else settings.venue.probe_s,
        oddities=oddities,
        time_scale=time_scale(settings),
        more_urls=deployment.more_api_urls,
    )
    return _joined(settings, rest, api, instruments, is_stepped=stepper is not None)


def _joined(
    settings: Settings,
    rest: RestClient,
    api: ApiConnection,
    instruments: dict[str, Instrument],
    *,
    is_stepped: bool,
) -> BinanceVenue:
    window_ms = settings.venue.receive_window_ms
    return BinanceVenue(
        rest,
        api,
        instruments,
        receive_window_ms=window_ms,
        # A stepped run does not depend on how fast the machine is.
        protective_window_ms=window_ms if is_stepped else settings.venue.protective_window_ms,
    )


def _events(
    inbox: LiveInbox | SteppedInbox,
    links: Links,
    instruments: dict[str, Instrument],
    oddities: Oddities | None,
) -> Callable[[int, msgspec.Raw], Awaitable[None]]:
    """What the account's connection brings; without `oddities` (stepped) what cannot be read ends the session."""

    async def on_event(number: int, event: msgspec.Raw) -> None:
        try:
            item = user_item(event, instruments)
        except UNREADABLE as error:
            if oddities is None:
                raise
            oddities.take("account", bytes(event), error)
            links.doubt()  # it may have been about an order of ours
            item = None
        await inbox.put(number, item)

    return on_event
