"""The dead-man's watch from its file to its alerts, in virtual time: when it looks at the venue, and what it says."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.app import deadman as module
from bnml.app.deadman import Findings
from bnml.app.heartbeat import FILE, beat
from bnml.config import load
from bnml.core.errors import Retryable
from tests.virtual_time import in_virtual_time

STALE_S, REPEAT_S = 30, 300


class Place:
    """A state folder and a venue; `outcomes` are those of its first looks, later ones find everything in order."""

    def __init__(self, monkeypatch, folder, receiver="http://127.0.0.1:1/"):
        self.folder, self.outcomes = folder, []
        self.looked_s, self.alerts, self.tried_s, self.posts = [], [], [], True
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        options = {"app.state_dir": folder, "deadman.stale_s": STALE_S, "deadman.repeat_s": REPEAT_S}
        options["alerts.webhook_url"] = receiver
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


@in_virtual_time
async def test_who_never_saw_a_sign_of_life_waits_for_one(monkeypatch, tmp_path):
    place = Place(monkeypatch, tmp_path)
    await place.watch(400)
    assert place.looked_s == []


@in_virtual_time
async def test_a_sign_of_life_that_cannot_be_read_from_the_start_on_ages_from_then(monkeypatch, tmp_path):
    """What a power cut left of it: there was a daemon, and it is not there."""
    place = Place(monkeypatch, tmp_path)
    await place.watch(100, (20, lambda: (tmp_path / FILE).write_bytes(b"{")))
    assert place.looked_s == [19 + STALE_S]  # since it was last seen to be absent


FAILED = Retryable("no answer to the clock")
REFUSED = Findings(unknown=["BTCUSDT bnab121-0-0w is not cancelled (no answer after 3.2 s)"])
STILL_REFUSED = Findings(unknown=["BTCUSDT bnab121-0-0w is not cancelled (no answer after 4.7 s)"])


@pytest.mark.parametrize("failed", [FAILED, REFUSED])
@in_virtual_time
async def test_a_look_that_failed_is_repeated_within_seconds_and_told_again_when_it_succeeds(
    monkeypatch, tmp_path, failed
):
    """One lost answer once cost the five minutes after which a look that had succeeded is repeated."""
    place = Place(monkeypatch, tmp_path)
    place.outcomes = [failed]
    beat(tmp_path, 1, "running", 0)
    await place.watch(350)
    assert place.looked_s == [STALE_S, STALE_S + 10, STALE_S + 10 + REPEAT_S]
    assert [second for second, _ in place.alerts] == place.looked_s
    assert "entries cancelled: none" in place.alerts[1][1]


@in_virtual_time
async def test_a_venue_that_stays_away_is_asked_again_each_ten_seconds_and_told_of_once(
    monkeypatch, tmp_path
):
    place = Place(monkeypatch, tmp_path)
    place.outcomes = [Retryable(f"banned for {600 - number} s") for number in range(40)]
    beat(tmp_path, 1, "running", 0)
    await place.watch(385)
    assert place.looked_s == list(range(STALE_S, 390, 10))
    assert [second for second, _ in place.alerts] == [STALE_S, STALE_S + REPEAT_S]


@in_virtual_time
async def test_what_the_venue_forbids_until_later_is_not_asked_before(monkeypatch, tmp_path):
    place = Place(monkeypatch, tmp_path)
    place.outcomes = [Retryable("banned", retry_after_s=60.0), Retryable("banned", retry_after_s=1e6)]
    beat(tmp_path, 1, "running", 0)
    await place.watch(400)
    assert place.looked_s == [STALE_S, STALE_S + 60, STALE_S + 60 + REPEAT_S]


@in_virtual_time
async def test_what_stays_undone_is_tried_less_and_less_often_and_told_of_once(monkeypatch, tmp_path):
    """A whole look weighs: the limits are shared with whoever sells by hand."""
    place = Place(monkeypatch, tmp_path)
    place.outcomes = [REFUSED, STILL_REFUSED] * 10
    beat(tmp_path, 1, "running", 0)
    await place.watch(345)
    assert [second - STALE_S for second in place.looked_s] == [0, 10, 30, 70, 150, 310]
    assert [second - STALE_S for second, _ in place.alerts] == [0, 310]


@in_virtual_time
async def test_a_journal_that_cannot_be_read_is_read_no_better_in_ten_seconds(monkeypatch, tmp_path):
    place = Place(monkeypatch, tmp_path)
    place.outcomes = [Findings(unknown=[module.UNREADABLE])]
    beat(tmp_path, 1, "running", 0)
    await place.watch(345)
    assert place.looked_s == [STALE_S, STALE_S + REPEAT_S]


@in_virtual_time
async def test_an_alert_that_nobody_took_is_posted_again_within_seconds(monkeypatch, tmp_path):
    place = Place(monkeypatch, tmp_path)
    place.posts = False
    beat(tmp_path, 1, "running", 0)

    def is_up():
        place.posts = True

    await place.watch(100, (35, is_up))
    assert place.tried_s == [STALE_S, STALE_S + 10]
    assert len(place.alerts) == 1


@in_virtual_time
async def test_without_a_receiver_nothing_is_repeated_for_the_alert(monkeypatch, tmp_path):
    place = Place(monkeypatch, tmp_path, receiver="")
    place.posts = False
    beat(tmp_path, 1, "running", 0)
    await place.watch(100)
    assert place.looked_s == [STALE_S]


@in_virtual_time
async def test_a_daemon_that_dies_again_is_told_of_again(monkeypatch, tmp_path):
    """In the same words, and soon after the first time."""
    place = Place(monkeypatch, tmp_path)
    beat(tmp_path, 1, "running", 0)
    await place.watch(120, (50, lambda: beat(tmp_path, 2, "running", 0)))
    assert [second for second, _ in place.alerts] == [STALE_S, 50 + STALE_S]
    assert place.alerts[0][1] == place.alerts[1][1]
