"""Journals of earlier formats become one of this: a copy is kept first, then all steps are one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from bnml.core.errors import RecoveryNeeded

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = 1
"""Of the tables. It grows with every change that an earlier program would misread; new tables beside the others are none."""

STEPS: Final[Mapping[int, tuple[str, ...]]] = {}
"""By the format that each begins with, the statements that make the next one of it. There has been no other format yet."""


def format_of(connection: sqlite3.Connection) -> str:
    """The format that a file says it has; empty for one that was never begun."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    row = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone() if found else None
    return "" if row is None else str(row[0])


def is_older(found: str) -> bool:
    """Whether the steps lead from there to this format."""
    return found.isdigit() and int(found) < VERSION and all(n in STEPS for n in range(int(found), VERSION))


def unreadable(found: str) -> str:
    """Why a file of that format is of no use to this version, in words; empty when it is."""
    if not found or found == str(VERSION) or is_older(found):
        return ""
    return f"it has format {found}, and this version of bnml reads {VERSION}"


def copy_of(path: Path, found: str) -> Path:
    """Where a journal is kept as it was before it became one of this format."""
    return path.with_name(f"{path.name}.format-{found}")


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this format, if it is of an earlier one; RecoveryNeeded for one that nothing leads from.

    A process that dies in between leaves the old format, which the next start begins with again.
    """
    found = format_of(connection)
    if (why := unreadable(found)) != "":
        raise RecoveryNeeded(
            f"the journal {path}: {why}; use that version, or put a copy made by this one in its place "
            f"({copy_of(path, str(VERSION)).name}, if it lies beside it)"
        )
    if not is_older(found):
        return
    _keep_copy(connection, copy_of(path, found))
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(int(found), VERSION):
            for statement in STEPS[number]:
                connection.execute(statement)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(VERSION),))
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if (
            getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR
        ):  # the statement's own fault, no disk's
            raise RecoveryNeeded(
                f"the journal {path} of format {found} cannot be made format {VERSION} ({error}) and is as it was; go "
                "back to the version before, or let `bnml recover --rebuild` set it aside"
            ) from error
        raise


def _keep_copy(connection: sqlite3.Connection, copy: Path) -> None:
    """With all that its log holds, whole or not at all."""
    temporary = copy.with_name(f"{copy.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        connection.execute("VACUUM INTO ?", (str(temporary),))
    except BaseException:
        temporary.unlink(missing_ok=True)  # what filled the disk would be left on it
        raise
    temporary.replace(copy)
