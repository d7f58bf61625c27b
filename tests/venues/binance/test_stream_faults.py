"""Market streams in trouble: ends that are known before, silence, dropped subscriptions, nonsense, many of them."""

import asyncio
import contextlib
import gc
import os
import random
import resource
import sys
import time
from collections import Counter

import msgspec
import pytest
from websockets.asyncio.server import serve

from bnml.app.retrain import Trainer
from bnml.config import load
from bnml.core.clock import LiveClock
from bnml.core.events import Bar
from bnml.options import RunOptions
from bnml.venues.binance import market, succession
from bnml.venues.binance.codec import MarketCodec, Print
from bnml.venues.binance.market import MarketStream, shards
from bnml.venues.binance.oddities import Oddities
from bnml.venues.binance.overlap import Heard, market_key
from tests.venues.binance.kit import ALL, combined
from tests.venues.binance.web import Sink, running

DAY_S = 0.6  # of the venue's: a connection lives so long
TRADE, KLINE = "btcusdt@trade", "btcusdt@kline_1m"
PIECE_S = 0.02  # as long as a scan keeps the loop


class Feed:
    """A venue that prints trades and closes candles for all listeners, ends connections and forgets subscriptions."""

    def __init__(self, life_s=1e9, lag_s=0.0):
        self.life_s, self.lag_s = life_s, lag_s
        self.listeners = {}
        self.born = []
        self.trades = self.candles = 0
        self.requests = []
        self.forgotten = set()
        self.ended = 0

    async def handle(self, socket):
        self.listeners[socket] = set()
        self.born.append(socket)
        life = asyncio.get_running_loop().call_later(self.life_s, self._cut, socket)
        try:
            async for text in socket:
                request = msgspec.json.decode(text)
                self.requests.append((asyncio.get_running_loop().time(), socket, request))
                names = set(request["params"])
                if request["method"] == "SUBSCRIBE":
                    self.listeners[socket] |= names
                    self.forgotten -= {(socket, name) for name in names}
                else:
                    self.listeners[socket] -= names
                await socket.send(msgspec.json.encode({"result": None, "id": request["id"]}).decode())
        finally:
            life.cancel()
            self.listeners.pop(socket, None)

    def _cut(self, socket):
        self.ended += 1
        socket.transport.abort()

    async def tell(self, stream, data):
        for socket, names in list(self.listeners.items()):
            if stream in names and (socket, stream) not in self.forgotten:
                with contextlib.suppress(Exception):
                    await socket.send(combined(stream, data).decode())

    async def trade(self):
        self.trades += 1
        await self.tell(
            TRADE, {"s": "BTCUSDT", "t": self.trades, "p": "100.00", "q": "0.1", "T": self.trades}
        )

    async def candle(self):
        minute = 60_000 * self.candles
        self.candles += 1
        k = {"t": minute, "i": "1m", "o": "1", "h": "1", "l": "1", "c": "1", "v": "1", "n": 1, "x": True}
        await self.tell(KLINE, {"s": "BTCUSDT", "k": k, "E": minute})

    async def pulse(self, every_s=0.002):
        while True:
            await self.trade()
            if self.trades % 10 == 0:
                await self.candle()
            await asyncio.sleep(every_s)


@contextlib.asynccontextmanager
async def fed(feed):
    async with serve(feed.handle, "127.0.0.1", 0, compression=None, close_timeout=1) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def stream(url, sink, names=(TRADE, KLINE), **more):
    more = {"stale_s": 30.0, "on_item": sink.item, "on_link": sink.link, **more}
    return MarketStream(f"{url}/stream", MarketCodec(ALL, "1m"), list(names), LiveClock(), **more)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0.01)


async def test_f28_a_week_of_daily_ends_has_no_gap_and_no_repetition():
    feed, sink = Feed(life_s=DAY_S), Sink()
    async with fed(feed) as url:
        made = stream(url, sink, rotate_after_s=lambda: DAY_S * 23 / 24 * 0.9)
        async with running(made.run()):
            await sink.until(lambda: sink.links)
            async with running(feed.pulse()):
                await asyncio.sleep(7 * DAY_S)
            await asyncio.sleep(0.3)
    prints = [item.trade_id for _, item in sink.items if isinstance(item, Print)]
    bars = [item.ts_open_ns for _, item in sink.items if isinstance(item, Bar)]
    assert made.succession.rotations >= 7
    assert sink.links == [(True, "")]  # nobody noticed
    assert feed.ended == 0  # each was gone before the venue ended it
    assert prints == list(range(1, feed.trades + 1))
    assert bars == [60 * 10**9 * number for number in range(feed.candles)]


async def test_f29_a_shutdown_that_is_announced_is_over_before_it_comes():
    feed, sink = Feed(), Sink()
    async with fed(feed) as url:
        made = stream(url, sink, rotate_after_s=lambda: 1e9)
        async with running(made.run()), running(feed.pulse()):
            await sink.until(lambda: sink.links)
            first, told = feed.born[0], time.monotonic()
            await first.send(
                msgspec.json.encode({"stream": "", "data": {"e": "serverShutdown", "E": 1}}).decode()
            )
            await asyncio.wait_for(first.wait_closed(), 5)
            took = time.monotonic() - told
            await asyncio.sleep(0.2)
    assert took < 5  # of the ten minutes' notice; the cut would be more than a minute later
    assert made.succession.rotations == 1
    assert sink.links == [(True, "")]
    prints = [item.trade_id for _, item in sink.items if isinstance(item, Print)]
    assert prints == list(range(prints[0], prints[-1] + 1))


def test_what_both_connections_tell_counts_once_however_late_the_first_is():
    def trade(number):
        return Print("BTCUSDT", number, 1, 1, number)

    dice = random.Random(3)
    for _ in range(300):
        count = dice.randrange(1, 30)
        old_end, new_begin = sorted((dice.randrange(count + 1), dice.randrange(count + 1)), reverse=True)
        heard, told = Heard(market_key), [trade(number) for number in range(old_end)]
        for item in told[new_begin:]:
            heard.add(item)
        held = market.deque((0, trade(number)) for number in range(new_begin, count))
        told += [item for _, item in heard.news(held)]
        assert [item.trade_id for item in told] == list(range(count))


@pytest.fixture(params=["no training", "a training"])
async def training(request, tmp_path, monkeypatch):
    """The daemon's own way to train, with a child that keeps every core busy."""
    if request.param == "no training":
        yield None
        return
    program = tmp_path / "python"
    (tmp_path / "busy.py").write_text(BUSY)
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path}/busy.py\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    settings = load(None, {}, {"app.state_dir": (tmp_path, "")})
    trainer = Trainer(settings, RunOptions(), None, None, lambda: 0)
    monkeypatch.setattr(trainer, "load_all", lambda _: asyncio.sleep(0))
    child = asyncio.create_task(trainer.train(["BTCUSDT"]))
    async with asyncio.timeout(60):
        while not (tmp_path / "begun").exists():  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.01)
    yield trainer
    assert not child.done(), "it ran all the while"
    assert os.getpriority(os.PRIO_PROCESS, trainer._process.pid) >= 10
    child.cancel()
    await asyncio.wait([child])


BUSY = """
import os, time
from pathlib import Path
end = time.monotonic() + 300
def work():
    parent = os.getppid()
    while time.monotonic() < end and os.getppid() == parent:
        pass
for _ in range(os.cpu_count() - 1):
    if os.fork() == 0:
        break
else:
    Path(__file__).with_name("begun").touch()
work()
"""


@pytest.mark.usefixtures("training")
async def test_f31_pings_are_answered_within_a_second_of_the_loops_work_in_a_burst():
    """Counted in pieces of work, not by the clock: a machine that stood still has done none."""
    waited, work = [], Counter()

    async def handler(socket):
        await socket.recv()
        frame = combined(TRADE, {"s": "BTCUSDT", "t": 1, "p": "100.00", "q": "0.1", "T": 1}).decode()
        for _ in range(8):
            for _ in range(1500):
                await socket.send(frame)
            began = work["pieces"]
            await (await socket.ping())
            waited.append(work["pieces"] - began)
        await socket.close()

    sink = Sink()
    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with running(stream(url, sink).run()), running(busy(work)):
            await sink.until(lambda: len(sink.links) >= 2, 30)
    assert len(waited) == 8
    assert max(waited) * PIECE_S < 1
    assert len(sink.items) == 12_000


async def busy(work):
    """Other work of the loop, in pieces as long as a scan's."""
    while True:
        end = time.monotonic() + PIECE_S
        while time.monotonic() < end:
            pass
        work["pieces"] += 1
        await asyncio.sleep(0.001)


def test_f38_1500_streams_take_two_sockets():
    names = [f"s{number}usdt@trade" for number in range(1500)]
    parts = shards(names)
    assert [len(part) for part in parts] == [1000, 500]
    assert max(len(part) for part in parts) <= 1024
    assert [name for part in parts for name in part] == names


async def test_f38_subscriptions_are_sent_at_the_venues_pace():
    feed, sink = Feed(), Sink()
    names = [f"s{number}usdt@trade" for number in range(1500)]
    async with fed(feed) as url, contextlib.AsyncExitStack() as stack:
        made = [stream(url, sink, part) for part in shards(names)]
        for one in made:
            await stack.enter_async_context(running(one.run()))
        await sink.until(lambda: len(sink.links) == 2, 20)
        await asyncio.wait_for(made[1].subscribe(["late1", "late2"]), 10)
        by_socket = {}
        for at, socket, request in feed.requests:
            by_socket.setdefault(socket, []).append((at, request["params"]))
    assert sorted(name for _, _, request in feed.requests for name in request["params"]) == sorted(
        [*names, "late1", "late2"]
    )
    for sent in by_socket.values():
        assert sum(len(params) for _, params in sent) <= 1024
        times = [at for at, _ in sent]
        for at in times:  # the venue counts pings and pongs, too: not more than four of five are ours
            assert sum(at <= other < at + 1 for other in times) <= 4


async def test_f41_nonsense_is_counted_and_passed_over():
    oddities, sink = Oddities(), Sink()
    strange = [
        "nonsense", "[]", "{", '{"stream":"btcusdt@trade","data":{"s":"BTCUSDT"}}', '{"stream":"btcusdt@trade","data":7}',
        '{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"a","q":"b","T":1}}',
        '{"stream":"btcusdt@kline_1m","data":{"s":"BTCUSDT","k":null}}',
        b'{"stream":"\xff@trade"}', b'{"stream":"btcusdt@trade","data":{"s":"\xff","t":1,"p":"1","q":"1","T":1}}',
    ]  # fmt: skip
    new = [
        '{"stream":"btcusdt@novel","data":{"e":"novel"}}',
        "{}",
        '{"stream":"","data":{"e":"unknownEvent"}}',
    ]

    async def handler(socket):
        await socket.recv()
        for text in strange * 30:
            await socket.send(text, text=True)
        for text in new:
            await socket.send(text)
        await socket.send(combined(TRADE, {"s": "BTCUSDT", "t": 9, "p": "1.00", "q": "1", "T": 1}).decode())
        await socket.wait_closed()

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with running(stream(url, sink, oddities=oddities).run()) as task:
            await sink.until(lambda: any(isinstance(item, Print) for _, item in sink.items))
            assert not task.done()
    assert sink.links == [(True, "")]
    assert oddities.total == len(strange) * 30
    assert 0 < len(oddities.samples) <= 20


def open_files():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the fastest way


async def drop_all(reconnects):
    """A venue that hangs up at once, each time in another way; returns (files open early, late, tasks left)."""
    seen = 0
    early = late = 0

    async def handler(socket):
        nonlocal seen, early, late
        seen += 1
        await socket.recv()
        if seen % 3 == 0:
            await socket.close()
        elif seen % 3 == 1:
            socket.transport.abort()
        if seen == reconnects // 10:
            early = open_files()
        if seen >= reconnects:
            late = open_files()
            done.set()

    done, sink = asyncio.Event(), Sink()
    before = asyncio.all_tasks()
    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with running(stream(url, sink).run()):
            await asyncio.wait_for(done.wait(), 60 + reconnects / 20)
    await asyncio.sleep(0.05)
    gc.collect()
    return early, late, {task for task in asyncio.all_tasks() - before if not task.done()}


async def test_f57_forced_reconnects_leave_no_file_and_no_task_behind(monkeypatch):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(succession, "LONGEST_BACKOFF_S", 0)
    early, late, tasks = await drop_all(300)
    assert abs(late - early) <= 2
    assert tasks == set()


@pytest.mark.long
async def test_f57_ten_thousand_reconnects(monkeypatch):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(succession, "LONGEST_BACKOFF_S", 0)
    early, late, tasks = await drop_all(10_000)
    assert abs(late - early) <= 2
    assert tasks == set()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
