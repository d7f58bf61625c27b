"""Amendments, icebergs, trailing stops, prevented matches and commissions over real sockets."""

import pytest

from bnml.core.instrument import E8
from bnml.venues.sim.tiers import Tier
from tests.venues.sim.served import served

API = "/api/v3"
LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "90.00"}


async def test_amend_over_rest_and_its_history():
    async with served() as client:
        client.steps(7)
        await client.order(**LIMIT, newClientOrderId="a")
        changes = {"symbol": "BTCUSDT", "origClientOrderId": "a", "newQty": "0.5", "newClientOrderId": "b"}
        status, answer, _ = await client.signed("PUT", f"{API}/order/amend/keepPriority", **changes)
        assert status == 200
        amended = answer["amendedOrder"]
        assert (amended["qty"], amended["origClientOrderId"], amended["clientOrderId"]) == (
            "0.50000000",
            "a",
            "b",
        )
        listed = (await client.signed("GET", f"{API}/order/amendments", symbol="BTCUSDT", orderId=1))[1]
        assert [(row["origQty"], row["newQty"], row["executionId"]) for row in listed] == [
            ("1.00000000", "0.50000000", answer["executionId"])
        ]
        refused = await client.signed("PUT", f"{API}/order/amend/keepPriority", **changes)
        assert (refused[0], refused[1]["code"]) == (400, -2038)


async def test_amend_over_the_socket_and_the_event_it_makes():
    async with served() as client:
        client.steps(7)
        api = await client.api()
        await api.ask("userDataStream.subscribe.signature", is_signed=True)
        await api.ask(
            "order.place", is_signed=True, symbol="BTCUSDT", side="BUY", newClientOrderId="a", **LIMIT
        )
        answer, before = await api.ask(
            "order.amend.keepPriority", is_signed=True, symbol="BTCUSDT", orderId=1, newQty="0.5"
        )
        event = before[0]["event"]
        assert (event["x"], event["C"], event["q"]) == ("REPLACED", "a", "0.50000000")
        assert event["c"] == answer["result"]["amendedOrder"]["clientOrderId"]
        assert event["I"] == answer["result"]["executionId"]
        listed, _ = await api.ask("order.amendments", is_signed=True, symbol="BTCUSDT", orderId=1)
        assert len(listed["result"]) == 1


async def test_iceberg_and_trailing_fields_come_back():
    async with served() as client:
        client.steps(7)
        body = await client.order(**LIMIT, icebergQty="0.1")
        assert (body["icebergQty"], body["selfTradePreventionMode"]) == ("0.10000000", "EXPIRE_MAKER")
        trailing = {
            "type": "STOP_LOSS",
            "quantity": "1",
            "trailingDelta": "100",
            "newOrderRespType": "RESULT",
        }
        body = await client.order(**trailing, strategyId="7")
        assert (body["trailingDelta"], body["strategyId"]) == (100, 7)
        assert body["trailingTime"] > 0


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({**LIMIT, "icebergQty": "2"}, -2010),
        ({**LIMIT, "icebergQty": "0.001"}, -1013),
        ({**LIMIT, "timeInForce": "IOC", "icebergQty": "0.1"}, -2010),
        ({"type": "STOP_LOSS", "quantity": "1", "trailingDelta": "5"}, -1013),
        ({"type": "STOP_LOSS", "quantity": "1"}, -1102),
    ],
)
async def test_wrong_icebergs_and_trails_have_their_codes(params, code):
    async with served() as client:
        client.steps(7)
        assert (await client.order(**params))["code"] == code


async def test_prevented_match_is_in_the_answer_the_events_and_its_list():
    async with served(tier=Tier.F2) as client:
        client.steps(7)
        client.venue.exchange.deposit("main", "BTC", 10 * E8)
        api = await client.api()
        await api.ask("userDataStream.subscribe.signature", is_signed=True)
        last = float((await client.get(f"{API}/ticker/price", symbol="BTCUSDT"))["price"])
        price = {**LIMIT, "price": f"{last:.2f}"}
        await api.ask("order.place", is_signed=True, symbol="BTCUSDT", side="BUY", **price)
        answer, before = await api.ask(
            "order.place",
            is_signed=True,
            symbol="BTCUSDT",
            side="SELL",
            selfTradePreventionMode="EXPIRE_TAKER",
            **price,
        )
        result = answer["result"]
        assert (result["status"], result["preventedQuantity"]) == ("EXPIRED_IN_MATCH", "1.00000000")
        (match,) = result["preventedMatches"]
        assert (match["takerPreventedQuantity"], "makerPreventedQuantity" in match) == ("1.00000000", False)
        event = next(one["event"] for one in before if one["event"].get("x") == "TRADE_PREVENTION")
        assert (event["v"], event["A"], event["B"], event["U"]) == (
            match["preventedMatchId"],
            "1.00000000",
            "1.00000000",
            match["makerOrderId"],
        )
        rows = (
            await client.signed(
                "GET", f"{API}/myPreventedMatches", symbol="BTCUSDT", orderId=result["orderId"]
            )
        )[1]
        assert [(row["preventedMatchId"], row["selfTradePreventionMode"]) for row in rows] == [
            (match["preventedMatchId"], "EXPIRE_TAKER")
        ]
        wrong = await client.signed("GET", f"{API}/myPreventedMatches", symbol="BTCUSDT")
        assert wrong[1]["code"] == -1128


async def test_commission_of_a_symbol_and_of_an_order():
    async with served() as client:
        client.steps(7)
        client.venue.exchange.manage.set_commission("main", "BTCUSDT", 200, 500)
        client.venue.exchange.manage.set_discount("main", is_on=True)
        body = (await client.signed("GET", f"{API}/account/commission", symbol="BTCUSDT"))[1]
        assert (body["standardCommission"]["maker"], body["standardCommission"]["taker"]) == (
            "0.00020000",
            "0.00050000",
        )
        assert body["discount"] == {
            "enabledForAccount": True,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.75000000",
        }
        params = {"symbol": "BTCUSDT", "side": "BUY", **LIMIT, "computeCommissionRates": "true"}
        body = (await client.signed("POST", f"{API}/order/test", **params))[1]
        assert body["standardCommissionForOrder"] == {"maker": "0.00020000", "taker": "0.00050000"}


async def test_displayed_book_and_tape_hold_own_orders():
    async with served(tier=Tier.F2) as client:
        client.steps(7)
        symbol = {"symbol": "BTCUSDT"}
        before = await client.get(f"{API}/depth", **symbol, limit=100)
        assert len(before["bids"]) == len(before["asks"]) == 10
        best = before["bids"][0]
        await client.order(**{**LIMIT, "price": best[0], "quantity": "2"})
        after = await client.get(f"{API}/depth", **symbol, limit=100)
        assert float(after["bids"][0][1]) == pytest.approx(float(best[1]) + 2)
        assert after["lastUpdateId"] > before["lastUpdateId"]
        body = await client.order(type="MARKET", quantity="1")
        (fill,) = body["fills"]
        trade = (await client.get(f"{API}/trades", **symbol, limit=1))[0]
        assert (trade["id"], trade["price"], trade["isBuyerMaker"]) == (fill["tradeId"], fill["price"], False)


@pytest.mark.parametrize(
    ("side", "above", "below", "code"),
    [
        ("SELL", "LIMIT_MAKER", "LIMIT_MAKER", -1168),
        ("BUY", "LIMIT_MAKER", "STOP_LOSS", -1165),
        ("SELL", "STOP_LOSS", "LIMIT_MAKER", -1166),
        ("BUY", "STOP_LOSS", "STOP_LOSS", -1196),
        ("SELL", "STOP_LOSS", "STOP_LOSS", -1197),
        ("BUY", "TAKE_PROFIT", "LIMIT_MAKER", -1198),
        ("SELL", "TAKE_PROFIT", "TAKE_PROFIT", -1199),
    ],
)
async def test_types_of_a_pair_have_their_places(side, above, below, code):
    prices = {"LIMIT_MAKER": "Price", "STOP_LOSS": "StopPrice", "TAKE_PROFIT": "StopPrice"}
    params = {
        "symbol": "BTCUSDT",
        "side": side,
        "quantity": "1",
        "aboveType": above,
        "belowType": below,
        f"above{prices[above]}": "110",
        f"below{prices[below]}": "90",
    }
    async with served() as client:
        client.steps(7)
        assert (await client.signed("POST", f"{API}/orderList/oco", **params))[1]["code"] == code
