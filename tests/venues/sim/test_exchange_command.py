"""`bnml exchange` as a process: its files, its refusals, and what a kill does not lose."""

import asyncio
import json
import socket
import stat
import sys

import aiohttp

from bnml.venues.sim.signing import sign
from tests.venues.sim.stepping_client import ExchangeProcess

STEPPED = ("--stepped", "--symbols", "BTCUSDT,ETHUSDT")


async def failing(*arguments):
    """(exit code, last line of stderr) of a command that must not stay."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bnml", "exchange", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, errors.decode().strip().splitlines()[-1]


async def signed(session, endpoint, method, path, **params):
    state = await timestamp(session, endpoint)
    payload = "&".join(f"{name}={value}" for name, value in {**params, "timestamp": state}.items())
    url = f"http://127.0.0.1:{endpoint['port']}{path}?{payload}&signature={sign(endpoint['secret'], payload.encode())}"
    async with session.request(method, url, headers={"X-MBX-APIKEY": endpoint["api_key"]}) as response:
        return await response.json()


async def timestamp(session, endpoint):
    async with session.get(f"http://127.0.0.1:{endpoint['port']}/api/v3/time") as response:
        return (await response.json())["serverTime"]


async def control(session, endpoint, method, path, body=None):
    url = f"http://127.0.0.1:{endpoint['port']}{path}"
    async with session.request(
        method, url, json=body, headers={"X-SIM-TOKEN": endpoint["token"]}
    ) as response:
        return await response.json()


async def picture(session, endpoint):
    """Everything of the account and the market that must survive."""
    paths = ["/api/v3/account", "/api/v3/openOrders", "/api/v3/openOrderList"]
    of_symbol = ["/api/v3/allOrders", "/api/v3/myTrades"]
    state = await control(session, endpoint, "GET", "/sim/state")
    url = f"http://127.0.0.1:{endpoint['port']}/api/v3/depth?symbol=BTCUSDT"
    async with session.get(url) as response:
        book = await response.json()
    return [
        *[await signed(session, endpoint, "GET", path) for path in paths],
        *[await signed(session, endpoint, "GET", path, symbol="BTCUSDT") for path in of_symbol],
        (state["marketTsNs"], state["ordinal"], book),
    ]


async def protected_entry(session, endpoint):
    """Parameters of an entry a little above the market, with a target and a stop far from it."""
    url = f"http://127.0.0.1:{endpoint['port']}/api/v3/ticker/price?symbol=BTCUSDT"
    async with session.get(url) as response:
        price = float((await response.json())["price"])
    return {
        "symbol": "BTCUSDT",
        "listClientOrderId": "entry",
        "workingType": "LIMIT",
        "workingSide": "BUY",
        "workingTimeInForce": "FOK",
        "workingQuantity": "0.01",
        "workingPrice": f"{price * 1.01:.2f}",
        "pendingSide": "SELL",
        "pendingAboveType": "LIMIT_MAKER",
        "pendingAbovePrice": f"{price * 2:.2f}",
        "pendingBelowType": "STOP_LOSS",
        "pendingBelowStopPrice": f"{price * 0.5:.2f}",
    }


async def test_a_killed_exchange_resumes_where_it_was(tmp_path):
    async with aiohttp.ClientSession() as session:
        with ExchangeProcess(tmp_path, *STEPPED) as exchange:
            first = exchange.endpoint
            stepper = (await control(session, first, "POST", "/sim/steppers", {}))["stepper"]
            for _ in range(12):
                await control(session, first, "POST", "/sim/step", {"stepper": stepper, "confirmed": 0})
            entry = await protected_entry(session, first)
            placed = await signed(session, first, "POST", "/api/v3/orderList/opoco", **entry)
            assert placed["listOrderStatus"] == "EXECUTING", placed
            before = await picture(session, first)
            exchange.kill()
        with ExchangeProcess(tmp_path, *STEPPED) as exchange:
            second = exchange.endpoint
            assert (second["api_key"], second["secret"]) == (first["api_key"], first["secret"])
            assert second["token"] != first["token"]
            assert await picture(session, second) == before
            again = await signed(session, second, "DELETE", "/api/v3/orderList", symbol="BTCUSDT",
                                 listClientOrderId="entry")  # fmt: skip
            assert again["listOrderStatus"] == "ALL_DONE"


async def test_files_ports_and_second_instances(tmp_path):
    with ExchangeProcess(tmp_path / "one", *STEPPED) as exchange:
        file = tmp_path / "one" / "exchange" / "endpoint.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = json.loads(file.read_text())
        assert set(content) == {"pid", "port", "api_key", "secret", "speed", "mode", "token", "accounts"}
        assert (content["pid"], content["mode"]) == (exchange.process.pid, "stepped")
        second, taken = await asyncio.gather(
            failing("--state-dir", str(tmp_path / "one"), *STEPPED),
            failing("--state-dir", str(tmp_path / "two"), "--port", str(content["port"]), *STEPPED),
        )
        assert second[0] == 3
        assert "another exchange already serves" in second[1]
        assert taken[0] == 4
        assert f"port {content['port']} of 127.0.0.1 cannot be opened" in taken[1]
        assert "--port" in taken[1]
        exchange.process.terminate()
        assert exchange.process.wait(10) == 0
        assert not file.exists()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", content["port"])) != 0


async def test_another_market_does_not_continue_a_ledger(tmp_path):
    with ExchangeProcess(tmp_path, *STEPPED):
        pass
    code, text = await failing("--state-dir", str(tmp_path), *STEPPED, "--seed", "43")
    assert code == 5
    assert "was made with feed" in text


async def test_accounts_and_keys_of_settings_and_of_commands_survive_a_kill(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("venue: {sim: {accounts: [second, third=500]}}\n")
    arguments = (*STEPPED, "--config", str(config))
    async with aiohttp.ClientSession() as session:
        with ExchangeProcess(tmp_path, *arguments) as exchange:
            first = exchange.endpoint
            assert set(first["accounts"]) == {"second", "third"}
            third = {**first, **first["accounts"]["third"]}
            assert (await signed(session, third, "GET", "/api/v3/account"))["balances"] == [
                {"asset": "USDT", "free": "500.00000000", "locked": "0.00000000"}
            ]
            made = await control(
                session, first, "POST", "/sim/accounts", {"account": "bob", "balances": {"BTC": "2"}}
            )
            await control(
                session,
                first,
                "POST",
                "/sim/keys",
                {"apiKey": third["api_key"], "trading": False, "reading": True},
            )
            await control(session, first, "POST", "/sim/status", {"symbol": "ETHUSDT", "status": "HALT"})
            ledger = await control(session, first, "GET", "/sim/ledger")
            assert ledger["accounts"]["bob"]["balances"] == {
                "BTC": {"free": "2.00000000", "locked": "0.00000000"}
            }
            exchange.kill()
        with ExchangeProcess(tmp_path, *arguments) as exchange:
            second = exchange.endpoint
            assert {name: second["accounts"][name] for name in ("second", "third")} == first["accounts"]
            assert second["accounts"]["bob"] == {"api_key": made["apiKey"], "secret": made["secret"]}
            assert await control(session, second, "GET", "/sim/ledger") == ledger
            bob = {**second, "api_key": made["apiKey"], "secret": made["secret"]}
            assert (await signed(session, bob, "GET", "/api/v3/account"))["uid"] == made["uid"]
            third = {**second, **second["accounts"]["third"]}
            assert (await signed(session, third, "DELETE", "/api/v3/openOrders", symbol="BTCUSDT"))[
                "code"
            ] == -2015
            url = f"http://127.0.0.1:{second['port']}/api/v3/exchangeInfo?symbol=ETHUSDT"
            async with session.get(url) as response:
                assert (await response.json())["symbols"][0]["status"] == "HALT"
