"""Faults of requests over real sockets, as a raw client of either wire sees them."""

import asyncio
import json
import time
from urllib.parse import urlencode

import aiohttp
import pytest

from bnml.venues.sim.faults.answers import PRESETS
from tests.venues.sim.faults.faulty import (
    BTC,
    FAR,
    INFO,
    MARKET,
    act,
    failures,
    faulty,
    fired,
    heard,
    kinds,
    load,
    orders,
    rule,
    user,
)
from tests.venues.sim.served import KEY, served, signature

REST = {"request": "POST /api/v3/order"}
METHOD = {"request": "order.place"}
BOTH = {"request": ["POST /api/v3/order", "order.place"]}
HANDSHAKE = (
    *(b"Host: x", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"),
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


async def opening(client, path):
    """What is said to a client that wants to open a socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2]))
    writer.write(b"\r\n".join((b"GET " + path + b" HTTP/1.1", *HANDSHAKE, b"", b"")))
    try:
        return await asyncio.wait_for(reader.read(1000), 5)
    finally:
        writer.close()


async def raw(client, method, path, **params):
    """(status, text, headers) of a signed request."""
    payload = urlencode({"timestamp": int(time.time() * 1000), **params})
    url = f"{client.base}{path}?{payload}&signature={signature(KEY.secret, payload)}"
    async with client.session.request(method, url, headers={"X-MBX-APIKEY": KEY.api_key}) as response:
        return response.status, await response.text(), response.headers


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("like", PRESETS)
async def test_each_wrong_answer_comes_over_rest_with_or_without_execution(like, at):
    preset = PRESETS[like]
    async with faulty(rule(act("answer", like=like), REST, {"times": 1}, at=at)) as client:
        status, text, headers = await raw(client, "POST", "/api/v3/order", **FAR, newClientOrderId="a")
        assert status == preset.status
        if preset.body:
            assert text == preset.body
            assert headers["Content-Type"].startswith(preset.content_type)
        else:
            said = json.loads(text)
            assert said["code"] == preset.code
            assert said["msg"].startswith(preset.text.split("{")[0])
        assert headers.get("Retry-After") == (
            str(int(preset.retry_after_s)) if preset.retry_after_s else None
        )
        assert await orders(client) == ([("a", "NEW")] if at == "after" else [])
        status, text, _ = await raw(client, "POST", "/api/v3/order", **FAR, newClientOrderId="b")
        assert status == 200, text


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("like", PRESETS)
async def test_each_wrong_answer_comes_over_the_websocket_api(like, at):
    preset = PRESETS[like]
    async with faulty(rule(act("answer", like=like), METHOD, {"times": 1}, at=at)) as client:
        api = await client.api()
        number = await api.post("order.place", is_signed=True, **FAR, newClientOrderId="a")
        (frame,) = await heard(api.socket)
        if preset.body:
            assert frame == preset.body
        else:
            assert (frame["id"], frame["status"], frame["error"]["code"]) == (
                number,
                preset.status,
                preset.code,
            )
            if preset.retry_after_s:
                data = frame["error"]["data"]
                assert data["retryAfter"] - data["serverTime"] == 1000 * preset.retry_after_s
        assert await orders(client) == ([("a", "NEW")] if at == "after" else [])
        answer, _ = await api.ask("order.place", is_signed=True, **FAR, newClientOrderId="b")
        assert answer["status"] == 200


async def test_an_answer_of_the_scripts_own():
    own = act("answer", status=408, code=-1007, text="Late.", retry_after_s=2.4)
    html = act("answer", like="overloaded", body="<h1>busy</h1>", content_type="text/html")
    async with faulty(
        rule(own, {"request": "GET /api/v3/ping"}), rule(html, {"request": "/api/v3/time"})
    ) as client:
        status, body, headers = await client.send("GET", "/api/v3/ping")
        assert (status, body, headers["Retry-After"]) == (408, {"code": -1007, "msg": "Late."}, "3")
        async with client.session.get(client.base + "/api/v3/time") as response:
            assert (response.status, await response.text()) == (503, "<h1>busy</h1>")


async def test_a_ban_says_until_when():
    async with faulty(rule(act("answer", like="banned"), {"request": "GET /api/v3/ping"})) as client:
        _, body, headers = await client.send("GET", "/api/v3/ping")
        until_ms = int(body["msg"].split("until ")[1].split(".")[0])
        assert headers["Retry-After"] == "120"
        assert abs(until_ms - 1000 * (time.time() + 120)) < 5_000


@pytest.mark.parametrize("at", ["before", "after"])
async def test_rest_connection_breaks_off_before_or_after_the_order_was_carried_out(at):
    async with faulty(rule("reset", REST, {"times": 1}, at=at)) as client:
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await raw(client, "POST", "/api/v3/order", **FAR, newClientOrderId="a")
        assert await orders(client) == ([("a", "NEW")] if at == "after" else [])


@pytest.mark.parametrize("at", ["before", "after"])
async def test_socket_breaks_off_before_or_after_the_order_was_carried_out(at):
    async with faulty(rule("reset", METHOD, {"times": 1}, at=at)) as client:
        api = await client.api()
        await api.post("order.place", is_signed=True, **FAR, newClientOrderId="a")
        message = await asyncio.wait_for(api.socket.receive(), 5)
        assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE}
        assert api.socket.close_code == 1006
        assert await orders(client) == ([("a", "NEW")] if at == "after" else [])


@pytest.mark.parametrize("at", ["before", "after"])
async def test_no_answer_at_all(at):
    async with faulty(rule("no_answer", BOTH, {"times": 2}, at=at)) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(raw(client, "POST", "/api/v3/order", **FAR, newClientOrderId="a"), 0.3)
        api = await client.api()
        await api.post("order.place", is_signed=True, **FAR, newClientOrderId="b")
        answer, before = await api.ask("ping")
        assert answer["result"] == {}
        assert before == []
        assert await orders(client) == ([("a", "NEW"), ("b", "NEW")] if at == "after" else [])


async def test_no_answer_ends_with_a_broken_line_when_told_so():
    async with faulty(rule(act("no_answer", seconds=0.2), BOTH)) as client:
        began = time.monotonic()
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await raw(client, "POST", "/api/v3/order", **FAR)
        assert 0.15 < time.monotonic() - began < 3
        api = await client.api()
        await api.post("order.place", is_signed=True, **FAR)
        message = await asyncio.wait_for(api.socket.receive(), 5)
        assert message.type is not aiohttp.WSMsgType.TEXT


@pytest.mark.parametrize("at", ["before", "after"])
async def test_requests_and_answers_are_late(at):
    async with faulty(rule(act("delay", seconds=0.3, jitter_s=0.1), BOTH, at=at)) as client:
        api = await client.api()
        for send in (
            raw(client, "POST", "/api/v3/order", **FAR, newClientOrderId="a"),
            api.ask("order.place", is_signed=True, **FAR, newClientOrderId="b"),
        ):
            before = len(await orders(client))
            began = time.monotonic()
            sending = asyncio.create_task(send)
            await asyncio.sleep(0.1)
            assert len(await orders(client)) - before == (1 if at == "after" else 0)
            await sending
            assert 0.3 <= time.monotonic() - began < 2


async def test_what_is_late_leaves_other_requests_of_its_connection_alone():
    async with faulty(rule(act("delay", seconds=0.2), METHOD)) as client:
        api = await client.api()
        slow = await api.post("order.place", is_signed=True, **FAR)
        quick = await api.post("ping")
        assert [(await api.next())["id"], (await api.next())["id"]] == [quick, slow]


@pytest.mark.parametrize("breaks_off", [True, False])
async def test_half_a_body(breaks_off):
    cut = act("truncate", keep=0.5, breaks_off=breaks_off)
    async with faulty(rule(cut, {"request": "GET /api/v3/account"}, {"times": 1})) as client:
        if breaks_off:
            with pytest.raises(aiohttp.ClientPayloadError):
                await raw(client, "GET", "/api/v3/account")
        else:
            status, text, _ = await raw(client, "GET", "/api/v3/account")
            assert status == 200
            with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
                json.loads(text)
        status, text, _ = await raw(client, "GET", "/api/v3/account")
        assert json.loads(text)["canTrade"] is True


async def test_half_a_frame_as_an_answer():
    async with faulty(rule(act("truncate", keep=0.3), {"request": "time"}, {"times": 1})) as client:
        api = await client.api()
        await api.post("time")
        (frame,) = await heard(api.socket)
        assert isinstance(frame, str)
        assert frame.startswith('{"id":1')
        assert (await api.ask("time"))[0]["status"] == 200


async def test_a_body_that_trickles_in_does_not_hold_others_up():
    async with faulty(rule(act("slow_body", seconds=0.4), {"request": f"GET {INFO}"})) as client:
        async with client.session.get(client.base + INFO) as response:
            began = time.monotonic()
            pieces = [piece async for piece, _ in response.content.iter_chunks()]
            assert len(json.loads(b"".join(pieces))["symbols"]) == 2
            assert time.monotonic() - began > 0.3
            assert len(pieces) > 5
        slow = asyncio.create_task(client.get(INFO))
        began = time.monotonic()
        await client.get("/api/v3/ping")
        assert time.monotonic() - began < 0.3
        await slow


async def test_an_answer_comes_twice():
    async with faulty(rule("duplicate", {"request": ["time", "GET /api/v3/time"]})) as client:
        api = await client.api()
        await api.post("time")
        assert [frame["id"] for frame in await heard(api.socket)] == [1, 1]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2]))
        writer.write(b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\n\r\n")
        text = b""
        while text.count(b"serverTime") < 2:
            text += await asyncio.wait_for(reader.read(10_000), 5)
        assert text.count(b"HTTP/1.1 200 OK") == 2
        assert text.count(b"serverTime") == 2
        writer.close()


@pytest.mark.parametrize(
    ("refused", "cancel", "new"), [("new", "SUCCESS", "FAILURE"), ("cancel", "FAILURE", "SUCCESS")]
)
async def test_half_a_cancel_replace(refused, cancel, new):
    match = {"request": "POST /api/v3/order/cancelReplace"}
    async with faulty(rule(act("half_replace", refused=refused), match, {"times": 1})) as client:
        order = await client.order(**{**FAR, "newClientOrderId": "old"})
        wanted = {**FAR, "cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": order["orderId"]}
        status, body, _ = await client.signed(
            "POST", "/api/v3/order/cancelReplace", **wanted, newClientOrderId="fresh"
        )
        assert (status, body["code"]) == (409, -2021)
        assert (body["data"]["cancelResult"], body["data"]["newOrderResult"]) == (cancel, new)
        expected = [("old", "CANCELED")] if refused == "new" else [("old", "NEW"), ("fresh", "NEW")]
        assert await orders(client) == expected


async def test_rules_pick_by_client_order_id_and_count():
    picky = rule(
        act("answer", like="timeout"),
        {**BOTH, "client_order_id": "bn-*"},
        {"after": 1, "times": 1},
        at="after",
    )
    async with faulty(picky) as client:
        said = [(await raw(client, "POST", "/api/v3/order", **FAR, newClientOrderId=name))[0]
                for name in ("x", "bn-1", "y", "bn-2", "bn-3")]  # fmt: skip
        assert said == [200, 200, 200, 504, 200]
        assert await fired(client) == [("answer", "POST /api/v3/order bn-2")]
        assert len(await orders(client)) == 5


async def test_an_order_that_filled_at_once_and_timed_out_was_filled_once():
    async with faulty(rule(act("answer", like="timeout"), BOTH, {"times": 1}, at="after")) as client:
        api = await user(client)
        answer, before = await api.ask("order.place", is_signed=True, **MARKET, newClientOrderId="a")
        assert (answer["status"], answer["error"]["code"]) == (504, -1007)
        assert kinds(before) == ["executionReport NEW", "executionReport TRADE", "outboundAccountPosition"]
        _, trades, _ = await client.signed("GET", "/api/v3/myTrades", **BTC)
        assert len(trades) == 1


async def test_a_query_right_after_the_order_finds_nothing_for_a_while():
    lag = rule(act("answer", like="no_such_order"), {"request": "GET /api/v3/order"}, {"times": 2})
    async with faulty(lag) as client:
        await client.order(**{**FAR, "newClientOrderId": "a"})
        said = [
            (await client.signed("GET", "/api/v3/order", **BTC, origClientOrderId="a"))[1] for _ in range(3)
        ]
        assert [one.get("code") for one in said] == [-2013, -2013, None]


async def test_sockets_are_refused_late_or_broken_off_as_they_open():
    firewall = rule(act("answer", like="firewall"), {"connect": "stream"}, {"times": 1})
    broken = rule("reset", {"connect": "api"}, {"times": 1})
    slow = rule(act("delay", seconds=0.2), {"connect": "any"}, {"after": 2})
    async with faulty(firewall, broken, slow) as client:
        assert (await opening(client, b"/ws")).startswith(b"HTTP/1.1 403 Forbidden")
        with pytest.raises(ConnectionResetError):
            await opening(client, b"/ws-api/v3")
        began = time.monotonic()
        api = await client.api()
        assert time.monotonic() - began >= 0.2
        assert (await api.ask("ping"))[0]["status"] == 200
        await api.socket.close()


async def test_a_stepped_market_waits_for_what_is_late():
    late = rule(act("delay", seconds=0.3), METHOD, at="after")
    async with faulty(late, steps=3) as client:
        _, made = await client.control("POST", "/sim/steppers", {})
        api = await client.api(stepper=made["stepper"])
        await api.post("order.place", is_signed=True, **FAR)
        await asyncio.sleep(0.1)
        _, body = await client.control("POST", "/sim/step", {"stepper": made["stepper"], "confirmed": 0})
        assert body["advanced"] is False
        assert (await api.next())["simSeq"] == 1
        _, body = await client.control("POST", "/sim/step", {"stepper": made["stepper"], "confirmed": 1})
        assert body["advanced"] is True


async def test_a_stepped_market_goes_on_without_an_answer_that_never_comes():
    async with faulty(rule("reset", REST, at="after")) as client:
        _, made = await client.control("POST", "/sim/steppers", {})
        api = await client.api(stepper=made["stepper"])
        assert (await api.ask("ping"))[0]["simSeq"] == 1
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await client.signed("POST", "/api/v3/order", headers={"X-SIM-STEPPER": made["stepper"]}, **FAR)
        _, body = await client.control("POST", "/sim/step", {"stepper": made["stepper"], "confirmed": 1})
        assert body["advanced"] is True


async def test_what_the_exchange_refuses_of_a_fault_is_told():
    order = act("manual_order", symbol="BTCUSDT", side="SELL", quantity="1")
    async with faulty(rule(order)) as client:
        assert await failures(client) == ["-2010 Account has insufficient balance for requested action."]


async def test_without_a_script_nothing_stands_in_the_way():
    async with served() as client:
        assert client.venue.faults is client.venue.hub.faults is client.venue.users.faults is None
        assert (await client.control("GET", "/sim/faults"))[1] == {"loaded": False}
        await load(client, rule(act("answer", like="overloaded"), {"request": "*"}))
        assert (await client.send("GET", "/api/v3/ping"))[0] == 503
        status, body = await client.control("DELETE", "/sim/faults")
        assert (status, body["loaded"], body["count"]) == (200, False, 1)
        assert (await client.send("GET", "/api/v3/ping"))[0] == 200
        assert client.venue.faults is None
        assert (await client.control("DELETE", "/sim/faults"))[0] == 200


async def test_bad_scripts_are_refused_over_http_and_change_nothing():
    async with faulty(rule(act("answer", like="overloaded"), {"request": "GET /api/v3/ping"})) as client:
        for script, said in (
            ({"rules": [{"do": "dorp"}]}, "drop"),
            ([], "seed"),
            ({"rules": [{"do": "cut"}]}, "sockets"),
        ):
            status, body = await client.control("POST", "/sim/faults", script)
            assert (status, body["code"]) == (400, -1130)
            assert said in body["msg"]
        assert (await client.send("GET", "/api/v3/ping"))[0] == 503
        async with client.session.get(client.base + "/sim/faults") as response:
            assert response.status == 401
        yaml = "rules:\n  - match: {request: GET /api/v3/ping}\n    do: {action: answer, like: firewall}\n"
        async with client.session.post(
            client.base + "/sim/faults", data=yaml, headers={"X-SIM-TOKEN": "token"}
        ) as response:
            assert response.status == 200
        async with client.session.get(client.base + "/api/v3/ping") as response:
            assert response.status == 403
