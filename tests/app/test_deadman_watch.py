"""The dead-man's watch from its file to its alerts, in virtual time: when it looks at the venue, and what it says."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.app import deadman as module
from bnml.app.deadman import Findings
from bnml.app.heartbeat import FILE, beat
from bnml.config import load
from tests.virtual_time import in_virtual_time

STALE_S, REPEAT_S = 30, 300


class Place:
    """A state folder and a venue; `outcomes` are those of its first looks, later ones find everything in order."""

    def __init__(self, monkeypatch, folder):
        self.folder, self.outcomes = folder, []
        self.looked_s, self.alerts, self.tried_s, self.posts = [], [], [], True
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        options = {"app.state_dir": folder, "deadman.stale_s": STALE_S, "deadman.repeat_s": REPEAT_S}
        options["alerts.webhook_url"] = "http://127.0.0.1:1/"
        self.settings = load(None, {}, {key: (value, "") for key, value in options.items()})
        clock = SimpleNamespace(monotonic_ns=lambda: round(self._loop.time() * 1e9))
        monkeypatch.setattr(module, "LiveClock", lambda: clock)
        monkeypatch.setattr(module, "check", self._check)
        monkeypatch.setattr(module, "post_alert", self._post)

    def now_s(self):
        return round(self._loop.time() - self._began_s)

    async def _check(self, _settings):
        self.looked_s.append(self.now_s())
        outcome = self.outcomes.pop(0) if self.outcomes else Findings()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _post(self, _settings, _severity, _name, text):
        self.tried_s.append(self.now_s())
        if self.posts:
            self.alerts.append((self.now_s(), text))
        return self.posts

    async def watch(self, seconds, *deeds):
        """So long; each deed is done at its second, before the watch looks in that second."""
        watching = asyncio.create_task(module._watch(self.settings))
        for second, deed in deeds:
            await asyncio.sleep(second - self.now_s() - 0.5)
            deed()
        await asyncio.sleep(seconds - self.now_s() + 0.5)
        watching.cancel()
        await asyncio.wait([watching])


def gone(folder):
    (folder / FILE).unlink()


def damaged(folder):
    (folder / FILE).write_bytes(b"{")


def a_folder(folder):
    gone(folder)
    (folder / FILE).mkdir()


@pytest.mark.parametrize(
    ("trouble", "words"), [(gone, "is gone"), (damaged, "cannot be read"), (a_folder, "cannot be read")]
)
@in_virtual_time
async def test_a_sign_of_life_that_disappears_or_cannot_be_read_ages_from_the_last_good_one(
    monkeypatch, tmp_path, capsys, trouble, words
):
    """It was waited for in silence for ever, or only told each second."""
    place = Place(monkeypatch, tmp_path)
    beat(tmp_path, 1, "running", 0)
    beats = [(second, lambda second=second: beat(tmp_path, second, "running", 0)) for second in range(1, 11)]
    await place.watch(60, *beats, (20, lambda: trouble(tmp_path)))
    assert place.looked_s == [10 + STALE_S]
    assert words in place.alerts[0][1]
    assert capsys.readouterr().err.count("cannot look") == (trouble is not gone)


@in_virtual_time
async def test_a_farewell_that_disappears_stays_one(monkeypatch, tmp_path):
    place = Place(monkeypatch, tmp_path)
    beat(tmp_path, 1, "stopped", 0)
    await place.watch(400, (20, lambda: gone(tmp_path)))
    assert place.looked_s == []


@in_virtual_time
async def test_a_sign_of_life_that_comes_back_as_it_was_is_no_new_one(monkeypatch, tmp_path):
    place = Place(monkeypatch, tmp_path)
    beat(tmp_path, 1, "running", 0)
    await place.watch(
        100,
        (10, lambda: gone(tmp_path)),
        (20, lambda: beat(tmp_path, 1, "running", 0)),
        (60, lambda: beat(tmp_path, 2, "running", 0)),
    )
    assert place.looked_s == [STALE_S, 60 + STALE_S]


@pytest.mark.parametrize("content", [None, b"{"])
@in_virtual_time
async def test_who_never_saw_a_sign_of_life_waits_for_one(monkeypatch, tmp_path, content):
    place = Place(monkeypatch, tmp_path)
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    await place.watch(400)
    assert place.looked_s == []
