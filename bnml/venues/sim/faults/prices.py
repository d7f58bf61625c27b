"""Prices that leave the feed: gaps, spikes and symbols that stand still, put into the steps before they are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from bnml.venues.sim.klines import frame_start
from bnml.venues.sim.messages import Print

if TYPE_CHECKING:
    from bnml.core.events import Bar
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.messages import BookLevels, Step

ONE: Final = 1_000_000
Levels = tuple[tuple[int, int], ...]


class Prices:
    """Factors (millionths) by symbol; a candle of a symbol once touched is what was printed, not what the feed says."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._factors: dict[str, int] = {}
        self._spikes: dict[str, int] = {}
        self._jumps: set[str] = set()
        self._touched: set[str] = set()
        self.halted: set[str] = set()

    def shift(self, symbol: str, percent: float) -> None:
        """Multiply all further prices."""
        self._factors[symbol] = max(self._factors.get(symbol, ONE) * (ONE + _ppm(percent)) // ONE, 1)
        self._touched.add(symbol)
        self._jumps.add(symbol)

    def spike(self, symbol: str, percent: float) -> None:
        """Put one trade so far from its price before the symbol's next print."""
        self._spikes[symbol] = ONE + _ppm(percent)
        self._touched.add(symbol)

    def halt(self, symbol: str) -> None:
        """Nothing is traded in the symbol."""
        self.halted.add(symbol)
        self._touched.add(symbol)

    def apply(self, step: Step) -> Step:
        """The step as it happens."""
        if not self._touched:
            return step
        prints = tuple(made for one in step.prints for made in self._prints(one))
        return msgspec.structs.replace(
            step,
            prints=prints,
            books=tuple(self._book(one) for one in step.books if one.symbol not in self.halted),
            closed_bars=tuple(bar for one in step.closed_bars if (bar := self._closed(one, prints))),
            basis=tuple(self._scaled(one) for one in step.basis),
            running=tuple(self._scaled(one) for one in step.running if one.symbol not in self.halted),
        )

    def _prints(self, printed: Print) -> tuple[Print, ...]:
        symbol = printed.symbol
        if symbol in self.halted:
            return ()
        if symbol not in self._touched:
            return (printed,)
        price = self._price(symbol, printed.price_ticks)
        jump = printed.jump or symbol in self._jumps
        self._jumps.discard(symbol)
        real = msgspec.structs.replace(printed, price_ticks=price, jump=jump)
        factor = self._spikes.pop(symbol, None)
        if factor is None:
            return (real,)
        spike = Print(symbol, max(price * factor // ONE, 1), 1, printed.ts_ns, jump=True)
        return spike, msgspec.structs.replace(real, jump=True)

    def _price(self, symbol: str, ticks: int) -> int:
        return max(ticks * self._factors.get(symbol, ONE) // ONE, 1)

    def _book(self, book: BookLevels) -> BookLevels:
        factor = self._factors.get(book.symbol)
        if factor is None:
            return book
        return msgspec.structs.replace(
            book,
            bids=self._levels(book.symbol, book.bids),
            asks=self._levels(book.symbol, book.asks),
            depth_e8=book.depth_e8 * factor // ONE,
        )

    def _levels(self, symbol: str, levels: Levels) -> Levels:
        merged: dict[int, int] = {}
        for ticks, lots in levels:
            price = self._price(symbol, ticks)
            merged[price] = merged.get(price, 0) + lots
        return tuple(merged.items())

    def _scaled(self, bar: Bar) -> Bar:
        if bar.symbol not in self._factors:
            return bar
        made = {
            name: self._price(bar.symbol, getattr(bar, name)) for name in ("open", "high", "low", "close")
        }
        return msgspec.structs.replace(bar, **made)

    def _closed(self, bar: Bar, prints: tuple[Print, ...]) -> Bar | None:
        """The candle of what was printed; None when nothing was."""
        if bar.symbol not in self._touched:
            return bar
        frame_ns = self._market.frame_ns
        last = [
            one
            for one in prints
            if one.symbol == bar.symbol and frame_start(one.ts_ns, frame_ns) == bar.ts_open_ns
        ]
        late = [one.price_ticks for one in last]
        running = self._market[bar.symbol].state.running
        if running is None or running.open_ns != bar.ts_open_ns:
            return None
        return msgspec.structs.replace(
            bar,
            open=running.open,
            high=max(running.high, *late, running.high),
            low=min(running.low, *late, running.low),
            close=late[-1] if late else running.close,
            volume_lots=running.volume_lots + sum(one.quantity_lots for one in last),
            trades=running.trades + len(last),
        )


def _ppm(percent: float) -> int:
    return round(percent * ONE / 100)
