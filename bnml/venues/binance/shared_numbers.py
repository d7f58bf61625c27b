"""A few whole numbers that all processes of one user on this machine share, and that survive them."""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import contextmanager
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NUMBER = Struct("<q")
TRIES = (
    2_000  # a lock is held for microseconds; whoever holds it for longer has stopped, and is not waited for
)


class SharedNumbers:
    """`count` numbers in a file of the memory-mapped kind; without a path they are this process's own.

    Each number lies in eight aligned bytes and means something by itself, so a process that dies between two
    of them leaves nothing half done. The lock only keeps two processes from losing each other's additions.
    """

    def __init__(self, path: Path | None, count: int) -> None:
        self._file = -1
        self._bytes: mmap.mmap | bytearray = bytearray(count * _NUMBER.size)
        if path is None:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._take_room()
        except OSError:
            os.close(self._file)
            self._file = -1
            raise
        self._bytes = mmap.mmap(self._file, len(self._bytes))

    def close(self) -> None:
        """Let go of the file; its numbers stay."""
        if isinstance(self._bytes, mmap.mmap):
            kept = bytearray(self._bytes[:])
            self._bytes.close()
            os.close(self._file)
            self._bytes, self._file = kept, -1

    def __getitem__(self, place: int) -> int:
        found: int = _NUMBER.unpack_from(self._bytes, place * _NUMBER.size)[0]
        return found

    def __setitem__(self, place: int, number: int) -> None:
        _NUMBER.pack_into(self._bytes, place * _NUMBER.size, number)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the numbers inside this block, unless he who should let go has stopped."""
        held = self._file >= 0 and self._take()
        try:
            yield
        finally:
            if held:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _take_room(self) -> None:
        """Blocks, not a hole: on a full disk the first number that is written into one kills the process."""
        found = os.fstat(self._file)
        if found.st_size < len(self._bytes) or not found.st_blocks:
            os.posix_fallocate(self._file, 0, len(self._bytes))

    def _take(self) -> bool:
        for _ in range(TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.sched_yield()
            else:
                return True
        return False
