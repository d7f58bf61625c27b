"""Awaits several things at once, so that being told to end is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def abreast(*awaitables: Awaitable[T]) -> list[T]:
    """What they return, in their order; the first error is raised when all have ended.

    A plain `gather` raises the error of one of them also when it was cancelled in that moment, and whoever
    takes errors for a reason to try again then never ends.
    """
    found = await asyncio.gather(*awaitables, return_exceptions=True)
    results: list[T] = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        results.append(one)
    return results
