"""What a venue's refusal of a stop or a sale means for what we hold: lost, locked, too small, too late, or refused."""

from __future__ import annotations

from enum import Enum

from bnml.core.clock import NS_PER_S
from bnml.core.events import OrderReport
from bnml.core.instrument import Instrument

FILTER_FAILURE = -1013
ORDER_REFUSED = -2010
UNKNOWN_ORDER = -2011
"""A cancel that found nothing to cancel: the order is over, its report on its way."""
NEVER_ARRIVED = frozenset({0, -2013})
"""Codes of a request that was lost on its way: the venue has judged nothing, so it is no refusal."""
MAX_REFUSALS = 3
"""After so many refusals of its stops in a row, for want of coins or of a market not counted, a tranche is sold at market."""
LONGEST_PAUSE_S = 32
NEAR_MINIMUM = 2
"""A rest below so many minimum notionals may be what the venue calls too small: it values by an average price."""

_TOO_SMALL_WORDS = ("NOTIONAL", "LOT_SIZE")


class Cause(Enum):
    """Why a stop or a sale was not taken."""

    LOST = "lost"  # it never arrived: ask again
    LOCKED = "locked"  # the asset is not free: something else still holds it
    TOO_LATE = "too late"  # it would trigger or match at once: the price is there already
    FILTER = "filter"  # of the symbol; it will not pass as it stands
    CLOSED = "closed"  # the venue does not trade the symbol now
    OTHER = "other"  # order counts, permissions, ...


def cause_of(report: OrderReport) -> Cause:
    """The cause of a REJECTED report; a refusal of the matching engine without words means: too late."""
    text = report.text.lower()
    if report.code in NEVER_ARRIVED:
        return Cause.LOST
    if "market is closed" in text:
        return Cause.CLOSED
    if report.code == FILTER_FAILURE:
        return Cause.FILTER
    if report.code == ORDER_REFUSED:
        if "insufficient balance" in text:
            return Cause.LOCKED
        if not report.text or any(word in text for word in ("immediately", "relationship")):
            return Cause.TOO_LATE
    return Cause.OTHER


def is_too_small(report: OrderReport, lots: int, price_ticks: int, instrument: Instrument) -> bool:
    """Whether a refused sale was refused for its size, and its size as we know it bears that out.

    A refusal alone would write off anything that a filter dislikes.
    """
    if report.code != FILTER_FAILURE:
        return False
    if lots < max(instrument.min_lots, instrument.lot_step):
        return True
    if report.text and not any(word in report.text.upper() for word in _TOO_SMALL_WORDS):
        return False
    return not is_sellable(lots, price_ticks, instrument)


def is_sellable(lots: int, price_ticks: int, instrument: Instrument) -> bool:
    """Whether it is certainly not too small."""
    return instrument.notional_e8(price_ticks, lots) >= NEAR_MINIMUM * instrument.min_notional_e8


def pause_ns(refusals: int) -> int:
    """How long to wait after the n-th refusal in a row: 1, 2, 4 ... 32 s."""
    return min(1 << max(0, refusals - 1), LONGEST_PAUSE_S) * NS_PER_S
