"""The disk of a simulated process: the real journal in SQLite's memory; what was not committed dies with the process."""

import asyncio
import sqlite3

from bnml.journal.reader import JournalReader
from bnml.journal.writer import JournalWriter, _prepare

SYNC_S = 0.004


class Killed(BaseException):
    """The process is gone; nothing may catch this and go on."""


class _Query:
    """What `aiosqlite` gives for a statement: to be awaited, or entered for its rows."""

    def __init__(self, run, pause_s=0.0):
        self._run = run
        self._pause_s = pause_s

    def __await__(self):
        return self._done().__await__()

    async def _done(self):
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        return self._run()

    async def __aenter__(self):
        self._cursor = self._run()
        return self

    async def __aexit__(self, *_):
        return None

    async def fetchone(self):
        return self._cursor.fetchone()

    async def fetchall(self):
        return self._cursor.fetchall()

    @property
    def lastrowid(self):
        return self._cursor.lastrowid


class Disk:
    """Everything that outlives a process: the journal and the identity."""

    def __init__(self, content=None):
        self.database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        if content is not None:
            self.database.deserialize(content)
        self.epoch = 0
        self.acknowledged_ns = 0

    def content(self):
        return self.database.serialize()

    def power_off(self):
        """Lose the transaction that was under way."""
        if self.database.in_transaction:
            self.database.rollback()

    def reader(self):
        reader = JournalReader.__new__(JournalReader)
        reader._database = self.database
        return reader

    async def writer(self, life):
        database = _Connection(self.database, life)
        return JournalWriter(database, await _prepare(database, "journal.db", "process"))


class _Connection:
    """The part of `aiosqlite.Connection` that the writer uses; every statement is a place to die at."""

    def __init__(self, database, life):
        self._database = database
        self._life = life

    def execute(self, statement, values=()):
        return _Query(lambda: self._run(statement, values), SYNC_S if statement == "COMMIT" else 0.0)

    def _run(self, statement, values):
        word = statement.split(None, 1)[0].upper()
        self._life.check()
        if word == "COMMIT":
            self._life.point("before_commit")
        cursor = self._database.execute(statement, values)
        if word == "COMMIT":
            self._life.point("after_commit")
        return cursor

    async def executemany(self, statement, rows):
        self._life.check()
        if "snapshot" in statement:
            self._life.point("during_snapshot")
        self._database.executemany(statement, rows)

    async def executescript(self, script):
        self._life.check()
        for statement in script.split(";"):
            if statement.strip():
                self._database.execute(statement)

    async def close(self):
        return None
