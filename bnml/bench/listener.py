"""A process that listens to market streams and counts what it hears: `python -m bnml.bench.listener SECONDS URL...`."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import msgspec


async def count(seconds: float, urls: list[str]) -> dict[str, int]:
    """Messages and bytes of all the sockets together, from the first message on."""
    heard = {"messages": 0, "bytes": 0, "closed": 0}

    async def listen(session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(url, max_msg_size=0) as socket:
            async for message in socket:
                heard["messages"] += 1
                heard["bytes"] += len(message.data)
        heard["closed"] += 1

    async with aiohttp.ClientSession() as session:
        tasks = {asyncio.create_task(listen(session, url)) for url in urls}
        await asyncio.wait(tasks, timeout=seconds)
        shown = dict(heard)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return shown


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(count(float(sys.argv[1]), sys.argv[2:]))))
