import asyncio
import hashlib
import hmac
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import aiohttp
import pytest

import bnml.testing
from bnml.core.errors import Misconfigured


async def account(session, url):
    query = f"timestamp={int(time.time() * 1000)}"
    signature = hmac.new(url.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    address = f"{url}/api/v3/account?{query}&signature={signature}"
    async with session.get(address, headers={"X-MBX-APIKEY": url.api_key}) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_an_exchange_lives_as_long_as_its_block():
    async with bnml.testing.exchange(["BTCUSDT"], speed=600) as url, aiohttp.ClientSession() as session:
        assert url.startswith("http://127.0.0.1:")
        balances = {one["asset"]: one["free"] for one in (await account(session, url))["balances"]}
        assert balances == {"USDT": "10000.00000000"}
        async with session.ws_connect(url.streams) as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
            assert (await socket.receive_json())["id"] == 1
            assert (await asyncio.wait_for(socket.receive_json(), 20))["e"] == "trade"
        async with session.ws_connect(url.socket_api) as socket:
            await socket.send_json({"method": "ping", "id": 2})
            assert (await socket.receive_json())["status"] == 200

        def blocking():
            with urllib.request.urlopen(url + "/api/v3/ping", timeout=10) as answer:
                return answer.status

        assert blocking() == 200
    with pytest.raises(urllib.error.URLError):
        blocking()


async def test_a_stepped_exchange_stands_still_and_a_folder_is_gone_on_from(tmp_path):
    async def state(session, url, path="/sim/state", body=None):
        method = "GET" if body is None else "POST"
        async with session.request(
            method, url + path, json=body, headers={"X-SIM-TOKEN": url.token}
        ) as answer:
            return json.loads(await answer.text())

    async with aiohttp.ClientSession() as session:
        given = {"stepped": True, "seed": 7, "state_dir": tmp_path}
        async with bnml.testing.exchange(**given) as url:
            before = await state(session, url)
            assert (before["mode"], before["ordinal"]) == ("stepped", 0)
            await state(session, url, "/sim/deposit", {"asset": "USDT", "amount": "5"})
        async with bnml.testing.exchange(**given) as url:
            found = (await account(session, url))["balances"]
            assert {"asset": "USDT", "free": "10005.00000000", "locked": "0.00000000"} in found


async def test_the_manual_says_it_right():
    manual = (Path(__file__).parents[1] / "docs" / "exchange.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    names = {}
    exec(compile(program, "exchange.md", "exec"), names)
    await names["test_my_program_reads_the_price"]()


async def test_what_does_not_start_says_why():
    with pytest.raises(Misconfigured, match="the generated market has no NOSUCHUSDT"):
        async with bnml.testing.exchange(["NOSUCHUSDT"]):
            pytest.fail("it started")
