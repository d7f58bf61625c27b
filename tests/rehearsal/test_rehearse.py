"""`bnml rehearse` against an embedded exchange that stands for the test network, as it is and altered on purpose."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack

import pytest

import bnml.testing
from bnml import cli
from bnml.app.deployment import Deployment
from bnml.config import load
from bnml.core.orders import OrderType, Side
from bnml.rehearsal.ending import end, lots_of_ours
from bnml.rehearsal.places import opened
from bnml.rehearsal.steps import least_lots, off
from tests.rehearsal.altering_proxy import altering

CONFIG = """
venue:
  testnet: {{rest_url: "{rest}", stream_url: "{sockets}", api_url: "{api}"}}
"""


async def rehearse(folder, url, through, *words):
    """(exit code, report, stderr) of the command at an exchange that it reaches under `through`."""
    file = folder / "config.yaml"
    sockets = "ws" + through.removeprefix("http")
    file.write_text(CONFIG.format(rest=through, sockets=url.sockets, api=f"{sockets}/ws-api/v3"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bnml", "rehearse", "--venue", "testnet", "--json", *words),
        *("--config", str(file), "--state-dir", str(folder / "state")),
        env={**os.environ, "BINANCE_API_KEY": url.api_key, "BINANCE_API_SECRET": url.secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, json.loads(out or b"{}"), errors.decode()


def answers_otherwise(method, path, status, body):
    """A key is missing, a number is text, a code is another one."""
    if (method, path) == ("GET", "/api/v3/myTrades"):
        for trade in body:
            trade.pop("quoteQty")
    elif (method, path) == ("POST", "/api/v3/order") and "transactTime" in body:
        body["transactTime"] = str(body["transactTime"])
    elif isinstance(body, dict) and body.get("code") == -2013:
        return 404, {**body, "code": -2099}
    return status, body


def tells_otherwise(event):
    """Amendments have another name, and purchases a letter more."""
    if event.get("x") == "REPLACED":
        return {**event, "x": "AMENDED"}
    return {**event, "Zz": 1} if event.get("x") == "TRADE" else event


async def left_at(url):
    """What rests there, and how much base is held."""
    async with at(url, url) as desk:
        orders = json.loads(await desk.rest.read("/api/v3/openOrders", {}))
        account = json.loads(await desk.rest.read("/api/v3/account", {"omitZeroBalances": "true"}))
        held = {row["asset"]: float(row["free"]) + float(row["locked"]) for row in account["balances"]}
        return orders, held.get("BTC", 0.0) / (desk.instrument.lot_e8 / 1e8)


def at(url, through):
    """A desk at an exchange that is reached under `through`."""
    sockets = "ws" + through.removeprefix("http")
    deployment = Deployment(
        str(through), f"{sockets}/stream", f"{sockets}/ws-api/v3", url.api_key, url.secret
    )
    return opened(load(None, {}, {"venue.kind": ("testnet", "")}), deployment, "BTCUSDT", None)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Both rehearsals at once: as the exchange is, and altered; each with what is left there."""

    async def one(name, stack, **changes):
        folder = tmp_path_factory.mktemp(name)
        url = await stack.enter_async_context(
            bnml.testing.exchange(["BTCUSDT"], frame="1m", speed=60, state_dir=folder)
        )
        through = await stack.enter_async_context(altering(url, **changes)) if changes else url
        return *(await rehearse(folder, url, through)), await left_at(url)

    async def both():
        async with AsyncExitStack() as stack:
            return await asyncio.gather(
                one("plain", stack), one("altered", stack, answer=answers_otherwise, event=tells_otherwise)
            )

    return asyncio.run(both())


def test_an_exchange_like_ours_is_the_same_in_every_step(ended):
    code, report, errors, _ = ended[0]
    assert [
        (one["step"], one["differences"], one["said"]) for one in report["results"] if one["result"] != "same"
    ] == []
    assert len(report["results"]) > 60
    assert (code, report["venue"], report["left"]) == (0, "testnet", []), errors


def test_each_alteration_is_found_at_its_place(ended):
    code, report, errors, _ = ended[1]
    assert code == 1, errors
    places = {place["path"] for one in report["results"] for place in one["differences"]}
    assert places >= {
        "GET /api/v3/myTrades: body[].quoteQty",
        "POST /api/v3/order: body.transactTime",
        "GET /api/v3/order: http",
        "GET /api/v3/order: body.code",
        "event executionReport TRADE: event.Zz",
        "event executionReport REPLACED",
        "event executionReport AMENDED",
    }
    untouched = [one for one in report["results"] if "stop that would" in one["step"]]
    assert [one["result"] for one in untouched] == ["same", "same"]


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_rests_and_less_than_a_lot_is_held(ended, number):
    _, _, _, (orders, lots) = ended[number]
    assert orders == []
    assert lots < 1


def refuse_the_end(method, params):
    """Nothing can be cancelled, and nothing sold."""
    if method == "DELETE" or (method == "POST" and params.get("side") == "SELL"):
        return {"code": -1013, "msg": "Filter failure: SOMETHING"}
    return None


async def test_what_cannot_be_ended_is_named_and_ends_later(tmp_path):
    async with bnml.testing.exchange(["BTCUSDT"], frame="1m", speed=60, state_dir=tmp_path) as url:
        async with at(url, url) as desk:
            desk.step("before")
            bid, _ = await desk.best()
            lots = least_lots(desk, bid)
            await desk.submit(desk.order(Side.BUY, OrderType.MARKET, lots * 2))
            resting = desk.order(Side.BUY, OrderType.LIMIT_MAKER, lots * 2, price=off(bid, -5))
            await desk.submit(resting)
            prefix = desk.prefix
        async with altering(url, refuse=refuse_the_end) as through, at(url, through) as desk:
            desk.prefix = prefix
            said = " ".join(await end(desk))
            assert f"({resting.client_order_id}) of BTCUSDT rests" in said
            assert "BTC of this rehearsal are not sold" in said
            assert await lots_of_ours(desk) > 0
        async with at(url, url) as desk:
            desk.prefix = prefix
            assert await end(desk) == []
            assert await lots_of_ours(desk) == 0


def test_live_and_paper_are_refused_with_what_to_write_instead(capsys, tmp_path):
    for venue, code, words in (
        ("live", 3, "costs real money"),
        ("paper", 2, "kept by the embedded exchange"),
    ):
        assert cli.call(["rehearse", "--venue", venue, "--state-dir", str(tmp_path)]) == code
        said = capsys.readouterr().err
        assert words in said
        assert "--venue testnet" in said
