"""Reads that a start cannot do without are asked for again, with growing pauses, before the daemon gives up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from bnml.app.logs import logger
from bnml.core.errors import AccessRefused, Retryable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PAUSES_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What `read` gives; refusals for the moment are waited out for about half a minute, then raised.

    Only for requests that change nothing: whoever sends an order again has to prove first that it is not there.
    """
    for pause_s in PAUSES_S:
        try:
            return await read()
        except Retryable as error:
            if isinstance(error, AccessRefused) and error.code != 0:  # 0: a page of somebody between us
                raise  # no pause mends a key
            wait_s = max(pause_s, error.retry_after_s or 0.0)
            logger().warning("read_again", error=str(error), pause_s=wait_s)
            await asyncio.sleep(wait_s)
    return await read()
