"""Alerts leave by a bounded queue; a receiver that is down or slow costs the daemon nothing."""

import asyncio

import msgspec
import pytest
from aiohttp import web

from bnml.app import alerts as module
from bnml.app import logs
from bnml.app.alerts import REFUSALS, TOLD, TOLD_BY_SPELL, WAITING, Alerts
from bnml.app.settings import AlertSettings
from tests.app.logged import logged
from tests.house.source import PACKAGE


class Receiver:
    def __init__(self):
        self.got, self.delay_s, self.refused = [], 0.0, None

    async def take(self, request):
        await asyncio.sleep(self.delay_s)
        self.got.append(msgspec.json.decode(await request.read()))
        return web.Response(status=413 if self.got[-1]["text"] == self.refused else 200)

    async def start(self):
        runner = web.AppRunner(app := web.Application(), handler_cancellation=True)
        app.router.add_post("/", self.take)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.runner = runner
        return f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"


async def test_f64_a_receiver_that_is_down_or_slow_does_not_slow_trading():
    receiver = Receiver()
    url = await receiver.start()
    receiver.delay_s = 30.0
    alerts = Alerts(AlertSettings(webhook_url=url, timeout_s=0.2))
    posting = asyncio.create_task(alerts.run())
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(WAITING + 50):
        alerts.offer("critical", "name", str(number))
    assert loop.time() - began < 5.0
    assert alerts.dropped == 50
    longest, before = 0.0, loop.time()
    for _ in range(40):
        await asyncio.sleep(0.01)
        longest, before = max(longest, loop.time() - before), loop.time()
    assert longest < 5.0  # one post alone would take 30
    receiver.delay_s = 0.0
    async with asyncio.timeout(10):
        while alerts.posted < WAITING:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.01)
    texts = [one["text"] for one in receiver.got]
    assert texts[-WAITING:] == [str(number) for number in range(50, WAITING + 50)]  # the oldest gave way
    assert receiver.got[-1]["dropped"] == 50
    posting.cancel()
    await receiver.runner.cleanup()


async def test_an_alert_that_the_receiver_will_never_take_does_not_keep_back_the_ones_behind_it(monkeypatch):
    """Too long for it, say: the next hundred alerts waited behind."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    receiver = Receiver()
    alerts = Alerts(AlertSettings(webhook_url=await receiver.start()))
    receiver.refused = "too long"
    alerts.offer("critical", "first", "too long")
    alerts.offer("critical", "second", "")
    posting = asyncio.create_task(alerts.run())
    async with asyncio.timeout(10):
        while not alerts.posted:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.01)
    assert [one["name"] for one in receiver.got] == ["first"] * REFUSALS + ["second"]
    assert alerts.dropped == 1
    posting.cancel()
    await receiver.runner.cleanup()


async def test_refusals_count_against_the_alert_that_was_refused(monkeypatch):
    """One that gave way to newer ones left its refusals to the next, which was given up at its first."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0)
    alerts, got = Alerts(AlertSettings(webhook_url="https://example.org/")), []

    async def post(_settings, alert):
        got.append(alert.name)
        if len(got) == REFUSALS - 1:
            for number in range(WAITING):
                alerts.offer("critical", f"{number}", "" if number else "too long")
        return 200 if alert.text == "" else 413

    monkeypatch.setattr(module, "_post", post)
    alerts.offer("critical", "first", "too long")
    posting = asyncio.create_task(alerts.run())
    async with asyncio.timeout(10):
        while alerts.posted < WAITING - 1:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0)
    posting.cancel()
    newer = [str(number) for number in range(1, WAITING)]
    assert got == ["first"] * (REFUSALS - 1) + ["0"] * REFUSALS + newer
    assert alerts.dropped == 2


def test_what_is_not_severe_enough_or_has_no_receiver_is_not_kept():
    quiet = Alerts(AlertSettings())
    quiet.offer("critical", "name", "text")
    chosen = Alerts(AlertSettings(webhook_url="https://example.org/", level="critical"))
    chosen.offer("error", "name", "text")
    assert not quiet._filled.is_set()
    assert not chosen._filled.is_set()


def receives(**line):
    alerts = Alerts(AlertSettings(webhook_url="https://example.org/"))
    alerts.take({"level": "warning", **line})
    return [(one.severity, one.name) for one in alerts._waiting]


@pytest.mark.parametrize("name", sorted(TOLD))
def test_what_a_person_must_know_is_told_whatever_its_line_is_called(name):
    """The receiver's default level is `error`: none of these reached it."""
    assert receives(event=name) == [("error", name)]
    assert receives(event=name, level="critical") == [("critical", name)]


def test_a_state_is_told_by_its_spell_and_not_by_each_change():
    for name in TOLD_BY_SPELL:
        assert receives(event=name, level="critical") == []


def test_no_name_is_told_that_nobody_says():
    said = "\n".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py") if file.name != "alerts.py")
    assert [name for name in sorted(TOLD | TOLD_BY_SPELL) if f'"{name}"' not in said] == []


def test_the_handbook_names_all_that_is_told():
    section = (
        (PACKAGE.parent / "docs" / "operations.md")
        .read_text("utf-8")
        .partition("\n## Alerts\n")[2]
        .partition("\n## ")[0]
    )
    assert [name for name in sorted(TOLD) if f"`{name}`" not in section] == []


def test_a_quiet_log_does_not_keep_a_warning_from_its_receiver(tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(logs, "tap", heard.append)
    with logged("error", "json", tmp_path / "daemon.log"):
        logs.logger().warning("protected_in_part")
        logs.logger().info("scan_decided")
        logs.set_level("warning")
        logs.logger().warning("fees_run_out")
    assert [one["event"] for one in heard] == ["protected_in_part", "fees_run_out"]
    assert "protected_in_part" not in (text := (tmp_path / "daemon.log").read_text("utf-8"))
    assert "fees_run_out" in text
