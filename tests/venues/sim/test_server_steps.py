"""Stepped sessions: contiguous numbers over all sockets, and a market that waits."""

import json

from tests.venues.sim.served import KEY, served
from tests.venues.sim.stepping_client import SteppingClient


async def numbers(socket, count):
    return [json.loads(await socket.receive_str(timeout=20))["simSeq"] for _ in range(count)]


async def test_every_frame_and_answer_to_a_stepper_is_numbered():
    async with served() as client:
        _, registered = await client.control("POST", "/sim/steppers", {})
        stepper = registered["stepper"]
        market = await client.session.ws_connect(
            f"{client.sockets}/stream?streams=btcusdt@trade&stepper={stepper}"
        )
        api = await client.api(stepper)
        await api.post("userDataStream.subscribe.signature", is_signed=True)
        assert (await api.next())["simSeq"] == 1
        _, _, headers = await client.signed("GET", "/api/v3/account", headers={"X-SIM-STEPPER": stepper})
        assert headers["X-SIM-SEQ"] == "2"
        status, _, headers = await client.send("GET", "/api/v3/klines", headers={"X-SIM-STEPPER": stepper})
        assert (status, headers["X-SIM-SEQ"]) == (400, "3"), "refusals are numbered, too"
        _, answer = await client.control("POST", "/sim/step", {"stepper": stepper, "confirmed": 3})
        assert (answer["advanced"], answer["sent"]) == (True, 4)
        assert await numbers(market, 1) == [4]
        _, _, headers = await client.signed(
            "POST", "/api/v3/order", headers={"X-SIM-STEPPER": stepper},
            symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.5",
        )  # fmt: skip
        assert await numbers(api.socket, 3) == [5, 6, 7]
        assert headers["X-SIM-SEQ"] == "8", "the answer follows its user events"


async def test_the_market_stands_until_the_last_number_is_confirmed():
    async with served() as client:
        stepper = (await client.control("POST", "/sim/steppers", {}))[1]["stepper"]
        socket = await client.session.ws_connect(
            f"{client.sockets}/stream?streams=btcusdt@trade&stepper={stepper}"
        )
        step = {"stepper": stepper, "confirmed": 0}
        assert (await client.control("POST", "/sim/step", step))[1]["advanced"]
        before = (await client.control("GET", "/sim/state"))[1]["ordinal"]
        refused = (await client.control("POST", "/sim/step", step))[1]
        assert (refused["advanced"], refused["sent"], refused["done"]) == (False, 1, False)
        assert (await client.control("GET", "/sim/state"))[1]["ordinal"] == before
        assert await numbers(socket, 1) == [1]


async def test_foreign_clients_are_not_waited_for():
    async with served() as client:
        foreign = await client.session.ws_connect(f"{client.sockets}/ws/btcusdt@trade")
        stepper = (await client.control("POST", "/sim/steppers", {}))[1]["stepper"]
        assert (await client.control("POST", "/sim/step", {"stepper": stepper, "confirmed": 0}))[1][
            "advanced"
        ]
        assert "simSeq" not in json.loads(await foreign.receive_str(timeout=20))


async def test_a_vanished_stepper_does_not_stop_the_market():
    async with served() as client:
        gone = (await client.control("POST", "/sim/steppers", {}))[1]["stepper"]
        socket = await client.session.ws_connect(f"{client.sockets}/ws?stepper={gone}")
        await socket.close()
        alive = (await client.control("POST", "/sim/steppers", {}))[1]["stepper"]
        assert len(client.venue.steppers) == 1
        assert (await client.control("POST", "/sim/step", {"stepper": alive, "confirmed": 0}))[1]["advanced"]


async def test_the_end_of_the_market_is_told():
    async with served(length=1) as client:
        endpoint = {
            "port": client.base.rpartition(":")[2],
            "token": "token",
            "api_key": KEY.api_key,
            "secret": KEY.secret,
        }
        stepping = SteppingClient(endpoint, ["BTCUSDT", "ETHUSDT"], "1h")
        _, frames, steps = await stepping.run()
        assert steps == 5
        assert frames == 1 + 8 + 1, "the subscription's answer, the prints, the beat"
        status, body = await client.control("POST", "/sim/step", {"stepper": "nobody", "confirmed": 0})
        assert (status, body["code"]) == (400, -1130)


async def test_a_timed_market_has_no_steppers():
    async with served(stepped=False) as client:
        assert (await client.control("POST", "/sim/steppers", {}))[0] == 400
        assert (await client.control("POST", "/sim/speed", {"speed": 10}))[1]["speed"] == 10
        assert (await client.control("POST", "/sim/speed", {"speed": 0}))[0] == 400
