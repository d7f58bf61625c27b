"""What the embedded exchange's market data cost: streams over sockets, exchangeInfo of a whole exchange."""

from __future__ import annotations

import asyncio
import resource
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import numpy as np

from bnml.app.hardening import childs_environment
from bnml.bench.case import Effort, Figure, at_least, at_most, processor_s
from bnml.core.clock import NS_PER_HOUR, NS_PER_S, LiveClock
from bnml.core.instrument import E8, Instrument
from bnml.kernels.records import BAR
from bnml.trading.filling import compile_costs
from bnml.trading.settings import CostSettings
from bnml.venues.sim.control import Control
from bnml.venues.sim.driver import Stepping, steps_of
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.feed import STEPS_PER_BOUNDARY, BarFeed
from bnml.venues.sim.market import Market
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.server import HOST, Server
from bnml.venues.sim.signing import ApiKey, KeyRing
from bnml.venues.sim.venue import Venue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FRAME_NS = NS_PER_HOUR // 4
START_NS = 1_700_000_000 * NS_PER_S // FRAME_NS * FRAME_NS
SYMBOLS = 500
KINDS = ("trade", "aggTrade", "bookTicker")  # 1,500 streams
RATE = 20_000
FILLING_STEPS = 1_300  # until lists of trades are as long as they become
ROOM_MIB = 16
EVERY_SYMBOL = 3_500
INFO_MS = 20


def streams(effort: Effort) -> list[Figure]:
    """Messages a second that one client hears of 1,500 streams over two connections, and what memory that takes."""
    seconds = effort.size(12, 3)
    heard, sent, used_s, grown_mib = asyncio.run(_stream(seconds))
    cost_us = 1e6 * used_s / sent
    return [
        at_least(
            RATE,
            name="streams: heard by one client",
            bnml=heard / seconds,
            yardstick=None,
            unit="messages a second",
            against="-",
        ),
        at_most(
            1e6 / RATE,
            name="streams: cost of a message",
            bnml=cost_us,
            yardstick=None,
            unit="us of a processor",
            against="-",
        ),
        at_most(
            ROOM_MIB, name="streams: memory grown", bnml=grown_mib, yardstick=None, unit="MiB", against="-"
        ),
    ]


def exchange_info(effort: Effort) -> list[Figure]:
    """The answer for a whole exchange, from the request to the last byte, once its rows are cached."""
    taken_ms = asyncio.run(_info(effort.size(40, 10)))
    return [
        at_most(
            INFO_MS, name="exchangeInfo: 3,500 symbols", bnml=taken_ms, yardstick=None, unit="ms", against="-"
        )
    ]


async def _stream(seconds: int) -> tuple[int, int, float, float]:
    async with _served(SYMBOLS, bars=4_000) as (venue, driver, port):
        for _ in range(FILLING_STEPS):
            driver.step()
        names = [f"{name.lower()}@{kind}" for kind in KINDS for name in venue.instruments]
        half = len(names) // 2
        urls = [
            f"ws://{HOST}:{port}/stream?streams={'/'.join(part)}" for part in (names[:half], names[half:])
        ]
        command = (sys.executable, "-m", "bnml.bench.listener", str(seconds + 3), *urls)
        client = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, env=childs_environment()
        )
        await venue.hub.heard.wait()
        await asyncio.sleep(1)
        before, start_s, begin_s = _resident_mib(), processor_s(), _now_s()
        sent = 0
        while (passed := _now_s() - begin_s) < seconds:
            if sent < passed * RATE:
                prints = SYMBOLS if venue.exchange.ordinal % STEPS_PER_BOUNDARY != 1 else 0
                driver.step()
                sent += len(KINDS) * prints
            await asyncio.sleep(0 if sent < passed * RATE else 0.005)
        used_s, grown = processor_s() - start_s, _resident_mib() - before
        output, _ = await client.communicate()
    return int(msgspec.json.decode(output)["messages"]), sent, used_s, grown


async def _info(requests: int) -> float:
    async with _served(EVERY_SYMBOL, bars=12) as (_, _, port), aiohttp.ClientSession() as session:
        best = float("inf")
        for _ in range(requests):
            begin_s = _now_s()
            async with session.get(f"http://{HOST}:{port}/api/v3/exchangeInfo") as response:
                await response.read()
            best = min(best, _now_s() - begin_s)
    return best * 1000


@asynccontextmanager
async def _served(symbols: int, bars: int) -> AsyncIterator[tuple[Venue, Stepping, int]]:
    instruments, pricing = _instruments(symbols), _pricing()
    rows = np.zeros(bars, dtype=BAR)
    rows["ts_open_ns"] = START_NS + np.arange(bars) * FRAME_NS
    rows["close"] = 10_000 + np.random.default_rng(2).integers(-40, 41, bars).cumsum()
    rows["open"] = rows["close"] + 3
    rows["high"], rows["low"] = rows["close"] + 30, rows["close"] - 30
    rows["volume_lots"] = 10**6
    feed = BarFeed(instruments, dict.fromkeys(instruments, rows), FRAME_NS, pricing, START_NS + 2 * FRAME_NS)
    exchange = Exchange(Market(instruments, FRAME_NS, pricing, feed.history(0)))
    venue = Venue(exchange, KeyRing([ApiKey("k" * 64, "s" * 64, "main")]), LiveClock(), live=True)
    driver = Stepping(venue, steps_of(feed, 0))
    venue.market_time = driver
    server = Server(venue, Control(venue, driver, "token"))
    port = await server.start(0)
    try:
        yield venue, driver, port
    finally:
        await server.stop()


def _instruments(count: int) -> dict[str, Instrument]:
    names = [f"S{number:04d}USDT" for number in range(count)]
    return {name: Instrument(name, name[:-4], "USDT", tick_e8=E8 // 100, lot_e8=1000) for name in names}


def _pricing() -> Pricing:
    return Pricing(compile_costs(CostSettings()))


def _now_s() -> float:
    return LiveClock().monotonic_ns() / NS_PER_S


def _resident_mib() -> float:
    """Memory of this process now, where the system tells; else the most it ever had."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text("ascii").split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
