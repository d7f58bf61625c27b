"""Another program holds the journal's file: nothing leaves until the intent is safe, and it leaves then."""

import asyncio
import sqlite3

import pytest

from bnml.app.executor import Executor
from bnml.app.inbox import LiveInbox
from bnml.core.commands import CancelOrder
from bnml.core.errors import Fatal
from bnml.journal import file_work as module
from bnml.journal.reader import JournalReader
from bnml.journal.writer import JournalWriter
from bnml.venues.binance.venue import Executed
from tests.journal.kit import header

CANCEL = CancelOrder("BTCUSDT", "a", "why")


class Venue:
    """Notes what the journal held, as another process sees it, when each request came."""

    def __init__(self, path):
        self.path = path
        self.rows = []

    def writes_together(self, _spares=0):
        return False

    def window_ms(self, _command, _attempt=1):
        return 1000

    async def execute(self, command, *, attempt=1):
        with JournalReader(self.path) as reader:
            self.rows.append(len(list(reader.commands())))
        return Executed()


class Hasty:
    """A planted defect: requests leave before their intent is safe."""

    async def barrier(self):
        return None


async def held(path, monkeypatch, *, hasty=False, release=True):
    """(rows seen at the venue while the file is held, and afterwards)."""
    monkeypatch.setattr(module, "BUSY_MS", 20)
    writer = await JournalWriter.open(path, "process")
    await writer.begin_session(header(), 1)
    venue = Venue(path)
    executor = Executor(
        venue,
        Hasty() if hasty else writer,
        LiveInbox(),
        now_ns=int,
        request_training=lambda *_: None,
        sequential=False,
    )
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tasks = [asyncio.create_task(writer.run()), asyncio.create_task(executor.run())]
    try:
        writer.append_commands(1, [CANCEL])
        executor.submit(1, [CANCEL])
        await asyncio.sleep(0.15)
        before = list(venue.rows)
        if release:
            other.execute("ROLLBACK")
        async with asyncio.timeout(5):
            while not executor.idle and not tasks[0].done():  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.01)
        if tasks[0].done():
            await tasks[0]
        return before, venue.rows
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            _ = task.cancelled() or task.exception()
        other.close()
        if release:
            await writer.close()
        else:
            await writer._database.close()


async def test_f45_nothing_leaves_while_the_intent_cannot_be_written(tmp_path, monkeypatch):
    assert await held(tmp_path / "journal.db", monkeypatch) == ([], [1])


async def test_a_request_before_its_row_is_caught(tmp_path, monkeypatch):
    before, _ = await held(tmp_path / "journal.db", monkeypatch, hasty=True)
    assert before == [0]


async def test_f45_a_file_that_stays_held_stops_the_daemon_with_nothing_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_TIMES", 3)
    with pytest.raises(Fatal, match="locked"):
        await held(tmp_path / "journal.db", monkeypatch, release=False)
