"""Faults of the exchange itself - symbols, keys, money, prices, clocks, limits - as clients meet them."""

import asyncio
import time

import pytest

from tests.venues.sim.faults.faulty import (
    BTC,
    FAR,
    INFO,
    MARKET,
    act,
    failures,
    faulty,
    heard,
    kinds,
    load,
    orders,
    rule,
    streams,
    user,
)

HOUR_S = 3600


async def refused(client, **params):
    """Code and text of an order, (0, "") when it was taken."""
    body = await client.order(**{**FAR, **params})
    return body.get("code", 0), body.get("msg", "")


async def balance(client, asset):
    """Free amount of an asset."""
    _, body, _ = await client.signed("GET", "/api/v3/account")
    return next((float(one["free"]) for one in body["balances"] if one["asset"] == asset), 0.0)


async def filters(client):
    """Filters of BTCUSDT by type."""
    (row,) = (await client.get(INFO, symbol="BTCUSDT"))["symbols"]
    return {one["filterType"]: one for one in row["filters"]}


@pytest.mark.parametrize("ms", [-7_000, 7_000])
async def test_the_exchanges_clock_goes_wrong_and_right_again(ms):
    async with faulty(rule(act("clock_skew", ms=ms, lasts_s=0.4))) as client:
        code, text = await refused(client)
        assert code == -1021
        assert ("ahead" in text) == (ms < 0)
        shown = (await client.get("/api/v3/time"))["serverTime"]
        assert abs(shown - time.time() * 1000 - ms) < 2_000
        _, body, _ = await client.signed("GET", "/api/v3/account", timestamp=shown)
        assert body["canTrade"] is True
        await asyncio.sleep(0.5)
        assert (await refused(client))[0] == 0


@pytest.mark.parametrize("status", ["HALT", "BREAK", "CANCEL_ONLY"])
async def test_a_symbol_does_not_trade_for_a_while(status):
    async with faulty() as client:
        await client.order(**{**FAR, "newClientOrderId": "a"})
        socket = await streams(client, "/ws/btcusdt@trade")
        await load(
            client, rule(act("symbol_status", symbol="BTCUSDT", status=status, lasts_market_s=3 * HOUR_S))
        )
        (row,) = (await client.get(INFO, symbol="BTCUSDT"))["symbols"]
        assert row["status"] == status
        assert (await refused(client))[0] != 0
        assert (await refused(client, symbol="ETHUSDT"))[0] == 0
        client.steps(10)
        assert bool(await heard(socket)) == (status == "CANCEL_ONLY")
        assert (await client.signed("DELETE", "/api/v3/order", **BTC, origClientOrderId="a"))[0] == 200
        client.steps(10)
        assert (await refused(client))[0] == 0
        assert await heard(socket)


async def test_candles_of_a_halted_hour_are_missing_and_the_others_are_what_was_printed():
    async with faulty(
        rule(act("symbol_status", symbol="BTCUSDT", status="HALT", lasts_market_s=2 * HOUR_S))
    ) as client:
        socket = await streams(client, "/stream?streams=btcusdt@trade/btcusdt@kline_1h")
        client.steps(30)
        frames = [frame["data"] for frame in await heard(socket)]
        closed = [frame["k"] for frame in frames if frame["e"] == "kline"]
        listed = await client.get("/api/v3/klines", **BTC, interval="1h", limit=len(closed) + 1)
        assert [row[0] for row in listed[:-1]] == [one["t"] for one in closed]
        traded = {t["T"] // 3_600_000 for t in frames if t["e"] == "trade"}
        hours = [one["t"] // 3_600_000 for one in closed]
        assert set(hours[1:]) <= traded
        assert set(range(hours[0], hours[-1] + 1)) - set(hours)
        for one in closed[1:]:
            prices = [float(t["p"]) for t in frames if t["e"] == "trade" and one["t"] <= t["T"] <= one["T"]]
            assert (float(one["h"]), float(one["l"])) == (max(prices), min(prices))
            volume = sum(
                float(t["q"]) for t in frames if t["e"] == "trade" and one["t"] <= t["T"] <= one["T"]
            )
            assert float(one["v"]) == pytest.approx(volume)


async def test_filters_become_coarser_and_are_shown_and_held():
    coarse = act(
        "filters", symbol="BTCUSDT", tick="0.50", step="0.01", min_notional="50", lasts_market_s=5 * HOUR_S
    )
    async with faulty(rule(coarse)) as client:
        shown = await filters(client)
        assert shown["PRICE_FILTER"]["tickSize"] == "0.50000000"
        assert shown["LOT_SIZE"]["stepSize"] == shown["LOT_SIZE"]["minQty"] == "0.01000000"
        assert shown["NOTIONAL"]["minNotional"] == "50.00000000"
        api = await client.api()
        answer, _ = await api.ask("exchangeInfo", symbol="BTCUSDT")
        assert answer["result"]["symbols"][0]["filters"] == list(shown.values())
        assert await refused(client, price="90.30", quantity="1") == (-1013, "Filter failure: PRICE_FILTER")
        assert await refused(client, quantity="1.001") == (-1013, "Filter failure: LOT_SIZE")
        assert await refused(client, quantity="0.50") == (-1013, "Filter failure: NOTIONAL")
        assert (await client.order(**{**MARKET, "quantity": "0.4"}))["code"] == -1013
        answer, _ = await api.ask("order.place", is_signed=True, **{**FAR, "price": "90.30"})
        assert answer["error"]["code"] == -1013
        assert await refused(client, quantity="1.00", price="90.50") == (0, "")
        assert await refused(client, quantity="nan") != (0, "")
        client.steps(30)
        assert (await filters(client))["PRICE_FILTER"]["tickSize"] == "0.01000000"
        assert (await refused(client, quantity="0.1", price="90.30"))[0] == 0


async def test_a_symbol_is_delisted():
    gone = rule(act("delist", symbol="BTCUSDT", gone_after_s=5 * HOUR_S), when={"from_market": HOUR_S})
    async with faulty() as client:
        await client.order(**{**FAR, "newClientOrderId": "a"})
        api = await user(client)
        socket = await streams(client, "/ws/btcusdt@bookTicker/ethusdt@trade")
        await load(client, gone)
        client.steps(6)
        assert kinds(await heard(api.socket)) == ["executionReport CANCELED", "outboundAccountPosition"]
        assert await orders(client) == [("a", "CANCELED")]
        (row,) = (await client.get(INFO, symbol="BTCUSDT"))["symbols"]
        assert row["status"] == "BREAK"
        client.steps(30)
        assert [row["symbol"] for row in (await client.get(INFO))["symbols"]] == ["ETHUSDT"]
        for path in (INFO, "/api/v3/depth", "/api/v3/ticker/price"):
            assert (await client.get(path, **BTC))["code"] == -1121
        assert (await client.get("/api/v3/ticker/price", symbols='["BTCUSDT","ETHUSDT"]'))["code"] == -1121
        assert await refused(client) == (-1121, "Invalid symbol.")
        await heard(socket)
        client.steps(5)
        assert {frame["s"] for frame in await heard(socket)} == {"ETHUSDT"}
        assert (await client.get("/api/v3/klines", symbol="ETHUSDT", interval="1h", limit=1))[0]


async def test_a_key_is_revoked_in_the_middle_of_a_session():
    async with faulty() as client:
        api = await user(client)
        await load(client, rule(act("revoke_key", lasts_s=0.5)))
        assert kinds(await heard(api.socket, 0.1)) == ["eventStreamTerminated"]
        status, body, _ = await client.signed("GET", "/api/v3/account")
        assert (status, body["code"]) == (401, -2015)
        answer, _ = await api.ask("account.status", is_signed=True)
        assert (answer["status"], answer["error"]["code"]) == (401, -2015)
        await asyncio.sleep(0.5)
        assert (await client.signed("GET", "/api/v3/account"))[0] == 200


@pytest.mark.parametrize("status", [418, 429])
async def test_a_ban_holds_for_its_time_and_says_how_long(status):
    async with faulty() as client:
        api = await client.api()
        await load(client, rule(act("ban", seconds=1.2, status=status)))
        answered, body, headers = await client.send("GET", "/api/v3/ping")
        assert (answered, body["code"], headers["Retry-After"]) == (status, -1003, "2")
        frame, _ = await api.ask("order.place", is_signed=True, **FAR)
        assert (frame["status"], frame["error"]["code"]) == (status, -1003)
        assert 0 < frame["error"]["data"]["retryAfter"] - time.time() * 1000 <= 2_000
        with pytest.raises(Exception, match=str(status)):
            await client.session.ws_connect(client.sockets + "/ws")
        said = [await client.send("GET", "/api/v3/ping") for _ in range(2)]
        if status == 418:  # the moment at which it ends stays where it is
            first, second = (int(one["msg"].split("until ")[1].split(".")[0]) for _, one, _ in said)
            assert abs(first - second) <= 2
        await asyncio.sleep(1.3)
        assert (await client.send("GET", "/api/v3/ping"))[0] == 200
        assert await orders(client) == []


async def test_most_of_the_weight_is_used_up():
    async with faulty(rule(act("use_weight", weight=5_000))) as client:
        _, _, headers = await client.send("GET", "/api/v3/ping")
        assert int(headers["X-MBX-USED-WEIGHT-1M"]) > 5_000
        await load(client, rule(act("use_weight", weight=5_000)))
        assert (await failures(client))[0].startswith("-1003")


async def test_commission_rates_change_and_come_back():
    async with faulty(rule(act("fees", maker_bps=30, taker_bps=50, lasts_market_s=HOUR_S))) as client:
        commission = float((await client.order(**MARKET))["fills"][0]["commission"])
        assert commission == pytest.approx(0.1 * 0.005, rel=1e-3)
        client.steps(10)
        commission = float((await client.order(**MARKET))["fills"][0]["commission"])
        assert commission == pytest.approx(0.1 * 0.001, rel=1e-3)


async def test_money_comes_and_goes_and_never_below_zero():
    async with faulty() as client:
        api = await user(client)
        moves = [
            act("transfer", asset="USDT", amount=amount) for amount in ("500", "-200.5", "-99999999", "-1")
        ]
        bnb = [act("transfer", asset="BNB", amount="3"), act("transfer", asset="BNB", amount="all")]
        await load(client, rule([*moves, *bnb]))
        events = [frame["event"] for frame in await heard(api.socket)]
        changes = [(one["a"], float(one["d"])) for one in events if one["e"] == "balanceUpdate"]
        assert changes == [("USDT", 500), ("USDT", -200.5), ("USDT", -10299.5), ("BNB", 3), ("BNB", -3)]
        assert await balance(client, "USDT") == await balance(client, "BNB") == 0


async def test_a_crash_that_stays_triggers_stops_and_candles_tell_it():
    async with faulty() as client:
        await client.order(**MARKET)
        last = float((await client.get("/api/v3/ticker/price", **BTC))["price"])
        stop = {
            **BTC,
            "side": "SELL",
            "type": "STOP_LOSS",
            "quantity": "0.09",
            "stopPrice": f"{last * 0.9:.2f}",
        }
        await client.order(**stop, newClientOrderId="stop")
        socket = await streams(client, "/stream?streams=btcusdt@trade/btcusdt@kline_1h")
        await load(client, rule(act("price_gap", symbol="BTCUSDT", percent=-20)))
        client.steps(20)
        frames = [frame["data"] for frame in await heard(socket)]
        prices = [float(frame["p"]) for frame in frames if frame["e"] == "trade"]
        assert all(0.7 < price / last < 0.87 for price in prices)
        assert ("stop", "FILLED") in await orders(client)
        _, trades, _ = await client.signed("GET", "/api/v3/myTrades", **BTC)
        assert float(trades[-1]["price"]) < 0.87 * last
        closed = [frame["k"] for frame in frames if frame["e"] == "kline"]
        assert float(closed[0]["h"]) > 0.95 * last > 0.87 * last > float(closed[0]["c"])
        for one in closed[1:]:
            within = [float(t["p"]) for t in frames if t["e"] == "trade" and one["t"] <= t["T"] <= one["T"]]
            shown = [float(one[letter]) for letter in "ohlc"]
            assert shown == [within[0], max(within), min(within), within[-1]]
        eth = await client.get("/api/v3/klines", symbol="ETHUSDT", interval="1h", limit=10)
        assert min(float(row[3]) for row in eth) > 90


async def test_a_gap_ends_when_its_time_is_over_or_the_script_goes():
    async with faulty(rule(act("price_gap", symbol="*", percent=50, lasts_market_s=2 * HOUR_S))) as client:
        prices = []
        for _ in range(4):
            client.steps(5)
            prices.append(float((await client.get("/api/v3/ticker/price", **BTC))["price"]))
        assert prices[0] > 140
        assert prices[-1] < 110


async def test_one_bad_tick():
    async with faulty() as client:
        socket = await streams(client, "/stream?streams=btcusdt@trade/btcusdt@kline_1h")
        await load(client, rule(act("price_spike", symbol="BTCUSDT", percent=40)))
        client.steps(10)
        frames = [frame["data"] for frame in await heard(socket)]
        prices = [float(frame["p"]) for frame in frames if frame["e"] == "trade"]
        assert [price > 130 for price in prices].count(True) == 1
        assert max(float(frame["k"]["h"]) for frame in frames if frame["e"] == "kline") == max(prices)


async def test_the_owner_trades_and_cancels_by_hand():
    async with faulty() as client:
        await client.order(**{**FAR, "newClientOrderId": "mine"})
        api = await user(client)
        await load(
            client,
            rule(act("manual_order", symbol="BTCUSDT", side="BUY", quantity="0.2")),
            rule(act("cancel_orders", symbol="*"), when={"from_market": HOUR_S}),
        )
        assert kinds(await heard(api.socket))[:2] == ["executionReport NEW", "executionReport TRADE"]
        assert await balance(client, "BTC") == pytest.approx(0.2, rel=0.01)
        client.steps(6)
        assert ("mine", "CANCELED") in await orders(client)


async def test_everything_that_lasts_is_undone_with_the_script():
    lasting = [
        act("clock_skew", ms=-9_000),
        act("symbol_status", symbol="*", status="HALT"),
        act("filters", symbol="*", min_notional="1000"),
        act("fees", maker_bps=90, taker_bps=90),
        act("revoke_key"),
        act("ban", seconds=100),
    ]
    async with faulty(rule(lasting)) as client:
        assert (await client.send("GET", "/api/v3/ping"))[0] == 418
        await load(client)
        assert (await client.send("GET", "/api/v3/ping"))[0] == 200
        filled = await client.order(**MARKET)
        assert float(filled["fills"][0]["commission"]) == pytest.approx(0.1 * 0.001, rel=1e-3)
        client.steps(5)


async def test_a_rule_of_wall_time_strikes_and_repeats():
    async with faulty(
        rule(act("clock_skew", ms=1000), when={"from_wall": 0.1, "every_wall_s": 0.2, "times": 2})
    ) as client:
        assert client.venue.clock_offset_ms == 0
        await asyncio.sleep(0.6)
        assert client.venue.clock_offset_ms == 2000


async def test_a_script_at_work_in_a_timed_market():
    drop = rule("drop", {"stream": "*@trade"}, {"probability": 0.5})
    async with faulty(
        drop, rule(act("clock_skew", ms=5), when={"from_market": HOUR_S}), stepped=False, speed=36_000.0
    ) as client:
        socket = await streams(client, "/ws/btcusdt@trade")
        moving = asyncio.create_task(client.driver.run())
        await asyncio.sleep(0.6)
        moving.cancel()
        ids = [frame["t"] for frame in await heard(socket)]
        assert 0 < len(ids) < ids[-1] - ids[0] + 1
        assert client.venue.clock_offset_ms == 5
