"""A stepper without any logic: three sockets, every numbered frame hashed in the order of its number."""

import asyncio
import hashlib
import heapq
import hmac
import json
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import msgspec
from websockets.asyncio.client import connect


class Numbered(msgspec.Struct):
    """All that matters of a frame here."""

    simSeq: int  # noqa: N815 - as on the wire
    id: str | None = None


decode = msgspec.json.Decoder(Numbered).decode


class SteppingClient:
    """Confirms what it has hashed; now and then it buys and sells, so that user events are among the frames."""

    def __init__(self, endpoint, symbols, interval, order_every=0):
        self.base = f"http://127.0.0.1:{endpoint['port']}"
        self.sockets = f"ws://127.0.0.1:{endpoint['port']}"
        self.endpoint = endpoint
        self.symbols = symbols
        self.interval = interval
        self.order_every = order_every
        self.digest = hashlib.sha256()
        self.hashed = 0
        self.early = []
        self.progress = asyncio.Event()
        self.calls = 0
        self.answered = ""

    async def run(self, most_steps=10**9):
        """(hash, frames, steps) of the market up to its end."""
        async with aiohttp.ClientSession(headers={"X-SIM-TOKEN": self.endpoint["token"]}) as session:
            stepper = (await self.post(session, "/sim/steppers", {}))["stepper"]
            names = [
                f"{s.lower()}@{kind}"
                for s in self.symbols
                for kind in ("trade", "depth20", f"kline_{self.interval}")
            ]
            streams = "/".join([*names, "!miniTicker@arr"])
            market = f"{self.sockets}/stream?streams={streams}&stepper={stepper}"
            api = f"{self.sockets}/ws-api/v3?stepper={stepper}"
            async with connect(market, compression=None) as one, connect(api, compression=None) as two:
                readers = [asyncio.create_task(self.read(socket)) for socket in (one, two)]
                await self.call(two, "userDataStream.subscribe.signature", {})
                try:
                    steps = await self.drive(session, stepper, two, most_steps)
                finally:
                    for reader in readers:
                        reader.cancel()
        return self.digest.hexdigest(), self.hashed, steps

    async def drive(self, session, stepper, api, most_steps):
        steps = 0
        await self.reach(1)
        while steps < most_steps:
            answer = await self.post(session, "/sim/step", {"stepper": stepper, "confirmed": self.hashed})
            await self.reach(answer["sent"])
            if not answer["advanced"]:
                assert answer["done"], answer
                break
            steps += 1
            if self.order_every and steps % self.order_every == 0:
                await self.trade(api, steps // self.order_every)
        return steps

    async def trade(self, api, count):
        """Buy one time, sell the next; the answer is numbered like everything else."""
        side = "BUY" if count % 2 else "SELL"
        amount = {"quoteOrderQty": "50"} if side == "BUY" else {"quoteOrderQty": "45"}
        await self.call(
            api, "order.place", {"symbol": self.symbols[0], "side": side, "type": "MARKET", **amount}
        )

    async def call(self, api, method, params):
        params = {"apiKey": self.endpoint["api_key"], "timestamp": int(time.time() * 1000), **params}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = hmac.new(
            self.endpoint["secret"].encode(), payload.encode(), "sha256"
        ).hexdigest()
        self.calls += 1
        await api.send(json.dumps({"id": f"call-{self.calls}", "method": method, "params": params}))
        await self.until(lambda: self.answered == f"call-{self.calls}")

    async def read(self, socket):
        async for frame in socket:
            fields = decode(frame)
            heapq.heappush(self.early, (fields.simSeq, frame))
            while self.early and self.early[0][0] == self.hashed + 1:
                self.hashed += 1
                self.digest.update(heapq.heappop(self.early)[1].encode())
            self.answered = fields.id or self.answered
            self.progress.set()

    async def reach(self, number):
        await self.until(lambda: self.hashed >= number)

    async def until(self, is_reached):
        async with asyncio.timeout(20):
            while not is_reached():
                self.progress.clear()
                await self.progress.wait()

    async def post(self, session, path, body):
        async with session.post(self.base + path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()


class ExchangeProcess:
    """`bnml exchange` as a child process with a state folder of its own; entering waits until it listens."""

    def __init__(self, state_dir, *arguments):
        self.state_dir = Path(state_dir)
        self.arguments = arguments
        self.process = None
        self.endpoint = {}

    def __enter__(self):
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bnml",
                "exchange",
                "--state-dir",
                str(self.state_dir),
                "--json",
                *self.arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1].decode())
        self.endpoint = json.loads((self.state_dir / "exchange" / "endpoint.json").read_text())
        self.endpoint["symbols"] = json.loads(line)["symbols"]
        return self

    def __exit__(self, *_error):
        if self.process.returncode is None:
            self.process.terminate()
        self.process.communicate(timeout=20)

    def kill(self):
        self.process.kill()
