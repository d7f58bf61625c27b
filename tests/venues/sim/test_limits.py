"""Limits over the wire: who is told to wait, for how long, and who is not served at all."""

import asyncio
import time

import pytest

from bnml.core.clock import NS_PER_DAY, NS_PER_S, ManualClock
from bnml.venues.sim.bans import FIRST_BAN_NS, LONGEST_BAN_NS, STRIKES, Bans
from bnml.venues.sim.weights import MINUTE_NS, WEIGHT, RateLimits, TooMany
from tests.venues.sim.served import START_NS, served

API = "/api/v3"
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.1",
    "price": "80",
}
TOO_HEAVY = (
    "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
    "Please use WebSocket Streams for live updates to avoid polling the API."
)


def use_up(client, weight=6_000):
    now_ns = client.venue.window_ns
    client.venue.limits.charge(weight - client.venue.limits.used_weight(now_ns), now_ns)


async def test_who_does_not_wait_is_banned_each_time_for_longer():
    clock = ManualClock(START_NS + 17 * NS_PER_S)
    async with served(clock=clock) as client:
        for minutes in (2, 4, 8):
            use_up(client)
            for _ in range(STRIKES):
                status, body, headers = await client.send("GET", f"{API}/ping")
                assert (status, body["code"], body["msg"]) == (429, -1003, TOO_HEAVY)
            assert 1 <= int(headers["Retry-After"]) <= 60
            status, body, headers = await client.send("GET", f"{API}/ping")
            until_ms = client.venue.wall_ms() + minutes * 60_000
            assert (status, body["code"], headers["Retry-After"]) == (418, -1003, str(minutes * 60))
            assert body["msg"].startswith(f"Way too much request weight used; IP banned until {until_ms}.")
            clock.advance(minutes * MINUTE_NS - NS_PER_S)
            assert (await client.send("GET", f"{API}/time"))[0] == 418
            clock.advance(NS_PER_S)
            assert (await client.send("GET", f"{API}/ping"))[0] == 200


async def test_a_ban_closes_the_socket_api_and_opens_no_socket():
    async with served() as client:
        api = await client.api()
        assert (await client.control("POST", "/sim/ban", {"seconds": 120}))[0] == 200
        banned, _ = await api.ask("ping")
        assert (banned["status"], banned["error"]["code"]) == (418, -1003)
        data = banned["error"]["data"]
        assert data["retryAfter"] > data["serverTime"]
        closed = await api.socket.receive(timeout=5)
        assert (closed.type.name, closed.data) == ("CLOSE", 1008)
        for path in ("/ws-api/v3", "/ws/btcusdt@trade"):
            with pytest.raises(Exception, match="418"):
                await client.session.ws_connect(client.sockets + path)
        await client.control("POST", "/sim/ban", {"seconds": 0})
        assert (await client.send("GET", f"{API}/ping"))[0] == 200


def test_bans_double_up_to_three_days_and_are_forgotten_after_three_quiet_ones():
    bans, now_ns = Bans(), 0
    lengths = []
    for _ in range(14):
        for _ in range(STRIKES):
            assert bans.left_ns(now_ns) == 0
            bans.strike(now_ns)
        lengths.append(bans.left_ns(now_ns))
        now_ns += lengths[-1]
    assert lengths[:4] == [FIRST_BAN_NS, 2 * FIRST_BAN_NS, 4 * FIRST_BAN_NS, 8 * FIRST_BAN_NS]
    assert lengths[-1] == lengths[-2] == LONGEST_BAN_NS == 3 * NS_PER_DAY
    now_ns += 4 * NS_PER_DAY
    for _ in range(STRIKES):
        bans.strike(now_ns)
    assert bans.left_ns(now_ns) == FIRST_BAN_NS


def test_strikes_of_another_minute_do_not_count():
    bans = Bans()
    for minute in range(5):
        for _ in range(STRIKES - 1):
            bans.strike(minute * MINUTE_NS)
    assert bans.left_ns(4 * MINUTE_NS) == 0


async def test_orders_that_fill_or_never_were_do_not_count():
    async with served() as client:
        client.steps(1)

        async def counts():
            rows = (await client.signed("GET", f"{API}/rateLimit/order"))[1]
            assert [(row["interval"], row["intervalNum"]) for row in rows] == [("SECOND", 10), ("DAY", 1)]
            return {row["count"] for row in rows}

        _, _, headers = await client.signed("POST", f"{API}/order", **LIMIT)
        assert (headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "1")
        market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
        filled = await client.signed("POST", f"{API}/order", **market, quantity="0.1")
        assert filled[1]["status"] == "FILLED"
        assert await counts() == {1}, "a taker's fill gives one back"
        for params, code in [
            ({"price": "80.001"}, -1013),
            ({"price": "1e5"}, -1100),
            ({"side": "HOLD"}, -1117),
        ]:
            status, body, headers = await client.signed("POST", f"{API}/order", **{**LIMIT, **params})
            assert (status, body["code"]) == (400, code)
            assert "X-MBX-ORDER-COUNT-10S" not in headers
        assert await counts() == {1}, "what the matching engine never saw"
        poor = await client.signed("POST", f"{API}/order", **{**LIMIT, "quantity": "900"})
        assert poor[1]["code"] == -2010
        assert await counts() == {2}, "what it refused"
        await client.signed("POST", f"{API}/order/test", **LIMIT)
        await client.signed("DELETE", f"{API}/openOrders", symbol="BTCUSDT")
        assert await counts() == {2}, "neither tests nor cancels change it"


async def test_too_many_orders_are_refused_until_the_window_ends():
    async with served(clock=ManualClock(START_NS + 3 * NS_PER_S)) as client:
        client.venue.wall_ms = lambda: int(time.time() * 1000)
        await client.control("POST", "/sim/deposit", {"asset": "USDT", "amount": "1000"})
        client.venue.exchange.apply(client.driver._next)
        client.venue.limits.charge_orders("main", 100, client.venue.window_ns)
        status, body, headers = await client.signed("POST", f"{API}/order", **LIMIT)
        text = "Too many new orders; current limit is 100 orders per 10 SECOND."
        assert (status, body, headers["Retry-After"]) == (429, {"code": -1015, "msg": text}, "7")
        api = await client.api()
        answer, _ = await api.ask("order.place", is_signed=True, **LIMIT)
        assert (answer["status"], answer["error"]["code"]) == (429, -1015)
        assert answer["error"]["data"]["retryAfter"] - answer["error"]["data"]["serverTime"] == 7_000
        bob = await client.new_account("bob", USDT="100")
        assert (await client.signed("POST", f"{API}/order", key=bob, **LIMIT))[0] == 200, "per account"


@pytest.mark.parametrize(
    ("mode", "beyond", "cancels", "expected"),
    [
        ("STOP_ON_FAILURE", None, True, (429, -1015, None, None)),
        ("STOP_ON_FAILURE", "DO_NOTHING", True, (429, -1015, None, None)),
        ("STOP_ON_FAILURE", "CANCEL_ONLY", True, (429, -2021, "SUCCESS", "FAILURE")),
        ("STOP_ON_FAILURE", "CANCEL_ONLY", False, (429, -2022, "FAILURE", "NOT_ATTEMPTED")),
        ("ALLOW_FAILURE", "CANCEL_ONLY", True, (409, -2021, "SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", "CANCEL_ONLY", False, (400, -2022, "FAILURE", "FAILURE")),
    ],
)
async def test_a_replacement_beyond_the_limit_of_orders(mode, beyond, cancels, expected):
    async with served() as client:
        client.steps(1)
        order_id = (await client.order(**LIMIT))["orderId"] if cancels else 99
        client.venue.limits.charge_orders("main", 99 if cancels else 100, client.venue.window_ns)
        extra = {} if beyond is None else {"orderRateLimitExceededMode": beyond}
        status, body, _ = await client.signed(
            "POST",
            f"{API}/order/cancelReplace",
            **LIMIT,
            cancelReplaceMode=mode,
            cancelOrderId=order_id,
            **extra,
        )
        data = body.get("data", {})
        assert (status, body["code"], data.get("cancelResult"), data.get("newOrderResult")) == expected
        if data.get("newOrderResult") == "FAILURE":
            assert data["newOrderResponse"]["code"] == -1015
        still_open = len(client.venue.exchange.read.open_orders("main"))
        assert still_open == (1 if cancels and body["code"] == -1015 else 0)


@pytest.mark.parametrize(
    ("method", "path", "params", "weight"),
    [
        ("GET", "/exchangeInfo", {}, 20),
        ("GET", "/klines", {"symbol": "BTCUSDT", "interval": "1h"}, 2),
        ("GET", "/depth", {"symbol": "BTCUSDT", "limit": 100}, 5),
        ("GET", "/depth", {"symbol": "BTCUSDT", "limit": 101}, 25),
        ("GET", "/depth", {"symbol": "BTCUSDT", "limit": 1000}, 50),
        ("GET", "/depth", {"symbol": "BTCUSDT", "limit": 5000}, 250),
        ("GET", "/depth", {"symbol": "BTCUSDT", "limit": "many"}, 1),
        ("GET", "/trades", {"symbol": "BTCUSDT"}, 25),
        ("GET", "/historicalTrades", {"symbol": "BTCUSDT"}, 25),
        ("GET", "/aggTrades", {"symbol": "BTCUSDT"}, 4),
        ("GET", "/avgPrice", {"symbol": "BTCUSDT"}, 2),
        ("GET", "/ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("GET", "/ticker/24hr", {}, 80),
        ("GET", "/ticker/price", {"symbol": "BTCUSDT"}, 2),
        ("GET", "/ticker/price", {}, 4),
        ("GET", "/ticker/bookTicker", {}, 4),
        ("GET", "/ticker", {"symbol": "BTCUSDT"}, 4),
        ("GET", "/ticker", {"symbols": '["BTCUSDT","ETHUSDT"]'}, 8),
        ("GET", "/ticker/tradingDay", {"symbol": "BTCUSDT"}, 4),
        ("GET", "/uiKlines", {"symbol": "BTCUSDT", "interval": "1h"}, 2),
        ("GET", "/myFilters", {"symbol": "BTCUSDT"}, 40),
        (
            "POST",
            "/order/cancelReplace",
            {**LIMIT, "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": 9},
            1,
        ),
        ("GET", "/order", {"symbol": "BTCUSDT", "orderId": 1}, 4),
        ("POST", "/order", LIMIT, 0),
        ("POST", "/order", {**LIMIT, "price": "0.001"}, 1),
        ("POST", "/order/test", LIMIT, 1),
        ("POST", "/order/test", {**LIMIT, "computeCommissionRates": "true"}, 20),
        ("DELETE", "/order", {"symbol": "BTCUSDT", "orderId": 1}, 1),
        ("GET", "/openOrders", {"symbol": "BTCUSDT"}, 6),
        ("GET", "/openOrders", {}, 80),
        ("GET", "/allOrders", {"symbol": "BTCUSDT"}, 20),
        ("GET", "/myTrades", {"symbol": "BTCUSDT"}, 20),
        ("GET", "/myTrades", {"symbol": "BTCUSDT", "orderId": 1}, 5),
        ("GET", "/account", {}, 20),
        ("GET", "/account/commission", {"symbol": "BTCUSDT"}, 20),
        ("GET", "/rateLimit/order", {}, 40),
        ("GET", "/orderList", {"orderListId": 1}, 4),
        ("GET", "/openOrderList", {}, 6),
        ("PUT", "/order/amend/keepPriority", {"symbol": "BTCUSDT", "orderId": 9, "newQty": "1"}, 4),
        ("GET", "/order/amendments", {"symbol": "BTCUSDT", "orderId": 9}, 4),
        ("GET", "/myPreventedMatches", {"symbol": "BTCUSDT", "orderId": 9}, 20),
        ("GET", "/myPreventedMatches", {"symbol": "BTCUSDT", "preventedMatchId": 9}, 2),
        ("GET", "/allOrderList", {}, 20),
    ],
)
async def test_requests_weigh_what_binance_says(method, path, params, weight):
    async with served() as client:
        client.steps(1)
        is_signed = path not in {
            "/exchangeInfo",
            "/klines",
            "/depth",
            "/trades",
            "/historicalTrades",
            "/aggTrades",
            "/uiKlines",
        }
        if path.startswith(("/ticker", "/avgPrice")):
            is_signed = False
        send = client.signed if is_signed else client.send
        headers = (await send(method, API + path, **params))[2]
        assert headers["X-MBX-USED-WEIGHT-1M"] == headers["X-MBX-USED-WEIGHT"] == str(weight)


async def test_an_amendment_that_works_weighs_nothing_and_is_no_order():
    async with served() as client:
        client.steps(1)
        order_id = (await client.order(**LIMIT))["orderId"]
        amend = {"symbol": "BTCUSDT", "orderId": order_id, "newQty": "0.09"}
        status, body, headers = await client.signed("PUT", f"{API}/order/amend/keepPriority", **amend)
        assert (status, body["amendedOrder"]["qty"], headers["X-MBX-USED-WEIGHT-1M"]) == (
            200,
            "0.09000000",
            "0",
        )
        assert [count for _, count in client.venue.limits.order_counts("main", client.venue.window_ns)] == [
            1,
            1,
        ]


async def test_who_is_refused_at_the_door_has_been_weighed():
    async with served() as client:
        headers = (await client.send("GET", f"{API}/account"))[2]
        assert headers["X-MBX-USED-WEIGHT-1M"] == "20"


def test_raw_requests_are_limited_too():
    limits, now_ns = RateLimits(), 5 * MINUTE_NS
    limits.address().raw.add(300_000, now_ns)
    with pytest.raises(TooMany, match="current limit is 300000 request weight per 5 MINUTE") as caught:
        limits.charge(1, now_ns)
    assert caught.value.retry_after_ns == 5 * MINUTE_NS
    assert limits.used_weight(now_ns) == 0


def test_addresses_do_not_share_their_limits():
    limits = RateLimits()
    limits.charge(WEIGHT.limit, 0, "127.0.0.1")
    limits.charge(WEIGHT.limit, 0, "127.0.0.2")
    with pytest.raises(TooMany):
        limits.charge(1, 0, "127.0.0.2")


async def test_sockets_are_opened_300_times_in_five_minutes():
    clock = ManualClock(START_NS + 10 * NS_PER_S)
    async with served(clock=clock) as client:
        window = client.venue.limits.address().connections
        window.add(299, client.venue.socket_ns)
        async with client.session.ws_connect(f"{client.sockets}/ws"):
            pass
        for path in ("/ws", "/stream?streams=btcusdt@trade", "/ws-api/v3"):
            url = client.base + path
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            upgrade["Sec-WebSocket-Key"] = "MDEyMzQ1Njc4OWFiY2RlZg=="
            async with client.session.get(url, headers=upgrade) as response:
                body = await response.json()
                assert (response.status, body["code"], response.headers["Retry-After"]) == (429, -1034, "290")
                assert "300 per '5m'" in body["msg"]
        clock.advance(290 * NS_PER_S)
        async with client.session.ws_connect(f"{client.sockets}/ws"):
            pass


async def test_the_age_is_checked_again_before_the_matching_engine_and_counts_as_an_order():
    async with served() as client:
        client.steps(1)
        late = asyncio.get_running_loop().time()

        class Slow:
            """Between the door and the engine six seconds pass."""

            async def rest(self, _request, execute):
                client.venue.clock_offset_ms = 6_000
                return await execute()

        client.venue.faults = Slow()
        status, body, _ = await client.signed("POST", f"{API}/order", **LIMIT)
        client.venue.faults = None
        assert (status, body["code"]) == (400, -1021)
        assert body["msg"] == "Timestamp for this request is outside of the recvWindow."
        counts = [count for _, count in client.venue.limits.order_counts("main", client.venue.window_ns)]
        assert counts == [1, 1], "refused by the second check, it was an order"
        old = int(time.time() * 1000) - 6_000
        client.venue.clock_offset_ms = 0
        status, body, _ = await client.signed("POST", f"{API}/order", **LIMIT, timestamp=old)
        assert body["code"] == -1021
        counts = [count for _, count in client.venue.limits.order_counts("main", client.venue.window_ns)]
        assert counts == [1, 1], "refused by the first check, it was none"
        assert asyncio.get_running_loop().time() - late < 5


async def test_who_floods_sockets_again_and_again_is_banned():
    async with served() as client:
        for _ in range(STRIKES):
            assert (await client.send("GET", f"{API}/ping"))[0] == 200
            async with client.session.ws_connect(f"{client.sockets}/ws") as socket:
                for _ in range(12):
                    await socket.ping(b"x")
                await socket.receive(timeout=5)
        assert (await client.send("GET", f"{API}/ping"))[0] == 418


async def test_filters_of_an_account_are_among_those_of_the_symbol():
    async with served() as client:
        mine = (await client.signed("GET", f"{API}/myFilters", symbol="BTCUSDT"))[1]
        (symbol,) = (await client.get(f"{API}/exchangeInfo", symbol="BTCUSDT"))["symbols"]
        assert mine["assetFilters"] == []
        assert mine["symbolFilters"]
        assert all(one in symbol["filters"] for one in mine["symbolFilters"])
        api = await client.api()
        answer, _ = await api.ask("myFilters", is_signed=True, symbol="BTCUSDT")
        assert answer["result"] == mine


async def test_a_market_without_steppers_is_stepped_by_the_controls():
    async with served() as client:
        status, body = await client.control("POST", "/sim/step", {"count": 3})
        assert (status, body["advanced"], body["done"]) == (200, 3, False)
        assert body["tsNs"] == client.venue.now_ns
        await client.control("POST", "/sim/steppers", {})
        assert (await client.control("POST", "/sim/step", {"count": 3}))[0] == 400


async def test_a_reset_begins_anew():
    async with served() as client:
        client.steps(1)
        await client.signed("POST", f"{API}/order", **LIMIT)
        market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.5"}
        await client.signed("POST", f"{API}/order", **market)
        use_up(client)
        body = {"account": "main", "balances": {"USDT": "123.5", "ETH": "2"}}
        assert (await client.control("POST", "/sim/reset", body))[0] == 200
        ledger = (await client.control("GET", "/sim/ledger"))[1]["accounts"]["main"]
        held = {
            asset: (one["free"], one["locked"])
            for asset, one in ledger["balances"].items()
            if one["free"] != "0.00000000"
        }
        assert held == {"USDT": ("123.50000000", "0.00000000"), "ETH": ("2.00000000", "0.00000000")}
        assert ledger["openOrders"] == []
        assert (await client.send("GET", f"{API}/ping"))[2]["X-MBX-USED-WEIGHT-1M"] == "1"
        assert len((await client.signed("GET", f"{API}/allOrders", symbol="BTCUSDT"))[1]) == 2, (
            "history stays"
        )


async def test_a_replacement_counts_as_the_order_that_it_attempted():
    async with served() as client:
        client.steps(1)
        replace = {**LIMIT, "cancelReplaceMode": "STOP_ON_FAILURE"}
        counts = []
        order_id = (await client.order(**LIMIT))["orderId"]
        for cancel_id, changed in [(99, {}), (order_id, {}), (order_id + 1, {"quantity": "900"})]:
            await client.signed(
                "POST", f"{API}/order/cancelReplace", **{**replace, **changed}, cancelOrderId=cancel_id
            )
            counts.append(client.venue.limits.order_counts("main", client.venue.window_ns)[0][1])
        assert counts == [1, 2, 3], "none after a failed cancel; then one, and one that was refused"
