"""`bnml shortfall`: what orders gave away against their decisions, beside what the cost model assumes."""

from __future__ import annotations

import sys
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.shortfall import ENTRY, GAP, KINDS, Filled, Walk
from bnml.journal.reader import JournalReader
from bnml.journal.schema import JOURNAL_FILE
from bnml.trading.filling import compile_costs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.config import Settings
    from bnml.options import ShortfallOptions
    from bnml.trading.settings import CostSettings

FEW: Final = 30
MOST_BPS: Final = 500.0  # the range of the settings
ALL: Final = "all"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of one symbol (empty: of all) and kind, in bps; `mean` and its parts are weighed by notional.

    `mean` = delay + execution + commission. `assumed` is what the cost model says of the same orders: spread and
    slippage, `assumed_commission` beside it. `commission` is of those orders whose commission has a known price.
    """

    symbol: str
    kind: str
    side: str
    orders: int
    mean: float
    median: float
    p90: float
    worst: float
    delay: float
    execution: float
    commission: float
    assumed: float
    assumed_commission: float


class Proposal(msgspec.Struct, frozen=True):
    """A line for `costs:` in the configuration."""

    key: str
    value: float
    now: float
    orders: int


class Report(msgspec.Struct, frozen=True):
    """All of it; `unknown` orders have no decision in the journal, `unpriced` no price for their commission."""

    rows: tuple[Row, ...]
    proposals: tuple[Proposal, ...]
    unknown: int
    unpriced: int


def shortfall(settings: Settings, options: ShortfallOptions) -> int:
    """Measure the journal and print it."""
    walk = Walk(compile_costs(settings.costs))
    with JournalReader(settings.app.state_dir / JOURNAL_FILE) as reader:
        walk.go(reader, options.since_ns)
    report = make_report(walk.filled, settings.costs, walk.unknown)
    if options.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        sys.stdout.write(text_of(report))
    return 0


def make_report(filled: Sequence[Filled], costs: CostSettings, unknown: int = 0) -> Report:
    """Rows by symbol and kind, then of all symbols; and what the cost model would say if it said the same."""
    symbols = sorted({one.symbol for one in filled})
    groups = [(name, [one for one in filled if one.symbol == name]) for name in symbols]
    if len(symbols) > 1:
        groups.append(("", list(filled)))
    rows = []
    for symbol, orders in groups:
        parts = [(kind, [one for one in orders if one.kind == kind]) for kind in KINDS]
        rows += [_row(symbol, kind, part, costs) for kind, part in [*parts, (ALL, orders)] if part]
    unpriced = sum(one.commission is None for one in filled)
    return Report(tuple(rows), tuple(_proposals(filled, costs)), unknown, unpriced)


def _row(symbol: str, kind: str, orders: Sequence[Filled], costs: CostSettings) -> Row:
    totals = sorted(one.total for one in orders)
    priced = [one for one in orders if one.commission is not None]
    return Row(
        symbol=symbol,
        kind=kind,
        side="BUY" if kind == ENTRY else "" if kind == ALL else "SELL",
        orders=len(orders),
        mean=_mean(orders, lambda one: one.total),
        median=_rounded(median(totals)),
        p90=_rounded(totals[-(-9 * len(totals) // 10) - 1]),
        worst=_rounded(totals[-1]),
        delay=_mean(orders, lambda one: one.delay),
        execution=_mean(orders, lambda one: one.execution),
        commission=_mean(priced, lambda one: one.commission or 0.0),
        assumed=_mean(orders, lambda one: one.assumed),
        assumed_commission=_mean(orders, lambda one: costs.taker_bps if one.is_taker else costs.maker_bps),
    )


def _proposals(filled: Sequence[Filled], costs: CostSettings) -> list[Proposal]:
    """Slippage takes up what execution cost beyond the model; stops that were jumped over are in the bars already."""
    took = [one for one in filled if one.is_taker and one.kind != GAP]
    made = []
    if took:
        beyond = _mean(took, lambda one: one.execution - one.assumed)
        made.append(_proposal("slippage_bps", costs.slippage_bps + beyond, costs.slippage_bps, len(took)))
    for key, is_taker, now in (("taker_bps", True, costs.taker_bps), ("maker_bps", False, costs.maker_bps)):
        paid = [one for one in filled if one.is_taker is is_taker and one.commission is not None]
        if paid:
            made.append(_proposal(key, _mean(paid, lambda one: one.commission or 0.0), now, len(paid)))
    return made


def _proposal(key: str, value: float, now: float, orders: int) -> Proposal:
    return Proposal(key, round(min(max(0.0, value), MOST_BPS), 2), now, orders)


def _mean(orders: Sequence[Filled], value: Callable[[Filled], float]) -> float:
    """Weighed by what each order was worth as decided."""
    weight = sum(one.weight for one in orders)
    return _rounded(sum(value(one) * one.weight for one in orders) / weight) if weight else 0.0


def _rounded(bps: float) -> float:
    return round(bps, 4) + 0.0  # no negative zero


def text_of(report: Report) -> str:
    """A table of at most 84 columns, then lines for the configuration."""
    if not report.rows:
        lines = ["no fill that can be measured: the journal holds none with its decision (in this time)"]
        return "\n".join([*lines, *_remarks(report)]) + "\n"
    lines = [
        "shortfall in bps of the price decided at; positive is lost. mean = delay +",
        "execution + commission; model: spread and slippage, and commission, assumed",
        "",
        _line(
            (
                "symbol",
                "order",
                "n",
                "mean",
                "median",
                "p90",
                "worst",
                "delay",
                "exec",
                "comm",
                "model",
                "comm",
            )
        ),
    ]
    named = ""
    for row in report.rows:
        name = row.symbol or "all symbols"
        figures = (
            *(row.mean, row.median, row.p90, row.worst, row.delay, row.execution, row.commission),
            *(row.assumed, row.assumed_commission),
        )
        shown = "" if name == named else name
        lines.append(_line((shown, row.kind, str(row.orders), *(f"{one:.1f}" for one in figures))))
        named = name
    return "\n".join([*lines, *_remarks(report), "", *_config_lines(report)]) + "\n"


def _remarks(report: Report) -> list[str]:
    lines = []
    if report.unpriced:
        lines.append(
            f"{report.unpriced} orders paid commission in an asset without a price in the journal: it is left out"
        )
    if report.unknown:
        lines.append(
            f"{report.unknown} orders filled without a decision in the journal (taken over, or sold by hand): left out"
        )
    return [""] * bool(lines) + lines


def _config_lines(report: Report) -> list[str]:
    """The cost model has one figure for all symbols."""
    lines = ["# for config.yaml, if the cost model shall say what was measured (all symbols):", "costs:"]
    for one in report.proposals:
        few = f"; FEW: below {FEW} this is chance" if one.orders < FEW else ""
        lines.append(f"  {one.key}: {one.value:g}  # measured on {one.orders} orders, now {one.now:g}{few}")
    return lines


def _line(cells: Sequence[str]) -> str:
    widths = (11, 6, 5, 6, 6, 6, 6, 6, 6, 5, 5, 5)
    return " ".join(
        f"{cell:{'<' if n < 2 else '>'}{width}}"
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()
