"""A journal of an earlier format is kept and brought to this one; back again, and nothing half."""

import contextlib
import resource
import sqlite3
from types import MappingProxyType

import pytest

from bnml.app.recovering import damage_of, recover_command, set_aside_if_damaged
from bnml.config import load
from bnml.core.errors import Misconfigured, RecoveryNeeded
from bnml.journal import migrations
from bnml.journal.reader import JournalReader
from bnml.journal.writer import JournalWriter
from bnml.options import RecoverOptions
from tests.e2e.matrix.process import predictors
from tests.e2e.matrix.trial import begun_disk
from tests.journal.kit import begun_folder

MADE_UP = (
    "ALTER TABLE equity RENAME COLUMN payload TO point",
    "CREATE INDEX made_up ON trade (symbol)",
)


@pytest.fixture
def folder(tmp_path):
    return begun_folder(tmp_path, begun_disk())


@pytest.fixture
def newer(monkeypatch):
    """This program, one format later."""

    def become(*statements):
        monkeypatch.setattr(migrations, "VERSION", 2)
        monkeypatch.setattr("bnml.journal.file_work.VERSION", 2)
        monkeypatch.setattr(migrations, "STEPS", MappingProxyType({1: statements or MADE_UP}))

    return become


async def opened(path):
    writer = await JournalWriter.open(path, "power")
    await writer.close()
    return writer.last_seq


def content(path):
    """All rows of all tables, and the format."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(names)}
    return rows.pop("meta"), rows


async def test_a_journal_of_the_format_before_is_kept_and_becomes_one_of_this(folder, newer):
    path = folder.journal
    meta, rows = content(path)
    newer()
    assert damage_of(path, 3) == ""
    last = await opened(path)
    assert last == rows["event"][-1][0]
    assert content(path) == ([("version", "2")], rows)
    assert content(migrations.copy_of(path, "1")) == (meta, rows)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("SELECT point FROM equity")
    before = migrations.copy_of(path, "1").stat().st_mtime_ns
    await opened(path)  # once is enough
    assert migrations.copy_of(path, "1").stat().st_mtime_ns == before


async def test_what_its_log_holds_is_in_the_copy_too(folder, newer):
    with contextlib.closing(sqlite3.connect(folder.journal)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute("INSERT INTO health VALUES (7, 'x')")
        database.commit()
        newer()
        await opened(folder.journal)
    with contextlib.closing(sqlite3.connect(migrations.copy_of(folder.journal, "1"))) as copy:
        assert copy.execute("SELECT payload FROM health WHERE ts_ns = 7").fetchall() == [("x",)]


async def test_a_step_that_fails_leaves_the_journal_as_it_was(folder, newer):
    before = content(folder.journal)
    newer(MADE_UP[0], "CREATE INDEX broken ON missing (x)")
    with pytest.raises(RecoveryNeeded, match=r"no such table.*is as it was"):
        await opened(folder.journal)
    assert content(folder.journal) == before
    newer()
    await opened(folder.journal)  # mended in the version after
    assert content(folder.journal)[0] == [("version", "2")]


async def test_a_copy_that_finds_no_room_leaves_none_of_it_behind(folder, newer):
    """A disk that is full for what was left of it would take no journal either."""
    before = content(folder.journal)
    newer()
    size = folder.journal.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(Misconfigured, match="cannot be written"):
            await opened(folder.journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(folder.path.glob("journal.db.format-1*"))
    assert content(folder.journal) == before


async def test_back_at_the_version_before_the_copy_goes_on_and_without_it_books_come_from_the_venue(
    folder, newer, monkeypatch
):
    path = folder.journal
    before = content(path)
    newer()
    await opened(path)
    monkeypatch.undo()
    with pytest.raises(RecoveryNeeded, match=r"format 2.*reads 1.*journal\.db\.format-1"):
        await opened(path)
    assert damage_of(path, 3) == "it has format 2, and this version of bnml reads 1"
    copy = migrations.copy_of(path, "1").read_bytes()
    set_aside_if_damaged(folder, "sim", 1_763_690_400_000_000_000)  # what a start does, with entries off
    assert not path.exists()
    assert folder.rebuild_note().startswith("journal.db.damaged-")
    path.write_bytes(copy)  # what the operator may do instead
    await opened(path)
    assert content(path) == before
    with JournalReader(path) as reader:
        assert reader.sessions()


async def test_a_format_that_no_step_begins_with_is_refused_untouched(folder, newer):
    newer()
    with contextlib.closing(sqlite3.connect(folder.journal)) as database, database:
        database.execute("UPDATE meta SET value = '0'")
    before = folder.journal.read_bytes()
    with pytest.raises(RecoveryNeeded, match="format 0"):
        await opened(folder.journal)
    assert content(folder.journal)[0] == [("version", "0")]
    assert folder.journal.read_bytes()[100:] == before[100:]
    assert not migrations.copy_of(folder.journal, "0").exists()


def test_a_look_says_what_an_upgrade_would_do_and_does_nothing(folder, newer, capsys):
    settings = load(None, {}, {"app.state_dir": (folder.path, ""), "venue.kind": ("sim", "")})
    before = folder.journal.read_bytes()
    newer()
    with contextlib.closing(sqlite3.connect(folder.journal)) as database, database:
        seq = database.execute("SELECT max(seq) FROM snapshot").fetchone()[0]
        database.execute("UPDATE snapshot SET engine = ? WHERE seq = ?", (b"another schema", seq))
    changed = folder.journal.read_bytes()
    assert recover_command(settings, RecoverOptions(dry_run=True), predictors()) == 0
    said = capsys.readouterr().out
    assert "it has format 1; the next start keeps it as journal.db.format-1 and makes it format 2" in said
    assert "to go back" in said
    assert f"the last photograph is of event {seq}, and of no use: the engine's snapshot" in said
    assert "events to replay (" in said
    assert folder.journal.read_bytes() == changed != before
    assert sorted(one.name for one in folder.path.iterdir()) == ["daemon.lock", "identity.json", "journal.db"]
