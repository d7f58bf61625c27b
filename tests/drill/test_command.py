"""What a drill leaves behind: nothing when it has passed, all that can say why when it has not."""

import errno
import os

import pytest

from bnml.drill.command import _temporary
from bnml.drill.proof import Verdict


def verdict(passed):
    return Verdict("kill", passed, "", (), (), 1.0)


def play(verdicts, *passed):
    """A stage in a temporary folder, and what comes of it."""
    with _temporary(verdicts) as folder:
        (folder / "daemon.log").write_text("a word", "utf-8")
        verdicts += map(verdict, passed)
    return folder


def play_on_a_full_disk(folder):
    (folder / "daemon.log").touch()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_drills_that_pass_leave_nothing(capsys):
    assert not play([], True, True).exists()
    assert capsys.readouterr().err == ""


def test_of_a_drill_that_fails_journal_and_log_are_kept_and_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = play([], True, False)
    assert (folder / "daemon.log").read_text("utf-8") == "a word"
    assert str(folder) in capsys.readouterr().err


def test_of_a_drill_that_breaks_off_too(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OSError, match="No space left"), _temporary([]) as folder:
        play_on_a_full_disk(folder)
    (kept,) = tmp_path.iterdir()
    assert str(kept) in capsys.readouterr().err


def test_a_folder_that_nobody_used_is_not_kept(tmp_path, monkeypatch):
    """`--keep` names another."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with _temporary([verdict(passed=False)]):
        pass
    assert list(tmp_path.iterdir()) == []
