"""Two processes, three sockets, no logic: a stepped market sends the same bytes in every run."""

import asyncio
import contextlib
import sys

import pytest

from tests.venues.sim.stepping_client import ExchangeProcess, SteppingClient

SYMBOLS = "BTCUSDT,ETHUSDT,XRPUSDT,ADAUSDT,SOLUSDT,DOGEUSDT"
FULL_SIZE_LIMIT_S = 120.0


async def one_run(state_dir, data_dir, to):
    """(hash, frames, steps, seconds) of a whole stepped market; an order every fifty steps."""
    arguments = [
        "--replay",
        str(data_dir / "binance_spot" / "1h"),
        "--symbols",
        SYMBOLS,
        "--base-frame",
        "1h",
    ]
    window = ["--from", "2023-07-01", "--to", to, "--stepped"]
    with ExchangeProcess(state_dir, *arguments, *window) as exchange:
        client = SteppingClient(exchange.endpoint, exchange.endpoint["symbols"], "1h", order_every=50)
        started_s = asyncio.get_running_loop().time()
        digest, frames, steps = await client.run()
        return digest, frames, steps, asyncio.get_running_loop().time() - started_s


@contextlib.asynccontextmanager
async def busy_processor():
    """Another process that wants a whole core."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def runs_agree(tmp_path, data_dir, to, boundaries, count):
    """Run the same market `count` times, the last time under load; seconds that each took."""
    results = []
    for number in range(count):
        async with busy_processor() if number == count - 1 else contextlib.nullcontext():
            results.append(await one_run(tmp_path / str(number), data_dir, to))
    assert len({digest for digest, *_ in results}) == 1
    _, frames, steps, _ = results[0]
    assert steps == boundaries * 5
    # At each boundary 6 symbols x (4 prints, book, candle) and a beat; the first closes no candle.
    assert frames >= boundaries * (6 * 6 + 1) - 12
    return [took_s for *_, took_s in results]


async def test_every_run_of_a_stepped_market_sends_the_same_bytes(tmp_path, data_dir):
    await runs_agree(tmp_path, data_dir, "2023-07-02", 24, 2)


@pytest.mark.long
async def test_ten_months_five_times(tmp_path, data_dir):
    took_s = await runs_agree(tmp_path, data_dir, "2024-05-01", 7_320, 5)
    assert min(took_s) < FULL_SIZE_LIMIT_S, took_s
