"""REST over a real socket: shapes, refusals, weights, headers."""

import time

import aiohttp
import pytest

from bnml.core.clock import NS_PER_S, ManualClock
from bnml.venues.sim.weights import MINUTE_NS
from tests.venues.sim.served import KEY, START_NS, served, signature

API = "/api/v3"


async def test_public_reads_have_binances_shapes():
    async with served() as client:
        client.steps(7)
        symbol = {"symbol": "BTCUSDT"}
        assert await client.get(f"{API}/ping") == {}
        assert abs((await client.get(f"{API}/time"))["serverTime"] - time.time() * 1000) < 5_000
        klines = await client.get(f"{API}/klines", **symbol, interval="1h", limit=3)
        assert [len(row) for row in klines] == [12] * 3
        assert [row[0] for row in klines] == [START_NS // 10**6 + hour * 3_600_000 for hour in (-1, 0, 1)]
        assert all(row[6] == row[0] + 3_599_999 for row in klines)
        depth = await client.get(f"{API}/depth", **symbol, limit=5)
        assert float(depth["bids"][0][0]) < float(depth["asks"][0][0])
        trades = await client.get(f"{API}/trades", **symbol)
        assert [trade["id"] for trade in trades] == [1, 2, 3, 4, 5]
        assert (await client.get(f"{API}/aggTrades", **symbol, fromId=4))[0]["a"] == 4
        price = (await client.get(f"{API}/ticker/price", **symbol))["price"]
        assert price == trades[-1]["price"] == (await client.get(f"{API}/ticker/24hr", **symbol))["lastPrice"]
        assert len(await client.get(f"{API}/ticker/bookTicker")) == 2
        assert len(await client.get(f"{API}/ticker/24hr", symbols='["BTCUSDT","ETHUSDT"]', type="MINI")) == 2
        assert (await client.get(f"{API}/avgPrice", **symbol))["mins"] == 5


async def test_exchange_info_lists_filters_and_limits():
    async with served() as client:
        info = await client.get(f"{API}/exchangeInfo", symbol="BTCUSDT")
        (symbol,) = info["symbols"]
        filters = {one["filterType"]: one for one in symbol["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
        assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
        assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
        assert [symbol[f"{kind}Allowed"] for kind in ("oto", "oco", "opo")] == [True] * 3
        assert {one["rateLimitType"] for one in info["rateLimits"]} == {
            "REQUEST_WEIGHT",
            "ORDERS",
            "RAW_REQUESTS",
        }


async def test_candles_page_from_a_start_and_sum_up():
    async with served(history=48) as client:
        first = START_NS // 10**6 - 48 * 3_600_000
        page = await client.get(f"{API}/klines", symbol="BTCUSDT", interval="1h", startTime=0, limit=10)
        assert [row[0] for row in page] == [first + hour * 3_600_000 for hour in range(10)]
        base = await client.get(f"{API}/klines", symbol="BTCUSDT", interval="1h", limit=1000)
        higher = await client.get(f"{API}/klines", symbol="BTCUSDT", interval="4h", limit=1000)
        whole = [row for row in higher if sum(row[0] <= one[0] <= row[6] for one in base) == 4]
        assert len(whole) >= 10
        for row in whole:
            parts = [one for one in base if row[0] <= one[0] <= row[6]]
            assert row[1] == parts[0][1]
            assert row[4] == parts[-1][4]
            assert float(row[2]) == max(float(one[2]) for one in parts)
            assert float(row[3]) == min(float(one[3]) for one in parts)
            assert float(row[5]) == pytest.approx(sum(float(one[5]) for one in parts), abs=1e-9)


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("/klines", {"symbol": "BTCUSDT", "interval": "15m"}, -1120),
        ("/klines", {"symbol": "BTCUSDT"}, -1102),
        ("/depth", {"symbol": "NOPE"}, -1121),
        ("/depth", {"symbol": "BTCUSDT", "depth": "5"}, -1104),
        ("/depth", {"symbol": "BTCUSDT", "limit": "0"}, -1130),
        ("/ticker/price", {"symbol": "BTCUSDT", "symbols": '["ETHUSDT"]'}, -1128),
        ("/ping", {"x": "1"}, -1101),
    ],
)
async def test_public_refusals(path, params, code):
    async with served() as client:
        status, body, _ = await client.send("GET", API + path, **params)
        assert (status, body["code"]) == (400, code)


async def test_who_is_refused_and_how():
    async with served() as client:
        query = f"timestamp={int(time.time() * 1000)}"
        good = signature(KEY.secret, query)
        key = {"X-MBX-APIKEY": KEY.api_key}
        for headers, tail, expected in [
            ({}, f"&signature={good}", (401, -2014)),
            ({"X-MBX-APIKEY": "nobody"}, f"&signature={good}", (401, -2014)),
            ({"X-MBX-APIKEY": "n" * 64}, f"&signature={good}", (401, -2015)),
            (key, "", (400, -1102)),
            (key, f"&signature={'0' * 64}", (400, -1022)),
            (key, "&signature=%21", (400, -1100)),
            (key, f"&omitZeroBalances=true&signature={good}", (400, -1022)),
            (key, f"&signature={good.upper()}", (200, None)),
        ]:
            url = f"{client.base}{API}/account?{query}{tail}"
            async with client.session.get(url, headers=headers) as response:
                assert (response.status, (await response.json()).get("code")) == expected
        old = await client.signed("GET", f"{API}/account", timestamp=int(time.time() * 1000) - 6_000)
        assert old[1]["code"] == -1021


async def test_a_signed_body_is_read_like_a_query():
    async with served() as client:
        client.steps(1)
        query = "symbol=BTCUSDT&side=BUY"
        body = f"type=MARKET&quantity=0.1&timestamp={int(time.time() * 1000)}"
        body += f"&signature={signature(KEY.secret, query + body)}"
        headers = {"X-MBX-APIKEY": KEY.api_key, "Content-Type": "application/x-www-form-urlencoded"}
        async with client.session.post(
            f"{client.base}{API}/order?{query}", data=body, headers=headers
        ) as response:
            assert (await response.json())["status"] == "FILLED"


async def test_weight_is_used_up_and_says_when_to_come_back():
    async with served() as client:
        client.steps(1)
        _, _, headers = await client.send("GET", f"{API}/klines", symbol="BTCUSDT", interval="1h")
        assert headers["X-MBX-USED-WEIGHT-1M"] == "2"
        client.venue.limits.charge(5_990, client.venue.window_ns)
        status, body, headers = await client.send("GET", f"{API}/exchangeInfo")
        assert (status, body["code"], headers["Retry-After"]) == (429, -1003, "1")
        _, _, headers = await client.send("GET", f"{API}/ping")
        assert headers["X-MBX-USED-WEIGHT-1M"] == "5993"


@pytest.mark.parametrize("stepped", [True, False])
async def test_a_market_that_waits_serves_again_who_used_up_the_weight(stepped):
    """Market time stands until somebody listens; the history is read before that, and may need more than a minute."""
    clock = ManualClock(START_NS + 900 * MINUTE_NS + 17 * NS_PER_S)
    async with served(stepped=stepped, clock=clock) as client:
        client.venue.limits.charge(6_000, client.venue.window_ns)
        market_ns = client.venue.now_ns
        status, _, headers = await client.send("GET", f"{API}/ping")
        assert (status, headers["Retry-After"]) == (429, "43"), "to the end of the wall's minute"
        clock.advance(43 * NS_PER_S - 1)
        assert (await client.send("GET", f"{API}/ping"))[0] == 429
        clock.advance(1)
        status, _, headers = await client.send("GET", f"{API}/ping")
        assert (status, headers["X-MBX-USED-WEIGHT-1M"]) == (200, "1")
        assert client.venue.now_ns == market_ns


async def test_orders_weigh_nothing_when_they_succeed():
    async with served() as client:
        client.steps(1)
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1"}
        _, _, headers = await client.signed("POST", f"{API}/order", **order, price="80")
        assert (headers["X-MBX-USED-WEIGHT-1M"], headers["X-MBX-ORDER-COUNT-10S"]) == ("0", "1")
        _, body, headers = await client.signed("POST", f"{API}/order", **order, price="80.001")
        assert (body["msg"], headers["X-MBX-USED-WEIGHT-1M"]) == ("Filter failure: PRICE_FILTER", "1")


async def test_an_order_is_placed_found_replaced_and_canceled():
    async with served() as client:
        client.steps(1)
        placed = await client.order(
            type="LIMIT", timeInForce="GTC", quantity="1", price="80", newClientOrderId="mine"
        )
        assert (placed["status"], placed["clientOrderId"], placed["fills"]) == ("NEW", "mine", [])
        one = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
        assert (await client.signed("GET", f"{API}/order", **one))[1]["orderId"] == placed["orderId"]
        wrong = await client.signed("GET", f"{API}/order", **one, orderId=placed["orderId"] + 1)
        assert wrong[1]["code"] in {-2013, -2039}
        _, replaced, _ = await client.signed(
            "POST", f"{API}/order/cancelReplace", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC",
            quantity="1", price="81", cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=placed["orderId"],
        )  # fmt: skip
        assert (replaced["cancelResult"], replaced["newOrderResult"]) == ("SUCCESS", "SUCCESS")
        assert replaced["cancelResponse"]["status"] == "CANCELED"
        assert len((await client.signed("GET", f"{API}/openOrders"))[1]) == 1
        canceled = (await client.signed("DELETE", f"{API}/openOrders", symbol="BTCUSDT"))[1]
        assert [one["origClientOrderId"] for one in canceled] == [
            replaced["newOrderResponse"]["clientOrderId"]
        ]
        assert (await client.signed("DELETE", f"{API}/order", **one))[1]["code"] == -2011
        states = [
            one["status"] for one in (await client.signed("GET", f"{API}/allOrders", symbol="BTCUSDT"))[1]
        ]
        assert states == ["CANCELED", "CANCELED"]


async def test_half_a_replacement_says_which_half():
    async with served() as client:
        client.steps(1)
        status, body, _ = await client.signed(
            "POST", f"{API}/order/cancelReplace", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC",
            quantity="1", price="81", cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=99,
        )  # fmt: skip
        assert (status, body["code"]) == (409, -2021)
        assert (body["data"]["cancelResult"], body["data"]["newOrderResult"]) == ("FAILURE", "SUCCESS")
        assert body["data"]["cancelResponse"]["code"] == -2011
        status, body, _ = await client.signed(
            "POST", f"{API}/order/cancelReplace", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC",
            quantity="1", price="81", cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=99,
        )  # fmt: skip
        assert (status, body["code"], body["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")


LISTS = {
    "oto": {"pendingType": "STOP_LOSS", "pendingStopPrice": "70", "pendingQuantity": "0.9"},
    "opo": {"pendingType": "STOP_LOSS", "pendingStopPrice": "70"},
    "otoco": {
        "pendingQuantity": "0.9", "pendingAboveType": "LIMIT_MAKER", "pendingAbovePrice": "200",
        "pendingBelowType": "STOP_LOSS", "pendingBelowStopPrice": "70",
    },
    "opoco": {
        "pendingAboveType": "LIMIT_MAKER", "pendingAbovePrice": "200",
        "pendingBelowType": "STOP_LOSS", "pendingBelowStopPrice": "70",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", list(LISTS))
async def test_an_entry_is_protected_in_one_request_and_canceled_as_a_whole(kind):
    async with served() as client:
        client.steps(1)
        working = {
            "workingType": "LIMIT", "workingSide": "BUY", "workingTimeInForce": "FOK",
            "workingQuantity": "1", "workingPrice": "120", "pendingSide": "SELL",
        }  # fmt: skip
        status, body, _ = await client.signed(
            "POST",
            f"{API}/orderList/{kind}",
            symbol="BTCUSDT",
            listClientOrderId="entry",
            **working,
            **LISTS[kind],
        )
        assert status == 200, body
        states = {one["type"]: one["status"] for one in body["orderReports"]}
        assert states.pop("LIMIT") == "FILLED"
        assert set(states.values()) == {"NEW"}
        assert (body["contingencyType"], body["listOrderStatus"]) == ("OTO", "EXECUTING")
        assert len((await client.signed("GET", f"{API}/openOrderList"))[1]) == 1
        _, over, _ = await client.signed(
            "DELETE", f"{API}/orderList", symbol="BTCUSDT", listClientOrderId="entry"
        )
        assert over["listOrderStatus"] == "ALL_DONE"
        _, found, _ = await client.signed("GET", f"{API}/orderList", origClientOrderId="entry")
        assert found["orderListId"] == body["orderListId"]
        assert (await client.signed("GET", f"{API}/allOrderList"))[1] == [found]


async def test_an_oco_needs_the_asset_it_sells():
    async with served() as client:
        client.steps(1)
        legs = {
            "side": "SELL", "quantity": "1", "aboveType": "LIMIT_MAKER", "abovePrice": "200",
            "belowType": "STOP_LOSS", "belowStopPrice": "70",
        }  # fmt: skip
        _, body, _ = await client.signed("POST", f"{API}/orderList/oco", symbol="BTCUSDT", **legs)
        assert (body["code"], body["msg"]) == (
            -2010,
            "Account has insufficient balance for requested action.",
        )
        await client.order(type="MARKET", quantity="1.1")
        _, body, _ = await client.signed("POST", f"{API}/orderList/oco", symbol="BTCUSDT", **legs)
        assert (body["contingencyType"], len(body["orders"])) == ("OCO", 2)
        _, canceled, _ = await client.signed(
            "DELETE", f"{API}/order", symbol="BTCUSDT", orderId=body["orders"][0]["orderId"]
        )
        assert [one["status"] for one in canceled["orderReports"]] == ["CANCELED", "CANCELED"]


async def test_fills_and_balances_agree():
    async with served() as client:
        client.steps(1)
        bought = await client.order(type="MARKET", quantity="0.5")
        (trade,) = (await client.signed("GET", f"{API}/myTrades", symbol="BTCUSDT"))[1]
        assert (trade["orderId"], trade["qty"], trade["isMaker"]) == (bought["orderId"], "0.50000000", False)
        account = (await client.signed("GET", f"{API}/account", omitZeroBalances="true"))[1]
        free = {one["asset"]: float(one["free"]) for one in account["balances"]}
        assert free["BTC"] == pytest.approx(0.5 - float(trade["commission"]))
        assert free["USDT"] == pytest.approx(10_000 - float(trade["quoteQty"]))
        assert (await client.signed("POST", f"{API}/order/test", symbol="BTCUSDT", side="BUY", type="MARKET",
                                    quantity="0.5"))[1] == {}  # fmt: skip
        assert len((await client.signed("GET", f"{API}/myTrades", symbol="BTCUSDT"))[1]) == 1


async def test_unknown_paths_and_the_removed_listen_key_do_not_exist():
    async with served() as client:
        for method, path in [
            ("GET", "/api/v1/ping"),
            ("POST", "/api/v3/userDataStream"),
            ("GET", "/fapi/v1/time"),
        ]:
            async with client.session.request(method, client.base + path) as response:
                assert response.status == 404


async def test_controls_need_the_token():
    async with served() as client:
        async with client.session.get(f"{client.base}/sim/state") as response:
            assert response.status == 401
        status, body = await client.control("POST", "/sim/deposit", {"asset": "BTC", "amount": "2.5"})
        assert status == 200, body
        account = (await client.signed("GET", f"{API}/account"))[1]
        assert {"asset": "BTC", "free": "2.50000000", "locked": "0.00000000"} in account["balances"]
        assert (await client.control("POST", "/sim/deposit", {"asset": "BTC", "amount": "-3"}))[0] == 400
        assert (await client.control("POST", "/sim/deposit", {"asset": "BTC"}))[0] == 400


async def test_only_this_machine_is_served():
    async with served() as client:
        assert client.base.startswith("http://127.0.0.1:")
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.session.get(client.base.replace("127.0.0.1", "127.0.0.2"))


@pytest.mark.parametrize(
    ("side", "price", "stop", "limit_leg"), [("SELL", "110", "90", "above"), ("BUY", "90", "110", "below")]
)
@pytest.mark.parametrize("stop_limit", [None, "100"])
async def test_the_oco_of_old_parameters_is_the_same_list(side, price, stop, limit_leg, stop_limit):
    async with served() as client:
        client.steps(1)
        await client.control("POST", "/sim/deposit", {"asset": "BTC", "amount": "2"})
        extra = {} if stop_limit is None else {"stopLimitPrice": stop_limit, "stopLimitTimeInForce": "GTC"}
        status, body, headers = await client.signed(
            "POST", f"{API}/order/oco", symbol="BTCUSDT", side=side, quantity="1", price=price, stopPrice=stop,
            limitClientOrderId="limit", stopClientOrderId="stop", listClientOrderId="pair", **extra,
        )  # fmt: skip
        assert (status, body["contingencyType"], body["listClientOrderId"]) == (200, "OCO", "pair"), body
        assert (headers["X-MBX-USED-WEIGHT-1M"], headers["X-MBX-ORDER-COUNT-10S"]) == ("0", "2")
        orders = {one["clientOrderId"]: one for one in body["orderReports"]}
        assert (orders["limit"]["type"], float(orders["limit"]["price"])) == ("LIMIT_MAKER", float(price))
        wanted = "STOP_LOSS" if stop_limit is None else "STOP_LOSS_LIMIT"
        assert (orders["stop"]["type"], float(orders["stop"]["stopPrice"])) == (wanted, float(stop))
        missing = await client.signed(
            "POST", f"{API}/order/oco", symbol="BTCUSDT", side=side, quantity="1", price=price
        )
        assert missing[1]["msg"].startswith("Mandatory parameter 'stopPrice'")


async def test_the_status_filter_leaves_out_or_refuses():
    async with served() as client:
        client.venue.exchange.set_status("ETHUSDT", "HALT")
        for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
            rows = await client.get(f"{API}/{path}", symbolStatus="TRADING")
            assert [row["symbol"] for row in rows] == ["BTCUSDT"]
        for path in ("ticker/24hr", "ticker", "ticker/tradingDay", "ticker/price", "depth"):
            refused = await client.get(f"{API}/{path}", symbol="ETHUSDT", symbolStatus="TRADING")
            assert refused["code"] == -1220
        assert (await client.get(f"{API}/depth", symbol="ETHUSDT", symbolStatus="MELTED"))["code"] == -1122
        shown = await client.get(f"{API}/exchangeInfo", symbolStatus="HALT", showPermissionSets="false")
        assert [(one["symbol"], one["permissionSets"]) for one in shown["symbols"]] == [("ETHUSDT", [])]
        assert (await client.get(f"{API}/exchangeInfo", symbol="BTCUSDT", permissions="SPOT"))[
            "code"
        ] == -1128
        assert (await client.get(f"{API}/exchangeInfo", permissions='["MARGIN"]'))["symbols"] == []


async def test_windows_and_trading_days_are_checked():
    async with served(history=200) as client:
        client.steps(30)
        one = await client.get(f"{API}/ticker", symbol="BTCUSDT", windowSize="4h")
        assert (one["closeTime"] - one["openTime"]) // 3_600_000 == 4
        two = await client.get(f"{API}/ticker/tradingDay", symbols='["BTCUSDT","ETHUSDT"]', timeZone="-3:30")
        assert [row["openTime"] % 86_400_000 for row in two] == [12_600_000] * 2
        for params, code in (
            ({"symbol": "BTCUSDT", "windowSize": "60m"}, -1130),
            ({"symbol": "BTCUSDT", "type": "MIDI"}, -1139),
            ({}, -1102),
        ):
            assert (await client.get(f"{API}/ticker", **params))["code"] == code
        assert (await client.get(f"{API}/klines", symbol="BTCUSDT", interval="1d", timeZone="15"))[
            "code"
        ] == -1130
        zoned = await client.get(f"{API}/klines", symbol="BTCUSDT", interval="1d", timeZone="08:00")
        assert {row[0] % 86_400_000 for row in zoned} == {57_600_000}
        months = await client.get(f"{API}/klines", symbol="BTCUSDT", interval="1M")
        assert [row[6] + 1 for row in months[:-1]] == [row[0] for row in months[1:]]
