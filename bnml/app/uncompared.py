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
    """How long looks have come to no end: an account that never stands still is never compared."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_told = False
        self._since: tuple[int, int] | None = (
            None  # by the wall and by the steady clock, of the first look without an end
        )

    def ended(self) -> None:
        """Both sides are equal, or it has been said why they are not."""
        if self._is_told and self._since is not None:
            logger().warning(
                "balances_compared_again", text=f"the first time since {format_utc(self._since[0])}"
            )
        self._is_told, self._since = False, None

    def goes_on(self, difference_e8: Mapping[str, int]) -> None:
        """A look came to no end; the last that it saw was this difference, venue less ours, empty if nothing could be read."""
        if self._since is None:
            self._since = self._clock.now_ns(), self._clock.monotonic_ns()
        since_ns, since_steady_ns = self._since
        left_s = LONGEST_S - (self._clock.monotonic_ns() - since_steady_ns) / NS_PER_S
        if self._is_told or left_s > 0:
            return
        self._is_told = True
        amounts = ", ".join(f"{asset} {plain(by, 8)}" for asset, by in sorted(difference_e8.items()))
        text = (
            f"since {format_utc(since_ns)} the account has never stood still for long enough to be compared; it had "
            f"{amounts} against the ledger just now, which may be on its way: look for somebody else who trades on it"
            if amounts
            else f"since {format_utc(since_ns)} what the account holds could not be compared, as it or its orders could "
            "not be read: see `reconciliation_postponed` in the log"
        )
        logger().warning("balances_not_compared", difference_e8=dict(difference_e8), text=text)
