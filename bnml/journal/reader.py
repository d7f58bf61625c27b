"""Reads a journal while the daemon writes it: typed cursors over sessions, events, commands and outcomes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from bnml.core.commands import Command
from bnml.core.errors import Misconfigured, RecoveryNeeded
from bnml.core.events import Event, InstrumentUpdate
from bnml.core.instrument import Instrument
from bnml.core.outcomes import Decision, EquityPoint, Trade
from bnml.journal.file_work import slices_from
from bnml.journal.schema import (
    Health,
    SessionHeader,
    decode_command,
    decode_decision,
    decode_equity,
    decode_event,
    decode_trade,
)

T = TypeVar("T")
ROWS_AT_ONCE = 2000
ENDLESS = 2**62
"""A number that no event ever has."""


class Session(msgspec.Struct, frozen=True):
    """One run of the daemon; `ending` is empty while it runs and after a kill."""

    id: int
    started_ns: int
    first_seq: int
    last_seq: int
    header: SessionHeader
    ended_ns: int | None
    ending: str


class Snapshot(msgspec.Struct, frozen=True):
    """The engine after event `seq`."""

    seq: int
    session: int
    version: str
    engine: bytes


class JournalReader:
    """A read-only view of one journal file."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise Misconfigured(
                f"there is no journal {path}; start the daemon first, or name its folder with --state-dir"
            )
        try:
            with ExitStack() as unreadable:
                self._database = unreadable.enter_context(
                    closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))
                )
                self._database.execute("SELECT 1 FROM session LIMIT 1")
                unreadable.pop_all()
        except sqlite3.Error as error:
            raise Misconfigured(f"the journal {path} cannot be read: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def sessions(self, after_seq: int = 0) -> list[Session]:
        """All sessions, oldest first, or that of event `after_seq` and those after it: of a year there are thousands."""
        # Each begins with the number after the last one's; to look at the events themselves takes a scan a session.
        rows = self._database.execute(
            "SELECT id, started_ns, first_seq, header, ended_ns, coalesce(ending, ''),"
            " coalesce(lead(first_seq) OVER (ORDER BY id), (SELECT max(seq) FROM event) + 1, first_seq) - 1"
            " FROM session WHERE id >="
            " coalesce((SELECT id FROM session WHERE first_seq <= ? ORDER BY id DESC LIMIT 1), 0) ORDER BY id",
            (after_seq,),
        )
        return [
            Session(
                row[0],
                row[1],
                row[2],
                row[6],
                msgspec.json.decode(row[3], type=SessionHeader),
                row[4],
                row[5],
            )
            for row in rows
        ]

    def session(self, number: int | None = None) -> Session:
        """The session of that number, or the newest."""
        found = self.sessions(ENDLESS if number is None else 0)
        chosen = [one for one in found if number is None or one.id == number]
        if not chosen:
            raise Misconfigured(f"the journal holds no session {'yet' if number is None else number}")
        return chosen[-1]

    def events(self, after_seq: int = 0, session: int | None = None) -> Iterator[tuple[int, Event]]:
        """Events with their numbers, in order."""
        return _rows(self._database, "event", "seq, payload", decode_event, after_seq, session)

    def instruments(self, session: int) -> Iterator[Instrument]:
        """Filters as a session was told them, in order."""
        rows = self._database.execute(
            "SELECT payload FROM event WHERE session = ? AND kind = 'InstrumentUpdate' ORDER BY seq",
            (session,),
        )
        for (payload,) in rows:
            event = decode_event(payload)
            if isinstance(event, InstrumentUpdate):
                yield event.instrument

    def event_payloads(self, session: int) -> Iterator[tuple[int, bytes]]:
        """Events as written, for hashing."""
        return _rows(self._database, "event", "seq, payload", bytes, 0, session)

    def commands(self, after_seq: int = 0, session: int | None = None) -> Iterator[tuple[int, Command]]:
        """Commands with the number of the event that caused them."""
        return _rows(self._database, "command", "seq, payload", decode_command, after_seq, session)

    def commands_of(self, seq: int) -> list[Command]:
        """The commands of one event."""
        rows = self._database.execute("SELECT payload FROM command WHERE seq = ? ORDER BY n", (seq,))
        return [decode_command(row[0]) for row in rows]

    def last_event_ns(self) -> int:
        """Time of the newest event; 0 without any."""
        row = self._database.execute("SELECT ts_ns FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        return int(row[0]) if row is not None else 0

    def traded_symbols(self) -> list[str]:
        """Every symbol with a fill, the last traded first."""
        query = "SELECT symbol FROM trade GROUP BY symbol ORDER BY max(seq) DESC"
        return [row[0] for row in self._database.execute(query)]

    def decisions(self, session: int | None = None) -> Iterator[tuple[int, Decision]]:
        """Every decision of every scan."""
        return _rows(self._database, "decision", "seq, payload", decode_decision, 0, session)

    def trades(self, session: int | None = None) -> Iterator[tuple[int, Trade]]:
        """Every fill."""
        return _rows(self._database, "trade", "seq, payload", decode_trade, 0, session)

    def equity(self, session: int | None = None) -> Iterator[tuple[int, EquityPoint]]:
        """Equity at each scan."""
        return _rows(self._database, "equity", "seq, payload", decode_equity, 0, session)

    def features(self, session: int | None = None) -> Iterator[tuple[int, tuple[str, bytes]]]:
        """(symbol, row as float64 bytes) of the decisions that were not HOLD."""
        bounds, values = _bounds(self._database, 0, session)
        query = f"SELECT seq, symbol, features FROM decision WHERE features IS NOT NULL AND {bounds} ORDER BY seq, n"  # noqa: S608
        for row in self._database.execute(query, values):
            yield int(row[0]), (str(row[1]), bytes(row[2]))

    def snapshot(self, before_seq: int = ENDLESS) -> Snapshot | None:
        """The newest photograph of the engine, of those before that event."""
        row = self._database.execute(
            "SELECT seq, session, version, engine FROM snapshot WHERE seq < ? ORDER BY seq DESC LIMIT 1",
            (before_seq,),
        ).fetchone()
        return Snapshot(*row) if row is not None else None

    def is_whole(self) -> bool:
        """Whether nothing was deleted that a replay from the first event on needs."""
        return slices_from(self._database) == 1

    def status(self) -> Health | None:
        """The newest health row."""
        row = self._database.execute("SELECT payload FROM health ORDER BY ts_ns DESC LIMIT 1").fetchone()
        return msgspec.json.decode(row[0], type=Health) if row is not None else None

    def statuses(self) -> Iterator[Health]:
        """Every health row that is kept, the oldest first."""
        for (payload,) in self._database.execute("SELECT payload FROM health ORDER BY ts_ns"):
            yield msgspec.json.decode(payload, type=Health)


def _rows(
    database: sqlite3.Connection,
    table: str,
    columns: str,
    decode: Callable[[bytes], T],
    after_seq: int,
    session: int | None,
) -> Iterator[tuple[int, T]]:
    bounds, values = _bounds(database, after_seq, session)
    order = "seq, n" if table in {"command", "decision", "trade"} else "seq"
    # Only names from this file are put into the text.
    query = f"SELECT {columns} FROM {table} WHERE {bounds} ORDER BY {order}"  # noqa: S608
    cursor = database.execute(query, values)
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        for seq, payload in rows:
            try:
                value = decode(payload)
            except ValueError as error:
                raise RecoveryNeeded(
                    f"{table} {seq} of the journal cannot be read ({error}); it is damaged or was written by "
                    "another version: use that version, or put a backup in its place"
                ) from error
            yield int(seq), value


def _bounds(database: sqlite3.Connection, after_seq: int, session: int | None) -> tuple[str, list[Any]]:
    if session is None:
        return "seq > ?", [after_seq]
    row = database.execute("SELECT first_seq FROM session WHERE id = ?", (session,)).fetchone()
    if row is None:
        raise Misconfigured(f"the journal holds no session {session}")
    following = database.execute(
        "SELECT first_seq FROM session WHERE id > ? ORDER BY id LIMIT 1", (session,)
    ).fetchone()
    last = ENDLESS if following is None else int(following[0]) - 1
    # One lower bound: of two the database takes the first, and walks from there.
    return "seq > ? AND seq <= ?", [max(after_seq, int(row[0]) - 1), last]
