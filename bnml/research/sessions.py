"""What a daemon's session concluded, and what a replay needs to repeat it, read from its journal."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec

from bnml.config import Settings
from bnml.core.clock import format_utc
from bnml.core.errors import Misconfigured, Rejected
from bnml.core.events import ModelPublished, Scan, UniverseUpdate
from bnml.journal.reader import JournalReader, Session
from bnml.journal.schema import SessionHeader
from bnml.options import MarketOptions
from bnml.research.parity import Rows


class RecordedSession(msgspec.Struct, frozen=True):
    """One run of the daemon, with every restart that continued it."""

    header: SessionHeader
    settings: Settings
    options: MarketOptions
    rows: Rows
    models_at: dict[int, list[ModelPublished]]  # bundles published before the scan of a closing time

    @property
    def last_close_ns(self) -> int:
        return max((one.ts_close_ns for one in self.rows.decisions), default=0)


def read_session(journal: Path, data_dir: Path | None = None) -> RecordedSession:
    """The newest run of a journal; `data_dir` replaces the folder that it was recorded on.

    Rejected for a session that was not stepped: only there the market waited for the daemon; and for one whose
    universe changed on the way, which a replay of fixed symbols cannot follow.
    """
    with JournalReader(journal) as reader:
        chain = _chain(reader.sessions())
        header = chain[0].header
        if header.mode != "stepped":
            raise Rejected(
                f"the newest session of {journal} ran in mode {header.mode}; only sessions of "
                "`bnml run --stepped` repeat exactly"
            )
        after_seq = chain[0].first_seq - 1
        rows = Rows(
            "session",
            [one for seq, one in reader.decisions() if seq > after_seq],
            [one for seq, one in reader.trades() if seq > after_seq],
        )
        _refuse_changed_universe(reader, after_seq)
        models_at = _models_at(reader, after_seq)
    folder = data_dir or (Path(header.data_dir) if header.data_dir else None)
    return RecordedSession(
        header=header,
        settings=Settings.model_validate_json(header.config),
        options=MarketOptions(replay=folder, from_ns=header.from_ns, to_ns=header.to_ns),
        rows=rows,
        models_at=models_at,
    )


def _chain(sessions: list[Session]) -> list[Session]:
    """The newest session and those that it continued, oldest first."""
    if not sessions:
        raise Misconfigured("the journal holds no session yet; make one with `bnml run --stepped`")
    chain = [sessions[-1]]
    for earlier in reversed(sessions[:-1]):
        if chain[0].header.resumed_seq == 0:
            break
        chain.insert(0, earlier)
    return chain


def _refuse_changed_universe(reader: JournalReader, after_seq: int) -> None:
    found = (event for _, event in reader.events(after_seq) if isinstance(event, UniverseUpdate))
    for before, after in pairwise(found):
        if set(before.symbols) != set(after.symbols):
            raise Rejected(
                f"the universe of this session changed on {format_utc(after.ts_ns)}; parity compares sessions of "
                "fixed symbols: name them in universe.symbols, or with --symbols"
            )


def _models_at(reader: JournalReader, after_seq: int) -> dict[int, list[ModelPublished]]:
    found: dict[int, list[ModelPublished]] = {}
    waiting: list[ModelPublished] = []
    for _, event in reader.events(after_seq):
        if isinstance(event, ModelPublished):
            waiting.append(event)
        elif isinstance(event, Scan) and waiting:
            found[event.ts_close_ns] = waiting
            waiting = []
    return found
