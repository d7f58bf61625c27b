"""Scales of the charts: round ticks, calendar ticks in UTC, and curves thinned without losing an extreme."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_S, format_utc, parse_utc_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT = 2000, 1000
"""Units of a plot's coordinates; the page stretches them to whatever room there is."""
COLUMNS = 700
"""Columns that a long curve is thinned to: a little less than a wide screen has pixels for it."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_CLOCK_STEPS_NS = tuple(
    hours * NS_PER_HOUR for hours in (1, 2, 3, 6, 12, 24, 48, 96, 168, 336)
)  # then months


class Scale(NamedTuple):
    """Maps low..high to 0..1, logarithmically if `is_log` (then low > 0)."""

    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        if self.is_log:
            return log10(value / self.low) / log10(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.is_log:
            return np.log10(values / self.low) / log10(self.high / self.low)
        return (values - self.low) / (self.high - self.low)


class Tick(NamedTuple):
    """Where a label stands, in data units, and its text; `major` ones stay on a narrow screen."""

    at: float
    label: str
    major: bool = True


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """A little room around the data; a flat curve gets a band of its own."""
    if high <= low:
        room = abs(low) * 0.01 or 1.0
        return low - room, high + room
    room = (high - low) * share
    return low - room, high + room


def round_step(span: float, count: int) -> float:
    """The smallest round step (1, 2, 2.5 or 5 times a power of ten) that makes at most `count` of `span`."""
    raw = span / max(1, count)
    power = 10.0 ** floor(log10(raw))
    for step in _STEPS:
        if step * power >= raw * (1 - 1e-9):
            return step * power
    return 10.0 * power


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values inside low..high."""
    step = round_step(high - low, count)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """1, 2 and 5 times powers of ten inside low..high; plain round values where that gives too few."""
    found = [
        digit * 10.0**power
        for power in range(floor(log10(low)), ceil(log10(high)) + 1)
        for digit in (1, 2, 5)
        if low <= digit * 10.0**power <= high
    ]
    if len(found) < 3:
        return [tick for tick in round_ticks(low, high, count) if tick > 0]
    return found if len(found) <= count + 2 else [tick for tick in found if str(tick)[0] == "1"]


def decimals_for(ticks: list[float]) -> int:
    """Decimals that tell neighbouring ticks apart."""
    if len(ticks) < 2:
        return 2
    step = abs(ticks[1] - ticks[0])
    return next((d for d in range(9) if abs(round(step, d) - step) < 1e-9 * max(1.0, step)), 8)


def time_ticks(from_ns: int, to_ns: int, count: int = 9) -> list[Tick]:
    """Starts of hours, days, weeks, months or years (UTC), at most `count`; every second or third is major."""
    step = next((step for step in _CLOCK_STEPS_NS if (to_ns - from_ns) / step <= count), 0)
    ticks = _clock_ticks(from_ns, to_ns, step) if step else _month_ticks(from_ns, to_ns, count)
    every = max(1, ceil(len(ticks) / 4))
    return [Tick(tick.at, tick.label, major=k % every == 0) for k, tick in enumerate(ticks)]


def _clock_ticks(from_ns: int, to_ns: int, step_ns: int) -> list[Tick]:
    first = -(-from_ns // step_ns) * step_ns
    return [Tick(ts, _moment(ts, step_ns)) for ts in range(first, to_ns + 1, step_ns)]


def _moment(ts_ns: int, step_ns: int) -> str:
    text = format_utc(ts_ns)
    if step_ns < NS_PER_DAY and ts_ns % NS_PER_DAY:
        return text[11:16]
    return f"{int(text[8:10])} {MONTHS[int(text[5:7]) - 1]}"


def _month_ticks(from_ns: int, to_ns: int, count: int) -> list[Tick]:
    months = month_starts(from_ns, to_ns)
    every = next(
        (n for n in (1, 2, 3, 6, 12, 24, 60, 120) if sum(1 for m in months if m[0] % n == 0) <= count), 120
    )
    return [
        Tick(
            ts, f"{MONTHS[number % 12]} {number // 12}" if number % 12 == 0 or k == 0 else MONTHS[number % 12]
        )
        for k, (number, ts) in enumerate(m for m in months if m[0] % every == 0)
    ]


def month_number(ts_ns: int) -> int:
    """Months since the year 0 of a UTC moment."""
    text = format_utc(ts_ns)
    return int(text[:4]) * 12 + int(text[5:7]) - 1


def month_starts(from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """(month number, first moment) of the months that begin inside from..to."""
    found = []
    for number in range(month_number(from_ns), month_number(to_ns) + 1):
        ts = parse_utc_ns(f"{number // 12:04d}-{number % 12 + 1:02d}-01")
        if from_ns <= ts <= to_ns:
            found.append((number, ts))
    return found


def day_text(ts_ns: int) -> str:
    """`1 Jul 2023`."""
    text = format_utc(ts_ns // NS_PER_S * NS_PER_S)
    return f"{int(text[8:10])} {MONTHS[int(text[5:7]) - 1]} {text[:4]}"


def thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], columns: int = COLUMNS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most two points a column of 0..1: its lowest and highest in their order; the ends always stay.

    So the drawn line covers the same heights in every column as all the points would.
    """
    if len(x) <= 2 * columns:
        return x, y
    column = np.minimum((x * columns).astype(np.int64), columns - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    keep = {0, len(x) - 1}
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(x)], strict=True):
        keep.add(start + int(np.argmin(y[start:stop])))
        keep.add(start + int(np.argmax(y[start:stop])))
    chosen = np.array(sorted(keep))
    return x[chosen], y[chosen]
