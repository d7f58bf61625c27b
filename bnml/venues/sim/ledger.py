"""The exchange's memory on disk: what was acknowledged is there after a kill, and is found again."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bnml.core.errors import Fatal, Misconfigured, RecoveryNeeded
from bnml.venues.sim.accounts import Account
from bnml.venues.sim.desk_state import Counters
from bnml.venues.sim.messages import Amendment, PreventedMatch, TradeRecord
from bnml.venues.sim.orders import SimList, SimOrder
from bnml.venues.sim.seating import seat_again
from bnml.venues.sim.symbol_market import SymbolState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bnml.venues.sim.desk import Desk

VERSION = 1
_TABLES = ("orders", "lists", "trades", "accounts", "prevented", "amendments", "state")
Row = TypeVar("Row")
_KEYS = {"accounts": "TEXT", "state": "TEXT"}


class Position(msgspec.Struct):
    """Where the market stands: how many steps are done, the clock, and each symbol's state."""

    ordinal: int
    now_ns: int
    symbols: dict[str, SymbolState]


def _opened(path: Path, stack: ExitStack) -> sqlite3.Connection:
    try:
        database = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
        database.execute("PRAGMA journal_mode=WAL")
        for table in _TABLES:
            kind = _KEYS.get(table, "INTEGER")
            database.execute(f"CREATE TABLE IF NOT EXISTS {table} (id {kind} PRIMARY KEY, data BLOB)")
    except sqlite3.Error as error:
        raise Misconfigured(
            f"the exchange's ledger {path} cannot be opened ({error}); check the folder's permissions or move the file away"
        ) from error
    return database


class Ledger:
    """SQLite in WAL mode: one transaction a request or step; steps that touch no order are not synced.

    A kill of the process loses nothing that was saved; a power cut may lose steps without orders, which
    the feed then repeats. A `group`ed ledger saves what came in together with one sync, at its `flush`:
    whoever tells a client about it must flush before.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open or make the file; `fingerprint` names the feed, another one is refused."""
        self._synced = False
        self._waits: Callable[[], None] | None = None
        self._is_open = False
        self._path = path
        self._encode = msgspec.msgpack.Encoder().encode
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as refused:  # nothing stays open of a file that is not ours
            self._db = _opened(path, refused)
            self.pin("version", str(VERSION))
            self.pin("feed", fingerprint)
            refused.pop_all()

    def group(self, waits: Callable[[], None]) -> None:
        """From now on saved is what was flushed; `waits` is called when something begins to wait for it."""
        self._waits = waits

    def flush(self) -> None:
        """Save what waits; a disk that does not take it ends the exchange."""
        if not self._is_open:
            return
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise Fatal(f"the exchange's ledger {self._path} cannot be written ({error})") from error
        self._is_open = False

    def save(self, desk: Desk, ordinal: int, *, durable: bool) -> None:
        """Write what changed, and the market's position, in one transaction; synced when `durable`."""
        if durable != self._synced:
            self.flush()
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._synced = durable
        changes = desk.changes
        position = Position(ordinal, desk.now_ns, desk.market.snapshot())
        if not self._is_open:
            self._db.execute("BEGIN IMMEDIATE")
            self._is_open = True
            if self._waits is not None:
                self._waits()
        self._put("orders", ((key, desk.orders[key]) for key in changes.orders))
        self._put("lists", ((key, desk.lists[key]) for key in changes.lists))
        self._put("accounts", ((key, desk.accounts[key]) for key in changes.accounts))
        self._put("trades", ((trade.execution_id, trade) for trade in changes.trades))
        self._put("prevented", ((one.prevented_id, one) for one in changes.prevented))
        self._put("amendments", ((one.execution_id, one) for one in changes.amendments))
        self._put("state", (("position", position), ("counters", desk.counters)))
        if self._waits is None:
            self.flush()

    def load(self, desk: Desk) -> int:
        """Fill an empty desk from disk; returns the number of steps done."""
        desk.accounts = {account.name: account for account in self._all("accounts", Account)}
        for order in self._all("orders", SimOrder):
            desk.add(order)
        seat_again(desk)
        for order_list in self._all("lists", SimList):
            desk.add_list(order_list)
        for trade in self._all("trades", TradeRecord):
            desk.add_trade(trade)
        for prevented in self._all("prevented", PreventedMatch):
            desk.prevented[prevented.prevented_id] = prevented
        for amendment in self._all("amendments", Amendment):
            desk.amendments.setdefault(amendment.order_id, []).append(amendment)
        desk.changes.clear()
        counters = self._get("counters", msgspec.msgpack.Decoder(Counters).decode)
        position = self._get("position", msgspec.msgpack.Decoder(Position).decode)
        if counters is None or position is None:
            return 0
        desk.counters = counters
        desk.now_ns = position.now_ns
        desk.market.restore(position.symbols)
        return position.ordinal

    def position(self) -> int:
        """Steps done, before anything else is loaded; the feed begins there."""
        position = self._get("position", msgspec.msgpack.Decoder(Position).decode)
        return 0 if position is None else position.ordinal

    def last_closes(self) -> dict[str, int]:
        """End of the last published candle by symbol, before anything else is loaded."""
        position = self._get("position", msgspec.msgpack.Decoder(Position).decode)
        return {} if position is None else {name: one.last_close_ns for name, one in position.symbols.items()}

    def note(self, name: str, text: str | None = None) -> str | None:
        """Read, or first write, a small text kept with the ledger (keys of the account)."""
        if text is not None:
            self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (f"note:{name}", text.encode()))
        row = self._db.execute("SELECT data FROM state WHERE id = ?", (f"note:{name}",)).fetchone()
        return None if row is None else bytes(row[0]).decode()

    def close(self) -> None:
        """Close the file."""
        try:
            self.flush()
        finally:
            self._db.close()

    def pin(self, name: str, wanted: str) -> None:
        """Keep a text for good: written once, refused when it is another one later."""
        found = self.note(name)
        if found is None:
            self.note(name, wanted)
        elif found != wanted:
            raise RecoveryNeeded(
                f"the exchange's ledger {self._path} was made with {name} {found!r}, now it is {wanted!r}; "
                "start with the former or move the folder away"
            )

    def _put(self, table: str, rows: Iterable[tuple[int | str, object]]) -> None:
        encoded = [(key, self._encode(row)) for key, row in rows]
        if encoded:
            statement = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"  # noqa: S608 - a name of _TABLES
            self._db.executemany(statement, encoded)

    def _all(self, table: str, kind: type[Row]) -> list[Row]:
        decode = msgspec.msgpack.Decoder(kind).decode
        query = f"SELECT data FROM {table} ORDER BY id"  # noqa: S608 - a name of _TABLES
        return [decode(row[0]) for row in self._db.execute(query)]

    def _get(self, name: str, decode: Callable[[bytes], Row]) -> Row | None:
        row = self._db.execute("SELECT data FROM state WHERE id = ?", (name,)).fetchone()
        return None if row is None else decode(row[0])
