"""The database's thread: in order, each piece of work as a whole, and nothing lost by who is cancelled."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from functools import partial

import pytest

from bnml.journal.database import Database
from bnml.journal.file_work import prepare
from bnml.journal.schema import JOURNAL_FILE, TABLES


@pytest.fixture
async def database(tmp_path):
    database = await Database.open(tmp_path / "x.db")
    await database.run(partial(ask, "CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    yield database
    await database.close()


def ask(statement, connection):
    return connection.execute(statement).fetchall()


def insert(numbers, connection):
    for n in numbers:
        connection.execute("INSERT INTO t VALUES (?)", (n,))


async def test_work_is_done_in_the_order_of_asking_in_one_thread(database):
    threads = []

    def note(_):
        threads.append(threading.current_thread())
        return len(threads)

    assert await asyncio.gather(*(database.run(note) for _ in range(20))) == list(range(1, 21))
    assert set(threads) != {threading.current_thread()}
    assert len(set(threads)) == 1


async def test_what_the_work_raises_comes_to_who_asked_and_the_next_is_done(database):
    with pytest.raises(sqlite3.IntegrityError):
        await database.run(partial(insert, [1, 1]))
    assert await database.run(partial(ask, "SELECT n FROM t")) == [(1,)]


async def test_done_is_called_on_the_loop_with_the_result_or_the_error(database):
    called = asyncio.Queue()

    def done(*outcome):
        called.put_nowait((asyncio.get_running_loop(), *outcome))

    database.submit(partial(ask, "SELECT 7"), done)
    database.submit(partial(insert, [1, 1]), done)
    assert await called.get() == (asyncio.get_running_loop(), [(7,)], None)
    _, result, error = await called.get()
    assert result is None
    assert isinstance(error, sqlite3.IntegrityError)


async def test_work_whose_asker_is_cancelled_is_done_and_nothing_is_said_of_it(database):
    free, said = threading.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    held = asyncio.create_task(database.run(lambda _: free.wait(5)))
    waiting = asyncio.create_task(database.run(partial(insert, [1])))
    await asyncio.sleep(0)
    for task in (held, waiting):
        task.cancel()
    await asyncio.wait({held, waiting})
    free.set()
    assert await database.run(partial(ask, "SELECT n FROM t")) == [(1,)]
    assert said == []


async def test_an_open_transaction_is_rolled_back_at_the_end_and_the_thread_ends(tmp_path):
    before = set(threading.enumerate())
    database = await Database.open(tmp_path / "x.db")
    (thread,) = [one for one in set(threading.enumerate()) - before if one.name == "database"]
    await database.run(partial(ask, "CREATE TABLE t (n INTEGER)"))
    await database.run(partial(ask, "BEGIN"))
    await database.run(partial(insert, [1]))
    await database.close()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)


async def test_a_closed_database_says_so(tmp_path):
    database = await Database.open(tmp_path / "x.db")
    await database.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await database.run(partial(ask, "SELECT 1"))


def test_who_reads_while_the_tables_are_made_finds_all_of_them_or_none(tmp_path):
    """A status asked for in that moment once ended in an error of the database."""
    path, found = tmp_path / JOURNAL_FILE, []

    def count(_):
        with closing(sqlite3.connect(path)) as reader:
            found.append(
                reader.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
            )

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.set_trace_callback(count)
        prepare(connection, path, "process")
    assert set(found) == {0, TABLES.count("CREATE TABLE")}
