"""A local order book from a snapshot and depth differences, as Binance describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnml.venues.sim.depth import Levels, Side
from bnml.venues.sim.messages import BookLevels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.core.instrument import Instrument

LEVELS = 20
BAND_PPM = 5_000  # of the middle: what counts as depth


class BookBuilder:
    """Absolute quantities by price; differences from before the snapshot wait for it.

    A hole in the differences (`U` is not the `u` before it plus one) makes the book unknown until the next
    snapshot; `holes` counts them.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._bids, self._asks = Side(-1), Side(1)
        self._waiting: list[dict[str, Any]] = []
        self._snapshot_id = 0
        self._update_id = 0  # `u` of the last difference
        self.holes = 0

    def snapshot(self, data: dict[str, Any]) -> None:
        """Start the book; then apply the waiting differences that are newer."""
        self._bids, self._asks = Side(-1), Side(1)
        self._set(self._bids, data["bids"])
        self._set(self._asks, data["asks"])
        self._update_id = self._snapshot_id = int(data["lastUpdateId"])
        waiting, self._waiting = self._waiting, []
        for difference in waiting:
            self.apply(difference)

    def apply(self, data: dict[str, Any]) -> None:
        """Take one difference; those that the snapshot already holds are dropped."""
        if not self._snapshot_id:
            self._waiting.append(data)
            return
        if int(data["u"]) <= self._snapshot_id:
            return
        if int(data["U"]) > self._update_id + 1:
            self.holes += 1
            self._snapshot_id = 0
            self._bids, self._asks = Side(-1), Side(1)
            return
        self._update_id = int(data["u"])
        self._set(self._bids, data["b"])
        self._set(self._asks, data["a"])

    def levels(self, symbol: str, ts_ns: int) -> BookLevels | None:
        """The best levels; None while a side is empty."""
        bids, asks = self._bids.top(LEVELS), self._asks.top(LEVELS)
        if not bids or not asks:
            return None
        middle = bids[0][0] + asks[0][0]  # twice
        inside = [
            level for level in (*bids, *asks) if abs(2 * level[0] - middle) * 1_000_000 <= BAND_PPM * middle
        ]
        depth = sum(self._instrument.notional_e8(price, lots) for price, lots in inside)
        return BookLevels(symbol, ts_ns, bids, asks, depth, self._update_id)

    def _set(self, side: Side, rows: Iterable[Any]) -> None:
        for price, lots in levels_of(self._instrument, rows):
            side.set(price, lots)


def levels_of(instrument: Instrument, rows: Iterable[Any], lot_e8: int = 0) -> Levels:
    """Decimal texts as ticks and lots (or another unit); what is finer is cut."""
    tick, lot = instrument.tick_e8, lot_e8 or instrument.lot_e8
    return tuple((e8_of(price) // tick, e8_of(quantity) // lot) for price, quantity in rows)


def e8_of(text: str) -> int:
    """A plain non-negative decimal of the wire in 1e-8; faster than `Decimal`, and as exact."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction[:8].ljust(8, "0"))
