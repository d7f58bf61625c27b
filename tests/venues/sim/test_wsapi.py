"""The WebSocket API: envelopes, user events before answers, subscriptions."""

import json

from tests.venues.sim.served import KEY, served


async def subscribed(client, stepper=None):
    api = await client.api(stepper)
    answer, _ = await api.ask("userDataStream.subscribe.signature", is_signed=True)
    assert answer["result"] == {"subscriptionId": 0}
    return api


async def test_the_envelope_echoes_the_id_and_shows_limits():
    async with served() as client:
        api = await client.api()
        answer, _ = await api.ask("ping")
        assert (answer["id"], answer["status"], answer["result"]) == (1, 200, {})
        assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
        quiet, _ = await api.ask("v3/time", returnRateLimits=False)
        assert "rateLimits" not in quiet
        wrong, _ = await api.ask("order.fly")
        assert (wrong["status"], wrong["error"]["code"]) == (400, -1000)
        await api.socket.send_str("{")
        assert (await api.next())["error"]["code"] == -1135


async def test_events_come_in_order_and_before_the_answer():
    async with served() as client:
        client.steps(1)
        api = await subscribed(client)
        answer, before = await api.ask(
            "order.place", is_signed=True, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.5"
        )
        assert answer["result"]["status"] == "FILLED"
        events = [frame["event"] for frame in before]
        assert [(one["e"], one.get("x")) for one in events] == [
            ("executionReport", "NEW"),
            ("executionReport", "TRADE"),
            ("outboundAccountPosition", None),
        ]
        new, trade, position = events
        assert trade["I"] > new["I"]
        assert (trade["X"], trade["z"], trade["N"]) == ("FILLED", "0.50000000", "BTC")
        assert {one["a"] for one in position["B"]} == {"BTC", "USDT"}


async def test_a_canceled_order_names_both_ids():
    async with served() as client:
        client.steps(1)
        api = await subscribed(client)
        await api.ask("order.place", is_signed=True, symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC",
                      quantity="1", price="80", newClientOrderId="mine")  # fmt: skip
        answer, before = await api.ask(
            "order.cancel",
            is_signed=True,
            symbol="BTCUSDT",
            origClientOrderId="mine",
            newClientOrderId="undo",
        )
        assert (answer["result"]["origClientOrderId"], answer["result"]["clientOrderId"]) == ("mine", "undo")
        report = before[0]["event"]
        assert (report["x"], report["C"], report["c"]) == ("CANCELED", "mine", "undo")


async def test_a_resting_stop_reports_its_trigger_in_the_step_that_crosses_it():
    async with served(length=200) as client:
        client.steps(1)
        api = await subscribed(client)
        await api.ask(
            "order.place", is_signed=True, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1"
        )
        price = float((await client.get("/api/v3/ticker/price", symbol="BTCUSDT"))["price"])
        answer, _ = await api.ask("order.place", is_signed=True, symbol="BTCUSDT", side="SELL", type="STOP_LOSS",
                                  quantity="0.9", stopPrice=f"{price * 0.998:.2f}")  # fmt: skip
        assert set(answer["result"]) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
        market = await client.session.ws_connect(f"{client.sockets}/ws/btcusdt@trade")
        client.steps(20)
        prints = [float(json.loads(await market.receive_str(timeout=20))["p"]) for _ in range(16)]
        assert min(prints) < price * 0.998
        reports = [(await api.next())["event"] for _ in range(2)]
        assert (reports[0]["x"], reports[0]["X"], reports[0]["o"]) == ("TRADE", "FILLED", "STOP_LOSS")
        assert reports[1]["e"] == "outboundAccountPosition"


async def test_lists_report_their_status():
    async with served() as client:
        client.steps(1)
        api = await subscribed(client)
        answer, before = await api.ask(
            "orderList.place.opoco", is_signed=True, symbol="BTCUSDT", listClientOrderId="entry",
            workingType="LIMIT", workingSide="BUY", workingTimeInForce="FOK", workingQuantity="1", workingPrice="120",
            pendingSide="SELL", pendingAboveType="LIMIT_MAKER", pendingAbovePrice="200",
            pendingBelowType="STOP_LOSS", pendingBelowStopPrice="70",
        )  # fmt: skip
        assert answer["status"] == 200, answer
        kinds = [frame["event"]["e"] for frame in before]
        assert kinds.count("listStatus") >= 1
        assert kinds[-1] == "outboundAccountPosition"
        pending = [one for one in answer["result"]["orderReports"] if one["side"] == "SELL"]
        assert {one["origQty"] for one in pending} == {"0.99900000"}, (
            "what the entry paid out, net of commission"
        )
        over, _ = await api.ask(
            "orderList.cancel", is_signed=True, symbol="BTCUSDT", listClientOrderId="entry"
        )
        assert over["result"]["listOrderStatus"] == "ALL_DONE"


async def test_one_subscription_per_account_and_connection():
    async with served() as client:
        api = await subscribed(client)
        again, _ = await api.ask("userDataStream.subscribe.signature", is_signed=True)
        assert again["error"]["code"] == -2035
        listed, _ = await api.ask("session.subscriptions")
        assert listed["result"] == [{"subscriptionId": 0}]
        ended, before = await api.ask("userDataStream.unsubscribe", subscriptionId=0)
        assert (ended["result"], before[0]["event"]["e"]) == ({}, "eventStreamTerminated")
        nothing, _ = await api.ask("userDataStream.unsubscribe")
        assert nothing["error"]["code"] == -2036


async def test_sessions_need_a_key_type_that_does_not_exist_here():
    async with served() as client:
        api = await client.api()
        status, _ = await api.ask("session.status")
        assert status["result"]["apiKey"] is None
        refused, _ = await api.ask("session.logon", is_signed=True)
        assert refused["error"]["code"] == -4056


async def test_refusals_on_the_socket():
    async with served() as client:
        client.steps(1)
        api = await client.api()
        unsigned, _ = await api.ask("account.status", apiKey=KEY.api_key, timestamp=1)
        assert unsigned["error"]["code"] == -1102
        nobody, _ = await api.ask("account.status", timestamp=1, signature="00")
        assert (nobody["status"], nobody["error"]["code"]) == (401, -2014)
        float_, _ = await api.ask(
            "order.place", is_signed=True, symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1e-05
        )
        assert float_["error"]["code"] == -1100, "an exponent is no plain decimal"
        client.venue.limits.charge(5_940, client.venue.window_ns)
        busy, _ = await api.ask("exchangeInfo")
        assert (busy["status"], busy["error"]["code"]) == (429, -1003)
        assert busy["error"]["data"]["retryAfter"] > busy["error"]["data"]["serverTime"]


async def test_queries_answer_as_rest_does():
    async with served() as client:
        client.steps(6)
        api = await client.api()
        for method, path, params in [
            ("klines", "klines", {"symbol": "BTCUSDT", "interval": "1h"}),
            ("depth", "depth", {"symbol": "BTCUSDT"}),
            ("trades.recent", "trades", {"symbol": "BTCUSDT"}),
            ("ticker.24hr", "ticker/24hr", {"symbol": "BTCUSDT"}),
        ]:
            answer, _ = await api.ask(method, **params)
            assert answer["result"] == await client.get(f"/api/v3/{path}", **params)
        account, _ = await api.ask("account.status", is_signed=True)
        assert account["result"] == (await client.signed("GET", "/api/v3/account"))[1]
