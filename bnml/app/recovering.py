"""A damaged journal is set aside and begun anew; `bnml recover` says what a start would do, and takes the operator's word."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bnml.app.folder import StateFolder, is_locked
from bnml.app.logs import logger
from bnml.app.preflight import within_live_capital
from bnml.app.spool import Word, ask
from bnml.core.clock import NS_PER_S, LiveClock, format_utc
from bnml.core.errors import Misconfigured, RecoveryNeeded, Rejected
from bnml.core.events import Guard
from bnml.core.ids import IdSource
from bnml.journal import migrations
from bnml.journal.reader import JournalReader
from bnml.journal.recover import code_version, recover
from bnml.kernels import KERNEL_HASH
from bnml.trading import snapshot
from bnml.trading.compile import compile_engine
from bnml.trading.guarding import ACTIVE, HALTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.app.pump import Pump
    from bnml.config import Settings
    from bnml.core.events import Event
    from bnml.core.ports import PredictorSource
    from bnml.journal.recover import Recovered
    from bnml.journal.writer import JournalWriter
    from bnml.options import RecoverOptions
    from bnml.trading.orders import Order

SUFFIXES = ("-wal", "-shm", "")  # the file itself last: a log that is left would be read into the next one
LARGE_BYTES = 1 << 26
"""So much is looked through in less than two seconds by a machine that has just started; what is held has to be guarded within five."""
NEEDED_TABLES = ("meta", "session", "snapshot", "trade")
NUMBERED_TABLES = ("event", "command", "decision", "equity", "bareness")
"""Of them a start replays what is newer than the last photograph, and writes on behind that."""
GUARD = "recovery"
PATIENCE_S = 10.0
CONFIRM = (
    "look at `bnml status` and at the account, then let entries go on with `bnml recover --acknowledge`; "
    "until then positions are only protected and left"
)


def damage_of(journal: Path, epoch: int, *, is_whole: bool = False) -> str:
    """What is wrong with a journal file, in words; empty when it can be read, or was never begun.

    Of a large one only what a start needs is read, unless `is_whole`.
    """
    if not journal.exists():
        return ""
    try:
        size = journal.stat().st_size
        if size == 0:
            return "it is empty" if epoch else ""
        database = sqlite3.connect(f"file:{journal}?mode=rw", uri=True)
        try:
            parts = ("1",) if is_whole or size <= LARGE_BYTES else NEEDED_TABLES
            checks = [database.execute(f"PRAGMA quick_check({part})").fetchone()[0] for part in parts]
            if parts is NEEDED_TABLES:
                _read_newest(database)
            database.execute("SELECT max(seq) FROM event").fetchone()
            foreign = migrations.unreadable(migrations.format_of(database))
        finally:
            database.close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname == "SQLITE_IOERR_SHORT_READ":
            return "it ends before its own index does: its log is lost"
        # Rights, a lock or a full disk are no damage; whoever opens it to write says what is to be done.
        return f"{error}" if "no such table" in str(error) and epoch else ""
    except sqlite3.DatabaseError as error:
        return str(error)
    return next((str(found) for found in checks if found != "ok"), foreign)


def _read_newest(database: sqlite3.Connection) -> None:
    """DatabaseError where what is replayed, or written next to, is damaged: the most likely place when the power fails."""
    for table in NUMBERED_TABLES:
        rows = database.execute(
            f"SELECT * FROM {table} WHERE seq > (SELECT coalesce(max(seq), 0) FROM snapshot)"  # noqa: S608
        )
        for _ in rows:
            pass


def quarantine(folder: StateFolder, now_ns: int) -> Path:
    """Set the journal aside under a name with the time, never to be deleted by us; returns the new name.

    It is noted before: a process that dies in between has not begun a new journal that nobody asks about.
    """
    journal = folder.journal
    stamp = format_utc(now_ns).replace("-", "").replace(":", "").replace(" ", "T").split(".")[0]
    aside = journal.with_name(f"{journal.name}.damaged-{stamp}")
    count = 1
    while aside.exists():
        count += 1
        aside = journal.with_name(f"{journal.name}.damaged-{stamp}-{count}")
    folder.keep_identity()
    folder.note_rebuild(aside.name)
    for suffix in SUFFIXES:
        file = journal.with_name(journal.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
    return aside


def kept_aside(folder: StateFolder) -> list[Path]:
    """Journals of this folder that were set aside, without their logs."""
    found = folder.path.glob(f"{folder.journal.name}.damaged-*")
    return sorted(file for file in found if not file.name.endswith(SUFFIXES[:-1]))


def set_aside_if_damaged(folder: StateFolder, venue_kind: str, now_ns: int) -> None:
    """Before anything is opened: a journal that cannot be read makes room for a new one."""
    damage = damage_of(folder.journal, folder.identity(venue_kind).epoch)
    if damage:
        set_aside(folder, damage, now_ns)


def set_aside(folder: StateFolder, damage: str, now_ns: int) -> None:
    """The journal makes room for a new one, with an alert."""
    aside = quarantine(folder, now_ns)
    logger().critical("journal_damaged", damage=damage, kept_as=str(aside), way_out=CONFIRM)


def doubt_of(recovered: Recovered | None) -> str:
    """Why the engine of a journal that could be replayed is not to be trusted; empty when it is."""
    if recovered is None or not recovered.differences:
        return ""
    return (
        f"replaying it gave other commands than were sent, first at {recovered.differences[0]} "
        f"({len(recovered.differences)} in all), with the same code and settings; the journal, this machine or bnml is at fault"
    )


async def hold_entries(folder: StateFolder, pump: Pump, journal: JournalWriter) -> None:
    """After the books were taken from the venue entries wait for the operator, over restarts too."""
    kept_as = folder.rebuild_note()
    if not kept_as:
        return
    _halt(
        pump.feed,
        pump.now_ns,
        f"the journal was set aside as {kept_as} and begun anew from the venue; {CONFIRM}",
    )
    await journal.barrier()
    folder.forget_rebuild()


def hold_for_vanished(feed: Callable[[Event], None], now_ns: int, orders: Sequence[Order]) -> None:
    """The venue has lost orders of ours: what they protected is protected anew, and entries wait for the operator."""
    if not orders:
        return
    names = ", ".join(f"{one.client_order_id} of {one.symbol} ({one.side} {one.role})" for one in orders)
    _halt(feed, now_ns, f"the venue had confirmed and does not know any more: {names}; {CONFIRM}")


def _halt(feed: Callable[[Event], None], now_ns: int, detail: str) -> None:
    """Until the operator's word, which is all that stands in the way."""
    logger().critical("entries_held", guard=GUARD, reason=detail)
    feed(Guard(GUARD, HALTED, now_ns, detail))
    feed(Guard(GUARD, ACTIVE, now_ns, ""))


def recover_command(settings: Settings, options: RecoverOptions, predictors: PredictorSource) -> int:
    """`bnml recover`: look at the journal, set it aside where it is of no use, take the operator's word."""
    path, settings = settings.app.state_dir, within_live_capital(settings)
    if options.acknowledge:
        return _acknowledge(path)
    if not path.is_dir():
        raise Misconfigured(f"there is no state folder {path}; name it with --state-dir")
    if is_locked(path):
        raise Rejected(
            f"a daemon is using the state folder {path}; stop it first (`bnml recover --acknowledge` may)"
        )
    with StateFolder(path) as folder:
        damage = damage_of(folder.journal, folder.identity(settings.venue.kind).epoch, is_whole=True)
        lines = [f"damaged: {damage}"] if damage else _healthy(settings, folder, predictors)
        if damage or options.rebuild:
            lines += _set_aside(folder, dry_run=options.dry_run)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _set_aside(folder: StateFolder, *, dry_run: bool) -> list[str]:
    if not folder.journal.exists():
        return ["nothing to set aside"]
    if dry_run:
        return [f"{folder.journal} would be set aside, and a new one made from the venue at the next start"]
    aside = quarantine(folder, LiveClock().now_ns())
    return [
        f"{folder.journal} is kept as {aside.name}; the next start reads positions from the venue",
        CONFIRM,
    ]


def _acknowledge(path: Path) -> int:
    """No other daemon trades here, and what was taken over is right: also to a daemon that runs."""
    if not path.is_dir():
        raise Misconfigured(f"there is no state folder {path}; name it with --state-dir")
    StateFolder(path).acknowledge(LiveClock().now_ns())
    if not is_locked(path):
        sys.stdout.write("noted; the next start may take over, `bnml resume` then lets entries go on\n")
        return 0
    if ask(path, Word("resume"), PATIENCE_S) is None:
        raise Rejected("noted, but the daemon did not take `resume`; it may still be starting: give it again")
    sys.stdout.write("noted, and the daemon may enter again\n")
    return 0


def _healthy(settings: Settings, folder: StateFolder, predictors: PredictorSource) -> list[str]:
    """What the next start would do with a journal that can be read."""
    if not folder.journal.exists():
        return [
            f"no journal in {folder.path}; the next start makes one, and takes over what the venue has of ours"
        ]
    with closing(sqlite3.connect(f"file:{folder.journal}?mode=ro", uri=True)) as database:
        found = migrations.format_of(database)
        if not migrations.is_older(found):
            return _looked_at(settings, folder.journal, predictors)
        with TemporaryDirectory(prefix="bnml-look-") as place:
            copy = Path(place) / folder.journal.name
            database.execute("VACUUM INTO ?", (str(copy),))
            with closing(sqlite3.connect(copy, isolation_level=None)) as other:
                migrations.migrate(other, copy)
            told = _looked_at(settings, copy, predictors)
    kept = migrations.copy_of(folder.journal, found).name
    way_back = f"to go back to the version before, put {kept} in its place: what was traded since is taken over from the venue"
    return [
        f"it has format {found}; the next start keeps it as {kept} and makes it format {migrations.VERSION}",
        way_back,
        *told,
    ]


def _looked_at(settings: Settings, path: Path, predictors: PredictorSource) -> list[str]:
    config = compile_engine(settings, IdSource("look", 1))
    with JournalReader(path) as journal:
        sessions = journal.sessions()
        if not sessions:
            return ["the journal is sound and holds no session yet"]
        header = sessions[-1].header
        photograph = journal.snapshot()
        began_ns = LiveClock().monotonic_ns()
        try:
            found = recover(journal, config, predictors, settings.content_hash())
        except RecoveryNeeded as error:
            return [f"the journal cannot be replayed: {error}", "a start sets it aside, with entries off"]
        took_s = (LiveClock().monotonic_ns() - began_ns) / NS_PER_S
    lines = [
        f"the journal is sound: format {migrations.VERSION}, {len(sessions)} sessions, {sessions[-1].last_seq} events"
    ]
    if header.code_version != code_version() or header.kernel_hash != KERNEL_HASH:
        lines.append(
            f"written by {header.code_version}, this is {code_version()}: the next start restores ledger and orders, "
            "reads the bars again, and compares no commands"
        )
    if header.config_hash != settings.content_hash():
        lines.append("the settings have changed; open positions keep the rules that they were opened with")
    if photograph is not None:
        lines.append(f"the last photograph is of event {photograph.seq}{_use_of(photograph.engine)}")
    if found is None:
        return [*lines, "nothing to replay"]
    lines.append(
        f"{found.replayed} events to replay ({took_s:.1f} s), {len(found.differences)} of them with other commands than sent"
    )
    if found.differences:
        lines.append(
            f"first at {found.differences[0]}: a start sets it aside and rebuilds it from the venue, with entries off"
        )
    engine = found.engine
    lines.append(
        f"{len(engine.portfolio.positions)} positions, {len(engine.book.open())} orders that are not over"
    )
    return lines


def _use_of(photograph: bytes) -> str:
    """What a start has to say of one that it cannot begin with."""
    try:
        snapshot.decode(photograph)
    except RecoveryNeeded as error:
        return f", and of no use: {error}"
    return ""
