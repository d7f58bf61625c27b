"""Minute candles from recorded trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from bnml.core.clock import NS_PER_S
from bnml.core.events import Bar

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.messages import Print

MINUTE_NS: Final = 60 * NS_PER_S
CLOSING_GRACE_NS: Final = 2 * NS_PER_S


def first_bar(printed: Print) -> Bar:
    """A candle of one trade: what prices a book before any candle has closed."""
    open_ns = printed.ts_ns // MINUTE_NS * MINUTE_NS
    prices = (printed.price_ticks,) * 4
    return Bar(printed.symbol, open_ns, open_ns + MINUTE_NS, *prices, printed.quantity_lots, 1)


class Minute:
    """The candle of one symbol that is being traded; the first one is incomplete."""

    def __init__(self, instrument: Instrument) -> None:
        self._symbol = instrument.symbol
        self._bar: Bar | None = None
        self._is_complete = False

    def add(self, printed: Print) -> list[Bar]:
        """Take a trade; returns the bar that it closes, if any."""
        open_ns = printed.ts_ns // MINUTE_NS * MINUTE_NS
        price = printed.price_ticks
        bar = self._bar
        closed: list[Bar] = []
        if bar is not None and open_ns > bar.ts_open_ns:
            closed = self._close()
            bar = None
        if bar is None:
            opened = (open_ns, open_ns + MINUTE_NS, price, price, price, price, printed.quantity_lots, 1)
            self._bar = Bar(self._symbol, *opened)
            return closed
        self._bar = msgspec.structs.replace(
            bar,
            high=max(bar.high, price),
            low=min(bar.low, price),
            close=price,
            volume_lots=bar.volume_lots + printed.quantity_lots,
            trades=bar.trades + 1,
        )
        return closed

    @property
    def due_ns(self) -> int:
        """When the candle closes though nothing happens; 0 without one."""
        return 0 if self._bar is None else self._bar.ts_close_ns + CLOSING_GRACE_NS

    def expire(self, now_ns: int) -> list[Bar]:
        """Close the bar when its time, and the grace for late trades, is over."""
        if self._bar is None or now_ns < self.due_ns:
            return []
        return self._close()

    def _close(self) -> list[Bar]:
        bar, complete = self._bar, self._is_complete
        self._bar, self._is_complete = None, True
        return [bar] if bar is not None and complete else []
