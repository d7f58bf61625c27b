"""Values as people read them: grouped digits, a true minus sign, units beside the figure."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from math import isfinite
from typing import Any

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


def count_of(count: int, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{count:,}\u00a0{noun}{'s' * (count != 1)}"


def hours(value: float) -> str:
    """`45 min`, `7.5 h` or `3.2 d`."""
    if value < 1:
        return f"{value * 60:.0f}\u00a0min"
    return f"{value:.1f}\u00a0h" if value < 48 else f"{value / 24:.1f}\u00a0d"


def moment(ts_ns: int) -> str:
    """`2023-07-01 12:00`, UTC."""
    return format_utc(ts_ns // NS_PER_S * NS_PER_S)[:16].replace("T", " ")


_AS_WORDS: dict[str, Callable[[Any], str]] = {
    "time": moment,
    "day": day_text,
    "count": lambda value: f"{value:,}",
    "money": number,
    "ratio": number,
    "gain": lambda value: number(value, signed=True),
    "share": lambda value: percent(value, 1),
    "change": lambda value: percent(value, signed=True),
    "hours": hours,
    "bps": lambda value: number(value, 1),
    "number": lambda value: f"{value:,.8g}",
}


def cell_text(column: Column, value: Value) -> str:
    """One value of a table, escaped."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape(value) if isinstance(value, str) else _AS_WORDS[column.kind](value)


def tone(column: Column, value: Value) -> str:
    """CSS class of a value that is good or bad by its sign."""
    if column.kind not in {"gain", "change"} or not isinstance(value, int | float) or not value:
        return ""
    return "win" if value > 0 else "loss"
