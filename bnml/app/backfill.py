"""Closed bars that no stream brought, read by REST when they must have closed: nobody waits for the bar after them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bnml.app.logs import logger
from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.core.errors import BnmlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from bnml.core.events import Bar

LOOK_S: Final = 0.25
CLOSED_FOR_NS: Final = NS_PER_S
"""A candle read by REST is taken for closed when its end is so long ago, by the venue's time."""
LATE_NS: Final = (
    1_500 * NS_PER_MS
)  # market time after which a bar is missed; the stream brings it within a second
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0


class Backfill:
    """`read(symbol, from)` gives the candles from then on; those proven closed go to `give`, oldest first.

    `now_ns` is market time: what the venue's own messages have told, never ahead of it.
    """

    def __init__(
        self,
        symbols: Callable[[], Iterable[str]],
        last_close_ns: Callable[[str], int],
        now_ns: Callable[[], int],
        frame_ns: int,
        *,
        read: Callable[[str, int], Awaitable[list[Bar]]],
        give: Callable[[list[Bar]], None],
    ) -> None:
        self._symbols = symbols
        self._last_close_ns = last_close_ns
        self._now_ns = now_ns
        self._frame_ns = frame_ns
        self._read = read
        self._give = give
        self._seen: dict[str, int] = {}  # symbol -> the close that was missing at the last look, too
        self._again_s: dict[str, tuple[float, float]] = {}  # symbol -> (not before, pause after that)
        self.filled = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for symbol in self.late():
                await self._fill(symbol)

    def late(self) -> list[str]:
        """Symbols whose next bar must have closed and was missing at the look before, too."""
        now_ns, found = self._now_ns(), []
        for symbol in self._symbols():
            close_ns = self._last_close_ns(symbol)
            if not close_ns or now_ns < close_ns + self._frame_ns + LATE_NS:
                self._seen.pop(symbol, None)
                self._again_s.pop(symbol, None)
            elif self._seen.get(symbol) == close_ns:
                found.append(symbol)
            else:
                self._seen[symbol] = close_ns
        return found

    async def _fill(self, symbol: str) -> None:
        loop_s = asyncio.get_running_loop().time()
        not_before_s, pause_s = self._again_s.get(symbol, (0.0, FIRST_PAUSE_S))
        if loop_s < not_before_s:
            return
        self._again_s[symbol] = loop_s + pause_s, min(2 * pause_s, LONGEST_PAUSE_S)
        known_ns = self._last_close_ns(symbol)
        try:
            found = await self._read(symbol, known_ns)
        except BnmlError as error:
            logger().warning("bars_not_read", symbol=symbol, error=str(error))
            return
        bars = closed(found, known_ns, self._now_ns())
        if bars:
            self.filled += len(bars)
            logger().info("bars_filled", symbol=symbol, bars=len(bars))
            self._give(bars)


def closed(bars: Iterable[Bar], known_ns: int, now_ns: int) -> list[Bar]:
    """Those after `known_ns` that are proven closed at market time `now_ns`."""
    return [bar for bar in bars if bar.ts_open_ns >= known_ns and bar.ts_close_ns + CLOSED_FOR_NS <= now_ns]
