"""The life of sockets: pings, pongs, age, floods, the subscription protocol, and how they are told of the end."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import WSMsgType

from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Fatal
from bnml.venues.sim.hub import MAX_STREAMS
from tests.venues.sim.served import KEY, served

POLICY = 1008
HOUR_NS = 3600 * 10**9


async def until_closed(socket, wait_s=5.0):
    """Everything that comes, and the close code and reason at the end."""
    frames = []
    while True:
        message = await socket.receive(timeout=wait_s)
        if message.type is WSMsgType.TEXT:
            frames.append(json.loads(message.data))
        elif message.type is not WSMsgType.PING:
            return frames, socket.close_code, message.extra


@pytest.mark.parametrize("path", ["/ws", "/ws-api/v3"])
async def test_pings_come_and_a_silent_client_is_dropped(path):
    async with served() as client:
        client.venue.socket_time_scale = 400.0  # a ping each 100 ms, half a second for the pong
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        socket = await client.session.ws_connect(client.sockets + path, autoping=False)
        pings = []
        while (message := await socket.receive(timeout=5)).type is WSMsgType.PING:
            pings.append(bytes(message.data))
            await socket.pong(b"unasked")
        passed_s = loop.time() - begun_s
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, POLICY, "Pong timeout")
        assert 3 <= len(pings) <= 5
        assert len(set(pings)) == len(pings), "each ping has a payload of its own"
        assert 0.45 < passed_s < 4.0, "an unasked pong keeps nobody alive"


async def test_who_copies_the_payload_stays():
    async with served() as client:
        client.venue.socket_time_scale = 400.0
        socket = await client.session.ws_connect(f"{client.sockets}/ws-api/v3")
        await asyncio.sleep(0.05)
        receiving = asyncio.create_task(socket.receive())
        await asyncio.sleep(1.2)
        assert not receiving.done(), "twice the pong timeout"
        receiving.cancel()


async def test_a_day_is_all_that_a_connection_lives():
    async with served() as client:
        client.venue.socket_time_scale = 24 * 3600 / 0.4
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        socket = await client.session.ws_connect(f"{client.sockets}/ws-api/v3")
        client.venue.socket_time_scale = 1.0
        _, code, reason = await until_closed(socket)
        assert (code, reason) == (POLICY, "disconnected")
        assert 0.35 < loop.time() - begun_s < 3


@pytest.mark.parametrize("kind", ["text", "ping", "pong"])
async def test_the_sixth_frame_of_a_second_is_one_too_many(kind):
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws")
        for number in range(6):
            if kind == "text":
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            elif kind == "ping":
                await socket.ping(b"x")
            else:
                await socket.pong(b"x")
        frames, code, reason = await until_closed(socket)
        assert (code, reason) == (POLICY, "Too many requests")
        assert len(frames) == (5 if kind == "text" else 0)


async def test_five_frames_a_second_are_fine():
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws")
        for number in range(5):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        assert [(await socket.receive_json())["id"] for _ in range(5)] == [0, 1, 2, 3, 4]
        await asyncio.sleep(1.05)
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 5})
        assert (await socket.receive_json())["id"] == 5


async def test_a_ping_is_answered_with_its_payload():
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws-api/v3", autoping=False)
        await socket.ping(b"hello")
        message = await socket.receive(timeout=5)
        assert (message.type, bytes(message.data)) == (WSMsgType.PONG, b"hello")


BAD_ID = {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}
NOT_BOOLEAN = {"code": 1, "msg": "Invalid value type: expected Boolean"}
NO_NAME = {"code": 2, "msg": "Invalid request: property name must be a string"}
TOO_MANY = {"code": 2, "msg": "Invalid request: too many parameters"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", 3),
        ("[1]", 2),
        ('{"id":1}', {"code": 2, "msg": "Invalid request: missing field `method`"}),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1.5}', BAD_ID),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":true}', BAD_ID),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":"%s"}' % ("x" * 37), BAD_ID),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":9223372036854775808}', BAD_ID),
        (
            '{"method":"SUBSCRIBE","params":["not adsf"],"id":1}',
            {"code": 2, "msg": "Invalid request: invalid stream"},
        ),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 2),
        ('{"method":"JUMP","id":1}', 2),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":1}', TOO_MANY),
        ('{"method":"GET_PROPERTY","params":["speed"],"id":1}', {"code": 0, "msg": "Unknown property"}),
        ('{"method":"GET_PROPERTY","params":[],"id":1}', NO_NAME),
        ('{"method":"GET_PROPERTY","params":["combined",true],"id":1}', TOO_MANY),
        ('{"method":"SET_PROPERTY","params":[true],"id":1}', NO_NAME),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', NOT_BOOLEAN),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', NOT_BOOLEAN),
        ('{"method":"SET_PROPERTY","params":["combined",true,false],"id":1}', TOO_MANY),
    ],
)
async def test_subscription_requests_that_are_refused(text, expected):
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws")
        await socket.send_str(text)
        answer = await socket.receive_json(timeout=5)
        if isinstance(expected, int):
            assert answer["error"]["code"] == expected
        else:
            assert answer["error"] == expected
        if '"id":1,' in text or text.endswith('"id":1}'):
            assert answer["id"] == 1


@pytest.mark.parametrize("request_id", [None, 0, -1, 2**63 - 1, "Abc-09_", "x" * 36])
async def test_ids_come_back(request_id):
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws")
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": request_id})
        assert await socket.receive_json(timeout=5) == {"result": None, "id": request_id}


async def test_a_connection_hears_1024_streams_and_no_more():
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws")
        names = [f"s{number}@trade" for number in range(MAX_STREAMS)]
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        assert (await socket.receive_json(timeout=5))["result"] is None
        await socket.send_json({"method": "SUBSCRIBE", "params": ["s0@trade"], "id": 2})
        assert (await socket.receive_json(timeout=5))["result"] is None, "it is heard already"
        await socket.send_json({"method": "SUBSCRIBE", "params": ["one@more"], "id": 3})
        assert (await socket.receive_json(timeout=5))["error"]["code"] == 2
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 4})
        assert len((await socket.receive_json(timeout=5))["result"]) == MAX_STREAMS
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await client.session.ws_connect(f"{client.sockets}/ws/{'/'.join(f's{n}@t' for n in range(1025))}")


async def test_all_sockets_hear_of_a_shutdown_before_they_are_closed():
    async with served() as client:
        client.steps(1)
        paths = ["/ws/btcusdt@trade", "/stream?streams=btcusdt@trade", "/ws-api/v3"]
        sockets = [await client.session.ws_connect(client.sockets + path) for path in paths]
        micro = await client.session.ws_connect(f"{client.sockets}/ws-api/v3?timeUnit=MICROSECOND")
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        assert (await client.control("POST", "/sim/shutdown", {"noticeS": 0.3}))[1]["sockets"] == 4
        event = {"e": "serverShutdown", "E": client.venue.now_ns // NS_PER_MS}
        wanted = [event, {"stream": "!serverShutdown", "data": event}, {"event": event}]
        for socket, frame in zip(sockets, wanted, strict=True):
            assert await socket.receive_json(timeout=5) == frame
        assert (await micro.receive_json(timeout=5))["event"]["E"] == client.venue.now_ns // 1000
        assert loop.time() - begun_s < 0.3
        for socket in sockets:
            assert (await until_closed(socket))[:2] == ([], 1001)
        assert loop.time() - begun_s >= 0.3
        async with client.session.ws_connect(f"{client.sockets}/ws"):
            pass


async def test_times_are_in_the_unit_asked_for():
    async with served() as client:
        client.steps(1)
        socket = await client.session.ws_connect(f"{client.sockets}/ws-api/v3?timeUnit=MICROSECOND")
        api = await client.api()
        api.socket, milli = socket, api.socket
        await api.ask("userDataStream.subscribe.signature", is_signed=True)
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
        placed, events = await api.ask("order.place", is_signed=True, **order)
        assert placed["result"]["transactTime"] == client.venue.now_ns // 1000
        assert {one["event"]["E"] for one in events} == {client.venue.now_ns // 1000}
        await milli.close()
        for header, divisor in [("MICROSECOND", 1_000), ("microsecond", 1_000), ("MILLISECOND", 1_000_000)]:
            headers = {"X-MBX-TIME-UNIT": header}
            (row,) = (await client.signed("GET", "/api/v3/myTrades", headers=headers, symbol="BTCUSDT"))[1]
            assert row["time"] == client.venue.now_ns // divisor
        wrong = await client.signed("GET", "/api/v3/account", headers={"X-MBX-TIME-UNIT": "SECOND"})
        text = "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
        assert wrong[:2] == (400, {"code": -1194, "msg": text})
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await client.session.ws_connect(f"{client.sockets}/ws?timeUnit=NANOSECOND")


async def test_a_symbol_is_switched_and_a_restart_would_know():
    async with served() as client:
        client.steps(1)
        order = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "80"}
        order_id = (await client.order(**order))["orderId"]
        for status in ("HALT", "BREAK", "CANCEL_ONLY"):
            body = {"symbol": "BTCUSDT", "status": status}
            assert await client.control("POST", "/sim/status", body) == (200, body)
            info = await client.get("/api/v3/exchangeInfo", symbol="BTCUSDT")
            assert info["symbols"][0]["status"] == status
            assert (await client.order(**order)) == {"code": -2010, "msg": "Market is closed."}
        gone = await client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)
        assert gone[1]["status"] == "CANCELED"
        assert client.venue.access.statuses == {"BTCUSDT": "CANCEL_ONLY"}
        await client.control("POST", "/sim/status", {"symbol": "BTCUSDT", "status": "TRADING"})
        assert (await client.order(**order))["status"] == "NEW"
        assert (await client.control("POST", "/sim/status", {"symbol": "BTCUSDT", "status": "GONE"}))[
            0
        ] == 400
        assert (await client.control("POST", "/sim/status", {"symbol": "NOPE", "status": "HALT"}))[1][
            "code"
        ] == -1121


async def test_a_delisting_is_announced_and_comes():
    async with served() as client:
        client.steps(1)
        order = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "80"}
        await client.order(**order)
        delist_ms = (client.venue.now_ns + HOUR_NS) // NS_PER_MS
        body = {"symbol": "BTCUSDT", "delistTime": delist_ms}
        assert (await client.control("POST", "/sim/delist", body))[0] == 200
        schedule = await client.signed("GET", "/sapi/v1/spot/delist-schedule")
        assert schedule[1] == [{"delistTime": delist_ms, "symbols": ["BTCUSDT"]}]
        keyed = await client.send("GET", "/sapi/v1/spot/delist-schedule", {"X-MBX-APIKEY": KEY.api_key})
        assert keyed[1] == schedule[1], (
            "by one page of Binance's it is signed, by the other it only names a key"
        )
        bare = await client.send("GET", "/sapi/v1/spot/delist-schedule")
        assert (bare[0], bare[1]["code"]) == (401, -2014)
        assert (await client.order(**order))["status"] == "NEW"
        api = await client.api()
        await api.ask("userDataStream.subscribe.signature", is_signed=True)
        client.steps(8)
        assert client.venue.now_ns // NS_PER_MS >= delist_ms
        states = [(await api.next())["event"] for _ in range(3)]
        assert [one.get("X") for one in states] == ["CANCELED", "CANCELED", None]
        assert (await client.order(**order))["msg"] == "Market is closed."
        assert client.venue.instruments["BTCUSDT"].status == "BREAK"
        assert client.venue.instruments["ETHUSDT"].status == "TRADING"


async def test_maintenance_takes_no_orders_and_says_so():
    async with served() as client:
        client.steps(1)
        assert (await client.send("GET", "/sapi/v1/system/status"))[1] == {"status": 0, "msg": "normal"}
        await client.control("POST", "/sim/maintenance", {"on": True})
        assert (await client.send("GET", "/sapi/v1/system/status"))[1]["status"] == 1
        status, body, _ = await client.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
        assert (status, body) == (503, {"code": -1016, "msg": "This service is no longer available."})
        assert (await client.signed("GET", "/api/v3/account"))[0] == 200
        await client.control("POST", "/sim/maintenance", {"on": False})
        assert (await client.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT"))[1]["code"] == -2011


async def test_nobody_is_told_of_what_was_not_saved():
    class Full(Fatal):
        """The disk."""

    def refuse():
        raise Full("no space")

    async with served() as client:
        client.steps(1)
        client.venue.flush = refuse
        api = await client.api()
        await api.post("ping")
        ended = await api.socket.receive(timeout=5)
        assert ended.type in {WSMsgType.CLOSED, WSMsgType.ERROR, WSMsgType.CLOSE}
        assert isinstance(client.server.failed.exception(), Full)
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
        with pytest.raises(aiohttp.ContentTypeError, match="500"):
            await client.signed("POST", "/api/v3/order", **order)


async def test_each_connection_hears_an_event_once_in_its_own_unit():
    async with served() as client:
        client.steps(1)
        api, micro = await client.api(), await client.api()
        micro.socket = await client.session.ws_connect(f"{client.sockets}/ws-api/v3?timeUnit=MICROSECOND")
        for one in (api, micro):
            await one.ask("userDataStream.subscribe.signature", is_signed=True)
        await client.control("POST", "/sim/deposit", {"asset": "USDT", "amount": "1"})
        for one, unit_ns in ((api, NS_PER_MS), (micro, 1_000)):
            _, before = await one.ask("time")
            assert len(before) == len({frame["event"]["e"] for frame in before}) == 2
            assert {frame["event"]["E"] for frame in before} == {client.venue.now_ns // unit_ns}
