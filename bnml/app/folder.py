"""The state folder: one daemon at a time, an identity that survives, and the paths of everything in it."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import string
from typing import TYPE_CHECKING, Self

import msgspec

from bnml.core.errors import Misconfigured, RecoveryNeeded, Rejected
from bnml.journal.reader import JournalReader
from bnml.journal.reserve import is_full, with_room
from bnml.journal.schema import JOURNAL_FILE

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


LOCK = "daemon.lock"
IDENTITY = "identity.json"
REBUILD = "rebuild"
"""A journal was set aside, and the one in its place has not been filled from the venue yet."""
_LETTERS = string.ascii_lowercase + string.digits


class Identity(msgspec.Struct):
    """Who this daemon is in client order ids; the epoch grows with each start and never repeats."""

    instance: str
    epoch: int = 0


class StateFolder:
    """Holds the lock of a state folder while in use; a second daemon on the same folder is refused.

    Unless it `must_write`, a disk that takes nothing is no reason to stay out: who sells holds the lock all the same.
    """

    def __init__(self, path: Path, *, must_write: bool = True) -> None:
        self.path = path
        self._must_write = must_write
        self._lock = -1

    @property
    def journal(self) -> Path:
        return self.path / JOURNAL_FILE

    def __enter__(self) -> Self:
        self._lock = self._open()
        if self._lock < 0:
            return self
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise Rejected(
                f"another daemon (process {holder}) is using the state folder {self.path}; stop it first, "
                "or give this one a folder of its own with --state-dir"
            ) from error
        try:
            self._sign()
        except OSError as error:
            if self._must_write:
                os.close(self._lock)
                raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def _open(self) -> int:
        """The file of the lock; -1 where there is none and none can be made, so that no daemon can be there either."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if self._must_write:
                raise self._unwritable(error) from error
        try:
            return os.open(self.path / LOCK, os.O_RDONLY)
        except FileNotFoundError:
            return -1
        except OSError as error:  # whether a daemon lives cannot be told
            raise self._unwritable(error) from error

    def _sign(self) -> None:
        """Say who holds the lock; written over what is there before it is cut, a full disk has room for that."""
        name = f"{os.getpid()}\n".encode()
        os.pwrite(self._lock, name, 0)
        os.ftruncate(self._lock, len(name))

    def _unwritable(self, error: OSError) -> Misconfigured:
        way_out = "make room on its disk" if is_full(error) else "give the daemon write permission"
        return Misconfigured(
            f"the state folder {self.path} cannot be written ({error.strerror}); {way_out} "
            "or name another folder with --state-dir"
        )

    def identity(self, venue_kind: str) -> Identity:
        """Who we were in the last session, epoch included; a new folder makes a new name.

        On real venues the name is drawn at random, so that two daemons on one account differ; the embedded
        exchange is private to this folder, and an equal name makes equal runs equal to the last byte. Where the file
        is lost, the journal says it: a session begins there before anything is sent under its epoch.
        """
        try:
            return msgspec.json.decode(self._identity_file.read_bytes(), type=Identity)
        except (FileNotFoundError, ValueError) as error:
            known = self._journaled_identity()
            if known is not None:
                return known
            if isinstance(error, FileNotFoundError):
                return Identity(
                    "sim0" if venue_kind == "sim" else "".join(secrets.choice(_LETTERS) for _ in range(4))
                )
            raise RecoveryNeeded(
                f"{self._identity_file} is damaged ({error}), and the journal does not say it either; restore it from a "
                "backup: without it client order ids could repeat"
            ) from error

    def keep_identity(self) -> None:
        """Before the journal goes: where the file is lost, it alone says who we are."""
        try:
            msgspec.json.decode(self._identity_file.read_bytes(), type=Identity)
        except (FileNotFoundError, ValueError):
            known = self._journaled_identity()
            if known is not None:
                with_room(
                    self.journal, lambda: write_durably(self._identity_file, msgspec.json.encode(known))
                )

    def _journaled_identity(self) -> Identity | None:
        try:
            with JournalReader(self.journal) as journal:
                header = journal.session().header
        except (sqlite3.Error, Misconfigured, ValueError):
            return None
        return Identity(header.instance, header.epoch)

    def begin_epoch(self, identity: Identity, least_epoch: int) -> Identity:
        """Count this start; `least_epoch` is the highest epoch that the venue has seen of us."""
        begun = Identity(identity.instance, max(identity.epoch, least_epoch) + 1)
        write_durably(self._identity_file, msgspec.json.encode(begun))
        return begun

    def acknowledge(self, now_ns: int) -> None:
        """The operator says that no other daemon trades on this account, and that what was taken over is right."""
        write_durably(self._acknowledged_file, str(now_ns).encode())

    def acknowledged_ns(self) -> int:
        """When the operator last said so, 0 for never."""
        try:
            return int(self._acknowledged_file.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0

    def note_rebuild(self, kept_as: str) -> None:
        """Tell the next start that the journal was set aside on purpose; a full disk may be why."""
        with_room(self.journal, lambda: write_durably(self._rebuild_file, kept_as.encode()))

    def rebuild_note(self) -> str:
        """Under which name the journal was set aside, until the start that follows has said so."""
        try:
            return self._rebuild_file.read_text("utf-8")
        except FileNotFoundError:
            return ""

    def forget_rebuild(self) -> None:
        """The engine remembers it now."""
        self._rebuild_file.unlink(missing_ok=True)

    @property
    def _rebuild_file(self) -> Path:
        return self.path / REBUILD

    @property
    def _acknowledged_file(self) -> Path:
        return self.path / "acknowledged"

    @property
    def _identity_file(self) -> Path:
        return self.path / IDENTITY


def is_locked(path: Path) -> bool:
    """Whether a daemon holds the state folder."""
    try:
        handle = os.open(path / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def write_durably(file: Path, content: bytes) -> None:
    """Replace a file in one step, so that a crash leaves the old or the new content."""
    temporary = file.with_suffix(".new")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)
