"""Malformed requests and frames: always an answer, never a 5xx, never a broken exchange, no growing memory."""

import asyncio
import contextlib
import json
import logging
from pathlib import Path

import aiohttp
import pytest
from aiohttp.http_exceptions import HttpProcessingError

from bnml.venues.sim.weights import RateLimits
from tests.venues.sim.fuzz_inputs import Inputs
from tests.venues.sim.served import served

ANSWER_S = 30
GROWTH_MIB = 48
"""What 100,000 requests may leave behind: orders that were accepted are remembered."""

SIZES = [
    pytest.param(1_500, 1_000, 60, id="some"),
    pytest.param(60_000, 37_000, 3_000, id="100k", marks=pytest.mark.long),
]


def resident_mib():
    """Memory of this process, which serves."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def is_fault(record):
    """Whether a log record tells of anything but text that is no HTTP, which the library answers with 400."""
    kind = record.exc_info[0] if record.exc_info else None
    return record.levelno >= logging.ERROR and not (kind and issubclass(kind, HttpProcessingError))


def forget_limits(client):
    """Refusals by rate would hide everything that lies behind them."""
    client.venue.limits = RateLimits()


async def read_answer(reader):
    """(status, body) of one HTTP answer."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)).decode()
    status = int(head.split()[1])
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    body = await asyncio.wait_for(reader.readexactly(int(headers.get("content-length", 0))), ANSWER_S)
    return status, headers, body


class Wire:
    """One HTTP connection after the other: text that is no HTTP ends the one it came on."""

    def __init__(self, port):
        self.port = port
        self.reader = self.writer = None

    async def ask(self, sent):
        """The answer; on a connection that the request before it has ended, once more."""
        for is_last in (False, True):
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            self.writer.write(sent)
            try:
                status, headers, body = await read_answer(self.reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                await self.close()
                if is_last:
                    raise
                continue
            if headers.get("connection") == "close":
                await self.close()
            break
        return status, headers, body

    async def close(self):
        if self.writer is not None:
            self.writer.close()
            with contextlib.suppress(ConnectionError):
                await self.writer.wait_closed()
            self.writer = None


async def fuzz_rest(client, inputs, count):
    """Send `count` requests."""
    wire = Wire(int(client.base.rsplit(":", 1)[1]))
    seen = set()
    for number in range(count):
        if number % 20 == 0:
            forget_limits(client)
        sent = inputs.rest()
        status, headers, body = await wire.ask(sent)
        assert status < 500, (sent, status, body)
        seen.add(status)
        if headers.get("content-type", "").startswith("application/json"):
            answer = json.loads(body)
            assert status == 200 or "code" in answer or "error" in answer, (sent, answer)
    await wire.close()
    assert {200, 400, 401, 404} <= seen, seen


async def fuzz_api(client, inputs, count):
    """Send `count` frames to the WebSocket API; a frame may end its connection, never more."""
    socket = None
    answered = 0
    for number in range(count):
        if number % 20 == 0:
            forget_limits(client)
        if socket is None or socket.closed:
            socket = await client.session.ws_connect(f"{client.sockets}/ws-api/v3")
        frame = inputs.api_frame()
        await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame))
        while True:
            message = await asyncio.wait_for(socket.receive(), ANSWER_S)
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            answer = json.loads(message.data)
            if "status" in answer:
                answered += 1
                assert answer["status"] < 500, (frame, answer)
                break
    await socket.close()
    assert answered > 0.8 * count - 4


async def fuzz_streams(client, inputs, count):
    """Send `count` frames to market streams, four a connection: more in a second end it, as they should."""
    answered = 0
    for number in range(count // 4):
        if number % 100 == 0:
            forget_limits(client)
        socket = await client.session.ws_connect(
            f"{client.sockets}/{inputs.random.choice(('ws', 'stream', 'ws/7'))}"
        )
        for _ in range(4):
            frame = inputs.stream_frame()
            await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame))
            message = await asyncio.wait_for(socket.receive(), ANSWER_S)
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            answered += 1
            assert {"result", "error", "id"} & json.loads(message.data).keys(), message.data
        await socket.close()
    assert answered > 0.8 * count - 4


@pytest.mark.parametrize(("requests", "frames", "commands"), SIZES)
async def test_nonsense_is_answered_and_forgotten(requests, frames, commands, caplog):
    caplog.set_level(logging.WARNING)
    inputs = Inputs(1)
    async with served() as client:
        client.steps(7)
        for share in (10, 1):  # memory settles first
            if share == 1:
                before = resident_mib()
            await fuzz_rest(client, inputs, requests // share)
            await fuzz_api(client, inputs, frames // share)
            await fuzz_streams(client, inputs, commands // share)
        assert resident_mib() - before < GROWTH_MIB
        assert not client.venue.exchange.market["BTCUSDT"].state.last_ticks < 0
        for held in client.venue.exchange.read.account("main").balances.values():
            assert min(held) >= 0
        forget_limits(client)
        assert await client.get("/api/v3/ping") == {}
    assert [one.getMessage() for one in caplog.records if is_fault(one)] == []
