"""Tables of the page: the same rows as the files, with aligned figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import msgspec

from bnml.research.page.axes import MONTHS
from bnml.research.page.words import NOTHING, cell_text, count_of, number, percent, tone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bnml.research.findings import Chance
    from bnml.research.metrics import Summary
    from bnml.research.tables import Column, Table, Value

TEXTUAL = frozenset({"text"})
PARTS = ("taker", "maker", "spread", "slippage")


def table_html(table: Table, *, last_is_sum: bool = False) -> str:
    """All rows of a table."""
    return rows_table(table, table.rows, [column.name for column in table.columns], last_is_sum=last_is_sum)


def rows_table(
    table: Table, rows: Iterable[Sequence[Value]], names: Sequence[str], *, last_is_sum: bool = False
) -> str:
    """Some rows and columns of a table; it scrolls sideways where it is wider than the screen."""
    chosen = [k for k, column in enumerate(table.columns) if column.name in names]
    columns = [table.columns[k] for k in chosen]
    head = "".join(
        f"<th scope='col' class='{_side(column)}'>{escape(column.label)}</th>" for column in columns
    )
    lines = ["".join(_cell(table.columns[k], row[k], first=k == chosen[0]) for k in chosen) for row in rows]
    body = "".join(
        f"<tr class='sum'>{line}</tr>" if last_is_sum and k == len(lines) - 1 else f"<tr>{line}</tr>"
        for k, line in enumerate(lines)
    )
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{escape(table.title)}'>"
        f"<table id='table-{table.name}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _side(column: Column) -> str:
    return "text" if column.kind in TEXTUAL else "figure"


def _cell(column: Column, value: Value, *, first: bool) -> str:
    if isinstance(value, str) and column.name == "reason":
        value = value.replace("_", " ")
    text = cell_text(column, value)
    if first:
        return f"<th scope='row'>{text}</th>"
    return f"<td class='{_side(column)} {tone(column, value)}'>{text}</td>"


def months(table: Table) -> str:
    """Years as rows, months as columns, the whole year last; shaded by size."""
    changes = {str(month): float(change or 0) for month, _, change in table.rows}
    largest = max(map(abs, changes.values())) or 1.0
    head = "".join(f"<th scope='col'>{name}</th>" for name in MONTHS)
    lines = []
    for year in sorted({month[:4] for month in changes}):
        whole = 1.0
        cells = []
        for k, name in enumerate(MONTHS):
            change = changes.get(f"{year}-{k + 1:02d}")
            whole *= 1.0 + (change or 0.0)
            cells.append(_month_cell(name, change, largest))
        total = f"<td class='year {_sign(whole - 1)}' data-m='Year'>{percent(whole - 1, signed=True)}</td>"
        lines.append(f"<tr><th scope='row'>{year}</th>{''.join(cells)}{total}</tr>")
    return (
        "<table class='months' id='table-monthly'><thead><tr><th scope='col'>Year</th>"
        f"{head}<th scope='col'>Year</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _month_cell(name: str, change: float | None, largest: float) -> str:
    if change is None:
        return f"<td class='none' data-m='{name}'>{NOTHING}</td>"
    strength = round(8 + 32 * abs(change) / largest) if change else 0
    return (
        f"<td class='{_sign(change)} shaded' data-m='{name}' style='--s:{strength}%'>"
        f"{percent(change, signed=True)}</td>"
    )


def _sign(value: float) -> str:
    return "win" if value > 0 else "loss" if value < 0 else ""


def cost_bar(table: Table, quote: str) -> str:
    """All costs as one bar cut into its parts."""
    whole = table.records()[-1]
    values = [(name, float(whole[name] or 0)) for name in PARTS]
    total = sum(value for _, value in values)
    if not total:
        return "<p class='note'>Nothing was traded.</p>"
    labels = {column.name: column.label for column in table.columns}
    bar = "".join(
        f"<i class='part {name}' style='flex-grow:{value / total:.4f}'></i>"
        for name, value in values
        if value
    )
    keys = "".join(
        f"<li><i class='key {name}'></i>{escape(labels[name])} <b>{number(value, 0)}</b> {escape(quote)}, "
        f"{percent(value / total, 0)}</li>"
        for name, value in values
    )
    return f"<div class='parts' aria-hidden='true'>{bar}</div><ul class='legend'>{keys}</ul>"


def risk_list(summary: Summary, chance: Chance | None) -> str:
    """What could have come of the same days, and how likely luck explains the run."""
    items = [
        ("Sharpe above 0", f"{percent(summary.probabilistic_sharpe, 1)} likely"),
        (
            "The same after all trials",
            f"{percent(summary.deflated_sharpe, 1)} likely, {count_of(summary.trials, 'trial')}",
        ),
        (
            "Worse 5 % of resampled days",
            (
                f"return {percent(summary.block_pnl_p05, signed=True)}, drawdown {percent(summary.block_drawdown_p95)} "
                f"(days one by one: {percent(summary.bootstrap_pnl_p05, signed=True)}, "
                f"{percent(summary.bootstrap_drawdown_p95)})"
            ),
        ),
        ("Mean of the worst 5 % of days", percent(summary.cvar_95, signed=True)),
        (
            "Under water",
            (
                f"{percent(summary.time_under_water, 0)} of the time, {number(summary.longest_under_water_days, 1)} "
                "days at the longest"
            ),
        ),
        ("Risk of ruin", percent(summary.risk_of_ruin, 1)),
        ("Sortino, Calmar", f"{_or_none(summary.sortino)}, {_or_none(summary.calmar)}"),
        (
            "Average win and loss",
            (
                f"{number(summary.average_win, signed=True)} and {number(summary.average_loss, signed=True)} "
                f"{escape(summary.quote)}, payoff {_or_none(summary.payoff)}"
            ),
        ),
    ]
    if chance is not None:
        items.append(
            (
                "Random entries",
                (
                    f"this run ended above {percent(chance.below, 0)} of {chance.runs} runs with as many entries drawn at "
                    f"random and the same exits (seed {chance.seed})"
                ),
            )
        )
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in items) + "</dl>"


def _or_none(value: float | None) -> str:
    return "without loss" if value is None else number(value)


def figures_table(summary_json: bytes) -> str:
    """Each figure of the summary with all its digits, as `--json` prints it."""
    figures: dict[str, object] = msgspec.json.decode(summary_json)
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td class='figure'><code>{escape(_exact(value))}</code></td></tr>"
        for name, value in figures.items()
    )
    return (
        "<details><summary>All figures with all their digits</summary>"
        f"<div class='scroll'><table id='table-summary'><tbody>{rows}</tbody></table></div></details>"
    )


def _exact(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
