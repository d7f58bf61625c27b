"""The one writer of the journal: bounded, in order, many rows to a commit, and a barrier before any order leaves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from bnml.core.commands import Command
from bnml.core.errors import Fatal
from bnml.core.events import Event
from bnml.core.outcomes import Bareness, Decision, EquityPoint, Outcome, Trade
from bnml.journal import file_work
from bnml.journal.database import Database
from bnml.journal.file_work import Durability
from bnml.journal.reserve import Reserve
from bnml.journal.schema import (
    INSERTS,
    Health,
    Row,
    SessionHeader,
    command_row,
    encode,
    event_row,
)

MOST_ROWS_WAITING = 20_000
GATHER_S = 0.005
"""For so long rows gather that nobody waits for; a barrier has them committed at once.

Longer than it takes from a bar to its order: a commit that begins in between holds the interpreter, and the order's barrier then
waits for a second one.
"""


class JournalWriter:
    """Rows are accepted at once and committed together, soon; `barrier` returns when all accepted rows are safe.

    `durability` power: a commit survives a power cut (fsync for each). process: it survives the death of
    the process. A writer that fails stops its owner: nothing trades without a journal.

    A commit is one piece of work for the database's thread, and one at a time is under way. It belongs to no
    task: whoever is cancelled, it is finished, and what it came to is noted.
    """

    def __init__(self, database: Database, last_seq: int, reserve: Reserve | None = None) -> None:
        self._database = database
        self.reserve = reserve
        self._waiting: dict[str, list[Row]] = {table: [] for table in INSERTS}
        self._accepted = 0
        self._committed = 0
        self._pending_rows = 0
        self._barriers: deque[tuple[int, asyncio.Future[None]]] = deque()  # by what they wait for, rising
        self._gathering: asyncio.TimerHandle | None = None
        self._is_due = False  # a commit of what gathered, while another is under way
        self._is_committing = False
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_told = False  # somebody, of the failure
        self.last_seq = last_seq
        self.session = 0
        self.commits = 0
        self.is_full = False  # the disk: the reserve is in use, and what can be done without is not written

    @classmethod
    async def open(cls, path: Path, durability: Durability) -> Self:
        """Open or create the journal; Misconfigured when the folder cannot be written."""
        reserve = Reserve(path)
        try:
            is_full = await asyncio.to_thread(reserve.relieve)
            database = await Database.open(path)
        except (sqlite3.Error, OSError) as error:
            raise file_work.unwritable(path, error) from error
        try:
            last_seq = await database.run(partial(file_work.prepare, path=path, durability=durability))
            if not is_full:
                await asyncio.to_thread(reserve.hold)
        except BaseException:
            await database.close()
            raise
        writer = cls(database, last_seq, reserve)
        writer.is_full = is_full
        return writer

    async def begin_session(self, header: SessionHeader, started_ns: int) -> int:
        """Open a session; its header is completed with `update_session` once anchors and balances are known."""
        statement = "INSERT INTO session (started_ns, first_seq, header) VALUES (?, ?, ?)"
        values = (started_ns, self.last_seq + 1, msgspec.json.encode(header))
        self.session = await _change(self._database, statement, values)
        return self.session

    async def update_session(self, header: SessionHeader) -> None:
        """Write the header anew."""
        statement = "UPDATE session SET header = ? WHERE id = ?"
        await _change(self._database, statement, (msgspec.json.encode(header), self.session))

    async def end_session(self, ended_ns: int, ending: str) -> None:
        """Note a graceful end; a session without one was killed."""
        statement = "UPDATE session SET ended_ns = ?, ending = ? WHERE id = ?"
        await _change(self._database, statement, (ended_ns, ending, self.session))

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
        if self._committed < self._accepted and self._failure is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._barriers.append((self._accepted, waiter))
            if not self._is_committing:
                self._commit()
            await waiter
        self._tell_of_failure()

    async def room(self) -> None:
        """Return when the writer has caught up enough to accept more."""
        if self._pending_rows > MOST_ROWS_WAITING:
            await self.barrier()

    async def run(self) -> None:
        """Fatal when a commit fails, and the owner ends with it; else until cancelled, and the owner calls `close`."""
        await self._failed.wait()
        self._tell_of_failure()

    async def prune(self, older_than_ns: int, *, has_prices: bool = True) -> None:
        """Housekeeping: old health rows and prices, all but the newest snapshots, and a checkpoint of the log.

        With `has_prices` False these stay: the events of a stepped session are compared with those of another run.
        """
        while has_prices and await self._database.run(file_work.prune_slices) > 0:
            pass  # before the oldest photographs go
        for statement, values in file_work.prunings(older_than_ns):
            work = partial(file_work.prune, statement=statement, values=values)
            while await self._database.run(work) > 0:  # bit by bit: a barrier may come in between
                pass

    async def close(self) -> None:
        """Commit the rest and close the file; Fatal for a failure that nobody has heard of."""
        try:
            if not self._is_told:
                await JournalWriter.barrier(self)  # also for a kind whose orders do not wait for it
        finally:
            await self._database.close()

    def _put(self, table: str, row: Row) -> None:
        self._waiting[table].append(row)
        self._accepted += 1
        self._pending_rows += 1
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self._commit)

    def _commit(self) -> None:
        """Hand over all that waits; while a commit is under way, the next begins at its end."""
        if self._is_committing or self._failure is not None:
            self._is_due = True
            return
        self._is_due = False
        if self._gathering is not None:  # what is accepted from now on gathers anew
            self._gathering.cancel()
            self._gathering = None
        batch = {table: rows for table, rows in self._waiting.items() if rows}
        if not batch:
            return
        self._waiting = {table: [] for table in INSERTS}
        self._pending_rows = 0
        self._database.submit(
            partial(file_work.commit, batch=batch, reserve=self.reserve, spares=self.is_full),
            partial(self._ended, self._accepted),
        )
        self._is_committing = True

    def _ended(self, target: int, has_used_reserve: bool | None, error: BaseException | None) -> None:
        """Of a commit: what was accepted up to `target` is safe, or nothing is from here on."""
        self._is_committing = False
        if error is not None:
            self._failure = error
            self._failed.set()
            target = self._accepted  # all who wait are told
        else:
            self.commits += 1
            self._committed = target
            self.is_full = self.is_full or bool(has_used_reserve)
        while self._barriers and self._barriers[0][0] <= target:
            _, waiter = self._barriers.popleft()
            if not waiter.done():  # cancelled
                waiter.set_result(None)
        if self._barriers or self._is_due:
            self._commit()

    def _tell_of_failure(self) -> None:
        if self._failure is None:
            return
        self._is_told = True
        if isinstance(self._failure, (sqlite3.Error, OSError)):
            raise Fatal(f"the journal cannot be written: {self._failure}") from self._failure
        raise self._failure


async def _change(database: Database, statement: str, values: Row) -> int:
    try:
        return await database.run(partial(file_work.change, statement=statement, values=values))
    except (sqlite3.Error, OSError) as error:
        raise Fatal(f"the journal cannot be written: {error}") from error
