"""`bnml bench`: runs the cases asked for and prints a line for each figure as it is known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console

from bnml.bench import (
    backtests,
    exchange,
    features,
    feeds,
    grids,
    indicators,
    latency,
    models,
    replays,
    start,
    statistics,
)
from bnml.bench.case import Case, Effort, Figure, machine
from bnml.core.errors import Misconfigured

CASES: dict[str, Case] = {
    "backtest": backtests.one_symbol,
    "memory": backtests.memory,
    "portfolio": backtests.portfolio,
    "grid": grids.tables,
    "grid-loop": grids.loop,
    "replay": replays.engine,
    "start": start.first_backtest,
    "compile": start.everything,
    "features": features.new_bar,
    "indicators": indicators.over_history,
    "new-bar": indicators.new_bar,
    "statistics": statistics.rolling,
    "training-set": features.training_set,
    "models": models.one_row,
    "exchange-orders": exchange.orders,
    "exchange-prints": exchange.prints,
    "streams": feeds.streams,
    "exchange-info": feeds.exchange_info,
    "latency": latency.orders,
}

SLOW = ("start", "compile", "memory", "latency")
"""Left out of a quick run that names no case: they start processes, and wait for them to compile or to be quiet."""


def bench(names: Sequence[str], *, quick: bool, strict: bool, json: bool) -> int:
    """Measure; 0 whether or not goals are met: a figure is not a verdict, unless `strict`. Raises Misconfigured for unknown names.

    Strictly it is 1 when a goal is missed; what could not be compared has missed none.
    """
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise Misconfigured(f"there is no benchmark {unknown[0]}; write one of {', '.join(CASES)}")
    show = _as_json if json else _as_text()
    missed = []
    for name in names or [name for name in CASES if not quick or name not in SLOW]:
        for figure in CASES[name](Effort(quick=quick)):
            show(figure)
            if figure.met is False:
                missed.append(figure.name)
    if strict and missed:
        sys.stderr.write(f"bnml: goals missed: {', '.join(missed)}\n")
        return 1
    return 0


def _as_json(figure: Figure) -> None:
    sys.stdout.write(msgspec.json.encode(figure).decode() + "\n")
    sys.stdout.flush()


def _as_text() -> Callable[[Figure], None]:
    console = Console(highlight=False)
    console.print(machine())

    def show(figure: Figure) -> None:
        met = {True: "[green]met[/]", False: "[red]not met[/]", None: "[yellow]not compared[/]"}[figure.met]
        beside = "" if figure.yardstick is None else f"  yardstick {figure.yardstick:g} ({figure.against})"
        ratio = "" if figure.ratio is None else f"  ratio {figure.ratio:g}"
        console.print(
            f"{figure.name}: {figure.bnml:g} {figure.unit}{beside}{ratio}  goal {figure.goal}: {met}"
        )

    return show
