"""Streams and WebSocket API over real sockets against scripted servers: breaks, silence, lost answers."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from websockets.asyncio.server import serve

from bnml.core.clock import LiveClock
from bnml.core.errors import Rejected, Retryable, UnknownOutcome
from bnml.venues.binance import succession
from bnml.venues.binance.codec import Beat, MarketCodec
from bnml.venues.binance.convoy import Convoy, join
from bnml.venues.binance.endpoints import Endpoints
from bnml.venues.binance.market import MarketStream, shards
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.wsapi import ApiConnection
from tests.venues.binance.kit import ALL, combined
from tests.venues.binance.web import Sink, running

BEAT = combined("!miniTicker@arr", [{"E": 5, "s": "A"}], 1)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(succession, "FIRST_BACKOFF_S", 0.01)


@asynccontextmanager
async def server(handler):
    async with serve(handler, "127.0.0.1", 0, compression=None) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}"


def stream(url, sink, stale_s=30.0):
    return MarketStream(
        f"{url}/stream",
        MarketCodec(ALL, "1m"),
        ["!miniTicker@arr"],
        LiveClock(),
        on_item=sink.item,
        on_link=sink.link,
        stale_s=stale_s,
    )


async def test_a_stream_comes_back_after_the_venue_closed_it():
    subscriptions = []

    async def handler(socket):
        subscriptions.append(msgspec.json.decode(await socket.recv()))
        await socket.send(BEAT.decode())
        if len(subscriptions) == 1:
            await socket.close()
        await socket.wait_closed()

    sink = Sink()
    async with server(handler) as url, running(stream(url, sink).run()):
        await sink.until(lambda: len(sink.items) == 2)
    assert [one["params"] for one in subscriptions] == [["!miniTicker@arr"]] * 2
    assert [up for up, _ in sink.links] == [True, False, True]
    assert sink.items == [(1, Beat(5_000_000))] * 2


async def test_streams_are_added_and_taken_away_while_reading_and_after_a_break():
    requests, sockets = [], []

    async def handler(socket):
        sockets.append(socket)
        async for text in socket:
            requests.append(msgspec.json.decode(text))
            await socket.send(
                msgspec.json.encode({"result": None, "id": requests[-1]["id"], "simSeq": 9}).decode()
            )

    sink = Sink()
    async with server(handler) as url:
        made = stream(url, sink)
        await made.subscribe(["early"])  # no socket yet: it will come with the others
        async with running(made.run()):
            await sink.until(lambda: sink.links)
            await made.subscribe(["a", "b"])
            assert requests[-1] == {"method": "SUBSCRIBE", "params": ["a", "b"], "id": 2}
            await made.unsubscribe(["a", "unknown"])
            assert requests[-1]["params"] == ["a"]
            assert made.room == 997
            await sockets[0].close()
            await sink.until(lambda: len(sink.links) == 3)
            await sink.until(lambda: len(sink.items) == 4)
    assert requests[0]["params"] == ["!miniTicker@arr", "early"]
    assert requests[-1] == {"method": "SUBSCRIBE", "params": ["!miniTicker@arr", "early", "b"], "id": 1}
    assert sink.items == [(9, None)] * 4


async def test_a_subscription_does_not_wait_for_an_answer_that_cannot_come():
    async def handler(socket):
        await socket.recv()
        await socket.recv()
        await socket.close()

    sink = Sink()
    async with server(handler) as url:
        made = stream(url, sink)
        async with running(made.run()):
            await sink.until(lambda: sink.links)
            async with asyncio.timeout(5):
                await made.subscribe(["a"])


async def test_a_silent_stream_is_left():
    async def handler(socket):
        await socket.wait_closed()

    sink = Sink()
    async with server(handler) as url, running(stream(url, sink, stale_s=0.2).run()):
        await sink.until(lambda: len(sink.links) >= 2)
    assert "silent" in sink.links[1][1]


async def test_a_frame_that_cannot_be_read_breaks_the_connection():
    async def handler(socket):
        await socket.recv()
        await socket.send("nonsense")
        await socket.wait_closed()

    sink = Sink()
    async with server(handler) as url, running(stream(url, sink).run()):
        await sink.until(lambda: len(sink.links) >= 2)
    assert "cannot be read" in sink.links[1][1]


def test_more_streams_than_a_socket_takes_are_shared_out():
    names = [str(number) for number in range(2300)]
    parts = shards(names)
    assert [len(part) for part in parts] == [1000, 1000, 300]
    assert [name for part in parts for name in part] == names


def api(url, sink, numbers=None, timeout_s=5.0):
    async def event(number, raw):
        await sink.item(number, bytes(raw))

    return ApiConnection(
        url,
        Signer("key", "secret"),
        LiveClock(),
        timestamp_ms=lambda: 1,
        on_event=event,
        on_link=sink.link,
        on_number=(numbers if numbers is not None else []).append,
        timeout_s=timeout_s,
        receive_window_ms=5000,
    )


def answering(answer):
    """A venue that accepts the subscription and answers other requests with `answer(request)`; None closes."""

    async def handler(socket):
        async for text in socket:
            request = msgspec.json.decode(text)
            if request["method"].startswith("userDataStream"):
                found = {"status": 200, "result": {"subscriptionId": 0}}
            else:
                found = answer(request)
            if found is None:
                await socket.close()
                return
            if found:
                await socket.send(msgspec.json.encode({"id": request["id"], **found}).decode())

    return handler


async def test_answers_find_their_requests_and_numbers_are_released():
    sink, numbers = Sink(), []
    handler = answering(
        lambda request: {"status": 200, "result": {"echo": request["params"]["a"]}, "simSeq": 9}
    )
    async with server(handler) as url:
        connection = api(url, sink, numbers)
        async with running(connection.run()):
            await sink.until(lambda: connection.up)
            one, two = await asyncio.gather(
                connection.request("order.status", {"a": "1"}), connection.request("order.status", {"a": "2"})
            )
            held = await connection.request("order.place", {"a": "3"}, order=True, hold=True)
    assert (one.body, two.body) == (b'{"echo":"1"}', b'{"echo":"2"}')
    assert held.number == 9
    assert numbers == [9, 9]


async def test_a_refusal_is_an_error_by_its_code():
    sink = Sink()
    handler = answering(lambda _: {"status": 400, "error": {"code": -2010, "msg": "no"}})
    async with server(handler) as url:
        connection = api(url, sink)
        async with running(connection.run()):
            await sink.until(lambda: connection.up)
            with pytest.raises(Rejected, match="-2010"):
                await connection.request("order.place", {}, order=True)


async def test_an_order_without_answer_has_an_unknown_outcome():
    sink = Sink()
    async with server(answering(lambda _: {})) as url:
        connection = api(url, sink, timeout_s=0.2)
        async with running(connection.run()):
            await sink.until(lambda: connection.up)
            with pytest.raises(UnknownOutcome):
                await connection.request("order.place", {}, order=True)
            with pytest.raises(Retryable):
                await connection.request("openOrders.status", {})


async def test_an_order_whose_connection_breaks_has_an_unknown_outcome():
    sink = Sink()
    async with server(answering(lambda _: None)) as url:
        connection = api(url, sink)
        async with running(connection.run()):
            await sink.until(lambda: connection.up)
            with pytest.raises(UnknownOutcome):
                await connection.request("order.place", {}, order=True)
            await sink.until(lambda: [up for up, _ in sink.links] == [True, False, True])


async def test_a_request_before_the_connection_stands_was_certainly_not_sent():
    connection = api("ws://127.0.0.1:1", Sink())
    with pytest.raises(Retryable) as caught:
        await connection.request("order.place", {}, order=True)
    assert not isinstance(caught.value, UnknownOutcome)


async def test_a_convoy_whose_writer_is_given_up_leaves_the_others_in_doubt():
    """A cancellation that spread to them would end their tasks without a word."""
    convoy, writing = Convoy(2), asyncio.Event()

    async def write(_):
        writing.set()
        await asyncio.sleep(60)

    other = asyncio.create_task(convoy.leave(0, b"cancel", write))
    await asyncio.sleep(0)
    writer = asyncio.create_task(convoy.leave(1, b"sale", write))
    await writing.wait()
    writer.cancel()
    with pytest.raises(UnknownOutcome):
        await other
    assert not other.cancelled()


async def test_requests_of_a_convoy_are_handed_to_the_system_in_one_write():
    """All or none of them leave a process that dies; the venue gets them in their order."""
    seen = []
    sink = Sink()
    connection = api("", sink)

    async def ask(convoy, place):
        join(convoy, place)
        return await connection.request("order.cancel", {"symbol": f"S{place}"}, order=True)

    async with server(answering(lambda one: seen.append(one["params"]["symbol"]) or {"status": 200})) as url:
        connection.addresses = Endpoints((url,))
        async with running(connection.run()):
            await sink.until(lambda: sink.links)
            transport = connection._leg._socket.transport
            writes = []
            write = transport.write
            transport.write = lambda data: writes.append(data) or write(data)
            convoy = Convoy(3)
            await asyncio.gather(*(ask(convoy, place) for place in (2, 0, 1)))
            del transport.write
    assert seen == ["S0", "S1", "S2"]
    assert len(writes) == 1


NOBODY = "ws://127.0.0.1:9"  # the port for what is thrown away: refused


def account(url, sink, *more):
    return ApiConnection(
        url,
        Signer("key", "secret"),
        LiveClock(),
        timestamp_ms=lambda: 1,
        on_event=sink.item,
        on_link=sink.link,
        on_number=lambda _: None,
        timeout_s=1.0,
        receive_window_ms=5000,
        more_urls=more,
    )


async def test_f13_market_streams_go_to_the_next_address_after_three_failures_and_stay():
    came = []

    async def handler(socket):
        came.append(msgspec.json.decode(await socket.recv()))
        await socket.send(BEAT.decode())
        await socket.wait_closed()

    async def hangs_up(socket):
        closed.append(1)
        await socket.close()

    closed, sink = [], Sink()
    async with server(handler) as good, server(hangs_up) as bad:
        made = MarketStream(
            f"{NOBODY}/stream",
            MarketCodec(ALL, "1m"),
            ["!miniTicker@arr"],
            LiveClock(),
            on_item=sink.item,
            on_link=sink.link,
            stale_s=30.0,
            more_urls=(f"{bad}/stream", f"{good}/stream"),
        )
        async with running(made.run()):
            await sink.until(lambda: len(sink.items) == 1)
    assert len(closed) == 3, "a connection that does not last is a failure, too"
    assert len(came) == 1
    assert made.url == f"{good}/stream"


async def test_f13_the_accounts_connection_goes_to_the_next_address():
    async def handler(socket):
        async for frame in socket:
            asked = msgspec.json.decode(frame)
            await socket.send(msgspec.json.encode({"id": asked["id"], "status": 200, "result": {}}).decode())

    sink = Sink()
    async with server(handler) as good:
        made = account(NOBODY, sink, good)
        async with running(made.run()):
            async with asyncio.timeout(5):
                while not made.up:  # noqa: ASYNC110 - the connection has no event for tests
                    await asyncio.sleep(0.01)
        assert made.url == good


async def test_one_address_is_tried_again_and_again():
    made = account(NOBODY, Sink())
    async with running(made.run()):
        await asyncio.sleep(0.3)
    assert made.url == NOBODY
