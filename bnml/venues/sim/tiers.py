"""Fill tiers: how much of a real book an order meets."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Tier(StrEnum):
    """F0 touch and F1 bar price by `kernels.fills`; F2 walks a displayed book, F3 adds queues and latency."""

    F0 = "F0"
    F1 = "F1"
    F2 = "F2"
    F3 = "F3"

    @property
    def has_book(self) -> bool:
        """Whether own orders are displayed and fills print."""
        return self in {Tier.F2, Tier.F3}


class BookModel(msgspec.Struct, frozen=True, kw_only=True):
    """What F2 and F3 add; latencies are log-normal with a median and the deviation of their logarithm."""

    levels: int = 10  # of a generated ladder, each side
    band_ppm: int = 5_000  # of the price that they spread over
    queue_power: int = 2  # cancellations ahead of an order: front^n / (front^n + back^n)
    submit_median_ns: int = 20_000_000
    cancel_median_ns: int = 20_000_000
    sigma: float = 0.5
