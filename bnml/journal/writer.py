"""The one writer of the journal: bounded, in order, many rows to a commit, and a barrier before any order leaves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import aiosqlite
import msgspec

from bnml.core.commands import Command
from bnml.core.errors import Fatal, Misconfigured, RecoveryNeeded
from bnml.core.events import Event
from bnml.core.outcomes import Bareness, Decision, EquityPoint, Outcome, Trade
from bnml.journal.reserve import Reserve, is_full
from bnml.journal.schema import (
    INSERTS,
    TABLES,
    VERSION,
    Health,
    Row,
    SessionHeader,
    command_row,
    encode,
    event_row,
)

Durability = Literal["power", "process"]
MOST_ROWS_WAITING = 20_000
KEPT_SNAPSHOTS = 3
BUSY_MS = 5_000
BUSY_TIMES = 12
"""A file that another program writes to is waited for so long, so often: a minute; then the owner stops."""
GATHER_S = 0.001
"""For so long rows gather that nobody waits for; a barrier has them committed at once."""
SPARED = frozenset({"health", "snapshot"})
"""What a full disk does without: neither is needed to protect, to sell or to start again."""


class JournalWriter:
    """Rows are accepted at once and committed together, soon; `barrier` returns when all accepted rows are safe.

    `durability` power: a commit survives a power cut (fsync for each). process: it survives the death of
    the process. A writer that fails stops its owner: nothing trades without a journal.
    """

    def __init__(self, database: aiosqlite.Connection, last_seq: int, reserve: Reserve | None = None) -> None:
        self._database = database
        self.reserve = reserve
        self._waiting: dict[str, list[Row]] = {table: [] for table in INSERTS}
        self._accepted = 0
        self._committed = 0
        self._pending_rows = 0
        self._wake = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._progress = asyncio.Condition()
        self._one_at_a_time = asyncio.Lock()
        self._failure: BaseException | None = None
        self._committing: asyncio.Task[None] | None = None
        self.last_seq = last_seq
        self.session = 0
        self.commits = 0
        self.is_full = False  # the disk: the reserve is in use, and what can be done without is not written

    @classmethod
    async def open(cls, path: Path, durability: Durability) -> Self:
        """Open or create the journal; Misconfigured when the folder cannot be written."""
        connecting = aiosqlite.connect(path, isolation_level=None)
        try:
            database = await connecting
        except (sqlite3.Error, OSError) as error:
            # The library does not wait for its thread here, which would complain of a loop that is gone.
            await asyncio.to_thread(connecting._thread.join)  # noqa: SLF001 - it has no other name
            raise _unwritable(path, error) from error
        try:
            last_seq = await _prepare(database, path, durability)
            reserve = Reserve(path)
            await asyncio.to_thread(reserve.hold)
            return cls(database, last_seq, reserve)
        except BaseException:
            await database.close()  # its thread would keep the process from ending
            raise

    async def begin_session(self, header: SessionHeader, started_ns: int) -> int:
        """Open a session; its header is completed with `update_session` once anchors and balances are known."""
        cursor = await self._database.execute(
            "INSERT INTO session (started_ns, first_seq, header) VALUES (?, ?, ?)",
            (started_ns, self.last_seq + 1, msgspec.json.encode(header)),
        )
        self.session = int(cursor.lastrowid or 0)
        return self.session

    async def update_session(self, header: SessionHeader) -> None:
        """Write the header anew."""
        await self._database.execute(
            "UPDATE session SET header = ? WHERE id = ?", (msgspec.json.encode(header), self.session)
        )

    async def end_session(self, ended_ns: int, ending: str) -> None:
        """Note a graceful end; a session without one was killed."""
        await self._database.execute(
            "UPDATE session SET ended_ns = ?, ending = ? WHERE id = ?", (ended_ns, ending, self.session)
        )

    def append_event(self, event: Event) -> int:
        """Accept the next event and give it its number."""
        self.last_seq += 1
        self._put("event", event_row(self.last_seq, self.session, event))
        return self.last_seq

    def append_commands(self, seq: int, commands: Sequence[Command]) -> None:
        """Accept what the engine answered to event `seq`."""
        for n, command in enumerate(commands):
            self._put("command", command_row(seq, n, command))

    def append_outcomes(self, seq: int, outcomes: Sequence[Outcome], features: dict[str, bytes]) -> None:
        """Accept decisions, trades and equity of event `seq`; `features` holds rows (float64) by symbol."""
        for n, outcome in enumerate(outcomes):
            payload = encode(outcome)
            match outcome:
                case Decision():
                    row = (outcome.symbol, outcome.ts_close_ns, outcome.action, outcome.reason, payload)
                    self._put("decision", (seq, n, *row, features.get(outcome.symbol)))
                case Trade():
                    self._put("trade", (seq, n, outcome.symbol, outcome.ts_ns, payload))
                case EquityPoint():
                    self._put("equity", (seq, outcome.ts_ns, payload))
                case Bareness():
                    self._put("bareness", (seq, n, outcome.symbol, outcome.ts_ns, payload))

    def append_snapshot(self, version: str, engine: bytes) -> None:
        """Accept a photograph of the engine after the last event."""
        self._put("snapshot", (self.last_seq, self.session, version, engine))

    def append_health(self, health: Health) -> None:
        """Accept one row for `bnml status`; outside the event order."""
        self._put("health", (health.ts_ns, msgspec.json.encode(health)))

    @property
    def committed(self) -> bool:
        """Whether everything accepted is safe."""
        return self._committed == self._accepted

    async def barrier(self) -> None:
        """Return when everything accepted so far is committed."""
        target = self._accepted
        if self._committed >= target and self._failure is None:
            return
        self._wake.set()
        async with self._progress:
            await self._progress.wait_for(lambda: self._committed >= target or self._failure is not None)
        if self._failure is not None:
            raise Fatal(f"the journal cannot be written: {self._failure}") from self._failure

    async def room(self) -> None:
        """Return when the writer has caught up enough to accept more."""
        if self._pending_rows > MOST_ROWS_WAITING:
            await self.barrier()

    async def run(self) -> None:
        """Commit what is accepted, until cancelled; the owner then calls `close`."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._gathered()
                # Shielded: a cancelled owner must not leave half a transaction behind.
                self._committing = asyncio.create_task(self._commit())
                await asyncio.shield(self._committing)
        except (sqlite3.Error, OSError) as error:
            self._failure = error
            async with self._progress:
                self._progress.notify_all()
            raise Fatal(f"the journal cannot be written: {error}") from error

    async def prune(self, older_than_ns: int) -> None:
        """Housekeeping: old health rows, all but the newest snapshots, and a checkpoint of the log."""
        await self._database.execute("DELETE FROM health WHERE ts_ns < ?", (older_than_ns,))
        await self._database.execute(
            "DELETE FROM snapshot WHERE seq NOT IN (SELECT seq FROM snapshot ORDER BY seq DESC LIMIT ?)",
            (KEPT_SNAPSHOTS,),
        )
        await self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    async def close(self) -> None:
        """Commit the rest and close the file."""
        self._gathered()
        try:
            if self._committing is not None:
                await asyncio.wait({self._committing})
            if self._failure is None:
                await self._commit()
        finally:
            await self._database.close()

    def _put(self, table: str, row: Row) -> None:
        self._waiting[table].append(row)
        self._accepted += 1
        self._pending_rows += 1
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self._wake.set)

    def _gathered(self) -> None:
        """What is accepted from now on gathers anew."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    async def _commit(self) -> None:
        async with self._one_at_a_time:
            await self._commit_waiting()

    async def _commit_waiting(self) -> None:
        target = self._accepted
        batch = {table: rows for table, rows in self._waiting.items() if rows}
        if not batch:
            return
        self._waiting = {table: [] for table in INSERTS}
        self._pending_rows = 0
        try:
            await _write(self._database, batch, spares=self.is_full)
        except (sqlite3.Error, OSError) as error:
            if not (is_full(error) and self.reserve is not None and self.reserve.release()):
                raise
            self.is_full = True
            if self._database.in_transaction:
                await self._database.execute("ROLLBACK")
            await _write(self._database, batch, spares=True)
        self.commits += 1
        self._committed = target
        async with self._progress:
            self._progress.notify_all()


async def _write(database: aiosqlite.Connection, batch: Mapping[str, Sequence[Row]], *, spares: bool) -> None:
    await _begin(database)
    for table, rows in batch.items():
        if not (spares and table in SPARED):
            await database.executemany(INSERTS[table], rows)
    await database.execute("COMMIT")


async def _begin(database: aiosqlite.Connection) -> None:
    """Take the file for writing; one that somebody else holds (a backup, a shell) is waited for, and nothing leaves."""
    for attempt in range(1, BUSY_TIMES + 1):
        try:
            await database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if (
                error.sqlite_errorcode not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
                or attempt == BUSY_TIMES
            ):
                raise
        else:
            return


async def _prepare(database: aiosqlite.Connection, path: Path, durability: Durability) -> int:
    """Make missing tables and return the last event's number; Misconfigured or RecoveryNeeded if the file is no use."""
    try:
        await database.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        await database.execute("PRAGMA journal_mode=WAL")
        await database.execute(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
        await database.executescript(TABLES)
        await database.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (str(VERSION),))
        await _check_version(database, path)
        async with database.execute("SELECT coalesce(max(seq), 0) FROM event") as cursor:
            row = await cursor.fetchone()
    except (sqlite3.OperationalError, OSError) as error:
        raise _unwritable(path, error) from error
    except sqlite3.DatabaseError as error:
        raise RecoveryNeeded(
            f"the journal {path} is damaged ({error}); put a backup in its place, or move it away to start afresh"
        ) from error
    return int(row[0]) if row else 0


def _unwritable(path: Path, error: Exception) -> Misconfigured:
    return Misconfigured(
        f"the journal {path} cannot be written ({error}); give the daemon write permission to its "
        f"state folder, or another one with --state-dir"
    )


async def _check_version(database: aiosqlite.Connection, path: Path) -> None:
    async with database.execute("SELECT value FROM meta WHERE key = 'version'") as cursor:
        row = await cursor.fetchone()
    if row is None or row[0] != str(VERSION):
        found = "none" if row is None else row[0]
        raise RecoveryNeeded(
            f"the journal {path} has format {found}, this version writes {VERSION}; move it away to start afresh"
        )
