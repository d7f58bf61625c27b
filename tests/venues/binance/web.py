"""A scripted venue on this machine: REST answers and sockets as a test wants them, and what was asked."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgspec
from aiohttp import web as http


class Sink:
    """Takes items, user events and links."""

    def __init__(self):
        self.items = []
        self.links = []
        self.changed = asyncio.Event()

    async def item(self, number, item):
        self.items.append((number, item))
        self.changed.set()

    async def event(self, number, raw):
        await self.item(number, bytes(raw))

    async def link(self, up, detail):
        self.links.append((up, detail))
        self.changed.set()

    async def until(self, condition, seconds=5):
        async with asyncio.timeout(seconds):
            while not condition():
                await self.changed.wait()
                self.changed.clear()


@asynccontextmanager
async def running(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def web(reply=None, socket=None):
    """`reply(path with query)` gives (status, headers, body); `socket(socket)` serves each WebSocket.

    With a `refusal`, (status, headers), none is opened.
    """
    place = SimpleNamespace(
        requests=[], sockets=0, refusal=None, reply=reply or (lambda _: (200, {}, b"{}")), socket=socket
    )

    async def handle(request):
        if request.headers.get("Upgrade", "").lower() == "websocket":
            place.sockets += 1
            if place.refusal is not None:
                status, headers = place.refusal
                return http.Response(status=status, headers=headers)
            made = http.WebSocketResponse()
            await made.prepare(request)
            if place.socket is not None:
                await place.socket(made)
            return made
        place.requests.append(request.path_qs)
        status, headers, body = place.reply(request.path_qs)
        return http.Response(status=status, headers=headers, body=body)

    runner = http.ServerRunner(http.Server(handle, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    try:
        await http.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        place.http, place.ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        yield place
    finally:
        await runner.cleanup()


def answering(answer):
    """A WebSocket API that accepts subscriptions and signs of life, and answers the rest with `answer(request)`."""

    async def serve(socket):
        async for message in socket:
            request = msgspec.json.decode(message.data)
            if request["method"].startswith("userDataStream") or request["method"] == "ping":
                found = {"status": 200, "result": {}}
            else:
                found = answer(request)
            if found:
                await socket.send_str(msgspec.json.encode({"id": request["id"], **found}).decode())

    return serve
