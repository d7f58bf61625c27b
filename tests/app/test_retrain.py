import asyncio

import msgspec
import pytest

from bnml.app.retrain import Trainer, train_arguments
from bnml.config import load
from bnml.core.clock import NS_PER_HOUR, parse_utc_ns
from bnml.core.errors import Rejected
from bnml.learn.bundle import Current
from bnml.options import RunOptions
from tests.virtual_time import in_virtual_time


class Store:
    def __init__(self, refused=()):
        self.refused = refused

    def load(self, symbol, version):
        if symbol in self.refused:
            raise Rejected("earned nothing")
        return f"{symbol}/v1"


class Metadata(msgspec.Struct):
    trained_to_ns: int


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """A trainer whose models folder holds version v1 of AUSDT, trained up to hour 100."""

    def make(refused=(), now_h=110, **options):
        settings = load(
            None, {}, {"learning.models_dir": (str(tmp_path), ""), "app.state_dir": (str(tmp_path), "")}
        )
        versions = {"AUSDT": Current("v1", "")}
        monkeypatch.setattr("bnml.app.retrain.current_version", lambda _folder, symbol: versions.get(symbol))
        monkeypatch.setattr("bnml.app.retrain.read_metadata", lambda *_: Metadata(100 * NS_PER_HOUR))
        (tmp_path / "AUSDT").mkdir(exist_ok=True)
        published = []
        made = Trainer(
            settings,
            RunOptions(**options),
            Store(refused),
            published.append,
            lambda: now_h * NS_PER_HOUR,
            lambda: made.room,
        )
        made.room = True
        return made, published

    return make


def test_missing_and_old_models_are_due(trainer):
    made, _ = trainer(now_h=123)
    assert made.due(["AUSDT", "BUSDT"]) == {"BUSDT": "missing"}
    made, _ = trainer(now_h=125)
    assert made.due(["AUSDT"]) == {"AUSDT": "25 h old"}


def test_recorded_data_never_make_a_model_old(trainer, tmp_path):
    made, _ = trainer(now_h=9999, replay=tmp_path)
    assert made.due(["AUSDT", "BUSDT"]) == {"BUSDT": "missing"}


async def test_a_new_version_is_published_once(trainer):
    made, published = trainer()
    await made.load_all(["AUSDT", "BUSDT"])
    await made.load_all(["AUSDT", "BUSDT"])
    assert [(one.symbol, one.bundle_id, one.ts_ns) for one in published] == [
        ("AUSDT", "AUSDT/v1", 110 * NS_PER_HOUR)
    ]


async def test_of_a_model_made_each_day_only_the_last_two_stay_in_memory(trainer, monkeypatch):
    """All were kept for as long as the daemon lived: the engine may still decide with the one before, and with no other."""
    made, published = trainer()
    loaded = made._store.loaded = []
    made._store.load = lambda symbol, _: loaded.append(f"{symbol}/{day}") or f"{symbol}/{day}"
    made._store.forget = loaded.remove
    for day in range(5):
        monkeypatch.setattr("bnml.app.retrain.current_version", lambda *_, day=day: Current(f"{day}", ""))
        await made.load_all(["AUSDT", "BUSDT"])
        assert len(loaded) == 2 * min(2, day + 1)
    assert len(published) == 10
    assert sorted(loaded) == ["AUSDT/3", "AUSDT/4", "BUSDT/3", "BUSDT/4"]


async def test_a_refused_version_is_made_anew_once_then_only_when_old(trainer):
    made, published = trainer(refused=("AUSDT",))
    await made.load_all(["AUSDT"])
    assert published == []
    assert made.due(["AUSDT"]) == {"AUSDT": "refused"}
    made._trained.add("AUSDT")
    assert made.due(["AUSDT"]) == {}


def test_the_child_learns_from_what_lies_before_the_trading(tmp_path):
    options = RunOptions(replay=tmp_path, from_ns=parse_utc_ns("2023-07-01"), config=tmp_path / "c.yaml")
    arguments = train_arguments(load(None, {}), options, ["AUSDT", "BUSDT"])
    text = " ".join(arguments)
    assert "--symbols AUSDT,BUSDT" in text
    assert "--to 2023-07-01T00:00:00Z" in text
    assert f"--replay {tmp_path}" in text
    assert "--from" not in text


def test_without_recorded_data_the_child_asks_the_venue(tmp_path):
    assert "--venue sim" in " ".join(train_arguments(load(None, {}), RunOptions(), ["AUSDT"]))


async def test_what_is_being_trained_is_not_asked_for_again(trainer):
    made, _ = trainer()
    made.training = ("AUSDT", "BUSDT")
    made.request(["AUSDT", "BUSDT"], "missing")
    waiting = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert made.training == ("AUSDT", "BUSDT")  # no child was started
    waiting.cancel()


async def test_a_training_that_fails_leaves_its_last_words(trainer, monkeypatch, tmp_path):
    made, _ = trainer()
    monkeypatch.setattr("bnml.app.retrain.train_arguments", lambda *_: ["train", "--venue", "nowhere"])
    assert not await made.train(["BUSDT"])
    assert "nowhere" in made.failure
    assert not made.training


class Child:
    """A training that takes an hour."""

    def __init__(self):
        self.returncode = None
        self.words = []

    async def wait(self):
        for _ in range(3600):
            if self.returncode is None:
                await asyncio.sleep(1)
        if self.returncode is None:
            self.returncode = 0
        return self.returncode

    def terminate(self):
        self.words.append("terminate")
        self.returncode = -15


@pytest.fixture
def children(monkeypatch):
    begun = []

    async def begin(*_, **__):
        begun.append(Child())
        return begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", begin)
    return begun


@in_virtual_time
async def test_f46_nothing_is_trained_while_the_disk_is_nearly_full_and_what_was_asked_for_is_made_after(
    trainer, children, capsys
):
    made, _ = trainer()
    made.room = False
    made.request(["BUSDT"], "drift")
    running = asyncio.create_task(made.run())
    await asyncio.sleep(600)
    assert children == []
    assert made.is_waiting
    assert (made.training, made.failure) == ((), "")
    made.room = True
    await asyncio.sleep(31)
    assert len(children) == 1
    assert (made.is_waiting, made.training) == (False, ("BUSDT",))
    running.cancel()
    await asyncio.wait({running})
    told = capsys.readouterr().out
    assert (told.count("training_waits"), told.count("training_goes_on")) == (1, 1)
    assert "least_free_mib" in told


@in_virtual_time
async def test_f46_a_training_under_way_ends_when_the_disk_fills_and_is_begun_again_with_room(
    trainer, children
):
    made, _ = trainer()
    made.request(["BUSDT"], "missing")
    running = asyncio.create_task(made.run())
    await asyncio.sleep(5)
    made.room = False
    await asyncio.sleep(5)
    assert [child.words for child in children] == [["terminate"]]
    assert made.training == ()
    await asyncio.sleep(600)
    assert len(children) == 1
    made.room = True
    await asyncio.sleep(31)
    assert len(children) == 2
    running.cancel()
    await asyncio.wait({running})


@in_virtual_time
async def test_f46_what_was_refused_is_trained_again_after_a_training_that_ended_early(trainer, children):
    """It has made nothing that could come out the same again."""
    made, _ = trainer(refused=("AUSDT",))
    await made.load_all(["AUSDT"])
    made.request(["AUSDT"], "refused")
    running = asyncio.create_task(made.run())
    await asyncio.sleep(5)
    made.room = False
    await asyncio.sleep(60)
    made.room = True
    await asyncio.sleep(31)
    assert [child.words for child in children] == [["terminate"], []]
    running.cancel()
    await asyncio.wait({running})


async def test_f46_without_room_a_session_of_one_look_trains_nothing(trainer, children):
    made, _ = trainer()
    made.room = False
    assert not await made.train(["BUSDT"])
    assert children == []
