"""Alerts leave by a bounded queue; a receiver that is down or slow costs the daemon nothing."""

import asyncio

import msgspec
from aiohttp import web

from bnml.app.alerts import WAITING, Alerts
from bnml.app.settings import AlertSettings


class Receiver:
    def __init__(self):
        self.got, self.delay_s, self.status = [], 0.0, 200

    async def take(self, request):
        await asyncio.sleep(self.delay_s)
        self.got.append(msgspec.json.decode(await request.read()))
        return web.Response(status=self.status)

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


def test_what_is_not_severe_enough_or_has_no_receiver_is_not_kept():
    quiet = Alerts(AlertSettings())
    quiet.offer("critical", "name", "text")
    chosen = Alerts(AlertSettings(webhook_url="https://example.org/", level="critical"))
    chosen.offer("error", "name", "text")
    assert not quiet._filled.is_set()
    assert not chosen._filled.is_set()
