"""Which prices may value anything: not zero, and no jump that neither the book nor a second price bears out."""

from __future__ import annotations

from bnml.core.events import Book
from bnml.trading.state import SymbolState

SANE_NUM, SANE_DEN = 3, 2
"""A price further than this factor from all that was seen before is taken for a fault until it is confirmed."""


def is_near(ticks: int, other: int) -> bool:
    """Whether two prices are within the band of each other."""
    low, high = (ticks, other) if ticks < other else (other, ticks)
    return low > 0 and high * SANE_DEN <= low * SANE_NUM


def is_sane_rise(ticks: int, *seen: int) -> bool:
    """Whether a print may raise a stop: near a price seen before, or below all of them; the first one ever is."""
    known = [one for one in seen if one > 0]
    return ticks > 0 and (not known or ticks < min(known) or any(is_near(ticks, one) for one in known))


def mark_of(state: SymbolState, book: Book | None) -> int:
    """The price that values a holding: the last close; the one before where nothing bears it out; 0 for none.

    A close is borne out by the close before it or by the book, and a symbol's first close by itself.
    """
    close = state.bar.close if state.bar is not None else 0
    seen = state.seen
    before = int(state.closes[seen - 2]) if seen > 1 else 0
    if close > 0 and (before <= 0 or is_near(close, before)):
        return close
    if book is not None and book.bid > 0 and close > 0:
        if is_near(close, book.bid):
            return close
        if before <= 0 or not is_near(before, book.bid):
            return book.bid
    return before
