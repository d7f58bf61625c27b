"""Faults of market frames, user events and sockets, as a raw client hears them."""

import asyncio
import time
from itertools import pairwise

import aiohttp
import pytest

from tests.venues.sim.faults.faulty import (
    BTC,
    FAR,
    MARKET,
    act,
    faulty,
    fired,
    heard,
    kinds,
    load,
    rule,
    streams,
    user,
)

KLINES = "/ws/btcusdt@kline_1h"
TRADES = "/ws/btcusdt@trade"


async def bars(client, socket, count=6):
    """Open times (hours) of the closed candles that `count` further bars bring."""
    client.steps(5 * count)
    return [frame["k"]["t"] // 3_600_000 % 1000 for frame in await heard(socket)]


async def trade_ids(client, path=TRADES, count=10):
    """Trade ids as they come in."""
    socket = await streams(client, path)
    client.steps(count)
    return [
        frame["t"] if isinstance(frame, dict) and "t" in frame else frame for frame in await heard(socket)
    ]


async def test_a_closed_candle_is_missed():
    async with faulty() as client:
        socket = await streams(client, KLINES)
        first = await bars(client, socket)
        await load(client, rule("drop", {"stream": "*@kline_*", "closed": True}, {"after": 1, "times": 2}))
        second = await bars(client, socket)
    hours = [*range(second[0], second[0] + 6)]
    assert len(first) == 6
    assert second == [hours[0], *hours[3:]]


@pytest.mark.parametrize("pattern", ["btcusdt@depth", "*@depth@100ms", "*@depth*"])
async def test_a_gap_in_the_depth_stream(pattern):
    async with faulty(rule("drop", {"stream": pattern}, {"after": 2, "times": 1})) as client:
        socket = await streams(client, "/ws/btcusdt@depth@100ms")
        client.steps(10)
        frames = await heard(socket)
    ranges = [(frame["U"], frame["u"]) for frame in frames]
    gaps = [number for number, (one, two) in enumerate(pairwise(ranges)) if two[0] != one[1] + 1]
    assert gaps == [1]


async def test_one_stream_is_dropped_and_the_others_are_not():
    async with faulty(rule("drop", {"stream": "*@trade", "symbol": "BTCUSDT"})) as client:
        socket = await streams(client, "/stream?streams=btcusdt@trade/ethusdt@trade")
        client.steps(5)
        assert {frame["stream"] for frame in await heard(socket)} == {"ethusdt@trade"}


async def test_frames_come_twice_or_fifty_times():
    async with faulty(rule("duplicate", {"stream": "*@trade"}, {"times": 1})) as client:
        ids = await trade_ids(client)
        assert ids[0] == ids[1]
        assert ids[1:] == sorted(set(ids))
        await load(client, rule(act("duplicate", copies=49), {"stream": "*@trade"}))
        burst = await trade_ids(client, count=5)
        assert [burst.count(one) for one in sorted(set(burst))] == [50] * len(set(burst))


async def test_frames_come_in_disorder():
    async with faulty(
        rule(act("reorder", behind=2), {"stream": "*@trade"}, {"after": 1, "times": 1})
    ) as client:
        ids = await trade_ids(client)
    first = ids[0]
    assert ids[:5] == [first, first + 2, first + 3, first + 1, first + 4]


async def test_frames_are_late_and_hold_back_what_follows():
    late = rule(act("delay", seconds=0.3), {"stream": "*@trade"}, {"after": 1, "times": 1})
    async with faulty(late) as client:
        socket = await streams(client, TRADES)
        client.steps(6)
        assert len(await heard(socket, 0.1)) == 1
        ids = [frame["t"] for frame in await heard(socket, 0.5)]
    assert ids == sorted(ids)
    assert len(ids) == 4


async def test_frames_are_cut_or_nonsense_or_of_an_unknown_kind():
    rules = (
        rule(act("truncate", keep=0.5), {"stream": "*@trade"}, {"times": 1}),
        rule(act("inject", text="<html>"), {"stream": "*@trade"}, {"after": 1, "times": 1}),
        rule(
            act("inject", text='{"e":"novel"}', instead=True), {"stream": "*@trade"}, {"after": 2, "times": 1}
        ),
    )
    async with faulty(*rules) as client:
        half, html, whole, novel, *others = await trade_ids(client)
        assert half.startswith('{"e":"trade"')
        assert html == "<html>"
        assert novel == {"e": "novel"}
        assert others == list(range(whole + 2, whole + 2 + len(others)))


async def placed(client, api, order=None, **more):
    """User events of one order, before and after its answer."""
    _, before = await api.ask("order.place", is_signed=True, **{**(order or MARKET), **more})
    return kinds(before + await heard(api.socket))


USUAL = ["executionReport NEW", "executionReport TRADE", "outboundAccountPosition"]
NEW, TRADE, POSITION = USUAL


@pytest.mark.parametrize(
    ("do", "match", "expected"),
    [
        ("drop", {"user_event": "executionReport", "execution": "TRADE"}, [NEW, POSITION]),
        ("drop", {"user_event": "*"}, []),
        ("drop", {"user_event": "outbound*"}, [NEW, TRADE]),
        ("drop", {"user_event": "*", "status": "NEW"}, [TRADE, POSITION]),
        ("drop", {"user_event": "*", "client_order_id": "other"}, USUAL),
        ("duplicate", {"user_event": "executionReport"}, [NEW, NEW, TRADE, TRADE, POSITION]),
        ("reorder", {"user_event": "*", "execution": "NEW"}, [TRADE, NEW, POSITION]),
        (act("reorder", behind=2), {"user_event": "*", "execution": "NEW"}, [TRADE, POSITION, NEW]),
        ("reorder", {"user_event": "*", "execution": "TRADE"}, [NEW, POSITION, TRADE]),
        (act("delay", seconds=0.05), {"user_event": "executionReport"}, USUAL),
    ],
)
async def test_user_events_are_missing_doubled_in_disorder_or_late(do, match, expected):
    async with faulty(rule(do, match)) as client:
        assert await placed(client, await user(client), newClientOrderId="mine") == expected


async def test_a_user_event_that_breaks_off_or_is_of_an_unknown_kind():
    rules = (
        rule(act("inject", text='{"e":"fromTheFuture"}'), {"user_event": "*"}, {"times": 1}),
        rule(act("truncate", keep=0.4), {"user_event": "*", "execution": "TRADE"}),
    )
    async with faulty(*rules) as client:
        api = await user(client)
        await api.post("order.place", is_signed=True, **MARKET)
        future, new, half, *_ = await heard(api.socket)
        assert future["event"] == {"e": "fromTheFuture"}
        assert new["event"]["x"] == "NEW"
        assert half.startswith('{"e":"executionReport"')


async def test_late_user_events_come_after_the_answer_and_the_answer_waits_too():
    async with faulty(
        rule(act("delay", seconds=0.3), {"user_event": "executionReport"}, {"times": 1})
    ) as client:
        api = await user(client)
        began = time.monotonic()
        answer, before = await api.ask("order.place", is_signed=True, **MARKET)
        assert time.monotonic() - began >= 0.3
        assert kinds(before) == USUAL
        assert answer["status"] == 200


async def test_a_silent_socket_is_open_and_says_nothing_until_it_is_over():
    silent = rule(act("silent", lasts_market_s=3 * 3600), {"stream": "*@kline_*"}, {"after": 2, "times": 1})
    async with faulty(silent) as client:
        socket = await streams(client, KLINES)
        other = await streams(client, KLINES.replace("btc", "eth"))
        assert len(await bars(client, socket, 1)) == 1
        hours = await bars(client, socket, 8)
        assert 3 <= len(hours) <= 6
        assert not socket.closed
        assert len(await heard(other)) == 9
        await socket.ping()
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert (await heard(socket))[-1]["result"] == ["btcusdt@kline_1h"]


async def test_a_dead_socket_hears_nothing_either():
    async with faulty(rule(act("silent", pings=False), {"connect": "api"})) as client:
        api = await client.api()
        await api.post("order.place", is_signed=True, **FAR)
        await api.socket.ping()
        assert await heard(api.socket) == []
        assert (await client.signed("GET", "/api/v3/openOrders"))[1] == []
        await client.control("DELETE", "/sim/faults")
        assert [frame["status"] for frame in await heard(api.socket)] == [200]


async def test_no_pings_for_new_and_for_open_sockets():
    async with faulty(rule("no_pings", {"connect": "stream"}, {"times": 1})) as client:
        kept = [await streams(client, KLINES) for _ in range(2)]
        assert sorted(one.sends_pings for one in client.venue.sockets) == [False, True]
        await load(client, rule(act("no_pings", sockets="all")))
        assert [one.sends_pings for one in client.venue.sockets] == [False] * len(kept)


async def test_a_socket_breaks_off_in_the_middle_of_its_stream():
    async with faulty(rule("reset", {"stream": "*@trade"}, {"after": 2, "times": 1})) as client:
        socket, other = await streams(client, TRADES), await streams(client, KLINES)
        client.steps(10)
        await heard(socket)
        assert socket.close_code == 1006
        assert not other.closed
        await other.close()


async def test_twenty_four_hours_are_over():
    async with faulty() as client:
        socket, api = await streams(client, KLINES), await client.api()
        await load(client, rule(act("cut", sockets="stream"), when={"from_market": 3600}))
        client.steps(2)
        assert await heard(socket, 0.05) == []
        client.steps(5)
        assert (await heard(socket))[-1] in {"CLOSE", "CLOSED"}
        assert socket.close_code is not None
        assert socket.close_code != 1006
        assert (await api.ask("ping"))[0]["status"] == 200


async def test_the_server_says_that_it_goes_and_goes():
    async with faulty() as client:
        plain, combined, api = (
            await streams(client, KLINES),
            await streams(client, "/stream"),
            await client.api(),
        )
        await load(client, rule(act("server_shutdown", notice_s=0.3)))
        assert (await heard(plain, 0.1))[0]["e"] == "serverShutdown"
        assert (await heard(combined, 0.1))[0]["data"]["e"] == "serverShutdown"
        assert (await heard(api.socket, 0.1))[0]["event"]["e"] == "serverShutdown"
        assert not plain.closed
        assert (await heard(plain, 1))[-1] in {"CLOSE", "CLOSED"}
        assert (await heard(api.socket, 1))[-1] in {"CLOSE", "CLOSED"}


async def test_new_connections_find_no_port_and_open_ones_stay():
    async with faulty() as client:
        api = await client.api()
        port = int(client.base.rpartition(":")[2])
        await load(client, rule(act("refuse_connections", seconds=0.4)))
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert (await api.ask("ping"))[0]["status"] == 200
        await asyncio.sleep(0.5)
        assert (await client.send("GET", "/api/v3/ping"))[0] == 200
        await load(client, rule(act("refuse_connections", seconds=0.2, cut=True)))
        await heard(api.socket)
        assert api.socket.close_code == 1006
        with pytest.raises((aiohttp.ClientConnectionError, OSError)):
            await client.session.ws_connect(client.sockets + "/ws")
        await asyncio.sleep(0.3)
        assert (await client.send("GET", "/api/v3/ping"))[0] == 200


async def test_a_stepper_counts_only_what_it_gets():
    rules = (
        rule("drop", {"stream": "*@trade"}, {"every": 3}),
        rule("duplicate", {"stream": "*@trade"}, {"after": 1, "every": 3}),
    )
    async with faulty(*rules) as client:
        _, made = await client.control("POST", "/sim/steppers", {})
        socket = await streams(client, f"{TRADES}?stepper={made['stepper']}")
        client.steps(12)
        frames = await heard(socket)
        assert [frame["simSeq"] for frame in frames] == list(range(1, len(frames) + 1))
        assert [action for action, _ in await fired(client)].count("drop") > 2


async def test_exchange_actions_in_the_middle_of_events_wait_until_these_are_out():
    deposit = rule(act("transfer", asset="USDT", amount="5"), {"user_event": "executionReport"}, {"times": 1})
    async with faulty(deposit) as client:
        api = await user(client)
        assert await placed(client, api) == [*USUAL, "balanceUpdate", POSITION]


async def test_a_held_frame_goes_out_when_the_script_goes():
    async with faulty(rule(act("reorder", behind=100), {"user_event": "*", "execution": "TRADE"})) as client:
        api = await user(client)
        assert await placed(client, api) == [NEW, POSITION]
        await client.control("DELETE", "/sim/faults")
        assert kinds(await heard(api.socket)) == [TRADE]
        assert (await client.signed("GET", "/api/v3/myTrades", **BTC))[0] == 200


async def test_a_stepped_market_waits_for_frames_that_are_held_back():
    async with faulty(rule(act("delay", seconds=0.3), {"stream": "*@trade"}, {"times": 1})) as client:
        _, made = await client.control("POST", "/sim/steppers", {})
        socket = await streams(client, f"{TRADES}?stepper={made['stepper']}")
        step = {"stepper": made["stepper"], "confirmed": 0}
        advanced = [(await client.control("POST", "/sim/step", step))[1]["advanced"] for _ in range(4)]
        assert advanced[-2:] == [False, False]
        (frame,) = await heard(socket, 0.5)
        assert frame["simSeq"] == 1
        _, body = await client.control("POST", "/sim/step", {**step, "confirmed": 1})
        assert body["advanced"] is True
