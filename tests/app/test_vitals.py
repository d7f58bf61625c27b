"""The machine's guards: no flapping, journal stalls, memory of the control group; a stuck loop is seen and not fed."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bnml.app import logs
from bnml.app.guards import Guards
from bnml.app.health import LoopLag, Notifier
from bnml.app.inbox import LiveInbox
from bnml.app.life import Life
from bnml.app.settings import GuardSettings
from bnml.app.stall import StackSampler
from bnml.app.vitals import MIB, JournalStall, Threshold, Vitals, cgroup_bytes, has_disk_room
from bnml.config import load
from bnml.core.clock import NS_PER_S, LiveClock, ManualClock
from bnml.core.errors import Retryable
from bnml.trading.guarding import ACTIVE, HALTED, REDUCING
from tests.app.logged import logged


def test_a_threshold_gets_worse_at_once_and_better_only_clearly_and_for_a_while():
    one = Threshold(10, 50, clear_s=30)
    assert one.judge(9, 0) == ACTIVE
    assert one.judge(10, 1) == REDUCING
    assert one.judge(9, 2) == REDUCING  # better, not clearly
    assert one.judge(7, 3) == REDUCING
    assert one.judge(9, 20 * NS_PER_S) == REDUCING  # the calm begins anew
    assert one.judge(7, 21 * NS_PER_S) == REDUCING
    assert one.judge(7, 52 * NS_PER_S) == ACTIVE
    assert one.judge(50, 53 * NS_PER_S) == HALTED
    assert one.judge(20, 54 * NS_PER_S) == HALTED


def test_a_journal_stalls_only_while_rows_wait_without_progress():
    stall = JournalStall()
    assert stall.measure_s(1, 0, is_committed=False) == 0
    assert stall.measure_s(1, 3 * NS_PER_S, is_committed=False) == 3
    assert stall.measure_s(2, 4 * NS_PER_S, is_committed=False) == 0
    assert stall.measure_s(2, 9 * NS_PER_S, is_committed=True) == 0


class Journal:
    commits = 1
    committed = True


@pytest.fixture
def vitals(tmp_path):
    inbox, clock, restarts = LiveInbox(), ManualClock(), []
    guards = Guards(inbox, lambda: 5)
    settings = GuardSettings(least_free_mib=1024, memory_mib=1000)
    made = Vitals(settings, guards, clock, Journal(), LoopLag(clock, lambda: 0), tmp_path, restarts.append)
    made.inbox, made.clock, made.restarts, made.guards = inbox, clock, restarts, guards
    return made


def test_little_disk_reduces_and_hardly_any_halts(vitals):
    vitals.look(2048 * MIB, 0)
    assert vitals.inbox.ready() == []
    vitals.look(1000 * MIB, 0)
    assert vitals.guards.level("disk") == REDUCING
    vitals.look(200 * MIB, 0)
    assert [(one.name, one.level) for one in vitals.inbox.ready()] == [("disk", REDUCING), ("disk", HALTED)]


@pytest.mark.parametrize(
    ("free", "guard", "is_stepped", "has_room"),
    [
        ({}, "", False, True),
        ({"state": 1023}, "", False, False),
        ({"models": 1023}, "", False, False),
        ({}, "disk", False, False),
        ({}, "space", False, False),
        ({"state": 1, "models": 1}, "disk", True, True),
    ],
)
def test_f46_models_are_the_first_that_a_disk_which_is_nearly_full_does_without(
    tmp_path, monkeypatch, free, guard, is_stepped, has_room
):
    (tmp_path / "models").mkdir()

    def usage(place):
        return SimpleNamespace(free=free.get(place.name, 1024) * MIB)

    monkeypatch.setattr("bnml.app.vitals.shutil.disk_usage", usage)
    guards = Guards(LiveInbox(), lambda: 5)
    if guard:
        guards.report(guard, REDUCING, "")
    parts = SimpleNamespace(
        deployment=SimpleNamespace(stepper="stepper" if is_stepped else None),
        settings=load(
            None,
            {},
            {"learning.models_dir": (tmp_path / "models", ""), "guards.least_free_mib": (1024, "")},
        ),
        folder=SimpleNamespace(path=tmp_path / "state"),
        guards=guards,
    )
    assert has_disk_room(parts) is has_room


def test_memory_reduces_then_asks_once_for_a_restart(vitals):
    vitals.look(10**12, 790 * MIB)
    assert vitals.guards.level("memory") == ACTIVE
    vitals.look(10**12, 810 * MIB)
    assert vitals.guards.level("memory") == REDUCING
    assert vitals.restarts == []
    for _ in range(3):
        vitals.look(10**12, 960 * MIB)
    assert len(vitals.restarts) == 1


def test_without_a_limit_no_reason_of_memory_remains(vitals, monkeypatch):
    """The operator took the limit away to get on, by a reload or a restart: the guard once stood for ever."""
    monkeypatch.setattr("bnml.app.vitals.cgroup_bytes", lambda: 0)
    vitals.look(10**12, 810 * MIB)
    assert vitals.guards.level("memory") == REDUCING
    vitals.use(GuardSettings(memory_mib=0))
    vitals.look(10**12, 810 * MIB)
    assert vitals.guards.level("memory") == ACTIVE


def test_a_journal_that_stands_still_reduces_then_halts(vitals, monkeypatch):
    monkeypatch.setattr(Journal, "committed", False)
    vitals.look(10**12, 0)
    for _ in range(3):
        vitals.clock.advance(NS_PER_S)
        vitals.look(10**12, 0)
    assert vitals.guards.level("journal") == REDUCING
    vitals.clock.advance(8 * NS_PER_S)
    vitals.look(10**12, 0)
    assert vitals.guards.level("journal") == HALTED


def test_the_limit_of_the_control_group_is_read(tmp_path):
    mine = tmp_path / "cgroup"
    mine.write_text("0::/system.slice/bnml.service\n")
    group = tmp_path / "system.slice" / "bnml.service"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert cgroup_bytes(tmp_path, mine) == 0
    (group / "memory.max").write_text("1073741824\n")
    assert cgroup_bytes(tmp_path, mine) == 2**30
    assert cgroup_bytes(tmp_path, tmp_path / "none") == 0


@pytest.fixture
def log():
    with capture_logs() as lines:
        yield lines


def stuck_here(seconds):
    threading.Event().wait(seconds)


async def test_f55_a_stalled_loop_warns_with_the_stack_and_the_watchdog_is_not_fed(log):
    clock = LiveClock()
    lag = LoopLag(clock, lambda: 0)
    lag.sampler = StackSampler(clock, 250)
    lag.sampler.start()
    notifier, sent = Notifier({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "200000"}), []
    notifier.send = sent.append
    probing = asyncio.create_task(lag.run())
    await asyncio.sleep(0.1)
    stuck_here(0.5)
    await asyncio.sleep(0.05)
    feeding = asyncio.create_task(notifier.run(lambda: lag.take_worst_ms() <= 300))
    await asyncio.sleep(0.02)
    fed_after_stall = list(sent)
    await asyncio.sleep(0.15)
    for task in (probing, feeding):
        task.cancel()
    lag.sampler.stop()
    warning = next(line for line in log if line["event"] == "loop_lagged")
    assert warning["lag_ms"] > 250
    assert "stuck_here" in warning["stack"]
    assert lag.lately.longest_ms > 400  # in the histogram, too
    assert fed_after_stall == []
    assert sent == ["WATCHDOG=1"]  # well again
    assert [line["event"] for line in log if "watchdog" in line["event"]] == ["watchdog_not_fed"]


async def test_a_loop_that_lags_for_seconds_stops_entries(vitals):
    for _ in range(1000):
        vitals._lag.take(300.0, 0)
    vitals.look(10**12, 0)
    assert vitals.guards.level("loop") == REDUCING


def life_of(tmp_path, stop, **settings):
    inbox = LiveInbox()
    parts = SimpleNamespace(
        settings=load(None, {}, {name.replace("__", "."): (value, "") for name, value in settings.items()}),
        guards=Guards(inbox, lambda: 5),
        clock=ManualClock(),
        journal=Journal(),
        folder=SimpleNamespace(path=tmp_path),
        inbox=inbox,
    )
    return Life(parts, LoopLag(parts.clock, lambda: 0), stop)


async def test_a_guard_that_stands_reaches_the_receiver_and_one_of_a_start_or_an_end_does_not(tmp_path):
    """It was a warning, and the receiver's default level is `error`."""
    life = life_of(tmp_path, asyncio.Event(), alerts__webhook_url="https://example.org/")

    def beats(state, reason):
        """The events of nine seconds; whatever of them is an alert waits for the receiver."""
        health = SimpleNamespace(state=state, reasons=(reason,), trading=REDUCING, scans=0)
        with capture_logs() as lines:
            for _ in range(9):
                life.beat(health)
                life._parts.clock.advance(NS_PER_S)
        for line in lines:
            life.alerts.take({**line, "level": line["log_level"]})
        return [line["event"] for line in lines]

    assert beats("starting", "disk REDUCING: full") == ["standing_changed"]
    assert beats("reducing: disk: full", "disk REDUCING: full") == ["entries_off"]
    assert beats("stopping", "disk HALTED: full") == ["standing_changed"]
    assert [(one.severity, one.name) for one in life.alerts._waiting] == [("error", "entries_off")]


async def test_what_was_said_while_the_parts_were_made_reaches_the_receiver_too(tmp_path):
    """A journal that was set aside at the start is told of before anybody listened."""
    with logged("error", "json", tmp_path / "daemon.log"):
        logs.logger().warning("order_history_cut")
        logs.logger().critical("journal_damaged", damage="torn")
        logs.logger().warning("streams_stale")
        async with life_of(tmp_path, asyncio.Event(), alerts__webhook_url="https://example.org/") as life:
            told = [(one.severity, one.name) for one in life.alerts._waiting]
    assert told == [("error", "order_history_cut"), ("critical", "journal_damaged")]


async def test_memory_that_is_used_up_ends_the_session_so_that_it_is_started_again(tmp_path):
    stop = asyncio.Event()
    life = life_of(tmp_path, stop, guards__memory_mib=100)
    with pytest.raises(Retryable, match="start again"):  # noqa: PT012 - leaving it raises
        async with life:
            life.vitals.look(10**12, 50 * MIB)
            assert not stop.is_set()
            life.vitals.look(10**12, 99 * MIB)
            assert stop.is_set()
