"""The disk of a simulated process: the real journal in SQLite's memory; what was not committed dies with the process."""

import asyncio
import sqlite3
import weakref

from bnml.journal.file_work import prepare
from bnml.journal.reader import JournalReader
from bnml.journal.writer import JournalWriter

SYNC_S = 0.004


class Killed(BaseException):
    """The process is gone; nothing may catch this and go on."""


class Disk:
    """Everything that outlives a process: the journal and the identity."""

    def __init__(self, content=None):
        self.database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self.database.close)
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
        connection = _Connection(self.database, life)
        return JournalWriter(_Database(connection), prepare(connection, "journal.db", "process"))


class _Database:
    """`journal.database.Database` on a virtual loop: without a thread, and a commit takes its time."""

    def __init__(self, connection):
        self._connection = connection

    async def run(self, work):
        return work(self._connection)

    def submit(self, work, done):
        asyncio.get_running_loop().call_later(SYNC_S, self._do, work, done)

    def _do(self, work, done):
        try:
            result = work(self._connection)
        except BaseException as error:  # noqa: BLE001 - handed to whoever asked, as the real one does
            done(None, error)
        else:
            done(result, None)

    async def close(self):
        return None


class _Connection:
    """The part of `sqlite3.Connection` that the writer uses; every statement is a place to die at."""

    def __init__(self, database, life):
        self._database = database
        self._life = life

    @property
    def in_transaction(self):
        return self._database.in_transaction

    def execute(self, statement, values=()):
        self._life.check()
        if statement == "COMMIT":
            self._life.point("before_commit")
        cursor = self._database.execute(statement, values)
        if statement == "COMMIT":
            self._life.point("after_commit")
        return cursor

    def executemany(self, statement, rows):
        self._life.check()
        if "snapshot" in statement:
            self._life.point("during_snapshot")
        self._database.executemany(statement, rows)

    def executescript(self, script):
        self._life.check()
        for statement in script.split(";"):
            if statement.strip():
                self._database.execute(statement)
