"""Reads what the account has free of an asset, where the venue has refused protection for want of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bnml.core.events import FreeCoins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.core.events import Event
    from bnml.trading.engine import Engine
    from bnml.venues.binance.venue import BinanceVenue

TOLD_S: Final = 0.05
"""After a refusal: by then the engine knows of it."""


async def read_free(venue: BinanceVenue, engine: Engine, now_ns: Callable[[], int]) -> Sequence[Event]:
    """For the engine; nothing is read while it needs to know of none."""
    await asyncio.sleep(TOLD_S)
    if not engine.shortage.assets:
        return []
    assets = (await venue.balances()).assets
    return [FreeCoins(asset, assets.get(asset, (0, 0))[0], now_ns()) for asset in engine.shortage.assets]
