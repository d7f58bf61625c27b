"""Structured logging: one line an event, on a terminal readable, elsewhere JSON; secrets never."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import EventDict, WrappedLogger

_SECRET_NAMES = ("secret", "signature", "api_key", "apikey", "token", "password")
REDACTED = "[redacted]"

Logger = structlog.typing.FilteringBoundLogger


def configure(level: str, log_format: str, file: Path | None = None) -> TextIO:
    """Send everything to stderr, or to `file` where the terminal belongs to the live view."""
    stream = sys.stderr if file is None else file.open("a", encoding="utf-8", buffering=1)
    readable = log_format == "text" or (log_format == "auto" and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if readable
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    return stream


def logger(**bound: str | int) -> Logger:
    """A logger with values that every line of it carries."""
    made: Logger = structlog.get_logger(**bound)
    return made


def redact(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace the value of every field whose name says that it is a secret."""
    for key in event:
        if any(name in key.lower() for name in _SECRET_NAMES):
            event[key] = REDACTED
    return event
