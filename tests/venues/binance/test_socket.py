"""One WebSocket to the venue, against a server of another hand: nothing is lost before its end, and its end is told."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import serve
from websockets.utils import accept_key

from bnml.core.errors import Retryable
from bnml.venues.binance import socket as module
from bnml.venues.binance.socket import SocketClosed, VenueSocket


@asynccontextmanager
async def venue(handler, **options):
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def port(handler):
    """A server of bytes alone; its handlers are over and their sockets closed when the context ends."""
    running = set()

    async def served(reader, writer):
        running.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.wait(running)


async def told(socket):
    """All frames to the end, and what was said of the end."""
    frames = []
    try:
        while True:
            frames.append(await socket.receive())
    except SocketClosed as ending:
        return frames, str(ending)


async def echoing(socket):
    async for message in socket:
        await socket.send(message)


async def test_frames_go_out_as_text_and_come_in_as_they_were_sent():
    async with venue(echoing) as url, VenueSocket(url) as socket:
        sent = [b'{"id":1}', b"x" * 125, b"y" * 126, b"z" * 70_000, "Grüße".encode()]
        await socket.send(sent[:3])
        await socket.send(sent[3:])
        assert [await socket.receive() for _ in sent] == sent


async def test_both_ask_the_other_for_a_sign_of_life():
    answered = asyncio.Event()

    async def asking(socket):
        await (await socket.ping(b"1763718000"))
        await socket.send("alive")
        await socket.wait_closed()

    async with venue(asking) as url, VenueSocket(url, answered.set) as socket:
        assert await socket.receive() == b"alive"
        reading = asyncio.create_task(socket.receive())
        await socket.ping()
        await asyncio.wait_for(answered.wait(), 5)
        reading.cancel()


async def test_all_that_the_venue_sent_before_its_goodbye_is_taken():
    """Also after ours: the successor of a connection counts on it."""

    async def busy(socket):
        for number in range(300):
            await socket.send(f"{number}")
        await socket.recv()

    async with venue(busy) as url, VenueSocket(url) as socket:
        assert await socket.receive() == b"0"
        closing = asyncio.create_task(socket.close())
        frames, ending = await told(socket)
        await closing
    assert frames == [str(number).encode() for number in range(1, 300)]
    assert "closed" in ending


async def test_the_venues_reason_is_told():
    async def leaving(socket):
        await socket.send("last words")
        await socket.close(1008, "too many requests")

    async with venue(leaving) as url, VenueSocket(url) as socket:
        frames, ending = await told(socket)
        with pytest.raises(SocketClosed):
            await socket.send([b"too late"])
    assert frames == [b"last words"]
    assert "1008" in ending
    assert "too many requests" in ending


async def test_a_connection_that_breaks_has_told_what_came_before():
    async def breaking(socket):
        await socket.send("before")
        socket.transport.abort()

    async with venue(breaking) as url, VenueSocket(url) as socket:
        frames, ending = await told(socket)
        for act in (socket.send([b"too late"]), socket.ping()):
            with pytest.raises(SocketClosed):
                await act
        await socket.close()
    assert frames == [b"before"]
    assert "broke" in ending


@asynccontextmanager
async def deaf_venue():
    """Opens the connection, and then neither reads nor answers."""
    done = asyncio.Event()

    async def deaf(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line[19:] for line in request.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: ")
        )
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
        )
        writer.transport.pause_reading()
        await done.wait()
        writer.transport.abort()

    async with port(deaf) as url:
        yield url
        done.set()


async def test_a_venue_that_does_not_say_goodbye_is_left(monkeypatch):
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    async with deaf_venue() as url, VenueSocket(url) as socket:
        reading = asyncio.create_task(told(socket))
        await socket.close()
        assert (await reading)[0] == []


async def test_a_venue_that_does_not_read_holds_up_no_order_and_splits_no_parcel(monkeypatch):
    """What waits here for room could leave with the next request, long after it was given up."""
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    async with deaf_venue() as url, VenueSocket(url) as socket:
        for _ in range(100):
            await asyncio.wait_for(socket.send([b"x" * 60_000, b"y" * 60_000]), 5)
        assert socket.transport.get_write_buffer_size() > 0
        assert socket._socket.parcel.taken() == b""
        await asyncio.wait_for(socket.close(), 5)


async def test_a_frame_beyond_all_measure_ends_the_connection(monkeypatch):
    monkeypatch.setattr(module, "MAX_FRAME_BYTES", 1000)

    async def endless(socket):
        await socket.send("x" * 999)
        await socket.send("x" * 1001)
        await socket.wait_closed()

    async with venue(endless) as url, VenueSocket(url) as socket:
        frames, ending = await told(socket)
    assert [len(frame) for frame in frames] == [999]
    assert "exceeds limit 1000" in ending


async def test_what_does_not_open_can_be_tried_again():
    def refusing(connection, _request):
        return connection.respond(418, "banned\n")

    async with venue(echoing, process_request=refusing) as url:
        with pytest.raises(Retryable, match="418"):
            async with VenueSocket(url):
                pass
    with pytest.raises(Retryable, match="does not open"):
        async with VenueSocket(url):
            pass


async def test_a_stranger_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "OPEN_S", 0.05)

    async def mute(reader, _writer):
        await reader.read()

    async with port(mute) as url:
        with pytest.raises(Retryable, match="does not open"):
            async with VenueSocket(url):
                pass
