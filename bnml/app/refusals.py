"""What a refusal of the venue asks of others than the executor: the account is read again, the operator hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.venues.binance.outcomes import Step

if TYPE_CHECKING:
    from collections.abc import Callable

_SERIOUS = frozenset({Step.QUARANTINE, Step.PAUSE_SYMBOL, Step.DROP})


def after_steps(recheck_soon: Callable[[], None]) -> Callable[[Step, str, str], None]:
    """For the executor's `on_step`; `recheck_soon` compares orders and balances with the venue."""

    def after(step: Step, symbol: str, text: str) -> None:
        logger().log(40 if step in _SERIOUS else 20, "venue_asks", step=step.value, symbol=symbol, text=text)
        if step in {Step.BALANCES, Step.QUARANTINE}:
            recheck_soon()

    return after
