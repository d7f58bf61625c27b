"""The log of the process as a test wants it, and afterwards as it was."""

import logging
from contextlib import contextmanager, suppress

from bnml.app import logs


@contextmanager
def logged(level, log_format, file, tail=None):
    """Within it everything is written to `file`."""
    root = logging.getLogger()
    handlers, level_before, least = list(root.handlers), root.level, logs.least
    stream = logs.configure(level, log_format, file, tail)
    try:
        yield
    finally:
        with suppress(OSError):  # a full disk takes no rest of it
            stream.close()
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level_before)
        logs.least = least
        logs.structlog.reset_defaults()
