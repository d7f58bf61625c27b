"""What clients hide, on the raw sockets of `bnml exchange`: order of events, ids, commissions, pauses, close flags."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.venues.sim.stepping_client import ExchangeProcess

MARKET = ("--base-frame", "1m", "--speed", "300", "--symbols", "BTCUSDT,ETHUSDT")
REPORT, POSITION = "executionReport", "outboundAccountPosition"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with ExchangeProcess(tmp_path_factory.mktemp("raw"), *MARKET) as exchange:
        yield exchange.endpoint


def sign(endpoint, payload):
    return hmac.new(endpoint["secret"].encode(), payload.encode(), hashlib.sha256).hexdigest()


class Raw:
    """Signed REST requests and the user events they cause, as text on the wire."""

    def __init__(self, session, endpoint):
        self.session, self.endpoint = session, endpoint
        self.base = f"http://127.0.0.1:{endpoint['port']}"
        self.sockets = f"ws://127.0.0.1:{endpoint['port']}"

    async def rest(self, method, path, **params):
        """(status, body, headers) of a signed request."""
        query = urlencode({**params, "timestamp": int(time.time() * 1000)})
        url = f"{self.base}{path}?{query}&signature={sign(self.endpoint, query)}"
        headers = {"X-MBX-APIKEY": self.endpoint["api_key"]}
        async with self.session.request(method, url, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def order(self, **params):
        status, body, _ = await self.rest("POST", "/api/v3/order", symbol="BTCUSDT", **params)
        assert status == 200, body
        return body

    async def get(self, path, **params):
        async with self.session.get(f"{self.base}{path}", params=params) as answer:
            return await answer.json()

    async def control(self, path, body):
        headers = {"X-SIM-TOKEN": self.endpoint["token"]}
        async with self.session.post(self.base + path, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def price(self, factor):
        last = Decimal((await self.get("/api/v3/ticker/price", symbol="BTCUSDT"))["price"])
        return f"{last * Decimal(str(factor)):.2f}"

    async def call(self, socket, method, **params):
        """One request of the WebSocket API; its answer, and the frames that came before it."""
        if method != "ping":
            params |= {"apiKey": self.endpoint["api_key"], "timestamp": int(time.time() * 1000)}
            payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
            params["signature"] = sign(self.endpoint, payload)
        await socket.send_json({"id": method, "method": method, "params": params})
        before = []
        async with asyncio.timeout(10):
            while (frame := await socket.receive_json()).get("id") != method:
                before.append(frame)
        return frame, before

    @contextlib.asynccontextmanager
    async def listening(self):
        async with self.session.ws_connect(f"{self.sockets}/ws-api/v3") as socket:
            answer, _ = await self.call(socket, "userDataStream.subscribe.signature")
            assert answer["status"] == 200
            yield socket

    async def heard(self, socket):
        """Events up to now: what was sent before the answer to a ping."""
        _, frames = await self.call(socket, "ping")
        return frames


@pytest.fixture
async def raw(endpoint):
    async with aiohttp.ClientSession() as session:
        yield Raw(session, endpoint)


def kinds(frames):
    return [(frame["event"]["e"], frame["event"].get("x")) for frame in frames]


async def test_each_request_has_its_events_in_order(raw):
    async with raw.listening() as socket:
        bought = await raw.order(side="BUY", type="MARKET", quantity="0.05")
        fills = [(REPORT, "TRADE")] * len(bought["fills"])
        assert kinds(await raw.heard(socket)) == [(REPORT, "NEW"), *fills, (POSITION, None)]

        resting = await raw.order(
            side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001", price=await raw.price(0.8)
        )
        assert kinds(await raw.heard(socket)) == [(REPORT, "NEW"), (POSITION, None)]

        await raw.rest(
            "DELETE",
            "/api/v3/order",
            symbol="BTCUSDT",
            orderId=resting["orderId"],
            newClientOrderId="cancel-1",
        )
        frames = await raw.heard(socket)
        assert kinds(frames) == [(REPORT, "CANCELED"), (POSITION, None)]
        canceled = frames[0]["event"]
        assert (canceled["C"], canceled["c"]) == (resting["clientOrderId"], "cancel-1")

        await raw.order(
            side="BUY", type="LIMIT", timeInForce="IOC", quantity="0.001", price=await raw.price(0.8)
        )
        frames = await raw.heard(socket)
        assert kinds(frames) == [(REPORT, "NEW"), (REPORT, "EXPIRED"), (POSITION, None)]
        assert frames[1]["event"]["X"] == "EXPIRED"

        await raw.control("/sim/deposit", {"asset": "USDT", "amount": "7"})
        assert kinds(await raw.heard(socket)) == [("balanceUpdate", None), (POSITION, None)]


async def test_a_list_tells_its_legs_and_its_state(raw):
    async with raw.listening() as socket:
        await raw.order(side="BUY", type="MARKET", quantity="0.005")
        await raw.heard(socket)
        legs = {
            "side": "SELL", "quantity": "0.002", "aboveType": "LIMIT_MAKER",
            "abovePrice": await raw.price(1.2), "belowType": "STOP_LOSS",
            "belowStopPrice": await raw.price(0.8),
        }  # fmt: skip
        _, placed, _ = await raw.rest("POST", "/api/v3/orderList/oco", symbol="BTCUSDT", **legs)
        frames = await raw.heard(socket)
        assert sorted(kinds(frames)) == sorted(
            [("listStatus", None), (REPORT, "NEW"), (REPORT, "NEW"), (POSITION, None)]
        )
        (told,) = [frame["event"] for frame in frames if frame["event"]["e"] == "listStatus"]
        assert (told["g"], told["l"], told["L"]) == (placed["orderListId"], "EXEC_STARTED", "EXECUTING")
        assert {one["i"] for one in told["O"]} == {one["orderId"] for one in placed["orders"]}
        await raw.rest("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=placed["orderListId"])
        frames = await raw.heard(socket)
        reports = [frame["event"] for frame in frames if frame["event"]["e"] == REPORT]
        assert [report["x"] for report in reports] == ["CANCELED", "CANCELED"]
        (told,) = [frame["event"] for frame in frames if frame["event"]["e"] == "listStatus"]
        assert (told["l"], told["L"]) == ("ALL_DONE", "ALL_DONE")


async def test_ids_rise_and_every_listener_hears_the_same(raw):
    async with raw.listening() as first, raw.listening() as second:
        for _ in range(5):
            await raw.order(side="BUY", type="MARKET", quantity="0.002")
            await raw.order(
                side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001", price=await raw.price(0.8)
            )
        _, sold, _ = await raw.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
        assert len(sold) == 5
        one, two = [[frame["event"] for frame in await raw.heard(socket)] for socket in (first, second)]
    assert one == two
    reports = [event for event in one if event["e"] == REPORT]
    ids = [event["I"] for event in reports]
    assert ids == sorted(set(ids))
    placed = [event["i"] for event in reports if event["x"] == "NEW"]
    assert placed == sorted(set(placed))
    fills = [event["t"] for event in reports if event["x"] == "TRADE"]
    assert fills == sorted(set(fills))
    assert all(event["t"] == -1 for event in reports if event["x"] != "TRADE")
    times = [event["E"] for event in one]
    assert times == sorted(times)


async def test_a_commission_is_the_same_number_everywhere(raw):
    """Answer, event, myTrades, account: quantity times the account's rate, in what was received."""
    account = (await raw.rest("GET", "/api/v3/account"))[1]
    rate = Decimal(account["commissionRates"]["taker"])
    before = {one["asset"]: Decimal(one["free"]) for one in account["balances"]}
    async with raw.listening() as socket:
        bought = await raw.order(side="BUY", type="MARKET", quantity="0.01")
        sold = await raw.order(side="SELL", type="MARKET", quantity="0.004")
        events = [frame["event"] for frame in await raw.heard(socket)]
    told = {event["t"]: event for event in events if event.get("x") == "TRADE"}
    _, rows, _ = await raw.rest("GET", "/api/v3/myTrades", symbol="BTCUSDT", limit=50)
    listed = {row["id"]: row for row in rows}
    change = defaultdict(Decimal)
    for order, sign in ((bought, 1), (sold, -1)):
        for fill in order["fills"]:
            event, row = told[fill["tradeId"]], listed[fill["tradeId"]]
            price, quantity = Decimal(fill["price"]), Decimal(fill["qty"])
            commission = Decimal(fill["commission"])
            received = quantity if sign > 0 else price * quantity
            assert abs(commission - received * rate) <= Decimal("1e-8")
            assert fill["commissionAsset"] == ("BTC" if sign > 0 else "USDT")
            assert {commission} == {Decimal(event["n"]), Decimal(row["commission"])}
            assert {fill["commissionAsset"]} == {event["N"], row["commissionAsset"]}
            assert {price, Decimal(event["L"])} == {Decimal(row["price"])}
            assert Decimal(event["Y"]) == Decimal(row["quoteQty"])
            change["BTC"] += sign * quantity
            change["USDT"] -= sign * Decimal(row["quoteQty"])
            change[fill["commissionAsset"]] -= commission
    account = (await raw.rest("GET", "/api/v3/account"))[1]
    after = {one["asset"]: Decimal(one["free"]) for one in account["balances"]}
    for asset in ("BTC", "USDT"):
        assert after[asset] - before.get(asset, 0) == change[asset]
    last = [event for event in events if event["e"] == POSITION][-1]
    assert {one["a"]: Decimal(one["f"]) for one in last["B"]} == {"BTC": after["BTC"], "USDT": after["USDT"]}


async def test_the_chain_of_reports_is_the_order(raw):
    async with raw.listening() as socket:
        placed = await raw.order(
            side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.02", price=await raw.price(1.01)
        )
        events = [frame["event"] for frame in await raw.heard(socket)]
    _, order, _ = await raw.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"])
    reports = [event for event in events if event["e"] == REPORT]
    filled = [Decimal(event["l"]) for event in reports if event["x"] == "TRADE"]
    assert sum(filled) == Decimal(order["executedQty"]) == Decimal(reports[-1]["z"])
    assert sum(Decimal(event["Y"]) for event in reports if event["x"] == "TRADE") == Decimal(
        order["cummulativeQuoteQty"]
    )
    assert (reports[-1]["X"], reports[-1]["T"]) == (order["status"], order["updateTime"])
    assert {event["c"] for event in reports} == {order["clientOrderId"]}


async def read_streams(raw, names, seconds):
    """What each stream sent in so long."""
    heard = defaultdict(list)
    async with raw.session.ws_connect(f"{raw.sockets}/stream?streams={'/'.join(names)}") as socket:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    frame = await socket.receive_json()
                    heard[frame["stream"]].append(frame["data"])
    return heard


async def test_a_candle_closes_once_and_last_and_as_rest_shows_it(raw):
    names = [f"{symbol}@kline_{interval}" for symbol in ("btcusdt", "ethusdt") for interval in ("1m", "3m")]
    heard = await read_streams(raw, names, 4)
    assert set(heard) == set(names)
    for name, frames in heard.items():
        candles = [frame["k"] for frame in frames]
        opens = [candle["t"] for candle in candles]
        assert opens == sorted(opens), "no frame of a candle after the next one began"
        by_open = defaultdict(list)
        for candle in candles:
            by_open[candle["t"]].append(candle["x"])
        whole = sorted(by_open)[:-1]
        assert len(whole) >= 3
        for open_ms in whole:
            assert by_open[open_ms].count(True) == 1
            assert by_open[open_ms][-1]
        symbol, _, interval = name.partition("@kline_")
        rows = await raw.get("/api/v3/klines", symbol=symbol.upper(), interval=interval, startTime=whole[0])
        rest = {row[0]: row for row in rows}
        for candle in candles:
            if candle["x"]:
                told = [candle[letter] for letter in "ohlcv"] + [candle["n"], candle["q"]]
                row = rest[candle["t"]]
                assert told == [*row[1:6], row[8], row[7]]


async def test_trades_and_books_have_no_holes(raw):
    names = ["btcusdt@trade", "btcusdt@aggTrade", "btcusdt@depth@100ms"]
    heard = await read_streams(raw, names, 3)
    trades, parts, books = (heard[name] for name in names)
    assert len(trades) > 10
    assert all(later["t"] == earlier["t"] + 1 for earlier, later in pairwise(trades))
    assert all(later["a"] == earlier["a"] + 1 for earlier, later in pairwise(parts))
    assert all(later["f"] == earlier["l"] + 1 for earlier, later in pairwise(parts))
    assert all(later["U"] == earlier["u"] + 1 for earlier, later in pairwise(books))


async def test_a_refused_request_names_the_pause_and_others_do_not(raw):
    """Last: it uses the weight of a minute."""
    _, _, headers = await raw.rest("GET", "/api/v3/account")
    assert "Retry-After" not in headers
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) > 0
    status, body, headers = await raw.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=999_999_999)
    assert (status, body["code"]) == (400, -2013)
    assert "Retry-After" not in headers
    await raw.control("/sim/speed", {"speed": 1})
    try:
        for _ in range(60):
            status, body, headers = await raw.rest("GET", "/api/v3/allOrders", symbol="BTCUSDT")
            async with raw.session.get(
                raw.base + "/api/v3/depth", params={"symbol": "BTCUSDT", "limit": 5000}
            ) as answer:
                status, text, headers = answer.status, await answer.text(), answer.headers
            if status == 429:
                break
        assert status == 429
        assert json.loads(text)["code"] == -1003
        pause_s = int(headers["Retry-After"])
        assert 1 <= pause_s <= 60
    finally:
        await raw.control("/sim/speed", {"speed": 300})
