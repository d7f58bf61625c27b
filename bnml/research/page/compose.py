"""Puts the page together: one HTML file with its own style and script, and no address in it."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_DAY, NS_PER_S
from bnml.core.instrument import E8
from bnml.research.page import spreads, timelines
from bnml.research.page.axes import day_text
from bnml.research.page.tabular import cost_bar, figures_table, months, risk_list, rows_table, table_html
from bnml.research.page.words import count_of, hours, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bnml.research.findings import Findings
    from bnml.research.sensitivity import Sensitivity
    from bnml.research.tables import Table

TOLD, TOLD_DAYS = 1000, 1000
"""Positions and days that the script can tell of when pointed at; more would make the page heavy."""
EXTREMES = 10


def page(findings: Findings) -> str:
    """The whole document."""
    resources = files("bnml.research.page")
    style = resources.joinpath("page.css").read_text("utf-8")
    script = resources.joinpath("page.js").read_text("utf-8")
    title = f"Backtest {', '.join(findings.summary.symbols[:3])}{' …' if len(findings.summary.symbols) > 3 else ''}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"{_head(findings)}{_hero(findings)}{_headline(findings)}{_warnings(findings)}{''.join(_sections(findings))}"
        f"</main>{_data('summary', findings.summary_json.decode())}{_data('days', _days(findings))}"
        f"{_data('positions', _positions(findings))}<script>{script}</script></body></html>\n"
    )


def _head(findings: Findings) -> str:
    summary, market = findings.summary, findings.market
    start, end = timelines.span_ns(findings)
    label = '<span class="badge">simulated market</span>' if market.source.startswith("simulated") else ""
    names = ", ".join(summary.symbols)
    return (
        f"<header><p class='over'>Backtest {label}</p><h1>{escape(names)}</h1>"
        f"<p class='sub'>{day_text(start)} to {day_text(end)} UTC &middot; {summary.bars:,} bars &middot; "
        f"{escape(findings.basis.engine)} &middot; {escape(market.source)}</p></header>"
    )


def _hero(findings: Findings) -> str:
    """The first number: what is left when market, chance and search are taken off."""
    edge = findings.edge
    tone = "win" if edge.is_shown and not findings.warnings else ""
    figure, _, unit = edge.text.partition(" % ")
    words = f"{figure}&nbsp;% <small>{unit}</small>" if unit else figure
    found = "" if edge.is_shown else f" The bound is {_yearly(edge.percent)}."
    return (
        f"<section class='hero'><span class='name'>Edge floor</span><b class='{tone}'>{words}</b>"
        f"<p>Lower 5 % bound of net return ({_yearly(edge.net)}) minus the market at the same exposure "
        f"({_yearly(edge.benchmark)}), in % of equity a year: {count_of(edge.days, 'day')} resampled in blocks, less "
        f"{number(edge.deflation, 1)}&nbsp;% for {count_of(edge.trials, 'trial')} on these data.{found}</p></section>"
    )


def _yearly(share: float) -> str:
    return f"{number(share, 1, signed=True)}&nbsp;%"


def _headline(findings: Findings) -> str:
    s = findings.summary
    factor = "no loss" if s.profit_factor is None else number(s.profit_factor)
    tiles = (
        ("Net return", percent(s.net_return, signed=True), _sign(s.net_return), _money_line(findings)),
        ("Max drawdown", percent(s.max_drawdown), "", "of the highest mark"),
        ("Sharpe, yearly", number(s.sharpe), "", "daily marked equity"),
        ("Profit factor", factor, "", f"{number(s.expectancy, signed=True)} {escape(s.quote)} a position"),
        ("Win rate", percent(s.win_rate, 1), "", f"of {count_of(s.trades, 'closed position')}"),
        ("Exposure", percent(s.exposure, 1), "", f"turnover {number(s.turnover, 1)} times"),
    )
    return (
        "<section class='tiles' aria-label='Headline figures'>"
        + "".join(
            f"<div class='tile'><span class='name'>{name}</span><b class='{tone}'>{value}</b><span class='note'>{note}</span></div>"
            for name, value, tone, note in tiles
        )
        + "</section>"
    )


def _money_line(findings: Findings) -> str:
    s = findings.summary
    return f"{number(s.initial_equity, 0)} to {number(s.final_equity, 0)} {escape(s.quote)}"


def _sign(value: float) -> str:
    return "win" if value > 0 else "loss" if value < 0 else ""


def _warnings(findings: Findings) -> str:
    if not findings.warnings:
        return ""
    items = "".join(f"<li>{escape(_sentence(text))}</li>" for text in findings.warnings)
    return f"<section class='warnings'><h2>Read this first</h2><ul>{items}</ul></section>"


def _sentence(text: str) -> str:
    return text if text[:1].isupper() and text.endswith(".") else text.rstrip(".") + "."


def _section(title: str, body: str, note: str = "", *, name: str = "") -> str:
    under = f"<p class='note'>{note}</p>" if note else ""
    return f"<section class='{name}'><h2>{escape(title)}</h2>{under}{body}</section>"


def views(name: str, choices: Sequence[tuple[str, str]], label: str) -> str:
    """Plots of which one is shown, chosen by buttons that work without a script."""
    if len(choices) == 1:
        return f"<div class='views'>{choices[0][1]}</div>"
    inputs = "".join(
        f"<input type='radio' name='{name}' id='{name}-{k}'{' checked' if k == 0 else ''}>"
        f"<label for='{name}-{k}'>{escape(text)}</label>"
        for k, (text, _) in enumerate(choices)
    )
    panels = "".join(f"<div class='panel'>{body}</div>" for _, body in choices)
    rules = "".join(
        f"#{name}:has(#{name}-{k}:checked)>.panel:nth-of-type({k + 2}){{display:block}}"
        for k in range(len(choices))
    )
    return (
        f"<style>{rules}</style><div class='views many' id='{name}'>"
        f"<div class='choice' role='radiogroup' aria-label='{escape(label)}'>{inputs}</div>{panels}</div>"
    )


def _sections(findings: Findings) -> Iterable[str]:
    tables, quote = findings.tables, escape(findings.summary.quote)
    drawdown = f"<h3>Drawdown</h3>{timelines.drawdown(findings)}" if findings.positions else ""
    yield _section(
        "Equity",
        timelines.equity_legend(findings)
        + views("equity", timelines.equity_views(findings), "View")
        + drawdown,
        f"{quote}, marked at each scan. Benchmarks hold the same symbols over the same time.",
        name="wide equity",
    )
    yield _section(
        "Price, entries and exits",
        timelines.price_legend() + views("price", timelines.price_views(findings), "Symbol"),
        name="wide",
    )
    yield _section("Monthly returns", months(tables["monthly"]), name="wide")
    if findings.positions:
        yield from _position_sections(findings)
    yield _section("By symbol", table_html(tables["symbols"]), name="wide")
    if findings.positions:
        yield _section("By exit reason", table_html(tables["reasons"]), name="wide")
    yield _section(
        "What trading cost",
        cost_bar(tables["costs"], findings.summary.quote) + table_html(tables["costs"], last_is_sum=True),
        f"{quote}. Commission as charged; spread and slippage are in the prices, estimated with the model that "
        "priced the fills.",
        name="wide",
    )
    if findings.sensitivity is not None:
        yield _section(
            "Sensitivity",
            table_html(findings.sensitivity.table),
            _break_even(findings.sensitivity),
            name="wide",
        )
    yield _section("Risk and chance", risk_list(findings.summary, findings.chance), name="wide")
    yield from _closing_sections(findings)


def _break_even(found: Sensitivity) -> str:
    """How far costs may rise before nothing is left."""
    words = "The same decisions traded again by the sweep; a limit on the spread grows with it."
    if found.cost_bps is None:
        return words
    if found.break_even_bps is None:
        return f"{words} Break-even: none, there is no profit even without commission."
    return (
        f"{words} Break-even at {number(found.break_even_bps, 1)} bps a side, all costs together; "
        f"the run paid {number(found.cost_bps, 1)}."
    )


def _position_sections(findings: Findings) -> Iterable[str]:
    positions = findings.positions
    yield _section(
        "Return and worst price",
        spreads.scatter(positions, "adverse"),
        "Across: how far the price went against a position (MAE). Up: what it returned after costs.",
    )
    yield _section(
        "Return and best price",
        spreads.scatter(positions, "favourable"),
        "Across: how far the price went in favour of a position (MFE). On the line nothing was given back.",
    )
    mean = sum(one.gain for one in positions) / len(positions)
    risked = [one.r for one in positions if one.r is not None]
    in_risk = f"mean {number(sum(risked) / len(risked), signed=True)} R, " if risked else ""
    middle = sorted(one.gain for one in positions)[len(positions) // 2]
    held = sum(one.held_ns for one in positions) / len(positions) / 3.6e12
    yield _section(
        "Distribution of returns",
        spreads.distribution(positions),
        f"Of {count_of(len(positions), 'position')} after costs: mean {percent(mean, signed=True)}, "
        f"median {percent(middle, signed=True)}, {in_risk}held {hours(held)} on average.",
        name="wide",
    )
    yield _section(
        "Exposure",
        timelines.exposure(findings),
        f"Share of equity in positions; {percent(findings.summary.exposure, 1)} on average.",
        name="wide low",
    )


def _closing_sections(findings: Findings) -> Iterable[str]:
    tables = findings.tables
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in findings.basis.assumptions
    )
    models = table_html(tables["models"]) if "models" in tables else ""
    yield _section("Assumptions", f"<dl>{facts}</dl>{models}", name="wide")
    missing = sum(int(row[3] or 0) for row in tables["gaps"].rows)
    if missing:
        note = f"{missing:,} bars are missing in the traded range; they are not filled."
        yield _section("Data gaps met", table_html(tables["gaps"]), note, name="wide")
    else:
        yield _section("Data gaps met", "", "None: no bar is missing in the traded range.", name="wide")
    if findings.positions:
        yield _section("Positions", _extremes(tables["positions"]), name="wide")
    yield _section("Every figure", figures_table(findings.summary_json), name="wide")


def _extremes(table: Table) -> str:
    """The best and the worst positions."""
    shown = ("symbol", "opened", "held_h", "pnl", "gain", "r", "favourable", "adverse", "reason")
    at = [column.name for column in table.columns].index("gain")
    order = sorted(table.rows, key=lambda row: float(row[at] or 0))
    if len(order) <= 2 * EXTREMES:
        return rows_table(table, order[::-1], shown)
    note = f"<p class='note'>The {EXTREMES} best and the {EXTREMES} worst of {len(order):,}.</p>"
    return note + rows_table(table, [*order[: -EXTREMES - 1 : -1], *order[EXTREMES - 1 :: -1]], shown)


def _data(name: str, encoded: str) -> str:
    """JSON for the script; `<` cannot end the element."""
    safe = encoded.replace("<", "\\u003c")
    return f"<script type='application/json' id='{name}'>{safe}</script>"


def _days(findings: Findings) -> str:
    """Time in seconds, equity, drawdown, hold, matched, share invested: at the last mark of each day, or of each few."""
    curves = findings.curves
    days = curves.ts_ns // NS_PER_DAY
    last = np.flatnonzero(np.diff(days, append=np.iinfo(np.int64).max))
    last = last[:: -(-len(last) // TOLD_DAYS)]
    peaks = np.maximum.accumulate(np.maximum(curves.equity, findings.summary.initial_equity))
    columns = (
        curves.ts_ns[last] // NS_PER_S,
        np.round(curves.equity[last], 2),
        np.round(curves.equity[last] / peaks[last] - 1.0, 5),
        np.round(curves.hold[last], 2),
        np.round(curves.matched[last], 2),
        np.round(curves.invested[last], 4),
    )
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return msgspec.json.encode(rows).decode()


def _positions(findings: Findings) -> str:
    """Symbol, open and close in seconds, prices, return, best, worst, reason: the largest moves if too many."""
    chosen = findings.positions
    if len(chosen) > TOLD:
        chosen = sorted(chosen, key=lambda one: -abs(one.gain))[:TOLD]
    rows = []
    for one in chosen:
        tick = findings.market.instruments[one.symbol].tick_e8 / E8
        rows.append(
            (
                one.symbol,
                one.opened_ns // NS_PER_S,
                one.closed_ns // NS_PER_S,
                float(f"{one.entry_ticks * tick:.8g}"),
                float(f"{one.exit_ticks * tick:.8g}"),
                round(one.gain, 6),
                round(one.favourable, 6),
                round(one.adverse, 6),
                one.reason.replace("_", " "),
            )
        )
    return msgspec.json.encode(rows).decode()
