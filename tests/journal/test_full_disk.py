"""The disk is full at a commit: SQLite itself refuses, by its own limit of pages."""

import asyncio
import errno
import sqlite3
from contextlib import closing
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest

from bnml.app.guards import Guards
from bnml.app.health import watch_space
from bnml.app.inbox import LiveInbox
from bnml.core.errors import Fatal
from bnml.core.events import Timer
from bnml.journal import reserve as module
from bnml.journal.file_work import commit
from bnml.journal.reader import JournalReader
from bnml.journal.reserve import Reserve, is_full, with_room
from bnml.journal.writer import JournalWriter
from tests.journal.kit import header

NAME = "x" * 500


class Cramped:
    """A connection with room for so many pages more, until there is more room: `loosen`."""

    def __init__(self, inner, pages):
        self.inner = inner
        self.statements = []
        self.is_loose = False
        (count,) = inner.execute("PRAGMA page_count").fetchone()
        inner.execute(f"PRAGMA max_page_count={count + pages}")

    def execute(self, statement, *values):
        self.statements.append(statement)
        if self.is_loose and not self.inner.in_transaction:
            self.inner.execute("PRAGMA max_page_count=1000000")
        return self.inner.execute(statement, *values)

    def __getattr__(self, name):
        return getattr(self.inner, name)


async def cramped(path, pages):
    """A writer whose reserve, when it is given up, makes room."""
    writer = await JournalWriter.open(path, "process")
    await writer.begin_session(header(), 1)
    connection = await writer._database.run(lambda inner: Cramped(inner, pages))
    writer._database._connection = connection
    release = writer.reserve.release

    def with_room():
        connection.is_loose = release()
        return connection.is_loose

    writer.reserve.release = with_room
    return writer, connection


async def write(path, *, reserve, events=400, pages=20):
    """Events until the disk is full; with a reserve its release gives room. Returns what the writer says."""
    writer, _ = await cramped(path, pages)
    if not reserve:
        Reserve(path).release()
    running = asyncio.create_task(writer.run())
    try:
        for count in range(events):
            writer.append_event(Timer(NAME, count))
            if count % 10 == 9:
                await writer.barrier()
        return writer.is_full, writer.last_seq
    finally:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()
        await writer.close()


def sound(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute("PRAGMA quick_check").fetchone()[0]


def test_f46_a_full_disk_uses_the_reserve_and_loses_nothing(tmp_path):
    path = tmp_path / "journal.db"
    full, last_seq = asyncio.run(write(path, reserve=True))
    assert full
    assert not (tmp_path / "journal.reserve").exists()
    with JournalReader(path) as journal:
        assert [seq for seq, _ in journal.events()] == list(range(1, last_seq + 1))
    assert sound(path) == "ok"


async def test_f46_rows_before_the_one_that_found_no_room_are_written_once(tmp_path):
    writer, connection = await cramped(tmp_path / "journal.db", 1_000)
    insert, full = connection.inner.executemany, sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def cut(statement, rows):
        """The database has not rolled back by itself, as it may."""
        insert(statement, rows)
        if not connection.is_loose:
            raise full

    connection.executemany = cut
    writer.append_event(Timer("t", 1))
    writer.append_snapshot("v", b"engine")
    await writer.barrier()
    assert "ROLLBACK" in connection.statements
    assert writer.is_full
    await writer.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        assert database.execute("SELECT seq FROM event").fetchall() == [(1,)]
        assert database.execute("SELECT count(*) FROM snapshot").fetchone() == (0,)


def test_f46_without_a_reserve_nothing_is_half_written(tmp_path):
    path = tmp_path / "journal.db"
    with pytest.raises(Fatal, match="full"):
        asyncio.run(write(path, reserve=False))
    assert sound(path) == "ok"
    with JournalReader(path) as journal:
        written = [seq for seq, _ in journal.events()]
    assert written == list(range(1, len(written) + 1))
    assert len(written) % 10 == 0  # each barrier's rows are there as a whole, or not at all


def test_what_can_be_done_without_is_not_written_on_a_full_disk(tmp_path):
    async def play():
        writer = await JournalWriter.open(tmp_path / "journal.db", "process")
        await writer.begin_session(header(), 1)
        writer.is_full = True
        writer.append_event(Timer("t", 1))
        writer.append_snapshot("v", b"engine")
        await writer.barrier()
        watch_space(writer, Guards(LiveInbox(), lambda: 1))
        assert not writer.is_full
        writer.append_event(Timer("t", 2))
        writer.append_snapshot("v", b"engine")
        await writer.close()

    asyncio.run(play())
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        assert database.execute("SELECT seq FROM snapshot").fetchall() == [(2,)]
        assert database.execute("SELECT seq FROM event").fetchall() == [(1,), (2,)]


def test_a_reserve_takes_real_space_and_only_when_there_is_some(tmp_path, monkeypatch):
    reserve = Reserve(tmp_path / "journal.db", 1 << 20)
    assert reserve.hold()
    assert (tmp_path / "journal.reserve").stat().st_blocks * 512 >= 1 << 20
    assert reserve.release()
    assert not reserve.release()

    def none(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "posix_fallocate", none)
    assert not reserve.hold()
    assert not reserve.is_held


async def test_f46_a_start_on_a_full_disk_uses_the_reserve_and_entries_wait(tmp_path, monkeypatch):
    """One that was killed there once could not begin a session any more, with the space lying beside it."""
    path, room = tmp_path / "journal.db", module.os.statvfs(tmp_path)
    writer = await JournalWriter.open(path, "process")
    await writer.close()
    assert Reserve(path).is_held

    def bare(_folder):
        return SimpleNamespace(f_bavail=0 if Reserve(path).is_held else 1, f_frsize=room.f_frsize)

    monkeypatch.setattr(module.os, "statvfs", bare)
    writer = await JournalWriter.open(path, "process")
    assert not Reserve(path).is_held
    guards = Guards(LiveInbox(), lambda: 1)
    watch_space(writer, guards)
    assert guards.level("space") == "REDUCING"
    monkeypatch.undo()
    watch_space(writer, guards)
    assert guards.level("space") == "ACTIVE"
    await writer.close()


async def test_f46_a_restart_with_room_again_lets_entries_come(tmp_path):
    """The engine remembered the reason, and the writer of the new session had never been full: it stood for ever."""
    writer = await JournalWriter.open(tmp_path / "journal.db", "process")
    guards = Guards(LiveInbox(), lambda: 1)
    guards.recall({"space": ("REDUCING", "the disk is full")})
    watch_space(writer, guards)
    assert guards.level("space") == "ACTIVE"
    await writer.close()


async def test_f46_a_restart_while_the_reserve_is_still_in_use_keeps_entries_waiting(tmp_path, monkeypatch):
    """The second start found no reserve to give up, and called the disk well."""
    path, room = tmp_path / "journal.db", module.os.statvfs(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=room.f_frsize))
        writer = await JournalWriter.open(path, "process")
        guards = Guards(LiveInbox(), lambda: 1)
        guards.recall({"space": ("REDUCING", "the disk is full")})
        watch_space(writer, guards)
        assert guards.level("space") == "REDUCING"
    watch_space(writer, guards)
    assert guards.level("space") == "ACTIVE"
    assert Reserve(path).is_held
    await writer.close()


async def test_a_session_that_cannot_be_noted_is_told_in_words(tmp_path):
    writer, _ = await cramped(tmp_path / "journal.db", 0)
    large = msgspec.structs.replace(header(), config=NAME * 100)
    with pytest.raises(Fatal, match="the journal cannot be written: database or disk is full"):
        await writer.update_session(large)
    await writer.close()


def test_only_want_of_space_is_a_full_disk():
    assert is_full(OSError(errno.ENOSPC, ""))
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(5, ""))
    assert not is_full(sqlite3.OperationalError("disk I/O error"))


def test_a_write_that_fails_for_another_cause_keeps_the_reserve(tmp_path):
    class Failing:
        in_transaction = False

        def execute(self, _statement):
            raise OSError(5, "Input/output error")

    reserve = Reserve(tmp_path / "journal.db", 4096)
    assert reserve.hold()
    with pytest.raises(OSError, match="Input/output"):
        commit(Failing(), {}, reserve, spares=False)
    assert reserve.is_held
    with pytest.raises(OSError, match="Input/output"):
        with_room(tmp_path / "journal.db", partial(Failing().execute, ""))
    assert reserve.is_held
