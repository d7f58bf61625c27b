"""What is done with the journal's file, in its own thread: make it ready, commit rows as a whole, keep house."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from bnml.core.clock import NS_PER_DAY
from bnml.core.errors import Misconfigured, RecoveryNeeded
from bnml.journal.migrations import VERSION, migrate
from bnml.journal.reserve import Reserve, is_full
from bnml.journal.schema import INSERTS, TABLES, Row

if TYPE_CHECKING:
    from pathlib import Path

Durability = Literal["power", "process"]
Batch = Mapping[str, Sequence[Row]]
KEPT_SNAPSHOTS = 3
AT_ONCE = 200
"""Rows that are deleted at once: an order's commit waits behind them, for milliseconds."""
BUSY_MS = 5_000
BUSY_TIMES = 12
"""A file that another program writes to is waited for so long, so often: a minute; then the owner stops."""
SLICES_FROM = "slices_from"
SLICES_SPAN = 500
KEEP_SLICES_NS = 30 * NS_PER_DAY
NEEDLESS_SLICES = """
DELETE FROM event WHERE seq IN (
    SELECT seq FROM (
        SELECT seq, lead(seq) OVER (PARTITION BY symbol ORDER BY seq) AS following
        FROM event WHERE seq >= ? AND seq < ? AND kind = 'Slice') AS price
    WHERE following IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM command WHERE command.seq >= price.seq AND command.seq < price.following))
"""
SPARED = frozenset({"health", "snapshot"})
"""What a full disk does without: neither is needed to protect, to sell or to start again."""


def prepare(connection: sqlite3.Connection, path: Path, durability: Durability) -> int:
    """Make missing tables and return the last event's number; Misconfigured or RecoveryNeeded if the file is no use."""
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
        migrate(connection, path)
        connection.executescript(f"BEGIN IMMEDIATE;{TABLES}COMMIT")  # who reads beside it finds all or none
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (str(VERSION),))
        row = connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()
    except (sqlite3.OperationalError, OSError) as error:
        raise unwritable(path, error) from error
    except sqlite3.DatabaseError as error:
        raise RecoveryNeeded(
            f"the journal {path} is damaged ({error}); put a backup in its place, or move it away to start afresh"
        ) from error
    return int(row[0]) if row else 0


def change(connection: sqlite3.Connection, statement: str, values: Row) -> int:
    """One statement by itself; returns the number of the row that it made, if it made one."""
    return connection.execute(statement, values).lastrowid or 0


def commit(
    connection: sqlite3.Connection, batch: Batch, reserve: Reserve | None = None, *, spares: bool
) -> bool:
    """All rows or none; returns whether the reserve was given up for them, because the disk is full.

    `spares`: leave out what a full disk does without, as is done once the reserve is in use.
    """
    try:
        _write(connection, batch, spares=spares)
    except (sqlite3.Error, OSError) as error:
        if not (is_full(error) and reserve is not None and reserve.release()):
            raise
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        _write(connection, batch, spares=True)
        return True
    return False


def prunings(older_than_ns: int) -> tuple[tuple[str, Row], ...]:
    """Statements that keep house, each to be done until it changes nothing: old health rows, all but the newest snapshots.

    The last is a checkpoint of the log.
    """
    old = (
        "DELETE FROM health WHERE ts_ns IN (SELECT ts_ns FROM health WHERE ts_ns < ? ORDER BY ts_ns LIMIT ?)"
    )
    next_one = (
        "DELETE FROM snapshot WHERE seq = (SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 1 OFFSET ?)"
    )
    return (
        (old, (older_than_ns, AT_ONCE)),
        (next_one, (KEPT_SNAPSHOTS,)),
        ("PRAGMA wal_checkpoint(PASSIVE)", ()),
    )


def prune(connection: sqlite3.Connection, statement: str, values: Row) -> int:
    """Do it once; returns how many rows went."""
    return connection.execute(statement, values).rowcount


def prune_slices(connection: sqlite3.Connection) -> int:
    """Prices of held positions that are a month old and older than all photographs, a span of events at a time; 0 when done.

    Nothing begins to replay before them any more. Those that were the newest of their symbol at a command stay: what
    orders cost is told by them. So does the last one of each span, as nobody knows here how long it was the newest.
    """
    start = slices_from(connection)
    end = start + SLICES_SPAN
    oldest, count = connection.execute("SELECT min(seq), count(*) FROM snapshot").fetchone()
    if count < KEPT_SNAPSHOTS or end > oldest:
        return 0
    (newest_ns,) = connection.execute("SELECT ts_ns FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    bounds = "seq >= ? AND seq < ?"
    (latest_ns,) = connection.execute(f"SELECT max(ts_ns) FROM event WHERE {bounds}", (start, end)).fetchone()  # noqa: S608
    if latest_ns is None or latest_ns > newest_ns - KEEP_SLICES_NS:
        return 0
    _begin(connection)
    try:
        connection.execute(NEEDLESS_SLICES, (start, end))
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SLICES_FROM, str(end)))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return SLICES_SPAN


def slices_from(connection: sqlite3.Connection) -> int:
    """The first event from which on all prices of held positions are kept."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (SLICES_FROM,)).fetchone()
    return 1 if row is None else int(row[0])


def unwritable(path: Path, error: Exception) -> Misconfigured:
    """What the operator is told of a file that cannot be opened or changed."""
    way_out = (
        "make room on its disk" if is_full(error) else "give the daemon write permission to its state folder"
    )
    return Misconfigured(
        f"the journal {path} cannot be written ({error}); {way_out}, or name another folder with --state-dir"
    )


def _write(connection: sqlite3.Connection, batch: Batch, *, spares: bool) -> None:
    _begin(connection)
    for table, rows in batch.items():
        if not (spares and table in SPARED):
            connection.executemany(INSERTS[table], rows)
    connection.execute("COMMIT")


def _begin(connection: sqlite3.Connection) -> None:
    """Take the file for writing; one that somebody else holds (a backup, a shell) is waited for, and nothing leaves."""
    for attempt in range(1, BUSY_TIMES + 1):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if (
                error.sqlite_errorcode not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
                or attempt == BUSY_TIMES
            ):
                raise
        else:
            return
