"""The backtest loop as a Python call: arrays of one or many symbols in, arrays or the engine's outcome types out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.research.sweep_input import SweepConfig, SweepInput, check, check_together, in_place
from bnml.research.sweep_result import SweepResult
from bnml.research.sweep_world import make_risk, make_world, run_world
from bnml.research.thoughts import Thoughts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SweepConfig", "SweepInput", "SweepResult", "sweep"]


def sweep(inputs: Sequence[SweepInput], config: SweepConfig, thoughts: Thoughts | None = None) -> SweepResult:
    """Trade the inputs on one capital, each from its bar `first` to the end.

    `thoughts` of earlier sweeps of the same inputs spare what they have in common.
    Raises Misconfigured if arrays do not fit the bars or there is nothing to trade.
    """
    for data in inputs:
        check(data)
    check_together(inputs, config)
    thoughts = thoughts or Thoughts()
    order = sorted(range(len(inputs)), key=lambda number: inputs[number].instrument.symbol)
    chosen = tuple(in_place(inputs[number]) for number in order)
    limits = config.limits
    if len(order) > 1:
        limits = limits[order] if len(limits) > 1 else limits.repeat(len(order))
    world, parts = make_world(chosen, limits, config, thoughts)
    risk = make_risk(chosen, world, config, thoughts) if config.risk else None
    return SweepResult(chosen, config, run_world(world, risk), parts)
