import sqlite3
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from bnml.app import recovering
from bnml.app.folder import StateFolder
from bnml.app.preflight import within_live_capital
from bnml.app.recovering import damage_of, quarantine, recover_command, set_aside_if_damaged
from bnml.config import load
from bnml.core.errors import Misconfigured, Rejected
from bnml.journal.writer import JournalWriter
from bnml.options import RecoverOptions
from tests.e2e.matrix.process import predictors
from tests.e2e.matrix.trial import begun_disk
from tests.journal.kit import begun_folder, header

NOW_NS = 1_763_690_400_000_000_000


@pytest.fixture
def folder(tmp_path):
    return begun_folder(tmp_path, begun_disk())


def tear(journal, how):
    content = journal.read_bytes()
    if how == "zero bytes":
        journal.write_bytes(b"")
    elif how == "cut":
        journal.write_bytes(content[: len(content) // 2 + 100])
    elif how == "torn pages":
        journal.write_bytes(content[:8192] + b"\x5a" * 16384 + content[24576:])
    else:
        journal.write_bytes(b"\0" * 100 + content[100:])


HARMS = ("zero bytes", "cut", "torn pages", "no header")


@pytest.mark.parametrize("how", HARMS)
def test_f44_a_damaged_journal_is_found_and_kept_aside(folder, how):
    assert damage_of(folder.journal, 3) == ""
    tear(folder.journal, how)
    harmed = folder.journal.read_bytes()
    set_aside_if_damaged(folder, "sim", NOW_NS)
    assert not folder.journal.exists()
    (aside,) = folder.path.glob("journal.db.damaged-*")
    assert aside.read_bytes() == harmed
    assert folder.rebuild_note() == aside.name


def test_of_a_large_journal_a_start_reads_what_it_needs_and_recover_all(folder, monkeypatch):
    """What is held has to be guarded within five seconds, and a journal grows for years."""
    monkeypatch.setattr(recovering, "LARGE_BYTES", 10_000)
    database = sqlite3.connect(folder.journal)
    (old,) = database.execute("SELECT payload FROM event ORDER BY seq LIMIT 1 OFFSET 50").fetchone()
    database.close()
    content, page = folder.journal.read_bytes(), 4096
    spot = content.index(old) // page * page
    folder.journal.write_bytes(content[:spot] + b"\x5a" * page + content[spot + page :])
    assert damage_of(folder.journal, 3) == ""
    assert damage_of(folder.journal, 3, is_whole=True)
    tear(folder.journal, "torn pages")
    assert damage_of(folder.journal, 3)


def harm_page_of(journal, query):
    """Overwrite the page that holds what the query finds."""
    database = sqlite3.connect(journal)
    (found,) = database.execute(query).fetchone()
    database.close()
    content, page = journal.read_bytes(), 4096
    spot = content.index(found) // page * page
    journal.write_bytes(content[:spot] + b"\x5a" * page + content[spot + page :])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT payload FROM event WHERE seq > (SELECT max(seq) FROM snapshot) LIMIT 1 OFFSET 50",
        "SELECT payload FROM command ORDER BY seq LIMIT 1 OFFSET 50",
        "SELECT payload FROM equity ORDER BY seq DESC LIMIT 1",
    ],
    ids=["an event to replay", "commands to compare", "where rows are written next"],
)
def test_f44_of_a_large_journal_damage_of_what_is_replayed_or_written_next_is_found(
    folder, monkeypatch, query
):
    """Else each start would end with it, and nobody would look after what is held."""
    monkeypatch.setattr(recovering, "LARGE_BYTES", 10_000)
    database = sqlite3.connect(folder.journal)
    (last,) = database.execute("SELECT max(seq) FROM event").fetchone()
    for number in range(last + 1, last + 201):
        text = f"payload {number} ".encode() * 20
        database.execute("INSERT INTO event VALUES (?, 1, 'Timer', '', ?, ?)", (number, number, text))
        database.execute("INSERT INTO command VALUES (?, 0, 'Alert', '', ?)", (number, b"command " + text))
        database.execute("INSERT INTO equity VALUES (?, 1, ?)", (number, b"equity " + text))
    database.commit()
    database.close()
    assert damage_of(folder.journal, 3) == ""
    harm_page_of(folder.journal, query)
    assert damage_of(folder.journal, 3)


@pytest.mark.parametrize("renames", range(4))
def test_f44_a_process_that_dies_while_it_sets_a_journal_aside_leaves_neither_its_log_nor_entries(
    folder, monkeypatch, renames
):
    """Else the next start would make new books without a word, or read the old log into them."""
    monkeypatch.setattr(recovering, "damage_of", lambda *_: "torn")
    for suffix in ("-wal", "-shm"):
        folder.journal.with_name(f"journal.db{suffix}").write_bytes(b"log")
    left, rename = [None] * renames, Path.rename

    def dying(self, target):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    with suppress(KeyboardInterrupt):
        set_aside_if_damaged(folder, "sim", NOW_NS)
    assert folder.rebuild_note()
    if not folder.journal.exists():
        assert not list(folder.path.glob("journal.db-*"))


def test_f44_a_journal_whose_log_is_lost_is_found(tmp_path):
    """Nothing was taken into the file yet when the log went: what is left is one page and an index of more."""
    written = sqlite3.connect(tmp_path / "written.db", isolation_level=None)
    written.execute("PRAGMA journal_mode=WAL")
    written.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, payload BLOB)")
    written.executemany("INSERT INTO event (payload) VALUES (?)", [(b"x" * 500,)] * 100)
    for suffix in ("", "-shm"):
        content = (tmp_path / f"written.db{suffix}").read_bytes()
        (tmp_path / f"journal.db{suffix}").write_bytes(content)
    written.close()
    assert damage_of(tmp_path / "journal.db", 3)


def test_a_journal_that_never_was_is_no_damage(tmp_path):
    assert damage_of(tmp_path / "journal.db", 5) == ""
    (tmp_path / "journal.db").write_bytes(b"")
    assert damage_of(tmp_path / "journal.db", 0) == ""
    sqlite3.connect(tmp_path / "other.db").close()


def test_two_damaged_journals_of_one_second_are_both_kept(folder):
    first = quarantine(folder, NOW_NS)
    folder.journal.write_bytes(b"another")
    second = quarantine(folder, NOW_NS)
    assert first != second
    assert second.read_bytes() == b"another"


def recover(folder, **options):
    settings = load(None, {}, {"app.state_dir": (str(folder.path), "")})
    return recover_command(settings, RecoverOptions(**options), predictors())


def test_a_dry_run_changes_nothing_and_says_what_a_start_would_do(folder, capsys):
    before = {file: file.read_bytes() for file in folder.path.iterdir() if file.name != "daemon.lock"}
    assert recover(folder, dry_run=True) == 0
    said = capsys.readouterr().out
    assert "the journal is sound" in said
    assert "the settings have changed" in said
    tear(folder.journal, "cut")
    before[folder.journal] = folder.journal.read_bytes()
    assert recover(folder, dry_run=True) == 0
    assert "would be set aside" in capsys.readouterr().out
    after = {file: file.read_bytes() for file in folder.path.iterdir() if file.name != "daemon.lock"}
    assert after == before


def test_a_journal_that_is_not_trusted_is_set_aside_on_demand(folder, capsys):
    assert recover(folder, rebuild=True) == 0
    assert "is kept as journal.db.damaged-" in capsys.readouterr().out
    assert not folder.journal.exists()
    assert recover(folder) == 0
    assert "takes over what the venue has of ours" in capsys.readouterr().out


def test_the_operators_word_is_remembered(folder, capsys):
    assert folder.acknowledged_ns() == 0
    assert recover(folder, acknowledge=True) == 0
    assert folder.acknowledged_ns() > NOW_NS
    assert "bnml resume" in capsys.readouterr().out


def test_a_folder_in_use_or_of_nobody_is_refused(folder, tmp_path):
    with folder, pytest.raises(Rejected, match="stop it first"):
        recover(folder)
    with pytest.raises(Misconfigured, match="no state folder"):
        recover(StateFolder(tmp_path / "nowhere"))


async def test_the_limit_of_live_capital_is_no_change_of_the_settings(tmp_path, capsys):
    live = {"venue.kind": ("live", ""), "live.max_capital": (100.0, ""), "app.state_dir": (tmp_path, "")}
    settings = load(None, {}, live)
    writer = await JournalWriter.open(tmp_path / "journal.db", "process")
    begun = within_live_capital(settings).content_hash()
    await writer.begin_session(msgspec.structs.replace(header(), venue="live", config_hash=begun), 1)
    await writer.close()
    recover_command(settings, RecoverOptions(dry_run=True), predictors())
    said = capsys.readouterr().out
    assert "the journal is sound" in said
    assert "the settings have changed" not in said


async def test_the_note_of_a_new_journal_is_kept_until_that_journal_has_it():
    """A process that dies in between would have begun one that nobody asks about."""
    done = []

    async def barrier():
        done.append("committed")

    folder = SimpleNamespace(
        rebuild_note=lambda: "journal.db.damaged", forget_rebuild=lambda: done.append("forgotten")
    )
    pump = SimpleNamespace(feed=lambda guard: done.append(guard.level), now_ns=7)
    await recovering.hold_entries(folder, pump, SimpleNamespace(barrier=barrier))
    assert done == ["HALTED", "ACTIVE", "committed", "forgotten"]
