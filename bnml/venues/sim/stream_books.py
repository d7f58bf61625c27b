"""Book streams: differences, best levels and best quotes, each at its own pace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_MS
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim.depth import changes
from bnml.venues.sim.hub import MICROSECONDS
from bnml.venues.sim.pacing import Paced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.venues.sim.depth import DepthBook, Levels, Side
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.messages import BookLevels, DepthChange
    from bnml.venues.sim.outlet import Outlet

FAST_NS: Final = 100 * NS_PER_MS
SLOW_NS: Final = 1_000 * NS_PER_MS
DIFFERENCES: Final = "@depth"
FAST: Final = "@100ms"
_LEVELS: Final = (5, 10, 20)
_EVERYTHING: Final = 2**31


class Shown:
    """What the listeners of a stream of differences have been told of a symbol's book."""

    def __init__(self, book: BookLevels) -> None:
        self.book = book  # of a whole recorded one only the best levels
        self.last_id = book.update_id
        self.bids: dict[int, None] = {}  # prices of recorded changes that they were not told yet
        self.asks: dict[int, None] = {}


class BookStreams:
    """`live`: updates come at most every 100 or 1,000 ms; else with each step that changes a book."""

    def __init__(self, market: Market, outlet: Outlet, *, live: bool) -> None:
        self._market = market
        self._outlet = outlet
        self._live = live
        self._shown: dict[str, Shown] = {}
        self._tops: dict[str, tuple[Levels, Levels]] = {}
        self._pace = {
            kind: Paced(length_ns if live else 0)
            for levels in ("", *_LEVELS)
            for kind, length_ns in (
                (f"{DIFFERENCES}{levels}", SLOW_NS),
                (f"{DIFFERENCES}{levels}{FAST}", FAST_NS),
            )
        }
        self._heard: dict[str, set[str]] = {}  # kinds by symbol

    def opened(self, stream: str) -> None:
        """A stream has its first listener: differences begin at the book as it is now."""
        symbol, kind = _parts(stream)
        if symbol not in self._market.symbols or kind not in self._pace:
            return
        self._heard.setdefault(symbol, set()).add(kind)
        if kind in {DIFFERENCES, DIFFERENCES + FAST} and symbol + kind not in self._shown:
            self._shown[symbol + kind] = Shown(self._book(symbol))

    def closed(self, stream: str) -> None:
        """A stream has lost its last listener."""
        symbol, kind = _parts(stream)
        if kind not in self._heard.get(symbol, ()) or self._outlet.wanted(symbol.lower() + kind):
            return
        self._heard[symbol].discard(kind)
        self._pace[kind].forget(symbol)
        self._shown.pop(symbol + kind, None)

    def record(self, change: DepthChange, ts_ns: int) -> None:
        """Take a recorded difference: fast listeners are told as it was recorded, slow ones wait."""
        if change.is_snapshot or self._market.overlay is not None:
            return
        slow = self._shown.get(change.symbol + DIFFERENCES)
        if slow is not None:
            slow.bids.update(dict.fromkeys(price for price, _ in change.bids))
            slow.asks.update(dict.fromkeys(price for price, _ in change.asks))
        fast = self._shown.get(change.symbol + DIFFERENCES + FAST)
        if fast is not None:
            fast.last_id = max(fast.last_id, change.last_id)
            ids, sides = (change.first_id, change.last_id), (change.bids, change.asks)
            self._send_difference(change.symbol, DIFFERENCES + FAST, ts_ns, ids, sides, 1)

    def moved(self, symbol: str, ts_ns: int, *, partial: bool, at_once: bool = False) -> None:
        """A book has changed; `partial` as the steps of a market that is not live tell their best levels.

        `at_once`: a candle closes, and the book is told before it.
        """
        for kind in self._heard.get(symbol, ()):
            if partial or self._live or kind in {DIFFERENCES, DIFFERENCES + FAST}:
                self._pace[kind].add(symbol, at_once=at_once)
        self._quote(symbol, ts_ns)

    def flush(self, ts_ns: int) -> None:
        """Send what is due."""
        for kind, pace in self._pace.items():
            for symbol in pace.due(ts_ns):
                shown = self._shown.get(symbol + kind)
                if shown is not None:
                    self._difference(symbol, kind, shown, ts_ns)
                elif kind in self._heard.get(symbol, ()):
                    self._levels(symbol, kind, ts_ns)

    def _quote(self, symbol: str, ts_ns: int) -> None:
        stream = symbol.lower() + "@bookTicker"
        if not self._outlet.wanted(stream):
            self._tops.pop(symbol, None)
            return
        book = self._market.book(symbol, ts_ns, 1)
        top = book.bids[:1], book.asks[:1]
        if top != self._tops.get(symbol):
            self._tops[symbol] = top
            self._outlet.send(stream, payloads.book_ticker_event(book, self._market[symbol].instrument))

    def _levels(self, symbol: str, kind: str, ts_ns: int) -> None:
        levels = int(kind.removeprefix(DIFFERENCES).removesuffix(FAST))
        book = self._market.book(symbol, ts_ns)
        event = payloads.depth(book, self._market[symbol].instrument, levels)
        self._outlet.send(symbol.lower() + kind, event)

    def _difference(self, symbol: str, kind: str, shown: Shown, ts_ns: int) -> None:
        new = self._book(symbol)
        if new.update_id <= shown.last_id:
            return
        depth = self._recorded(symbol)
        if depth is None:
            sides = changes(shown.book.bids, new.bids), changes(shown.book.asks, new.asks)
        else:
            sides = _now(shown.bids, depth.bids), _now(shown.asks, depth.asks)
            shown.bids, shown.asks = {}, {}
        ids = shown.last_id + 1, new.update_id
        shown.book, shown.last_id = new, new.update_id
        self._send_difference(symbol, kind, ts_ns, ids, sides, new.lot_e8)

    def _send_difference(
        self,
        symbol: str,
        kind: str,
        ts_ns: int,
        ids: tuple[int, int],
        sides: tuple[Levels, Levels],
        lot_e8: int,
    ) -> None:
        instrument = self._market[symbol].instrument
        event = payloads.depth_event(instrument, ts_ns // NS_PER_MS, ids, sides, lot_e8)
        self._outlet.send(symbol.lower() + kind, event)

    def _recorded(self, symbol: str) -> DepthBook | None:
        """The whole recorded book, where it is shown as it was recorded."""
        return self._market.depths.get(symbol) if self._market.overlay is None else None

    def _book(self, symbol: str) -> BookLevels:
        """The book to compare with; of a whole recorded one only its number matters."""
        return self._market.book(symbol, 0, 1 if self._recorded(symbol) else _EVERYTHING)


def _now(prices: Iterable[int], side: Side) -> Levels:
    return tuple((price, side.lots(price)) for price in prices)


def _parts(stream: str) -> tuple[str, str]:
    """Symbol and kind of a stream."""
    name, at, kind = stream.removesuffix(MICROSECONDS).partition("@")
    return name.upper(), at + kind
