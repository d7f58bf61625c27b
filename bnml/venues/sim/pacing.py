"""What a stream still owes its listeners: at most one update of a symbol in each interval of market time."""

from __future__ import annotations


class Paced:
    """Symbols that changed since their last update; an interval of 0 owes nothing for longer than a step."""

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._owed: dict[str, None] = {}
        self._sent_ns: dict[str, int] = {}

    def add(self, symbol: str, *, at_once: bool = False) -> None:
        """The symbol has changed; `at_once` its turn has come, whenever the last one was."""
        self._owed[symbol] = None
        if at_once:
            self._sent_ns.pop(symbol, None)

    def due(self, now_ns: int) -> list[str]:
        """Changed symbols whose turn has come; they count as sent."""
        if not self._owed:
            return []
        if not self._interval_ns:
            ready = list(self._owed)
            self._owed.clear()
            return ready
        sent, interval_ns = self._sent_ns, self._interval_ns
        ready = [
            symbol for symbol in self._owed if now_ns - sent.get(symbol, now_ns - interval_ns) >= interval_ns
        ]
        for symbol in ready:
            del self._owed[symbol]
            sent[symbol] = now_ns
        return ready

    def forget(self, symbol: str) -> None:
        """Nobody listens any more."""
        self._owed.pop(symbol, None)
        self._sent_ns.pop(symbol, None)
