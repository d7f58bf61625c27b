"""The pure stage before the engine: closed bars, prints and books become Bars, Slices and one Scan per closing time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bnml.core.events import Bar, Book, Scan, Slice

GateEvent = Bar | Scan | Slice
_NEVER_NS = 2**63


class _Range:
    """Prints of one symbol that no slice has told of yet."""

    __slots__ = ("high", "last", "lots", "low", "sent_ns")

    def __init__(self) -> None:
        self.lots = 0
        self.last = self.high = self.low = 0
        self.sent_ns = 0

    def add(self, ticks: int, lots: int) -> None:
        self.high = ticks if self.lots == 0 else max(self.high, ticks)
        self.low = ticks if self.lots == 0 else min(self.low, ticks)
        self.last = ticks
        self.lots += lots


class BarGate:
    """Orders what the market says into what the engine sees; time is the event time that callers pass in.

    A scan of a closing time fires when every subscribed symbol has delivered that bar, else with the
    first call whose time is at least `grace_ns` after the first of them arrived; earlier closing times
    that still wait fire before it. Closing times up to `after_ns`, or up to the last scan, never fire
    (again): their bars pass, so that features learn of them, and nothing is decided.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        grace_ns: int,
        at_stake: Callable[[str], bool],
        *,
        after_ns: int = 0,
        conflate_ns: int = 0,
    ) -> None:
        self._symbols = frozenset(symbols)
        self._grace_ns = grace_ns
        self._at_stake = at_stake
        self._scanned_ns = after_ns
        self._conflate_ns = conflate_ns
        self._waiting: dict[int, tuple[int, set[str]]] = {}
        self._deadline_ns = _NEVER_NS  # of the closing time that has waited longest
        self._books: dict[str, Book] = {}
        self._ranges: dict[str, _Range] = {}

    def subscribe(self, symbols: Iterable[str]) -> None:
        """Wait for these symbols from now on; a scan that is already due does not wait for new ones."""
        self._symbols = frozenset(symbols)

    def skip_to(self, ts_close_ns: int) -> None:
        """Scan nothing up to this closing time any more."""
        self._scanned_ns = max(self._scanned_ns, ts_close_ns)

    def scan_now(self, ts_close_ns: int, ts_ns: int) -> list[GateEvent]:
        """Fire the scan of a closing time whose bars the engine has already seen as history."""
        self._waiting.setdefault(ts_close_ns, (ts_ns, set()))
        return [*self._fire(ts_close_ns, ts_ns)]

    def on_bar(self, bar: Bar, ts_ns: int) -> list[GateEvent]:
        """Take a closed bar as the venue confirmed it."""
        return self.on_bars((bar,), ts_ns)

    def on_bars(self, bars: Iterable[Bar], ts_ns: int) -> list[GateEvent]:
        """Take closed bars that the venue confirmed at one time, one after the other."""
        events: list[GateEvent] = []
        symbols, closing_ns = self._symbols, -1
        for bar in bars:
            if ts_ns >= self._deadline_ns:
                events.extend(self._overdue(ts_ns))
                closing_ns = -1
            events.append(bar)
            if bar.ts_close_ns <= self._scanned_ns or bar.symbol not in symbols:
                continue
            if bar.ts_close_ns != closing_ns:
                closing_ns = bar.ts_close_ns
                delivered = self._wait_for(closing_ns, max(ts_ns, closing_ns))
            delivered.add(bar.symbol)
            if len(delivered) >= len(symbols) and delivered >= symbols:
                events.extend(self._fire(closing_ns, ts_ns))
                closing_ns = -1
        return events

    def on_book(self, book: Book, ts_ns: int) -> list[GateEvent]:
        """Remember the top of a book; the next scan carries it."""
        return self.on_books((book,), ts_ns)

    def on_books(self, books: Iterable[Book], ts_ns: int) -> list[GateEvent]:
        """Remember the tops of books that were seen at one time."""
        events: list[GateEvent] = [*self._overdue(ts_ns)]
        for book in books:
            self._books[book.symbol] = book
        return events

    def on_print(
        self, symbol: str, ticks: int, lots: int, ts_ns: int, *, clock_ns: int | None = None
    ) -> list[GateEvent]:
        """Take a trade of the market; it becomes (part of) a slice where something is at stake.

        `clock_ns` is what makes scans overdue, where that is not the time of the trade.
        """
        events: list[GateEvent] = [*self._overdue(ts_ns if clock_ns is None else clock_ns)]
        if not self._at_stake(symbol):
            self._ranges.pop(symbol, None)
            return events
        prints = self._ranges.setdefault(symbol, _Range())
        prints.add(ticks, lots)
        if ts_ns - prints.sent_ns >= self._conflate_ns:
            events.append(_slice(symbol, prints, ts_ns))
        return events

    def on_clock(self, ts_ns: int) -> list[GateEvent]:
        """Let event time pass: overdue scans fire, held-back slices leave."""
        events: list[GateEvent] = [*self._overdue(ts_ns)]
        for symbol, prints in sorted(self._ranges.items()):
            if prints.lots and ts_ns - prints.sent_ns >= self._conflate_ns and self._at_stake(symbol):
                events.append(_slice(symbol, prints, ts_ns))
        return events

    def _wait_for(self, ts_close_ns: int, ts_ns: int) -> set[str]:
        """Symbols that have delivered the bar of a closing time; the first of them starts its grace."""
        waiting = self._waiting.get(ts_close_ns)
        if waiting is None:
            waiting = self._waiting[ts_close_ns] = (ts_ns, set())
            self._deadline_ns = min(self._deadline_ns, ts_ns + self._grace_ns)
        return waiting[1]

    def _overdue(self, ts_ns: int) -> Iterable[Scan]:
        if ts_ns < self._deadline_ns:
            return ()
        due = [close for close, (first, _) in self._waiting.items() if ts_ns >= first + self._grace_ns]
        return self._fire(max(due), ts_ns) if due else ()

    def _fire(self, up_to_ns: int, ts_ns: int) -> list[Scan]:
        books = tuple(self._books[symbol] for symbol in sorted(self._books) if symbol in self._symbols)
        fired = sorted(close for close in self._waiting if close <= up_to_ns)
        for ts_close_ns in fired:
            del self._waiting[ts_close_ns]
            self._scanned_ns = ts_close_ns
        first_ns = min((first for first, _ in self._waiting.values()), default=_NEVER_NS)
        self._deadline_ns = first_ns + self._grace_ns
        return [Scan(ts_close_ns, ts_ns, books) for ts_close_ns in fired]


def _slice(symbol: str, prints: _Range, ts_ns: int) -> Slice:
    made = Slice(symbol, ts_ns, prints.last, prints.high, prints.low, prints.lots)
    prints.lots = 0
    prints.sent_ns = ts_ns
    return made
