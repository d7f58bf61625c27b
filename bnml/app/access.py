"""The account's key while the daemon runs: losing it halts, and nothing signed leaves until a person has acted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bnml.app.logs import logger
from bnml.core.errors import Rejected, Retryable
from bnml.trading.guarding import ACTIVE, HALTED

if TYPE_CHECKING:
    from bnml.app.guards import Guards
    from bnml.venues.binance.signing import Signer
    from bnml.venues.binance.venue import BinanceVenue

ACCESS: Final = "access"
PROVE_EVERY_S: Final = 3.0
NO_ORDER: Final = "bn-is-the-key-good"
WAY_OUT: Final = (
    "nothing more is sent, what rests at the exchange stays; mend the key or its list of addresses, then "
    "`bnml resume`, or give another key with `bnml keys rotate`"
)


def watch_access(signer: Signer, guards: Guards) -> None:
    """Halt when the venue refuses the key."""

    def on_lost(cause: str) -> None:
        logger().critical("access_lost", cause=cause, way_out=WAY_OUT)
        guards.report(ACCESS, HALTED, cause)

    signer.on_lost = on_lost


async def keep_proving(venue: BinanceVenue, symbol: str) -> None:
    """Ask for an order that does not exist, again and again: the cheapest request that a refused key cannot make."""
    while True:
        await asyncio.sleep(PROVE_EVERY_S)
        await venue.rest.signer.usable()
        try:
            with suppress(Rejected):  # there is no such order: the key works
                await venue.rest.read("/api/v3/order", {"symbol": symbol, "origClientOrderId": NO_ORDER})
        except Retryable as error:
            logger().debug("access_not_proved", error=str(error))


async def try_again(venue: BinanceVenue, guards: Guards) -> str:
    """Let a refused key be used again if a request of its proves that it works; else say why it does not."""
    signer = venue.rest.signer
    if not signer.lost:
        return ""
    signer.try_again()
    try:
        await venue.balances()
    except Retryable as error:
        logger().critical("access_still_lost", cause=str(error), way_out=WAY_OUT)
        return str(error)
    guards.report(ACCESS, ACTIVE)
    return ""
