import errno
import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from bnml.app import folder as module
from bnml.app.folder import StateFolder, write_durably
from bnml.core.errors import Misconfigured, RecoveryNeeded, Rejected
from bnml.journal.reserve import Reserve
from bnml.journal.writer import JournalWriter
from tests.journal.kit import header


def test_a_second_daemon_on_the_same_folder_is_refused_with_the_process_named(tmp_path):
    code = (
        "import sys; from pathlib import Path; from bnml.app.folder import StateFolder\n"
        "with StateFolder(Path(sys.argv[1])):\n print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(Rejected, match=str(other.pid)), StateFolder(tmp_path):
            pass
        other.communicate()
    with StateFolder(tmp_path):
        assert (tmp_path / "daemon.lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="--state-dir"), StateFolder(tmp_path / "file" / "state"):
        pass


def test_epochs_grow_and_leave_those_of_the_venue_behind(tmp_path):
    with StateFolder(tmp_path) as folder:
        first = folder.begin_epoch(folder.identity("sim"), 0)
        assert (first.instance, first.epoch) == ("sim0", 1)
        assert folder.begin_epoch(folder.identity("sim"), 7).epoch == 8
        assert folder.identity("sim").epoch == 8


def test_real_accounts_get_a_name_that_stays(tmp_path):
    with StateFolder(tmp_path) as folder:
        made = folder.begin_epoch(folder.identity("live"), 0)
        assert len(made.instance) == 4
        assert folder.identity("live").instance == made.instance


@pytest.mark.parametrize("content", [b"{", b'{"instance":"ab\xff2"}'])
def test_a_damaged_identity_is_for_the_operator(tmp_path, content):
    (tmp_path / "identity.json").write_bytes(content)
    with StateFolder(tmp_path) as folder, pytest.raises(RecoveryNeeded, match="backup"):
        folder.identity("sim")


@pytest.mark.parametrize("content", [b"{", None], ids=["damaged", "lost"])
async def test_an_identity_that_is_lost_is_that_of_the_journal(tmp_path, content):
    """Under another name the orders that protect what is held would be those of a stranger."""
    with StateFolder(tmp_path) as folder:
        begun = folder.begin_epoch(folder.identity("live"), 6)
        journal = await JournalWriter.open(folder.journal, "process")
        await journal.begin_session(replace(header(), instance=begun.instance, epoch=begun.epoch), 1)
        await journal.close()
        if content is None:
            (tmp_path / "identity.json").unlink()
        else:
            (tmp_path / "identity.json").write_bytes(content)
        found = folder.identity("live")
        assert found == begun
        assert folder.begin_epoch(found, 0).epoch == begun.epoch + 1


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_another(tmp_path, monkeypatch):
    """After a power cut an epoch of nothing would let client order ids repeat."""
    file, seen = tmp_path / "a.json", []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append((os.fstat(handle).st_size, file.exists())))
    write_durably(file, b"12345")
    assert seen == [(5, False)]


def test_replacing_a_file_leaves_nothing_beside_it(tmp_path):
    write_durably(tmp_path / "a.json", b"1")
    write_durably(tmp_path / "a.json", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"2"


def test_on_a_full_disk_a_damaged_journal_makes_room_by_the_reserve(tmp_path, monkeypatch):
    """A disk that fills is what damages journals: each start would have ended before it looked after what is held."""
    folder = StateFolder(tmp_path)
    reserve = Reserve(folder.journal, 1)
    assert reserve.hold()
    write = module.write_durably

    def full(file, content):
        if reserve.is_held:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, content)

    monkeypatch.setattr(module, "write_durably", full)
    folder.note_rebuild("journal.db.damaged")
    assert folder.rebuild_note() == "journal.db.damaged"
