"""A grid's result for people: the verdict first, then the candidates and how much of it may be luck."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.research.grid import Opening
    from bnml.research.grid_report import Candidate, GridResult

WIDTH = 80
LABEL = 18


def result_text(result: GridResult) -> str:
    """Lines of at most 80 columns where words allow it."""
    lines = [
        ("verdict", result.verdict),
        ("combinations", f"{result.combinations:,} by {result.way} ({result.way_why})"),
        ("searched", f"{result.searched_from} .. {result.searched_to}"),
        ("sealed", _sealed(result)),
        ("PBO", _pbo(result)),
        ("trials", f"{result.trials:,} evaluations of these data, with this grid"),
        ("luck alone", f"Sharpe {result.luck_sharpe:.2f} a year is expected of the best of so many"),
        ("deflated Sharpe", f"{result.deflated_sharpe:.3f} for the best candidate; 0.95 is needed"),
        ("evaluated now", f"{result.evaluated:,} in {result.elapsed_s:.1f} s ({result.combinations_per_s:,.1f} a second)"),
        ("rows", f"{result.folder}/rows-*.parquet"),
    ]  # fmt: skip
    text = [_wrapped(name, value) for name, value in lines]
    if result.candidates:
        text += ["", "  NUMBER TRADES  RETURN DRAWDOWN FACTOR SHARPE    DSR NEIGHBOURS  STANDS"]
        text += [line for one in result.candidates for line in _candidate(one)]
        text += ["", "NEIGHBOURS: share that earned, and share of the Sharpe lost there (median)."]
    return "\n".join(text)


def results_text(results: Mapping[str, GridResult]) -> str:
    """One line for each symbol: its first candidate and what it is worth."""
    first = next(iter(results.values()))
    lines = [
        "  SYMBOL       NUMBER TRADES  RETURN DRAWDOWN FACTOR SHARPE    DSR NEIGHBOURS  STANDS   PBO",
        *(line for name, one in results.items() for line in _of_symbol(name, one)),
        "",
        _wrapped("combinations", f"{first.combinations:,} of each symbol by {first.way} ({first.way_why})"),
        _wrapped("sealed", f"of each symbol: `bnml grid --out {Path(first.folder).parent}/SYMBOL --open N`"),
        _wrapped("rows", f"{Path(first.folder).parent}/SYMBOL/rows-*.parquet, all figures in result.json"),
        _wrapped("in all", f"{len(results):,} symbols are {len(results):,} chances: the best of them is lucky too"),
    ]  # fmt: skip
    return "\n".join(lines)


def _of_symbol(name: str, result: GridResult) -> list[str]:
    pbo = "-" if result.pbo is None else f"{100 * result.pbo:.0f} %"
    if not result.candidates:
        return [f"  {name:<10} no candidate with enough trades; PBO {pbo}"]
    figures, *words = _candidate(result.candidates[0])
    return [f"  {name:<10} {figures} {pbo:>5}", *words]


def opening_text(opening: Opening) -> str:
    """What the chosen combination did on the sealed part."""
    lines = [
        ("verdict", opening.verdict),
        ("combination", f"{opening.combination}: {_values(opening.values)}"),
        ("sealed part", f"{opening.from_} .. {opening.to}, opened at {opening.opened_at}"),
        ("positions closed", f"{opening.trades:,}"),
        ("net return", f"{100 * opening.net_return:+.2f} % (searched part {100 * opening.searched_net_return:+.2f} %)"),
        ("max drawdown", f"{100 * opening.max_drawdown:.2f} % of daily marks"),
        ("Sharpe, yearly", f"{opening.sharpe:.2f} (searched part {opening.searched_sharpe:.2f})"),
        ("deflated Sharpe", f"{opening.deflated_sharpe:.3f}, looks at this part with this one: {opening.trials:,}"),
    ]  # fmt: skip
    return "\n".join(_wrapped(name, value) for name, value in lines)


def _sealed(result: GridResult) -> str:
    sealed = result.sealed
    if sealed.share == 0.0:
        return "nothing: no figure here was checked on unseen data"
    opened = (
        f"; opened: {sealed.opened}" if sealed.opened else f"; `bnml grid --out {result.folder} --open N`"
    )
    return f"{100 * sealed.share:.0f} %, {sealed.from_} .. {sealed.to}{opened}"


def _pbo(result: GridResult) -> str:
    over = result.overfitting
    if over is None:
        return "not known: too few days or combinations"
    return (
        f"{100 * over.pbo:.1f} % of {over.splits:,} splits chose one below the median of the other half "
        f"({over.combinations:,} compared); {100 * over.loss:.1f} % lost there"
    )


def _candidate(one: Candidate) -> list[str]:
    factor = "no loss" if one.profit_factor is None else f"{one.profit_factor:.2f}"
    around = one.neighbourhood
    near = f"{100 * around.profitable:.0f} % {100 * around.median_degradation:+.0f} %"
    figures = (
        f"{one.combination:>8} {one.trades:>6,} {100 * one.net_return:>+6.1f}% "
        f"{100 * one.max_drawdown:>7.1f}% {factor:>6} {one.sharpe:>6.2f} {one.deflated_sharpe:>6.3f} "
        f"{near:>11} {'yes' if one.survives else 'no':>6}"
    )
    indent = " " * 9
    words = textwrap.wrap(_values(one.values), WIDTH, initial_indent=indent, subsequent_indent=indent)
    return [figures, *words]


def _values(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def _wrapped(name: str, value: str) -> str:
    head = f"{name:<{LABEL}}"
    return textwrap.fill(value, WIDTH, initial_indent=head, subsequent_indent=" " * LABEL)
