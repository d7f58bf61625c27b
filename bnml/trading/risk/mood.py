"""What each symbol of a scan adds to the mood of the market: its opinion, its book, its last move."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bnml.core.events import Book
from bnml.kernels import fills
from bnml.kernels.mood import VOICE
from bnml.kernels.records import Reason
from bnml.trading.deciding import Opinion
from bnml.trading.state import SymbolState

_SILENT = (0, 0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0)
_MUTE = frozenset({int(Reason.NO_MODEL), int(Reason.FEATURES_INCOMPLETE)})


def voices(
    opinions: Mapping[str, Opinion],
    symbols: Mapping[str, SymbolState],
    books: Mapping[str, Book],
    atr_column: int,
) -> NDArray[np.void]:
    """One `kernels.mood.VOICE` per opinion, in their order."""
    rows = [_voice(one, symbols[name], books.get(name), atr_column) for name, one in opinions.items()]
    return np.array(rows, dtype=VOICE)


def _voice(
    opinion: Opinion, state: SymbolState, book: Book | None, atr_column: int
) -> tuple[int, int, float, float, float, int, int, float, int]:
    if book is None or opinion.reason in _MUTE:
        return _SILENT
    closes, last = state.closes, state.seen - 1
    before, close = closes.item(last - 1), closes.item(last)
    return (
        1,
        opinion.action,
        opinion.confidence,
        opinion.score,
        opinion.momentum,
        fills.spread_ppm(book.bid, book.ask),
        book.depth_e8,
        state.row.item(atr_column),
        (close > before) - (close < before),
    )
