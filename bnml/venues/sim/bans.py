"""Bans of an address that goes on asking after it was told to wait: 418, each longer than the one before."""

from __future__ import annotations

from typing import Final

from bnml.core.clock import NS_PER_DAY, NS_PER_S

STRIKES: Final = 10
"""Refusals for too many requests within one minute that make a ban; Binance does not say how many."""
STRIKE_WINDOW_NS: Final = 60 * NS_PER_S
FIRST_BAN_NS: Final = 120 * NS_PER_S
LONGEST_BAN_NS: Final = 3 * NS_PER_DAY
_MEMORY_NS: Final = 3 * NS_PER_DAY


class Bans:
    """The record of one address, in the time that windows count by."""

    def __init__(self) -> None:
        self._strikes = 0
        self._window = -1
        self._until_ns = 0
        self._next_ns = FIRST_BAN_NS

    def left_ns(self, now_ns: int) -> int:
        """How much of a ban is left; 0 when there is none."""
        return max(self._until_ns - now_ns, 0)

    def strike(self, now_ns: int) -> None:
        """Note a refusal; the last of too many begins a ban, twice as long as the one before it."""
        window = now_ns // STRIKE_WINDOW_NS
        if window != self._window:
            self._window, self._strikes = window, 0
        self._strikes += 1
        if self._strikes < STRIKES:
            return
        self._strikes = 0
        if now_ns - self._until_ns > _MEMORY_NS:
            self._next_ns = FIRST_BAN_NS
        self.ban(now_ns, self._next_ns)
        self._next_ns = min(2 * self._next_ns, LONGEST_BAN_NS)

    def ban(self, now_ns: int, duration_ns: int) -> None:
        """Ban from now on for so long."""
        self._until_ns = now_ns + duration_ns
