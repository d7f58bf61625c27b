"""How long the ledger has not been held against the account: told once when that is too long, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnml.app.logs import logger
from bnml.core.clock import NS_PER_S, format_utc
from bnml.core.instrument import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.core.clock import Clock

LONGEST_S: Final = 300.0
"""Of wall time, without a look that found both sides equal or named what made them differ."""


class Uncompared:
    """The time since the last comparison that came to an end: an account that never stands still has none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_told = False
        self._since_ns = clock.now_ns()
        self._since_steady_ns = clock.monotonic_ns()

    def ended(self) -> None:
        """Both sides are equal, or it has been said why they are not."""
        if self._is_told:
            logger().info(
                "balances_compared_again", text=f"the first time since {format_utc(self._since_ns)}"
            )
        self._is_told = False
        self._since_ns, self._since_steady_ns = self._clock.now_ns(), self._clock.monotonic_ns()

    def goes_on(self, difference_e8: Mapping[str, int]) -> None:
        """A look came to no end; the last that it saw was this difference, venue less ours."""
        left_s = LONGEST_S - (self._clock.monotonic_ns() - self._since_steady_ns) / NS_PER_S
        if self._is_told or left_s > 0:
            return
        self._is_told = True
        amounts = ", ".join(f"{asset} {plain(by, 8)}" for asset, by in sorted(difference_e8.items()))
        text = (
            f"since {format_utc(self._since_ns)} the account has never stood still for long enough to be compared; it had "
            f"{amounts} against the ledger just now, which may be on its way: look for somebody else who trades on it"
        )
        logger().warning("balances_not_compared", difference_e8=dict(difference_e8), text=text)
