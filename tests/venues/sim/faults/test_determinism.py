"""The same script, the same seed and the same requests: the same faults and the same frames, byte for byte."""

import asyncio

import aiohttp

from tests.venues.sim.faults.faulty import FAR, MARKET, act, faulty, rule, streams, user

RULES = (
    rule("drop", {"stream": "*"}, {"probability": 0.3}, name="lost frames"),
    rule("duplicate", {"stream": "*@kline_*"}, {"probability": 0.5}, name="doubled candles"),
    rule(act("reorder", behind=2), {"user_event": "*"}, {"probability": 0.3}, name="disorder"),
    rule("drop", {"user_event": "executionReport"}, {"every": 5}, name="lost reports"),
    rule(
        act("answer", like="timeout"),
        {"request": "order.*"},
        {"probability": 0.4},
        name="timeouts",
        at="after",
    ),
    rule("reset", {"request": "POST /api/v3/order"}, {"probability": 0.3}, name="broken lines"),
    rule(act("transfer", asset="USDT", amount="7"), when={"from_market": 3600, "every_market_s": 7200}),
    rule(act("price_gap", symbol="BTCUSDT", percent=-3), when={"from_market": 20_000}),
)


async def session(seed):
    """What fired, and all frames of a market stream and of the user's, without wall times."""
    async with faulty(*RULES, seed=seed) as client:
        market, api = (
            await streams(client, "/stream?streams=btcusdt@trade/btcusdt@kline_1h"),
            await user(client),
        )
        answers = []
        for number in range(25):
            client.steps(2)
            request = {**(MARKET if number % 3 else FAR), "newClientOrderId": f"order{number}"}
            try:
                answers.append((await client.signed("POST", "/api/v3/order", **request))[0])
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                answers.append("reset")
            await api.post("order.place", is_signed=True, **{**request, "newClientOrderId": f"other{number}"})
        await asyncio.sleep(0.2)
        texts = [[], []]
        for found, socket in zip(texts, (market, api.socket), strict=True):
            while True:
                try:
                    found.append((await asyncio.wait_for(socket.receive(), 0.2)).data)
                except TimeoutError:
                    break
        faults = client.venue.faults.view()["fired"]
        return [{**one, "wallTime": ""} for one in faults], answers, texts


async def test_the_same_requests_meet_the_same_faults():
    first, again, other = await session(5), await session(5), await session(6)
    assert first == again
    assert [one["ordinal"] for one in first[0]] == list(range(1, len(first[0]) + 1))
    assert {one["action"] for one in first[0]} == {
        rule["do"]["action"] if isinstance(rule["do"], dict) else rule["do"] for rule in RULES
    }
    assert first[0] != other[0]
    assert "reset" in first[1]
