"""What waits for a commit: one trip to the thread for each, and nothing passes before COMMIT has returned."""

import asyncio
import sqlite3
import threading

import pytest

from bnml.core.errors import Fatal
from bnml.core.events import Bar
from bnml.core.outcomes import EquityPoint
from bnml.journal import writer as module
from bnml.journal.database import Database
from bnml.journal.reader import JournalReader
from bnml.journal.writer import JournalWriter
from tests.journal.kit import header

BAR = Bar("BTCUSDT", 0, 60, 1, 2, 1, 2, 10, 3)


class Slow:
    """A connection whose COMMIT waits until it is let go; or fails, with the words of `failure`."""

    def __init__(self, inner):
        self.inner = inner
        self.reached = threading.Event()
        self.go = threading.Event()
        self.failure = ""

    def execute(self, statement, *values):
        if statement == "COMMIT":
            self.reached.set()
            self.go.wait(5)
            if self.failure:
                self.inner.execute("ROLLBACK")  # as the database does by itself where the disk fails
                raise sqlite3.OperationalError(self.failure)
        return self.inner.execute(statement, *values)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path, monkeypatch):
    monkeypatch.setattr(module, "GATHER_S", 60)
    writer = await JournalWriter.open(path, "process")
    await writer.begin_session(header(), 1)
    return writer


@pytest.fixture
def slow(journal):
    journal._database._connection = slow = Slow(journal._database._connection)
    return slow


def on_disk(path):
    with JournalReader(path) as reader:
        return [seq for seq, _ in reader.events()]


async def test_a_commit_of_several_tables_is_one_piece_of_work(journal, monkeypatch):
    asked = []
    submit = Database.submit

    def counting(self, work, done):
        asked.append(work)
        submit(self, work, done)

    monkeypatch.setattr(Database, "submit", counting)
    seq = journal.append_event(BAR)
    journal.append_outcomes(seq, [EquityPoint(60, 100, 90, 1)], {})
    journal.append_snapshot("v", b"engine")
    await journal.barrier()
    assert len(asked) == 1
    await journal.close()


async def test_nothing_is_safe_before_the_commit_has_returned(journal, slow, path):
    journal.append_event(BAR)
    waiting = asyncio.create_task(journal.barrier())
    await asyncio.to_thread(slow.reached.wait, 5)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (journal.committed, journal.commits, waiting.done(), on_disk(path)) == (False, 0, False, [])
    slow.go.set()
    await waiting
    assert (journal.committed, journal.commits, on_disk(path)) == (True, 1, [1])
    await journal.close()


async def test_rows_that_come_during_a_commit_are_waited_for_until_the_next(journal, slow, path):
    journal.append_event(BAR)
    first = asyncio.create_task(journal.barrier())
    await asyncio.to_thread(slow.reached.wait, 5)
    journal.append_event(BAR)
    seen = []

    async def second():
        await journal.barrier()
        seen.extend(on_disk(path))

    waiting = asyncio.create_task(second())
    await asyncio.sleep(0)
    slow.go.set()
    await asyncio.wait({first, waiting})
    assert seen == [1, 2]
    assert journal.commits == 2
    await journal.close()


async def test_rows_that_came_during_a_commit_are_not_safe_with_it(journal, slow, path):
    journal.append_event(BAR)
    first = asyncio.create_task(journal.barrier())
    await asyncio.to_thread(slow.reached.wait, 5)
    journal.append_event(BAR)
    slow.go.set()
    await first
    assert not journal.committed
    await journal.barrier()
    assert on_disk(path) == [1, 2]
    await journal.close()


async def test_rows_that_come_during_a_commit_and_that_nobody_waits_for_are_committed(
    journal, slow, path, monkeypatch
):
    journal.append_event(BAR)
    first = asyncio.create_task(journal.barrier())
    await asyncio.to_thread(slow.reached.wait, 5)
    monkeypatch.setattr(module, "GATHER_S", 0)
    journal.append_event(BAR)
    await asyncio.sleep(0.01)  # gathered, and the first is still under way
    slow.go.set()
    await first
    async with asyncio.timeout(2):
        while not journal.committed:  # noqa: ASYNC110 - nobody waits for them, so nothing tells
            await asyncio.sleep(0.001)
    assert on_disk(path) == [1, 2]
    await journal.close()


async def test_who_is_cancelled_takes_nobody_along(journal, slow, path):
    waiting = []
    for _ in range(3):
        journal.append_event(BAR)
        waiting.append(asyncio.create_task(journal.barrier()))
        await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait(waiting[:2])
    slow.go.set()
    async with asyncio.timeout(2):
        await waiting[2]
    assert on_disk(path) == [1, 2, 3]
    await journal.close()


async def test_after_a_failed_commit_nothing_is_written_and_all_are_told(journal, slow, path, monkeypatch):
    monkeypatch.setattr(module, "GATHER_S", 0)
    owner = asyncio.create_task(journal.run())
    slow.failure = "disk I/O error"
    waiting = []
    for _ in range(2):
        journal.append_event(BAR)
        waiting.append(asyncio.create_task(journal.barrier()))
        await asyncio.sleep(0)
    slow.go.set()
    for one in (*waiting, owner):
        with pytest.raises(Fatal, match="disk I/O error"):
            await one
    slow.failure = ""
    journal.append_event(BAR)
    await asyncio.sleep(0.01)
    with pytest.raises(Fatal, match="disk I/O error"):
        await journal.barrier()
    await journal.close()
    assert on_disk(path) == []


async def test_a_disk_that_fails_outside_the_database_is_told_in_words_too(journal, monkeypatch):
    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.file_work, "commit", fail)
    journal.append_event(BAR)
    with pytest.raises(Fatal, match=r"the journal cannot be written: .*Input/output error"):
        await journal.barrier()
    await journal.close()


async def test_a_failure_that_nobody_has_heard_of_is_told_at_the_end(journal, slow, path, monkeypatch):
    owner = asyncio.create_task(journal.run())
    await asyncio.sleep(0)
    owner.cancel()
    slow.failure = "disk I/O error"
    slow.go.set()
    monkeypatch.setattr(module, "GATHER_S", 0)
    journal.append_event(BAR)
    async with asyncio.timeout(2):
        await journal._failed.wait()
    slow.failure = ""
    journal.append_event(BAR)
    with pytest.raises(Fatal, match="disk I/O error"):
        await journal.close()
    assert on_disk(path) == []


async def test_keeping_house_never_falls_into_a_commit(journal, path):
    """A checkpoint within a transaction is refused by the database."""

    async def write():
        for _ in range(200):
            journal.append_event(BAR)
            await journal.barrier()

    writing = asyncio.create_task(write())
    rounds = 0
    while not writing.done():
        await journal.prune(older_than_ns=0)
        rounds += 1
    await writing
    assert rounds > 1
    assert len(on_disk(path)) == 200
    await journal.close()
