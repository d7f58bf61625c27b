"""The last sign of life: a farewell only of a session that has ended well, whatever fails after it."""

import errno
import os

import pytest

from bnml.app import heartbeat
from bnml.app import run as module
from bnml.app.heartbeat import beat, last_beat
from bnml.app.run import run
from bnml.config import load
from bnml.core.errors import Rejected, Retryable
from bnml.options import RunOptions


def end_with(monkeypatch, tmp_path, error, *, says_farewell=True):
    """A session that says farewell, and then fails or not."""

    async def session(_settings, _options, folder, _view):
        if says_farewell:
            beat(folder.path, 1, "stopped", 7)
        if error is not None:
            raise error
        return {"session": 1, "venue": "sim", "scans": 7, "trades": 0}

    monkeypatch.setattr(module, "_session", session)
    settings = load(None, {}, {"app.state_dir": (tmp_path, "")})
    try:
        run(settings, RunOptions(json=True))
    finally:
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Retryable("memory was nearly used up"), Retryable),
        (ExceptionGroup("tasks", [OSError("the last rows found no room")]), OSError),
    ],
)
def test_a_session_that_fails_after_its_farewell_takes_it_back(monkeypatch, tmp_path, error, raised):
    """It is to be started again; where that does not happen the dead-man stayed silent for good."""
    with pytest.raises(raised):
        end_with(monkeypatch, tmp_path, error)
    found = last_beat(tmp_path)
    assert (found.state, found.scans) == ("failed", 7)
    assert found.ts_ns > 1


def test_one_that_ended_well_keeps_it(monkeypatch, tmp_path):
    end_with(monkeypatch, tmp_path, None)
    assert last_beat(tmp_path).state == "stopped"


def test_a_start_that_fails_takes_back_the_farewell_of_the_session_before(monkeypatch, tmp_path):
    """As with `systemctl restart`: who was to go on trading does not."""
    beat(tmp_path, 1, "stopped", 7)
    with pytest.raises(Retryable):
        end_with(monkeypatch, tmp_path, Retryable("no network"), says_farewell=False)
    assert last_beat(tmp_path).state == "failed"


def test_one_that_is_refused_leaves_it(monkeypatch, tmp_path):
    """Another daemon may be trading under this name: nobody may withdraw its entries."""
    beat(tmp_path, 1, "stopped", 7)
    with pytest.raises(Rejected):
        end_with(monkeypatch, tmp_path, Rejected("a second daemon"), says_farewell=False)
    assert last_beat(tmp_path).state == "stopped"


def test_the_first_start_of_all_says_nothing_when_it_fails(monkeypatch, tmp_path):
    with pytest.raises(Retryable):
        end_with(monkeypatch, tmp_path, Retryable("no network"), says_farewell=False)
    assert last_beat(tmp_path) is None


def test_a_disk_that_does_not_take_it_hides_no_error(monkeypatch, tmp_path):
    beat(tmp_path, 1, "stopped", 7)
    monkeypatch.setattr(heartbeat, "beat", refuse)
    with pytest.raises(Retryable):
        end_with(monkeypatch, tmp_path, Retryable("no network"), says_farewell=False)


def refuse(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
