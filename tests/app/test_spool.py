"""Words of the operator to a running daemon: taken in order, journaled, refused when nobody listens."""

import asyncio
import errno
import os
import threading

import msgspec
import pytest

from bnml.app import spool
from bnml.app.folder import StateFolder
from bnml.app.spool import FOLDER, Answer, Spool, Word, ask, send, way_out
from bnml.config import load
from bnml.core.errors import Rejected
from bnml.core.events import OperatorCommand
from bnml.options import OrderOptions


@pytest.fixture
def settings(tmp_path):
    return load(None, {}, {"app.state_dir": (str(tmp_path), "")})


class Daemon:
    """Feeds and journals as the pump would; counts what was safe when the file went away."""

    def __init__(self, state_dir):
        self.fed = []
        self.files_at_commit = []
        self.spool = Spool(state_dir, self.fed.append, self.journaled)
        self._path = state_dir / FOLDER

    async def journaled(self):
        self.files_at_commit.append(len(list(self._path.glob("*.json"))))

    async def listen_until(self, condition):
        task = asyncio.create_task(self.spool.run(lambda: 77))
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - a folder tells nobody that it is empty
                await asyncio.sleep(0.01)
        task.cancel()


def put(state_dir, name, content):
    (state_dir / FOLDER).mkdir(exist_ok=True)
    (state_dir / FOLDER / name).write_bytes(content)


async def test_words_are_taken_in_order_and_removed_when_the_journal_has_them(tmp_path):
    daemon = Daemon(tmp_path)
    put(tmp_path, "002.json", msgspec.json.encode(Word("resume")))
    put(tmp_path, "001.json", msgspec.json.encode(Word("halt", "fills")))
    await daemon.listen_until(lambda: not list((tmp_path / FOLDER).iterdir()))
    assert daemon.fed == [OperatorCommand("halt", 77, "fills"), OperatorCommand("resume", 77)]
    assert daemon.files_at_commit == [2, 1]


async def test_what_cannot_be_read_is_removed_and_does_nothing(tmp_path):
    daemon = Daemon(tmp_path)
    put(tmp_path, "001.json", b"{")
    put(tmp_path, "002.json", b'{"name":"\xff"}')
    await daemon.listen_until(lambda: not list((tmp_path / FOLDER).iterdir()))
    assert daemon.fed == []


async def test_f46_a_disk_that_takes_no_answer_ends_neither_the_daemon_nor_the_word(tmp_path, monkeypatch):
    """The answer of `resume` to a full disk ended the daemon that was told to resume."""

    async def act(_word):
        return Answer("no such symbol", 2)

    def full(_file, _content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    daemon = Daemon(tmp_path)
    daemon.spool._act = act
    listening = asyncio.create_task(daemon.spool.run(lambda: 77))
    asked = asyncio.create_task(asyncio.to_thread(ask, tmp_path, Word("resume"), 5.0))
    async with asyncio.timeout(5):
        while not list((tmp_path / FOLDER).glob("*.json")):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        monkeypatch.setattr(spool, "write_durably", full)
        answer = await asked
    assert "could not write its answer" in answer.text
    assert answer.exit_code == 1
    assert [one.name for one in daemon.fed] == ["resume"]
    assert not list((tmp_path / FOLDER).iterdir())
    assert not listening.done()
    listening.cancel()


def test_words_left_from_before_the_start_are_thrown_away(tmp_path):
    put(tmp_path, "001.json", msgspec.json.encode(Word("resume")))
    Daemon(tmp_path)
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_without_a_daemon_it_is_refused_and_leaves_nothing(settings, tmp_path):
    with pytest.raises(Rejected, match="no daemon is running"):
        send(settings, OrderOptions(name="resume"))
    assert not (tmp_path / FOLDER).exists()


def test_a_daemon_that_does_not_listen_is_told_of_and_the_word_withdrawn(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "PATIENCE_S", 0.1)
    with StateFolder(tmp_path), pytest.raises(Rejected, match="withdrawn"):
        send(settings, OrderOptions(name="resume"))
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_word_that_is_taken_is_said_so(settings, tmp_path, capsys):
    daemon = Daemon(tmp_path)
    listening = threading.Thread(
        target=lambda: asyncio.run(daemon.listen_until(lambda: daemon.files_at_commit))
    )
    with StateFolder(tmp_path):
        listening.start()
        assert send(settings, OrderOptions(name="halt", argument="why", json=True)) == 0
        listening.join()
    assert msgspec.json.decode(capsys.readouterr().out.splitlines()[-1]) == {
        "command": "halt",
        "argument": "why",
        "taken": True,
    }
    assert daemon.fed == [OperatorCommand("halt", 77, "why")]


@pytest.mark.parametrize("state", ["halted: sold more than held", "reducing"])
def test_states_that_a_person_must_end_name_the_way_out(state):
    assert "bnml resume" in way_out(state)


@pytest.mark.parametrize("state", ["running", "stopped", "waiting for market"])
def test_other_states_end_by_themselves(state):
    assert way_out(state) == ""
