"""What each symbol of a scan adds to the mood of the market: its opinion, its book, its last move."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from bnml.core.events import Book
from bnml.kernels import fills, plain
from bnml.kernels.mood import VOICE
from bnml.kernels.records import Reason
from bnml.trading.deciding import Opinion
from bnml.trading.state import SymbolState

_FIELDS = [VOICE[name] for name in VOICE.names or ()]
_write_voice = Struct("=" + "".join(field.char.replace("l", "q") for field in _FIELDS)).pack_into
"""Writes a record from its fields; numpy takes ten times as long to make an array of a list of them."""
_spread_ppm = plain(fills.spread_ppm)
_MUTE = frozenset({int(Reason.NO_MODEL), int(Reason.FEATURES_INCOMPLETE)})


def voices(
    opinions: Mapping[str, Opinion],
    symbols: Mapping[str, SymbolState],
    books: Mapping[str, Book],
    atr_column: int,
) -> NDArray[np.void]:
    """One `kernels.mood.VOICE` per opinion, in their order."""
    size = VOICE.itemsize
    rows, at = bytearray(len(opinions) * size), -size
    for name, opinion in opinions.items():
        at += size
        book = books.get(name)
        if book is None or opinion.reason in _MUTE:
            continue  # silent: zeros
        state = symbols[name]
        closes, last = state.closes, state.bars - 1
        if last >= len(closes):
            last = len(closes) - 1
        before, close = closes.item(last - 1), closes.item(last)
        _write_voice(
            rows,
            at,
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
    return np.frombuffer(rows, dtype=VOICE)
