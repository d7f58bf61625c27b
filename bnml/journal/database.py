"""One connection to a database in a thread of its own; what is asked of it is done there, in the order of asking."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class Database:
    """A piece of work gets the connection and is done as a whole: nothing else that is asked comes in between.

    An executor would do the same; its queue, its futures and the round of the loop that they take cost a tenth
    of a small commit, and every order waits for one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_open = True
        # A process that ends by a failure does not wait for it: what was not committed is not in the file.
        Thread(target=self._serve, name="database", daemon=True).start()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Without transactions of its own; sqlite3.Error or OSError when the file cannot be opened."""
        connect = partial(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
        return cls(await asyncio.to_thread(connect))

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns or raises; it is done also when the caller is cancelled."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(work, partial(_settle, future))
        return await future

    def submit(
        self, work: Callable[[sqlite3.Connection], T], done: Callable[[T | None, BaseException | None], None]
    ) -> None:
        """Have it done; the loop then calls `done` with what it returned and what it raised."""
        if not self._is_open:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        self._asked.put(partial(self._do, work, done, asyncio.get_running_loop()))

    async def close(self) -> None:
        """After all that was asked before; an open transaction is rolled back. Once more, it does nothing."""
        if not self._is_open:
            return
        try:
            await self.run(lambda connection: connection.close())
        finally:
            self._is_open = False
            self._asked.put(None)

    def _serve(self) -> None:
        while True:
            asked = self._asked.get()
            if asked is None:
                return
            asked()
            del asked  # it holds rows, and the next may be long in coming

    def _do(
        self,
        work: Callable[[sqlite3.Connection], T],
        done: Callable[[T | None, BaseException | None], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work(self._connection)
        except BaseException as raised:  # noqa: BLE001 - handed to whoever asked
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(done, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():  # cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
