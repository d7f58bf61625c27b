"""The proxy of drills between a client and a little venue of the test's own."""

import asyncio
import datetime as dt
import ssl

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bnml.core.clock import LiveClock
from bnml.core.errors import Misconfigured
from bnml.drill.away import Away
from bnml.drill.proxy import Addresses, Proxy

ORDERS = ["order.place", "POST /api/v3/order*"]


class LittleVenue:
    """Says what it was asked, and counts it."""

    def __init__(self):
        self.asked = []

    async def handle(self, request):
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.socket(request)
        self.asked.append(f"{request.method} {request.path}")
        if request.path == "/api/v3/time":
            return web.json_response({"serverTime": 5_000})
        if request.path == "/skewed":
            return web.json_response({"code": -1021, "msg": "Timestamp"}, status=400)
        shown = {"query": request.query_string, "key": request.headers.get("X-MBX-APIKEY")}
        return web.json_response(shown, headers={"X-MBX-USED-WEIGHT-1M": "3"})

    async def socket(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            frame = message.json()
            self.asked.append(frame["method"])
            if frame["method"] == "candle":
                await socket.send_json({"stream": "btcusdt@kline_1m", "data": {"k": {"x": frame["x"]}}})
            else:
                await socket.send_json({"id": frame["id"], "status": 200, "result": {}})
        return socket


class Stand:
    """A venue, the proxy to it, and a client."""

    async def __aenter__(self):
        self.venue = LittleVenue()
        self.runner = web.ServerRunner(web.Server(self.venue.handle), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host = f"127.0.0.1:{self.runner.addresses[0][1]}"
        to = Addresses(f"http://{host}", f"ws://{host}", f"ws://{host}/ws-api/v3")
        self.proxy = await Proxy(to, LiveClock()).__aenter__()
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.proxy.__aexit__()
        await self.runner.cleanup()

    async def ask(self, method, path):
        """(status, headers, body) of a request through the proxy."""
        url = f"http://127.0.0.1:{self.proxy.port}{path}"
        async with self.session.request(method, url, headers={"X-MBX-APIKEY": "k"}) as response:
            return response.status, response.headers, await response.json()

    def connect(self, path="/ws-api/v3"):
        return self.session.ws_connect(f"ws://127.0.0.1:{self.proxy.port}{path}")


@pytest.fixture
async def stand():
    async with Stand() as made:
        yield made


async def call(socket, method, name="1", wait_s=2.0, **more):
    await socket.send_json({"id": name, "method": method, **more})
    return await socket.receive_json(timeout=wait_s)


async def test_without_faults_everything_passes_as_it_is(stand):
    status, headers, body = await stand.ask("GET", "/api/v3/order?a=%2B1&signature=x")
    assert (status, headers["X-MBX-USED-WEIGHT-1M"]) == (200, "3")
    assert body == {"query": "a=%2B1&signature=x", "key": "k"}
    async with stand.connect() as socket:
        assert (await call(socket, "order.place"))["status"] == 200


async def test_a_lost_answer_was_carried_out(stand):
    stand.proxy.load(
        [
            {
                "name": "lost",
                "match": {"request": ORDERS},
                "at": "after",
                "when": {"times": 1},
                "do": "no_answer",
            }
        ]
    )
    async with stand.connect() as socket:
        with pytest.raises(asyncio.TimeoutError):
            await call(socket, "order.place", wait_s=0.2)
        assert (await call(socket, "order.place", "2"))["id"] == "2"
    assert stand.venue.asked == ["order.place", "order.place"]
    assert stand.proxy.rules.fired == 1


async def test_a_connection_that_breaks_before_loses_the_order(stand):
    stand.proxy.load([{"name": "never", "match": {"request": ORDERS}, "when": {"times": 2}, "do": "reset"}])
    async with stand.connect() as socket:
        with pytest.raises(TypeError):  # the connection ended
            await call(socket, "order.place")
    with pytest.raises(aiohttp.ClientError):
        await stand.ask("POST", "/api/v3/order")
    assert stand.venue.asked == []
    assert (await stand.ask("POST", "/api/v3/order"))[0] == 200


async def test_a_timeout_of_the_venue_is_said_after_it_was_carried_out(stand):
    do = {"action": "answer", "like": "timeout"}
    stand.proxy.load(
        [{"name": "1007", "match": {"request": ORDERS}, "at": "after", "when": {"times": 2}, "do": do}]
    )
    async with stand.connect() as socket:
        frame = await call(socket, "order.place")
    assert (frame["id"], frame["status"], frame["error"]["code"]) == ("1", 504, -1007)
    status, _, body = await stand.ask("POST", "/api/v3/order")
    assert (status, body["code"]) == (504, -1007)
    assert len(stand.venue.asked) == 2


async def test_a_ban_is_answered_here_and_ends(stand):
    async with stand.connect() as socket:
        stand.proxy.load(
            [{"name": "ban", "when": {"times": 1}, "do": {"action": "ban", "seconds": 1, "status": 418}}]
        )
        await asyncio.sleep(0.05)
        status, headers, body = await stand.ask("GET", "/api/v3/account")
        assert (status, headers["Retry-After"], body["code"]) == (418, "1", -1003)
        assert (await call(socket, "order.place"))["error"]["code"] == -1003
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await stand.connect()
        assert stand.venue.asked == []
        await asyncio.sleep(1)
        assert (await stand.ask("GET", "/api/v3/account"))[0] == 200


async def test_all_sockets_break_off_so_often(stand):
    async with stand.connect() as one, stand.connect("/stream") as other:
        stand.proxy.load(
            [
                {
                    "name": "drop",
                    "when": {"every_wall_s": 0.1, "times": 2},
                    "do": {"action": "reset", "sockets": "all"},
                }
            ]
        )
        for socket in (one, other):
            assert (await socket.receive(timeout=1)).type in {
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            }
    await asyncio.sleep(0.15)
    assert stand.proxy.rules.fired == 2


async def test_only_closed_candles_are_dropped(stand):
    rule = {
        "name": "lost",
        "match": {"stream": "*@kline_*", "closed": True},
        "when": {"every": 2},
        "do": "drop",
    }
    stand.proxy.load([rule])
    async with stand.connect("/stream") as socket:
        for is_closed in (True, False, True, True):
            await socket.send_json({"id": "1", "method": "candle", "x": is_closed})
        seen = [(await socket.receive_json(timeout=1))["data"]["k"]["x"] for _ in range(3)]
    assert seen == [True, False, True]


async def test_a_silent_socket_is_open_and_dead(stand):
    async with stand.connect() as api, stand.connect("/stream") as market:
        await call(api, "order.status")
        stand.proxy.load(
            [
                {
                    "name": "dead",
                    "when": {"times": 1},
                    "do": {"action": "silent", "sockets": "api", "lasts_s": 9},
                }
            ]
        )
        await asyncio.sleep(0.05)
        with pytest.raises(asyncio.TimeoutError):
            await call(api, "order.status", wait_s=0.2)
        assert (await call(market, "SUBSCRIBE"))["status"] == 200
        assert not api.closed


async def test_a_wrong_clock_is_told_until_the_venue_contradicts(stand):
    stand.proxy.load(
        [{"name": "skew", "when": {"times": 1}, "do": {"action": "clock_skew", "ms": -3000, "lasts_s": 8}}]
    )
    await asyncio.sleep(0.05)
    assert (await stand.ask("GET", "/api/v3/time"))[2] == {"serverTime": 8_000}
    assert stand.proxy.rules.matched("skew") == 0
    assert (await stand.ask("GET", "/skewed"))[0] == 400
    assert stand.proxy.rules.matched("skew") == 1
    assert (await stand.ask("GET", "/api/v3/time"))[2] == {"serverTime": 5_000}


async def test_outward_it_speaks_tls_and_trusts_no_stranger(tmp_path):
    venue = LittleVenue()
    runner = web.ServerRunner(web.Server(venue.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self_signed(tmp_path)).start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"
    to = Addresses(f"https://{host}", f"wss://{host}", f"wss://{host}/ws-api/v3")
    async with Proxy(to, LiveClock()) as proxy, aiohttp.ClientSession() as session:
        for url in (f"http://127.0.0.1:{proxy.port}/api/v3/time", f"http://127.0.0.1:{proxy.port}/ws-api/v3"):
            headers = {"Connection": "Upgrade", "Upgrade": "websocket"} if "ws-api" in url else {}
            async with session.get(url, headers=headers) as response:
                assert response.status == 502
                assert "certificate verify failed" in (await response.text()).lower()
    await runner.cleanup()
    assert venue.asked == []


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_a_venue_that_is_not_ours_has_no_controls(tmp_path):
    with pytest.raises(Misconfigured, match="only the embedded exchange"):
        await Away(tmp_path, LiveClock()).control("POST", "/sim/speed")
