"""Structured logging: one line an event, on a terminal readable, elsewhere JSON; secrets never."""

from __future__ import annotations

import logging
import sys
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import EventDict, WrappedLogger

_SECRET_NAMES = ("secret", "signature", "api_key", "apikey", "token", "password")
_SHOWN_APART = {"timestamp", "level", "event", "exc_info", "client_order_id", "market_time"}
_SHOWN_BY_VIEW = {"scan_decided", "order_filled"}  # in sections of their own
REDACTED = "[redacted]"

Logger = structlog.typing.FilteringBoundLogger
tap: Callable[[EventDict], None] | None = None
"""Sees every line that is written, and every warning that is not; set for as long as a session lasts."""
early: deque[EventDict] = deque(maxlen=100)
"""Warnings that were written before anybody tapped: who begins to, asks for them here."""
least = logging.INFO
"""Severity below which nothing is written."""


class Line(NamedTuple):
    """One event as the live view shows it."""

    time: str  # UTC, HH:MM:SS
    level: str
    text: str


def configure(
    level: str, log_format: str, file: Path | None = None, tail: deque[Line] | None = None
) -> TextIO:
    """Send everything to stderr, or to `file` where the terminal belongs to the live view.

    `tail` receives each line too, for the view. What libraries log or warn takes the same way: a line that they
    wrote to the terminal themselves would tear the view.
    """
    stream = sys.stderr if file is None else file.open("a", encoding="utf-8", buffering=1)
    readable = log_format == "text" or (log_format == "auto" and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if readable
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            *opening(),
            _tapped,
            _sieve,
            *([_keep(tail)] if tail is not None else []),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=lambda *_: _Printer(stream),
        cache_logger_on_first_use=False,
    )
    set_level(level)
    early.clear()
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=file is not None)
    return stream


def set_level(level: str) -> None:
    """From now on say this much; everything else stays as it was configured."""
    global least  # noqa: PLW0603 - as `tap`: one process has one log
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(min(least, logging.WARNING)))


class _Printer(structlog.PrintLogger):
    """A line that the disk or a closed terminal does not take is lost; what it tells of goes on."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = error = err = critical = fatal = failure = exception = msg


class _Forward(logging.Handler):
    """Hands records of the standard library's logging over to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        extra = {"exc_info": record.exc_info} if record.exc_info else {}
        logger().log(record.levelno, "library_logged", library=record.name, said=record.getMessage(), **extra)


def _tapped(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    if tap is not None:
        tap(event)
    elif logging.getLevelNamesMapping()[str(event["level"]).upper()] >= logging.WARNING:
        early.append({**event})
    return event


def _sieve(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Drop what the log is not to say; the tap has heard it."""
    if logging.getLevelNamesMapping()[str(event["level"]).upper()] < least:
        raise structlog.DropEvent
    return event


def _keep(tail: deque[Line]) -> structlog.typing.Processor:
    """Put each event into `tail` as one readable line and pass it on."""

    def keep(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        if event["event"] in _SHOWN_BY_VIEW:
            return event
        fields = " ".join(
            f"{name}={_short(value)}" for name, value in event.items() if name not in _SHOWN_APART
        )
        tail.append(
            Line(str(event["timestamp"])[11:19], str(event["level"]), f"{event['event']} {fields}".strip())
        )
        return event

    return keep


def _short(value: object) -> str:
    return f"{len(value)} of them" if isinstance(value, list | tuple | dict) else str(value)


def logger(**bound: str | int) -> Logger:
    """A logger with values that every line of it carries."""
    made: Logger = structlog.get_logger(**bound)
    return made


def opening() -> tuple[structlog.typing.Processor, ...]:
    """What every line goes through first: it gets context, level and time, and loses its secrets."""
    return (
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    )


def redact(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace the value of every field whose name says that it is a secret."""
    for key in event:
        if any(name in key.lower() for name in _SECRET_NAMES):
            event[key] = REDACTED
    return event
