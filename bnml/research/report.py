"""Results for people: what `backtest` and `parity` print, in lines of at most 80 columns where words allow it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnml.config import Settings
    from bnml.research.metrics import Summary
    from bnml.research.parity import Verdict

WIDTH = 80
LABEL = 18
PATH_DECIDES_ATR = 0.5
"""A trailing distance below this share of the ATR lies inside most bars."""


def path_decides(settings: Settings) -> str:
    """A sentence when the assumed path of prices inside a bar, not the data, decides most exits, else nothing."""
    trail = settings.exits.trail_atr
    if trail >= PATH_DECIDES_ATR:
        return ""
    return (
        f"exits.trail_atr {trail:g} is less than a bar usually moves: bars are walked open, low, high, close, so a "
        "stop that follows the high so closely sells near it; no real market does that, do not believe the profit"
    )


def summary_text(summary: Summary, engine: str) -> str:
    """A label and a figure with its unit on each line; definitions are those of `Summary`."""
    factor = "no loss" if summary.profit_factor is None else f"{summary.profit_factor:.2f}"
    quote = summary.quote
    capital = "each symbol its own capital" if engine == "sweep" else "one capital for all symbols"
    lines = (
        ("market", summary.market),
        ("engine", f"{engine}, {capital}"),
        ("symbols", ", ".join(summary.symbols)),
        ("from, to", f"{summary.from_} .. {summary.to}"),
        ("bars", f"{summary.bars:,}"),
        ("positions closed", f"{summary.trades:,} ({summary.fills:,} fills)"),
        ("equity", f"{summary.initial_equity:,.2f} -> {summary.final_equity:,.2f} {quote}"),
        ("net return", f"{100 * summary.net_return:+.2f} %"),
        ("max drawdown", f"{100 * summary.max_drawdown:.2f} %"),
        ("profit factor", factor),
        ("Sharpe, yearly", f"{summary.sharpe:.2f}"),
        ("win rate", f"{100 * summary.win_rate:.1f} %"),
        ("expectancy", f"{summary.expectancy:+.2f} {quote} a position"),
        ("exposure", f"{100 * summary.exposure:.1f} %"),
        ("commissions", f"{summary.costs:,.2f} {quote}"),
        ("elapsed", f"{summary.elapsed_s:.1f} s"),
    )
    return "\n".join(_wrapped(name, value) for name, value in lines)


def verdict_text(verdict: Verdict) -> str:
    """Each pair with its counts, the first differing rows, what was too rare, and the answer last."""
    lines = []
    for one in verdict.comparisons:
        mark = "equal" if not one.differences else f"{one.differences:,} DIFFER"
        lines.append(f"{one.left} against {one.right}: {one.compared:,} rows, {mark}")
        lines.append(_wrapped("  fills", f"{one.trades:,}: {_counts(one.exits)}"))
        lines.append(_wrapped("  decisions", _counts(one.refusals)))
    if verdict.first:
        lines.append("first differing rows")
    lines += [f"  {row.kind} {row.symbol} {row.time}: {row.what}" for row in verdict.first]
    lines += [f"not proven, too rare: {what}" for what in verdict.missing]
    lines.append(f"compared {verdict.compared:,} rows, differences {verdict.differences:,}")
    return "\n".join(lines)


def _wrapped(name: str, value: str) -> str:
    head = f"{name:<{LABEL}}"
    return textwrap.fill(value, WIDTH, initial_indent=head, subsequent_indent=" " * LABEL) if value else head


def _counts(counted: dict[str, int]) -> str:
    words = (f"{name.lower().replace('_', ' ')} {count:,}" for name, count in counted.items())
    return ", ".join(words) or "none"
