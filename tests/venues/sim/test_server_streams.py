"""Market streams over real sockets: order of events, candles that close once, books without holes."""

import asyncio
import json

import pytest

from bnml.venues.sim import connection
from bnml.venues.sim.driver import Pacing
from tests.venues.sim.served import served

HOUR_MS = 3_600_000


async def collect(socket, wait_s=0.3):
    """Everything that arrives until it is quiet."""
    frames = []
    while True:
        try:
            frames.append(json.loads(await socket.receive_str(timeout=wait_s)))
        except TimeoutError:
            return frames


async def test_names_in_the_path_and_a_bare_connection_number():
    async with served(stepped=False) as client:
        named = await client.session.ws_connect(f"{client.sockets}/ws/btcusdt@trade/ethusdt@trade")
        bare = await client.session.ws_connect(f"{client.sockets}/stream/ws/7")
        await bare.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
        assert await bare.receive_json() == {"result": None, "id": 1}
        client.venue.advance(client.driver._next)
        assert [frame["s"] for frame in await collect(named)] == ["BTCUSDT", "ETHUSDT"]
        assert [frame["s"] for frame in await collect(bare)] == ["BTCUSDT"]


async def test_combined_streams_are_wrapped():
    async with served(stepped=False) as client:
        socket = await client.session.ws_connect(f"{client.sockets}/stream?streams=btcusdt@trade")
        client.venue.advance(client.driver._next)
        (frame,) = await collect(socket)
        assert (frame["stream"], frame["data"]["e"]) == ("btcusdt@trade", "trade")


async def test_events_of_steps_have_their_order_and_candles_close_once():
    names = ["trade", "depth20", "kline_1h", "kline_4h", "miniTicker"]
    async with served(stepped=False, length=30) as client:
        streams = "/".join([*(f"btcusdt@{name}" for name in names), "!miniTicker@arr"])
        socket = await client.session.ws_connect(f"{client.sockets}/stream?streams={streams}")
        driver = client.driver
        while not driver.is_done:
            step, driver._next = driver._next, next(driver._steps, None)
            client.venue.advance(step)
        frames = await collect(socket)
    trades = [frame["data"]["t"] for frame in frames if frame["stream"] == "btcusdt@trade"]
    assert trades == list(range(1, 30 * 4 + 1))
    for name, hours in (("kline_1h", 1), ("kline_4h", 4)):
        updates = [frame["data"]["k"] for frame in frames if frame["stream"] == f"btcusdt@{name}"]
        closed = [update["t"] for update in updates if update["x"]]
        assert len(closed) >= 29 // hours - 1
        assert closed == [closed[0] + number * hours * HOUR_MS for number in range(len(closed))]
        opens = [update["t"] for update in updates]
        assert opens == sorted(opens), "no update of a candle before its predecessor closed"
    second = [frame["stream"] for frame in frames[frames.index(frames[0]) :]]
    boundary = [index for index, frame in enumerate(frames) if frame["data"] and _closes(frame)][5]
    print_, book = second[boundary - 2 : boundary]
    assert (print_, book) == ("btcusdt@trade", "btcusdt@depth20")


def _closes(frame):
    return frame["stream"] == "btcusdt@kline_1h" and frame["data"]["k"]["x"]


async def test_closed_candles_equal_the_rest_candles():
    async with served(length=20) as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws/btcusdt@kline_1h/btcusdt@kline_4h")
        client.steps(100)
        closed = [frame["k"] for frame in await collect(socket)]
        assert closed
        assert all(one["x"] for one in closed), "a stepped client gets closed candles only"
        for one in closed:
            (row,) = await client.get(
                "/api/v3/klines", symbol="BTCUSDT", interval=one["i"], startTime=one["t"], limit=1
            )
            assert row[:9] == [*(one[name] for name in "tohlcvTqn")]


async def test_depth_differences_join_the_snapshot_without_a_hole():
    async with served(length=40) as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws/btcusdt@depth@100ms")
        client.steps(3)
        snapshot = await client.get("/api/v3/depth", symbol="BTCUSDT", limit=1000)
        book = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        client.steps(40)
        last = snapshot["lastUpdateId"]
        events = [event for event in await collect(socket) if event["u"] > last]
        assert len(events) > 20
        for event in events:
            assert event["U"] == last + 1
            last = event["u"]
            for side in "ba":
                for price, quantity in event[side]:
                    if float(quantity):
                        book[side][price] = quantity
                    else:
                        del book[side][price]
        now = await client.get("/api/v3/depth", symbol="BTCUSDT", limit=1000)
        assert (book["b"], book["a"], last) == (dict(now["bids"]), dict(now["asks"]), now["lastUpdateId"])


async def test_the_beat_lists_only_what_changed():
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws/!miniTicker@arr@1000ms")
        client.steps(2)
        ((one, two),) = await collect(socket)
        assert (one["e"], one["s"], two["s"]) == ("24hrMiniTicker", "BTCUSDT", "ETHUSDT")


async def test_a_chatty_client_is_cut_off():
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws")
        for number in range(6):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        for number in range(5):
            assert (await socket.receive_json(timeout=20))["id"] == number
        assert (await socket.receive(timeout=20)).type.name in {"CLOSE", "CLOSING", "CLOSED"}


async def test_a_timed_market_keeps_its_pace_and_its_time_never_passes_the_next_step():
    async with served(stepped=False, speed=36_000.0) as client:
        assert isinstance(client.driver, Pacing)
        first_ns = client.venue.now_ns
        task = asyncio.create_task(client.driver.run())
        await asyncio.sleep(0.5)
        task.cancel()
        passed_s = (client.venue.now_ns - first_ns) / 1e9
        assert 0.2 * 36_000 < passed_s <= 36_000, "five market hours in half a second"
        assert client.driver.market_now_ns() <= client.driver._next.ts_ns


async def test_ordinary_http_on_a_socket_path_is_told_so():
    async with served() as client, client.session.get(f"{client.base}/ws/btcusdt@trade") as response:
        assert response.status == 426


@pytest.mark.parametrize("path", ["/ws?stepper=nobody", "/ws-api/v3?stepper=nobody"])
async def test_an_unknown_stepper_gets_no_socket(path):
    async with served() as client, client.session.get(client.base + path) as response:
        assert response.status == 400


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/stream?streams=btcusdt@trade"])
async def test_a_market_without_its_source_takes_no_listeners(path):
    async with served() as client:
        client.venue.is_stale = True
        async with client.session.get(client.base + path) as response:
            assert response.status == 503
        assert (await client.control("GET", "/sim/state"))[1]["stale"] is True
        client.venue.is_stale = False
        await (await client.session.ws_connect(client.base + path)).close()


@pytest.mark.parametrize("size", [100, 200_000])
async def test_a_client_that_does_not_read_is_cut_off_and_its_queue_stays_bounded(size, monkeypatch):
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 0.3)
    async with served() as client:
        socket = await client.session.ws_connect(f"{client.sockets}/ws/btcusdt@trade")
        reader = await client.session.ws_connect(f"{client.sockets}/ws/btcusdt@miniTicker")
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert (await socket.receive_json(timeout=20))["id"] == 1
        socket._response.connection.transport.pause_reading()
        slow = next(one for one in client.venue.sockets if _hears(client, one))
        frame = b'"' + b"x" * size + b'"'
        for _ in range(2 * connection.MAX_QUEUED_FRAMES):
            client.venue.hub.publish("btcusdt@trade", frame)
            if slow.is_over:
                break
        assert slow.is_over
        assert len(slow._queue) <= connection.MAX_QUEUED_FRAMES + 1
        assert slow._queued_bytes <= connection.MAX_QUEUED_BYTES + size + 2
        for _ in range(100):
            await asyncio.sleep(0.05)
            if slow not in client.venue.sockets:
                break
        assert slow not in client.venue.sockets, "gone, though it never read a closing frame"
        assert not slow._queue
        client.venue.hub.publish("btcusdt@miniTicker", b"{}")
        assert await reader.receive_str(timeout=20) == "{}"


def _hears(client, one):
    return any(listener.connection is one for listener in client.venue.hub._listeners["btcusdt@trade"])
