"""Space kept on the disk beside the journal, given up when the disk is full: what protects and sells goes on."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

BYTES = 16 * 1024 * 1024
"""Hours of events without entries, for hundreds of symbols."""


class Reserve:
    """A file of real blocks next to the journal; without room for it the journal works all the same."""

    def __init__(self, journal: Path, size: int = BYTES) -> None:
        self._file = journal.with_name("journal.reserve")
        self._size = size

    @property
    def is_held(self) -> bool:
        return self._file.exists()

    def hold(self) -> bool:
        """Take the space if it is not held; False when there is none, or none to spare."""
        if self.is_held:
            return True
        try:
            room = os.statvfs(self._file.parent)
            if room.f_bavail * room.f_frsize < 2 * self._size:
                return False
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, self._size)
            finally:
                os.close(handle)
        except OSError:
            self._file.unlink(missing_ok=True)
            return False
        return True

    def relieve(self) -> bool:
        """Give the space up at a start if the disk has none left; whether it was given."""
        room = os.statvfs(self._file.parent)
        return room.f_bavail * room.f_frsize < self._size // 16 and self.release()

    def release(self) -> bool:
        """Give the space to the journal; whether there was any."""
        if not self.is_held:
            return False
        self._file.unlink()
        return True


def is_full(error: BaseException) -> bool:
    """Whether a write failed for want of space."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def with_room(journal: Path, write: Callable[[], T]) -> T:
    """Write beside a journal; on a full disk once more, in the space of its reserve. OSError when neither works."""
    try:
        return write()
    except OSError as error:
        if not (is_full(error) and Reserve(journal).release()):
            raise
    return write()
