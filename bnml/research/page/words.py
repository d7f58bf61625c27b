"""Values as people read them: grouped digits, a true minus sign, units beside the figure."""

from __future__ import annotations

from html import escape
from math import isfinite

from bnml.core.clock import NS_PER_S, format_utc
from bnml.research.page.axes import day_text
from bnml.research.tables import Column, Value

MINUS = "\u2212"
NOTHING = "\u2013"


def number(value: float, decimals: int = 2, *, signed: bool = False) -> str:
    """`1,234.50`, with a sign if asked; a value that rounds to zero has none."""
    if not isfinite(value):
        return NOTHING
    text = f"{abs(value):,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def percent(share: float, decimals: int = 2, *, signed: bool = False) -> str:
    """A share of 1 as `12.34 %`, with a space that does not break."""
    return number(100.0 * share, decimals, signed=signed) + "\u00a0%"


def hours(value: float) -> str:
    """`45 min`, `7.5 h` or `3.2 d`."""
    if value < 1:
        return f"{value * 60:.0f}\u00a0min"
    return f"{value:.1f}\u00a0h" if value < 48 else f"{value / 24:.1f}\u00a0d"


def cell_text(column: Column, value: Value) -> str:
    """One value of a table, escaped."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    match column.kind:
        case "time":
            return format_utc(int(value) // NS_PER_S * NS_PER_S)[:16].replace("T", " ")
        case "day":
            return day_text(int(value))
        case "count":
            return f"{int(value):,}"
        case "money" | "ratio":
            return number(value)
        case "gain":
            return number(value, signed=True)
        case "share":
            return percent(value, 1)
        case "change":
            return percent(value, signed=True)
        case "hours":
            return hours(value)
        case "bps":
            return number(value, 1)
        case _:
            return f"{value:,.8g}"


def tone(column: Column, value: Value) -> str:
    """CSS class of a value that is good or bad by its sign."""
    if column.kind not in {"gain", "change"} or not isinstance(value, int | float) or not value:
        return ""
    return "win" if value > 0 else "loss"
