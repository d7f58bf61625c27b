"""The state folder: one daemon at a time, an identity that survives, and the paths of everything in it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

import msgspec

from bnml.core.errors import Misconfigured, RecoveryNeeded, Rejected

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Identity(msgspec.Struct):
    """Who this daemon is in client order ids; the epoch grows with each start and never repeats."""

    instance: str
    epoch: int = 0


class StateFolder:
    """Holds the lock of a state folder while in use; a second daemon on the same folder is refused."""

    def __init__(self, path: Path, instance: str) -> None:
        self.path = path
        self._instance = instance.ljust(4, "0")
        self._lock = -1

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    @property
    def exchange(self) -> Path:
        return self.path / "exchange"

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Misconfigured(
                f"the state folder {self.path} cannot be written ({error.strerror}); give the daemon write permission "
                "or name another folder with --state-dir"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise Rejected(
                f"another daemon (process {holder}) is using the state folder {self.path}; stop it first, "
                "or give this one a folder of its own with --state-dir"
            ) from error
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def next_identity(self, least_epoch: int = 0) -> Identity:
        """Count this start; `least_epoch` is the highest epoch that the venue has seen of us."""
        file = self.path / "identity.json"
        try:
            identity = msgspec.json.decode(file.read_bytes(), type=Identity)
        except FileNotFoundError:
            identity = Identity(self._instance)
        except msgspec.DecodeError as error:
            raise RecoveryNeeded(
                f"{file} is damaged ({error}); restore it from a backup: without it client order ids could repeat"
            ) from error
        if identity.instance != self._instance:
            raise Misconfigured(
                f"app.instance is {self._instance!r} but {file} belongs to {identity.instance!r}; "
                "use the old name, or a new state folder"
            )
        identity.epoch = max(identity.epoch, least_epoch) + 1
        write_durably(file, msgspec.json.encode(identity))
        return identity


def write_durably(file: Path, content: bytes) -> None:
    """Replace a file in one step, so that a crash leaves the old or the new content."""
    temporary = file.with_suffix(".new")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)
