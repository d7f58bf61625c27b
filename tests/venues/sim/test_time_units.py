"""Times in microseconds, where the URL or a header asks for them."""

import json

from tests.venues.sim.served import served

HOUR_US = 3_600_000_000


async def test_streams_show_the_unit_of_their_connection():
    async with served(stepped=False, length=20) as client:
        names = "btcusdt@trade/btcusdt@kline_1h/btcusdt@depth@100ms/!miniTicker@arr"
        url = f"{client.sockets}/stream?streams={names}"
        coarse = await client.session.ws_connect(url)
        fine = await client.session.ws_connect(url + "&timeUnit=MICROSECOND")
        for _ in range(12):
            step, client.driver._next = client.driver._next, next(client.driver._steps, None)
            client.venue.advance(step)
        for _ in range(20):
            one = json.loads(await coarse.receive_str(timeout=20))
            other = json.loads(await fine.receive_str(timeout=20))
            assert one["stream"] == other["stream"]
            rows = one["data"] if isinstance(one["data"], list) else [one["data"]]
            fine_rows = other["data"] if isinstance(other["data"], list) else [other["data"]]
            assert [row["E"] * 1000 for row in rows] == [row["E"] for row in fine_rows]
            if "k" in one["data"]:
                assert other["data"]["k"]["T"] - other["data"]["k"]["t"] == HOUR_US - 1


async def test_answers_show_the_unit_of_the_request():
    async with served() as client:
        client.steps(7)
        fine = {"X-MBX-TIME-UNIT": "MICROSECOND"}
        for path, params, name in (
            ("trades", {"symbol": "BTCUSDT"}, "time"),
            ("aggTrades", {"symbol": "BTCUSDT"}, "T"),
            ("ticker/24hr", {"symbol": "BTCUSDT"}, "openTime"),
            ("ticker", {"symbol": "BTCUSDT", "windowSize": "2h"}, "closeTime"),
            ("avgPrice", {"symbol": "BTCUSDT"}, "closeTime"),
        ):
            coarse = await client.get(f"/api/v3/{path}", **params)
            shown = (await client.send("GET", f"/api/v3/{path}", headers=fine, **params))[1]
            one, other = (coarse[0], shown[0]) if isinstance(coarse, list) else (coarse, shown)
            assert other[name] == one[name] * 1000
        (row,) = await client.get("/api/v3/klines", symbol="BTCUSDT", interval="1h", limit=1)
        shown = (
            await client.send("GET", "/api/v3/klines", headers=fine, symbol="BTCUSDT", interval="1h", limit=1)
        )[1]
        assert shown[0][0] == row[0] * 1000
        assert shown[0][6] == shown[0][0] + HOUR_US - 1
