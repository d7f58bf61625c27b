"""Brings the engine back: the last snapshot, then the journal's tail through the same engine, commands compared."""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import bnml
from bnml.core.errors import RecoveryNeeded, Retryable
from bnml.core.ids import IdSource
from bnml.journal.schema import encode
from bnml.kernels import KERNEL_HASH
from bnml.trading.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.core.commands import Command
    from bnml.core.ports import PredictorSource
    from bnml.journal.reader import JournalReader, Session, Snapshot
    from bnml.trading.compile import EngineConfig

MOST_REPLAYED = 1_000_000
"""Of events whose own photographs are of no use. With them a start takes as long as it takes: bars of a start that was
killed in the midst of them may be a million by themselves, and their journal is sound."""
DECIDING_PACKAGES = ("core", "trading")


class Recovered(msgspec.Struct):
    """The engine as it was after the last journaled event, and how sure that is.

    `same_arithmetic`: snapshot and tail were made by this code and these kernels. `differences`: events whose
    commands came out otherwise than journaled; only counted with the same code, kernels and settings.
    """

    engine: Engine
    last_seq: int
    replayed: int
    compared: int
    differences: tuple[str, ...]
    same_arithmetic: bool


@cache
def code_version() -> str:
    """Names the deciding code: version and content of the packages that decide."""
    digest = hashlib.sha256()
    root = Path(__file__).parent.parent
    for package in DECIDING_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return f"{bnml.__version__}+{digest.hexdigest()[:12]}"


def snapshot_version(config_hash: str) -> str:
    """What must be equal for two runs of the same events to give the same commands."""
    return f"{code_version()} {KERNEL_HASH} {config_hash}"


def recover(
    journal: JournalReader, config: EngineConfig, predictors: PredictorSource, config_hash: str
) -> Recovered | None:
    """The engine after the newest event of a journal; None for a journal without events.

    Raises RecoveryNeeded when events cannot be read or replayed at all; Retryable when the file cannot be read now.
    """
    try:
        return _recover(journal, config, predictors, config_hash)
    except (sqlite3.DatabaseError, msgspec.DecodeError, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.OperationalError) and hasattr(error, "sqlite_errorcode"):
            # Rights, a lock or the disk: no damage that a new journal would mend. A text that is none has no code.
            raise Retryable(
                f"the journal cannot be read ({error}); look at its disk and at who else has it open"
            ) from error
        raise RecoveryNeeded(f"the journal cannot be read to its end ({error})") from error


def _recover(
    journal: JournalReader, config: EngineConfig, predictors: PredictorSource, config_hash: str
) -> Recovered | None:
    photograph, engine, useless = _start(journal, config, predictors)
    sessions = journal.sessions(0 if photograph is None else photograph.seq)
    if not sessions or sessions[-1].last_seq == 0:
        return None
    _must_be_short(journal, photograph, useless, sessions[-1].last_seq)
    replayed = compared = 0
    differences: list[str] = []
    last_seq = photograph.seq if photograph is not None else 0
    same_arithmetic = photograph is None or photograph.version.split(" ")[:2] == [code_version(), KERNEL_HASH]
    for session in sessions:
        if session.last_seq <= last_seq:
            continue  # photographed since, or without events
        engine = _with_ids(engine, config, predictors, session)
        comparable = _is_comparable(session, config_hash)
        same_arithmetic = same_arithmetic and comparable
        written = _commands_by_event(journal, last_seq, session.id)
        for seq, event in journal.events(last_seq, session.id):
            try:
                commands = engine.process(event, seq)
            except Exception as error:
                raise RecoveryNeeded(
                    f"event {seq} ({type(event).__name__}) of the journal cannot be replayed: {error}"
                ) from error
            engine.drain()
            replayed += 1
            last_seq = seq
            if comparable:
                compared += 1
                if [encode(one) for one in commands] != written.get(seq, []):
                    differences.append(f"event {seq} ({type(event).__name__})")
    return Recovered(
        _with_own_ids(engine, config, predictors),
        last_seq,
        replayed,
        compared,
        tuple(differences),
        same_arithmetic,
    )


def _start(
    journal: JournalReader, config: EngineConfig, predictors: PredictorSource
) -> tuple[Snapshot | None, Engine, int]:
    """The photograph to begin with, its engine, and how many newer ones were of no use."""
    photograph, useless = journal.snapshot(), 0
    while photograph is not None:
        try:
            return photograph, Engine.restore(config, predictors, photograph.engine), useless
        except RecoveryNeeded:  # of another schema, or damaged: the one before, and the events since
            photograph, useless = journal.snapshot(photograph.seq), useless + 1
    return None, Engine(config, predictors), useless  # all events tell the same story, only slower


def _must_be_short(journal: JournalReader, photograph: Snapshot | None, useless: int, last_seq: int) -> None:
    """Photographs of another schema, or damaged ones, must not leave what is held alone for minutes, or for good."""
    if photograph is None and not journal.is_whole():
        raise RecoveryNeeded(
            "none of its photographs can be used by this version, and of its oldest events the prices were deleted"
        )
    count = last_seq - (0 if photograph is None else photograph.seq)
    if useless and count > MOST_REPLAYED:
        raise RecoveryNeeded(
            f"no photograph of its newest events can be used by this version, and {count} events are too many to replay"
        )


def _with_ids(engine: Engine, config: EngineConfig, predictors: PredictorSource, session: Session) -> Engine:
    """The same state under the ids of a past session, so that its commands come out the same."""
    ids = IdSource(session.header.instance, session.header.epoch)
    return Engine(_replace_ids(config, ids), predictors, engine.state)


def _with_own_ids(engine: Engine, config: EngineConfig, predictors: PredictorSource) -> Engine:
    return Engine(config, predictors, engine.state)


def _replace_ids(config: EngineConfig, ids: IdSource) -> EngineConfig:

    return dataclasses.replace(config, ids=ids)


def _is_comparable(session: Session, config_hash: str) -> bool:
    header = session.header
    return (
        header.code_version == code_version()
        and header.kernel_hash == KERNEL_HASH
        and header.config_hash == config_hash
    )


def _commands_by_event(journal: JournalReader, after_seq: int, session: int) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    commands: Iterator[tuple[int, Command]] = journal.commands(after_seq, session)
    for seq, command in commands:
        found.setdefault(seq, []).append(encode(command))
    return found
