"""The only reader of the wall clock, and the only place that knows calendars and formats of time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from bnml.core.errors import Misconfigured

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3_600 * NS_PER_S
NS_PER_DAY = 24 * NS_PER_HOUR

_UNITS_NS = {"s": NS_PER_S, "m": 60 * NS_PER_S, "h": NS_PER_HOUR, "d": NS_PER_DAY, "w": 7 * NS_PER_DAY}


class Clock(Protocol):
    """Time as the owner of a task may ask for it; tests and replays bring their own."""

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step back; only differences mean anything."""
        ...


class LiveClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to; for tests and replays."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._now_ns

    def advance(self, duration_ns: int) -> None:
        self._now_ns += duration_ns


def frame_ns(frame: str) -> int:
    """Length of a candle frame such as `15m`, `1h`, `1d`."""
    unit = _UNITS_NS.get(frame[-1:])
    if unit is None or not frame[:-1].isdigit() or int(frame[:-1]) == 0:
        message = (
            f"frame {frame!r} is not a candle frame; write a number and s, m, h, d or w, such as 15m or 1h"
        )
        raise Misconfigured(message)
    return int(frame[:-1]) * unit


def parse_utc_ns(text: str) -> int:
    """`2023-07-01` or `2023-07-01T12:00[:00][Z]` as UTC nanoseconds; a time without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not a date; write 2023-07-01 or 2023-07-01T12:00Z"
        raise Misconfigured(message) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1_000


def format_utc(ts_ns: int) -> str:
    """`2023-07-01T12:00:00Z`, with milliseconds only where they are not zero."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_ns // 1_000)
    precision = "seconds" if ts_ns % NS_PER_S == 0 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def day_number(ts_ns: int, zone: str = "UTC") -> int:
    """Ordinal of the calendar day in `zone`; the day roll of budgets compares these."""
    if zone == "UTC":
        return ts_ns // NS_PER_DAY
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_ns // 1_000)
    return moment.astimezone(ZoneInfo(zone)).date().toordinal() - date_ordinal_1970()


def date_ordinal_1970() -> int:
    """Ordinal of 1970-01-01, the zero of `day_number`."""
    return datetime(1970, 1, 1, tzinfo=UTC).toordinal()


def week_number(day: int) -> int:
    """Ordinal of the week, Monday first, that holds day number `day` (1970-01-01 was a Thursday)."""
    return (day + 3) // 7
