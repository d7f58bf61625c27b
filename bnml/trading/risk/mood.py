"""What each symbol of a scan adds to the mood of the market: its opinion, its book, its last move."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bnml.core.events import Book
from bnml.kernels import fills, plain
from bnml.kernels.mood import VOICE
from bnml.kernels.records import Reason
from bnml.trading.deciding import Opinion
from bnml.trading.state import SymbolState

_SILENT = (0, 0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0)
_spread_ppm = plain(fills.spread_ppm)
_MUTE = frozenset({int(Reason.NO_MODEL), int(Reason.FEATURES_INCOMPLETE)})


def voices(
    opinions: Mapping[str, Opinion],
    symbols: Mapping[str, SymbolState],
    books: Mapping[str, Book],
    atr_column: int,
) -> NDArray[np.void]:
    """One `kernels.mood.VOICE` per opinion, in their order."""
    rows = []
    for name, opinion in opinions.items():
        book, state = books.get(name), symbols[name]
        if book is None or opinion.reason in _MUTE:
            rows.append(_SILENT)
            continue
        last = state.seen - 1
        before, close = state.closes.item(last - 1), state.closes.item(last)
        voice = (
            1,
            opinion.action,
            opinion.confidence,
            opinion.score,
            opinion.momentum,
            _spread_ppm(book.bid, book.ask),
            book.depth_e8,
            state.row.item(atr_column),
            (close > before) - (close < before),
        )
        rows.append(voice)
    return np.array(rows, dtype=VOICE)
