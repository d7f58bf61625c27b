"""What a refusal of the venue asks of others than the executor: the account is read again, a symbol is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.trading.guarding import REDUCING
from bnml.trading.state import STATUS
from bnml.venues.binance.outcomes import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.app.guards import Guards

_SERIOUS = frozenset({Step.QUARANTINE, Step.PAUSE_SYMBOL, Step.DROP})
_OUT_OF_TRADE = frozenset({Step.QUARANTINE, Step.PAUSE_SYMBOL})


def after_steps(
    recheck_soon: Callable[[], None],
    guards: Guards | None = None,
    look_soon: Callable[[], None] = lambda: None,
) -> Callable[[Step, str, str], None]:
    """For the executor's `on_step`; `recheck_soon` compares orders and balances with the venue.

    A symbol that the venue calls gone or closed is not entered from here on; `look_soon` has its status read,
    which parks it, or ends the guard where the answer was an error. Filters that refused an order are read then,
    too: until that minute's look the symbol was entered, and left at once, again and again. Without `guards`
    (stepped, where looks are rare) it is only told.
    """

    def after(step: Step, symbol: str, text: str) -> None:
        logger().log(40 if step in _SERIOUS else 20, "venue_asks", step=step.value, symbol=symbol, text=text)
        if step in {Step.BALANCES, Step.QUARANTINE}:
            recheck_soon()
        if step in _OUT_OF_TRADE and guards is not None:
            guards.report(f"{STATUS}{symbol}", REDUCING, f"the venue refused an order: {text}")
        if step in _OUT_OF_TRADE or step is Step.REFILTER:
            look_soon()

    return after
