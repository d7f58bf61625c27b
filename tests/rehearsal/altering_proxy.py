"""Stands between a client and an exchange, and alters what the exchange says."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


class Altering:
    """`refuse` may answer a REST request itself; `answer` and `event` get what comes and return what goes on."""

    def __init__(self, base, session, refuse=None, answer=None, event=None):
        self.base, self.session = base, session
        self.refuse, self.answer, self.event = refuse, answer, event

    async def handle(self, request):
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        return await (self.socket(request) if is_socket else self.rest(request))

    async def rest(self, request):
        refused = self.refuse(request.method, request.query) if self.refuse else None
        if refused is not None:
            return web.json_response(refused, status=400)
        headers = {"X-MBX-APIKEY": request.headers.get("X-MBX-APIKEY", "")}
        url = f"{self.base}{request.raw_path}"
        async with self.session.request(request.method, url, headers=headers) as response:
            status, body = response.status, json.loads(await response.read())
            if self.answer:
                status, body = self.answer(request.method, request.path, status, body)
            kept = {name: text for name, text in response.headers.items() if name.upper().startswith("X-MBX")}
            return web.json_response(body, status=status, headers=kept)

    async def socket(self, request):
        ours = web.WebSocketResponse()
        await ours.prepare(request)
        async with self.session.ws_connect(f"{self.base}{request.raw_path}") as theirs:
            back = asyncio.create_task(self.back(theirs, ours))
            async for message in ours:
                await theirs.send_str(message.data)
            back.cancel()
        return ours

    async def back(self, theirs, ours):
        async for message in theirs:
            frame = json.loads(message.data)
            if self.event and isinstance(frame, dict) and "event" in frame:
                frame["event"] = self.event(frame["event"])
            await ours.send_str(json.dumps(frame))


@asynccontextmanager
async def altering(base, **changes):
    """Serve the exchange at `base` under another address, which it yields."""
    async with aiohttp.ClientSession() as session:
        runner = web.ServerRunner(web.Server(Altering(base, session, **changes).handle), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
