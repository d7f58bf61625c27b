"""Every error code that clients must know, provoked over the wire by its name: status, code and text."""

import time

import pytest

from bnml.core.clock import NS_PER_DAY
from tests.venues.sim.served import KEY, served

API = "/api/v3"
NOW = object()
MUST = {
    *(
        -1000,
        -1003,
        -1007,
        -1008,
        -1013,
        -1015,
        -1021,
        -1022,
        -1100,
        -1102,
        -1104,
        -1106,
        -1111,
        -1115,
        -1116,
    ),
    *(
        -1117,
        -1120,
        -1121,
        -1127,
        -1128,
        -2010,
        -2011,
        -2013,
        -2014,
        -2015,
        -2021,
        -2022,
        -2035,
        -2036,
        -2039,
    ),
}
SHOULD = {
    *(
        -1001,
        -1006,
        -1014,
        -1016,
        -1020,
        -1034,
        -1101,
        -1103,
        -1105,
        -1108,
        -1112,
        -1130,
        -1131,
        -1145,
        -1151,
    ),
    *(-1165, -1166, -1168, -1194, -1196, -1197, -1198, -1199, -1220, -2016, -2026, -2038),
}
ELSEWHERE = {
    -1001: "the back end's own failures: a script of faults answers with them",
    -1006: "as -1001",
    -1007: "as -1001; with the order executed, or not",
    -1008: "as -1001, with status 503",
    -1014: "Binance names no combination that still gives it: each wrong one has a code of its own; faults can answer with it",
    -1103: "tags of FIX; what REST and WebSocket API do not know is -1104, or -1101 where nothing is expected",
    -1015: "test_limits",
    -1034: "test_limits",
    -1112: "an empty book lets a MARKET order expire; without any price the market counts as closed (-2010)",
}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "80",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "1", "stopPrice": "9000"}
OCO = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "1",
    "aboveType": "LIMIT_MAKER",
    "belowType": "STOP_LOSS",
}
REPLACE = {**LIMIT, "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": "1"}
ILLEGAL = "Illegal characters found in parameter '{}'; legal range is "
MANDATORY = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."
UNSIGNED = ("exchangeInfo", "klines", "depth", "ping", "ticker", "avgPrice", "aggTrades", "uiKlines")
WEEK_MS = 7 * 86_400_000


def order(code, text, status=400, **params):
    return (code, "POST", "/order", {**LIMIT, **params}, status, text)


def oco(code, text, **changed):
    """An OCO whose legs are on the wrong sides; each leg has the price that its type needs."""
    types = {**OCO, **changed}
    params = {name: types[name] for name in ("symbol", "side", "quantity", "aboveType", "belowType")}
    for place, price in (("above", "110"), ("below", "90")):
        needs = "Price" if types[f"{place}Type"] == "LIMIT_MAKER" else "StopPrice"
        params[place + needs] = price
    return (code, "POST", "/orderList/oco", params, 400, text)


CASES = [
    order(-1013, "Filter failure: PRICE_FILTER", price="80.001"),
    order(-1013, "Filter failure: LOT_SIZE", quantity="0.000011"),
    order(-1013, "Filter failure: NOTIONAL", quantity="0.01"),
    order(-1013, "Filter failure: PERCENT_PRICE_BY_SIDE", price="1"),
    order(-1021, "Timestamp for this request is outside of the recvWindow.", timestamp=1),
    order(-1021, "Timestamp for this request was 1000ms ahead of the server's time.", timestamp=2 * 10**12),
    order(-1100, ILLEGAL.format("price"), price="1e2"),
    order(-1100, ILLEGAL.format("quantity"), quantity="-1"),
    order(-1100, ILLEGAL.format("quantity"), quantity="+1"),
    order(-1100, ILLEGAL.format("quantity"), quantity="1\n"),
    order(-1100, ILLEGAL.format("quantity"), quantity="٣"),
    order(-1100, ILLEGAL.format("newClientOrderId"), newClientOrderId="a b"),
    order(-1102, MANDATORY.format("symbol"), symbol=""),
    order(
        -1104, "Not all sent parameters were read; read '8' parameter(s) but was sent '9'.", reduceOnly="true"
    ),
    order(-1105, "Parameter 'newClientOrderId' was empty.", newClientOrderId=""),
    order(-1106, "Parameter 'stopPrice' sent when not required.", stopPrice="70"),
    order(-1108, "Parameter 'price' overflowed.", price="92233720369"),
    order(-1111, "Parameter 'price' has too much precision.", price="80.123456789"),
    order(-1115, "Invalid timeInForce.", timeInForce="GTX"),
    order(-1116, "Invalid orderType.", type="LIMITED"),
    order(-1117, "Invalid side.", side="HOLD"),
    order(-1020, "This operation is not supported", pegPriceType="PRIMARY_PEG"),
    order(-1121, "Invalid symbol.", symbol="NOPE"),
    order(
        -1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.", selfTradePreventionMode="NO"
    ),
    order(-1131, "recvWindow must be less than 60000.", recvWindow="60000.001"),
    order(-2010, "Account has insufficient balance for requested action.", quantity="500"),
    (-1000, None, "order.fly", {}, 400, "Unknown method: order.fly"),
    (-1101, "GET", "/time", {"x": "1"}, 400, "Too many parameters; expected '0' and received '1'."),
    (
        -1104,
        "GET",
        "/klines",
        {"symbol": "BTCUSDT", "interval": "1h", "x": "1"},
        400,
        "Not all sent parameters",
    ),
    (-1108, "GET", "/order", {"symbol": "BTCUSDT", "orderId": 2**63}, 400, "Parameter 'orderId' overflowed."),
    (-1120, "GET", "/klines", {"symbol": "BTCUSDT", "interval": "7m"}, 400, "Invalid interval."),
    (
        -1127,
        "GET",
        "/allOrders",
        {"symbol": "BTCUSDT", "startTime": 0, "endTime": WEEK_MS},
        400,
        "Lookup interval is too big. More than 24 hours between startTime and endTime.",
    ),
    (
        -1128,
        "GET",
        "/myTrades",
        {"symbol": "BTCUSDT", "fromId": 1, "startTime": 1},
        400,
        "Combination of optional",
    ),
    (
        -1145,
        "DELETE",
        "/order",
        {"symbol": "BTCUSDT", "orderId": 1, "cancelRestrictions": "NONE"},
        400,
        "cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED.",
    ),
    (-1122, "GET", "/depth", {"symbol": "BTCUSDT", "symbolStatus": "OPEN"}, 400, "Invalid symbolStatus."),
    (-1139, "GET", "/ticker/24hr", {"symbol": "BTCUSDT", "type": "TINY"}, 400, "Invalid ticker type."),
    (
        -1220,
        "GET",
        "/depth",
        {"symbol": "BTCUSDT", "symbolStatus": "HALT"},
        400,
        "The symbol's status does not match the requested symbolStatus.",
    ),
    (
        -1151,
        "GET",
        "/exchangeInfo",
        {"symbols": '["A","A"]'},
        400,
        "Symbol is present multiple times in the list.",
    ),
    (
        -1102,
        "GET",
        "/order",
        {"symbol": "BTCUSDT"},
        400,
        "Param 'origClientOrderId' or 'orderId' must be sent",
    ),
    (-2010, "POST", "/order", {**STOP, "quantity": "0.1"}, 400, "Stop price would trigger immediately."),
    (-2011, "DELETE", "/order", {"symbol": "BTCUSDT", "orderId": 99}, 400, "Unknown order sent."),
    (-2011, "DELETE", "/openOrders", {"symbol": "BTCUSDT"}, 400, "Unknown order sent."),
    (-2013, "GET", "/order", {"symbol": "BTCUSDT", "orderId": 99}, 400, "Order does not exist."),
    (-2022, "POST", "/order/cancelReplace", REPLACE, 400, "Order cancel-replace failed."),
    oco(-1165, "A limit order in a buy OCO must be below.", side="BUY", belowType="STOP_LOSS"),
    oco(
        -1166, "A limit order in a sell OCO must be above.", aboveType="TAKE_PROFIT", belowType="LIMIT_MAKER"
    ),
    oco(-1168, "At least one OCO order must be contingent.", belowType="LIMIT_MAKER"),
    oco(-1196, "A stop loss order in a buy OCO must be above.", side="BUY", aboveType="STOP_LOSS"),
    oco(-1197, "A stop loss order in a sell OCO must be below.", aboveType="STOP_LOSS"),
    oco(
        -1198,
        "A take profit order in a buy OCO must be below.",
        side="BUY",
        aboveType="TAKE_PROFIT",
        belowType="LIMIT_MAKER",
    ),
    oco(-1199, "A take profit order in a sell OCO must be above.", belowType="TAKE_PROFIT"),
    (-2036, None, "userDataStream.unsubscribe", {}, 400, "User Data Stream subscription not active."),
]
"""(code, HTTP method or None for a method of the WebSocket API, path, parameters, status, beginning of the text)."""
WITH_A_PAST = {-2010, -2021, -2038, -2026, -2035, -2039}
OF_THE_DOOR = {-1003, -1016, -1022, -1194, -2014, -2015, -2016}


@pytest.mark.parametrize("case", CASES, ids=[f"{one[0]}-{number}" for number, one in enumerate(CASES)])
async def test_a_code_comes_with_its_status_and_text(case):
    code, method, path, params, status, text = case
    async with served() as client:
        client.steps(1)
        if method is None:
            api = await client.api()
            answer, _ = await api.ask(path, **params)
            got, body = answer["status"], answer["error"]
        else:
            send = client.send if path.strip("/").split("/")[0] in {*UNSIGNED, "time"} else client.signed
            got, body, headers = await send(method, API + path, **params)
            assert headers["Content-Type"].startswith("application/json")
        assert (got, body["code"]) == (status, code), body
        assert body["msg"].startswith(text)


async def test_codes_that_need_a_past():
    async with served() as client:
        client.steps(1)
        mine = await client.order(**{**LIMIT, "newClientOrderId": "mine"})
        duplicate = await client.order(**{**LIMIT, "newClientOrderId": "mine"})
        assert duplicate == {"code": -2010, "msg": "Duplicate order sent."}
        taking = await client.order(type="LIMIT_MAKER", quantity="1", price="200")
        assert taking == {"code": -2010, "msg": "Order would immediately match and take."}
        amend = {"symbol": "BTCUSDT", "orderId": mine["orderId"], "newQty": "2"}
        status, body, _ = await client.signed("PUT", f"{API}/order/amend/keepPriority", **amend)
        assert (status, body["code"]) == (400, -2038)
        assert body["msg"] == "Order amend (quantity increase) is not supported."
        both = {"symbol": "BTCUSDT", "orderId": mine["orderId"], "origClientOrderId": "yours"}
        status, body, _ = await client.signed("GET", f"{API}/order", **both)
        assert (status, body["code"]) == (400, -2039)
        assert body["msg"] == "Client order ID is not correct for this order ID."
        replace = {**REPLACE, "cancelOrderId": mine["orderId"], "quantity": "500"}
        status, body, _ = await client.signed("POST", f"{API}/order/cancelReplace", **replace)
        assert (status, body["code"], body["msg"]) == (409, -2021, "Order cancel-replace partially failed.")
        assert body["data"]["cancelResult"] == "SUCCESS"
        assert body["data"]["newOrderResponse"]["code"] == -2010
        kept = [await client.order(**LIMIT), await client.order(type="MARKET", quantity="0.1")]
        client.venue.exchange.set_time(client.venue.now_ns + 91 * NS_PER_DAY)
        for order in kept:
            found = await client.signed("GET", f"{API}/order", symbol="BTCUSDT", orderId=order["orderId"])
            assert found[1]["status"] == order["status"], "what is open or was filled is not archived"
        status, body, _ = await client.signed(
            "GET", f"{API}/order", symbol="BTCUSDT", orderId=mine["orderId"]
        )
        assert (status, body["code"]) == (400, -2026)
        api = await client.api()
        await api.ask("userDataStream.subscribe.signature", is_signed=True)
        again, _ = await api.ask("userDataStream.subscribe.signature", is_signed=True)
        assert (again["status"], again["error"]["code"]) == (400, -2035)


async def test_codes_of_the_door():
    async with served() as client:
        good = {"timestamp": int(time.time() * 1000)}
        for headers, signature, expected in [
            ({}, "0" * 64, (401, -2014, "API-key format invalid.")),
            ({"X-MBX-APIKEY": "short"}, "0" * 64, (401, -2014, "API-key format invalid.")),
            (
                {"X-MBX-APIKEY": "a" * 64},
                "0" * 64,
                (401, -2015, "Invalid API-key, IP, or permissions for action."),
            ),
            (
                {"X-MBX-APIKEY": KEY.api_key},
                "0" * 64,
                (400, -1022, "Signature for this request is not valid."),
            ),
        ]:
            status, body, _ = await client.send("GET", f"{API}/account", headers, **good, signature=signature)
            assert (status, body["code"], body["msg"]) == expected
        client.venue.limits.charge(5_900, client.venue.window_ns)
        status, body, _ = await client.send("GET", f"{API}/ticker/24hr")
        assert (status, body["code"]) == (429, -1003)
        wrong = await client.signed("GET", f"{API}/account", headers={"X-MBX-TIME-UNIT": "NANOSECOND"})
        assert (wrong[0], wrong[1]["code"]) == (400, -1194)
        await client.control("POST", "/sim/maintenance", {"on": True})
        client.venue.limits.forget()
        closed = await client.signed("POST", f"{API}/order", **LIMIT)
        assert (closed[0], closed[1]["code"]) == (503, -1016)
        await client.control("POST", "/sim/status", {"symbol": "BTCUSDT", "status": "BREAK"})
        status, body, _ = await client.send("GET", f"{API}/ticker", symbol="BTCUSDT", windowSize="1h")
        assert (status, body["code"]) == (400, -2016)
        assert body["msg"] == "No trading window could be found for the symbol. Try ticker/24hrs instead."


def test_every_code_that_clients_must_know_is_provoked_or_says_why_not():
    provoked = {case[0] for case in CASES} | WITH_A_PAST | OF_THE_DOOR
    assert provoked.isdisjoint(ELSEWHERE)
    assert (MUST | SHOULD) - provoked - set(ELSEWHERE) == set()
