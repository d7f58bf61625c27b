"""Money that came or went without being a result: whatever gains and losses are measured by moves with it."""

from __future__ import annotations

from bnml.trading.risk.breakers import Breakers
from bnml.trading.state import EngineState


def count_flow(state: EngineState, breakers: Breakers, amount_e8: int) -> None:
    """Count quote that was paid in (positive) or taken out (negative)."""
    if amount_e8:
        state.ledger.flows_e8 += amount_e8
        breakers.flow(amount_e8, state.last_equity_e8)
        state.last_equity_e8 += amount_e8
