"""The disk is full at a commit: SQLite itself refuses, by its own limit of pages."""

import asyncio
import sqlite3

import pytest

from bnml.app.guards import Guards
from bnml.app.health import watch_space
from bnml.app.inbox import LiveInbox
from bnml.core.errors import Fatal
from bnml.core.events import Timer
from bnml.journal import reserve as module
from bnml.journal.reader import JournalReader
from bnml.journal.reserve import Reserve, is_full
from bnml.journal.writer import JournalWriter
from tests.journal.kit import header

NAME = "x" * 500


async def limit(writer, pages):
    """Room for so many pages more."""
    cursor = await writer._database.execute("PRAGMA page_count")
    (count,) = await cursor.fetchone()
    await writer._database.execute(f"PRAGMA max_page_count={count + pages}")


async def write(path, *, reserve, events=400, pages=20):
    """Events until the disk is full; with a reserve its release gives room. Returns what the writer says."""
    writer = await JournalWriter.open(path, "process")
    await writer.begin_session(header(), 1)
    if reserve:
        release = writer.reserve.release

        def with_room():
            assert release()
            writer._loosen.set()
            return True

        writer._loosen = asyncio.Event()
        writer.reserve.release = with_room
    else:
        writer.reserve.release()
    await limit(writer, pages)
    execute = writer._database.execute

    async def loosened(statement, *values):
        if reserve and statement == "ROLLBACK":
            await execute("ROLLBACK")
            await execute("PRAGMA max_page_count=1000000")
            return None
        if reserve and statement.startswith("BEGIN") and writer._loosen.is_set():
            await execute("PRAGMA max_page_count=1000000")
        return await execute(statement, *values)

    writer._database.execute = loosened
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
    with sqlite3.connect(path) as database:
        return database.execute("PRAGMA quick_check").fetchone()[0]


def test_f46_a_full_disk_uses_the_reserve_and_loses_nothing(tmp_path):
    path = tmp_path / "journal.db"
    full, last_seq = asyncio.run(write(path, reserve=True))
    assert full
    assert not (tmp_path / "journal.reserve").exists()
    with JournalReader(path) as journal:
        assert [seq for seq, _ in journal.events()] == list(range(1, last_seq + 1))
    assert sound(path) == "ok"


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
        await writer._commit()
        watch_space(writer, Guards(LiveInbox(), lambda: 1))
        assert not writer.is_full
        writer.append_snapshot("v", b"engine")
        await writer.close()

    asyncio.run(play())
    with sqlite3.connect(tmp_path / "journal.db") as database:
        assert database.execute("SELECT count(*) FROM snapshot").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM event").fetchone() == (1,)


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


def test_only_want_of_space_is_a_full_disk():
    assert is_full(OSError(28, ""))
    assert not is_full(OSError(5, ""))
    assert not is_full(sqlite3.OperationalError("disk I/O error"))
