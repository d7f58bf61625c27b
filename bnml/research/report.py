"""Results for people: what `backtest` and `parity` print, in lines of at most 80 columns where words allow it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnml.config import Settings
    from bnml.research.metrics import Summary
    from bnml.research.parity import Verdict

Lines = tuple[tuple[str, str], ...]

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
    """A label and a figure with its unit on each line, in groups; definitions are those of `Figures`."""
    groups = (
        _run_lines(summary, engine),
        _result_lines(summary),
        _risk_lines(summary),
        _position_lines(summary),
        _chance_lines(summary),
    )
    return "\n\n".join("\n".join(labelled(name, value) for name, value in lines) for lines in groups)


def _run_lines(summary: Summary, engine: str) -> Lines:
    return (
        ("market", summary.market),
        ("engine", f"{engine}, one capital for all symbols"),
        ("symbols", ", ".join(summary.symbols)),
        ("from, to", f"{summary.from_} .. {summary.to}"),
        ("bars", f"{summary.bars:,}"),
        ("elapsed", f"{summary.elapsed_s:.1f} s"),
    )


def _result_lines(summary: Summary) -> Lines:
    return (
        ("equity", f"{summary.initial_equity:,.2f} -> {summary.final_equity:,.2f} {summary.quote}"),
        ("net return", f"{_signed(summary.net_return)}, {_signed(summary.cagr)} a year"),
        ("Sharpe, yearly", f"{summary.sharpe:.2f}"),
        ("Sortino, yearly", _or_words(summary.sortino, "no losing day")),
        ("Calmar", _or_words(summary.calmar, "no drawdown")),
        ("exposure", f"{100 * summary.exposure:.1f} %"),
        ("turnover", f"{summary.turnover:,.1f} times the equity"),
        ("commissions", f"{summary.costs:,.2f} {summary.quote}"),
    )


def _risk_lines(summary: Summary) -> Lines:
    longest = f"longest {summary.longest_under_water_days:,.1f} days"
    return (
        (
            "max drawdown",
            f"{_percent(summary.max_drawdown)}, {summary.max_drawdown_quote:,.2f} {summary.quote}",
        ),
        ("under water", f"{100 * summary.time_under_water:.1f} % of the time, {longest}"),
        ("worst 5 % of days", f"{_signed(summary.cvar_95)} in the mean"),
        ("risk of ruin", _percent(summary.risk_of_ruin)),
    )


def _position_lines(summary: Summary) -> Lines:
    quote = summary.quote
    return (
        ("positions closed", f"{summary.trades:,} ({summary.fills:,} fills)"),
        ("win rate", f"{100 * summary.win_rate:.1f} %"),
        ("win, loss", f"{summary.average_win:+,.2f}, {summary.average_loss:+,.2f} {quote} in the mean"),
        ("payoff", _or_words(summary.payoff, "no loss")),
        ("profit factor", _or_words(summary.profit_factor, "no loss")),
        ("expectancy", f"{summary.expectancy:+.2f} {quote} a position"),
    )


def _chance_lines(summary: Summary) -> Lines:
    trials = "1 trial" if summary.trials == 1 else f"{summary.trials:,} trials"
    return (
        ("days drawn anew", _worse(summary.bootstrap_drawdown_p95, summary.bootstrap_pnl_p05)),
        ("days in blocks", _worse(summary.block_drawdown_p95, summary.block_pnl_p05)),
        ("Sharpe above 0", f"{_percent(summary.probabilistic_sharpe)} likely"),
        ("after all trials", f"{_percent(summary.deflated_sharpe)} likely, {trials}"),
    )


def _worse(drawdown: float, profit: float) -> str:
    return f"drawdown {_percent(drawdown)}, return {_signed(profit)} at the worse 5 %"


def _signed(share: float) -> str:
    return f"{100 * share:+,.2f} %"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _or_words(value: float | None, words: str) -> str:
    return words if value is None else f"{value:.2f}"


def verdict_text(verdict: Verdict) -> str:
    """Each pair with its counts, the first differing rows, what was too rare, and the answer last."""
    lines = []
    for one in verdict.comparisons:
        mark = "equal" if not one.differences else f"{one.differences:,} DIFFER"
        lines.append(f"{one.left} against {one.right}: {one.compared:,} rows, {mark}")
        lines.append(labelled("  fills", f"{one.trades:,}: {_counts(one.exits)}"))
        lines.append(labelled("  decisions", _counts(one.refusals)))
    if verdict.first:
        lines.append("first differing rows")
    lines += [f"  {row.kind} {row.symbol} {row.time}: {row.what}" for row in verdict.first]
    lines += [f"not proven, too rare: {what}" for what in verdict.missing]
    lines.append(f"compared {verdict.compared:,} rows, differences {verdict.differences:,}")
    return "\n".join(lines)


def labelled(name: str, value: str) -> str:
    """A label and its value, wrapped below itself."""
    head = f"{name:<{LABEL}}"
    return textwrap.fill(value, WIDTH, initial_indent=head, subsequent_indent=" " * LABEL) if value else head


def _counts(counted: dict[str, int]) -> str:
    words = (f"{name.lower().replace('_', ' ')} {count:,}" for name, count in counted.items())
    return ", ".join(words) or "none"
