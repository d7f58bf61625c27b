"""Two processes, three sockets, no logic: a stepped market sends the same bytes in every run."""

import asyncio
import contextlib
import os
import sys

from tests.venues.sim.stepping_client import ExchangeProcess, SteppingClient

SYMBOLS = "BTCUSDT,ETHUSDT,XRPUSDT,ADAUSDT,SOLUSDT,DOGEUSDT"
IS_LONG = os.environ.get("BNML_LONG") == "1"
TO, RUNS = ("2024-05-01", 5) if IS_LONG else ("2023-07-05", 2)
FULL_SIZE_LIMIT_S = 120.0


async def one_run(state_dir, data_dir):
    """(hash, frames, steps, seconds) of a whole stepped market; an order every fifty steps."""
    arguments = [
        "--replay",
        str(data_dir / "binance_spot" / "1h"),
        "--symbols",
        SYMBOLS,
        "--base-frame",
        "1h",
    ]
    window = ["--from", "2023-07-01", "--to", TO, "--stepped"]
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


async def test_every_run_of_a_stepped_market_sends_the_same_bytes(tmp_path, data_dir, record_property):
    results = []
    for number in range(RUNS):
        load = busy_processor() if number == RUNS - 1 else contextlib.nullcontext()
        async with load:
            results.append(await one_run(tmp_path / str(number), data_dir))
    record_property(
        "runs", [f"{frames} frames, {steps} steps, {took_s:.1f} s" for _, frames, steps, took_s in results]
    )
    assert len({digest for digest, *_ in results}) == 1
    _, frames, steps, _ = results[0]
    boundaries = 7_320 if IS_LONG else 96
    assert steps == boundaries * 5
    # An opening boundary without closed candles; 6 symbols x (4 prints + book + candle) and a beat at each.
    assert frames >= boundaries * (6 * 6 + 1) - 12
    if IS_LONG:
        assert min(took_s for *_, took_s in results) < FULL_SIZE_LIMIT_S
