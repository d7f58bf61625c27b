"""Checks that a client's script collects and runs in order; one line of JSON for each on standard output."""

import asyncio
import contextlib
import json
import logging
import sys
import time
import urllib.request
from decimal import Decimal

TIMEOUT_S = 40.0
FAST = 300.0
"""Market seconds per second: bars of a minute close five times a second, a minute's weight lasts a fifth of one."""
CHECKS = []


def check(function):
    """Add a coroutine function to the script's checks; its name is the check's name."""
    CHECKS.append(function)
    return function


class Endpoint:
    """Where the exchange is, and its controls."""

    def __init__(self, content):
        self.address = f"127.0.0.1:{content['port']}"
        self.base = f"http://{self.address}"
        self.sockets = f"ws://{self.address}"
        self.api_key, self.secret, self.token = content["api_key"], content["secret"], content["token"]

    def control(self, path, body=None):
        """Ask `/sim/...`; a body makes it a POST."""
        request = urllib.request.Request(
            f"{self.base}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-SIM-TOKEN": self.token, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def pace(self, speed):
        """Market seconds per second from now on."""
        self.control("/sim/speed", {"speed": speed})


@contextlib.asynccontextmanager
async def refused(*kinds, code=None, text=""):
    """What is inside must raise one of `kinds`, and say `code` and `text`."""
    caught = None
    try:
        yield
    except kinds as error:
        caught = error
    assert caught is not None, f"nothing was refused; expected {kinds} {code} {text}"
    said = f"{type(caught).__name__}: {caught} {vars(caught)}"
    assert type(caught) in kinds, f"{said} is only related to {kinds}"
    assert code is None or str(code) in said, f"{said} has not code {code}"
    assert text in said, f"{said} does not say {text!r}"


async def until(is_true, what, timeout_s=20.0):
    """Ask again and again, until `is_true()` (a coroutine function) gives something true; return that."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await is_true()
            if found:
                return found
            await asyncio.sleep(0.1)
    raise AssertionError(what)


def balances_of(account):
    """free + locked by asset of a raw account answer."""
    return {
        one["asset"]: Decimal(one["free"]) + Decimal(one["locked"])
        for one in account["balances"]
        if Decimal(one["free"]) + Decimal(one["locked"])
    }


def add_trades(balances, trades, base, quote):
    """What raw rows of myTrades make of balances."""
    result = dict(balances)

    def add(asset, amount):
        result[asset] = result.get(asset, Decimal(0)) + amount

    for trade in trades:
        sign = 1 if trade["isBuyer"] else -1
        add(base, sign * Decimal(trade["qty"]))
        add(quote, -sign * Decimal(trade["quoteQty"]))
        add(trade["commissionAsset"], -Decimal(trade["commission"]))
    return {asset: amount for asset, amount in result.items() if amount}


def step_down(value, step):
    """The decimal text of a value rounded down to a multiple of `step`, as it goes over the wire."""
    step = Decimal(step)
    return format((Decimal(str(value)) // step) * step, "f")


async def run_one(function, *arguments):
    """(ok, detail) of one check."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            detail = await function(*arguments)
    except Exception as error:  # whatever it is, it is the check's result
        logging.getLogger("checks").exception(function.__name__)
        return False, f"{type(error).__name__}: {error}"
    return True, detail


async def run_all(opening):
    """Run every check with the client that `opening(endpoint)` opens."""
    endpoint = Endpoint(json.load(sys.stdin))
    async with opening(endpoint) as client:
        for function in CHECKS:
            began_s = time.monotonic()
            ok, detail = await run_one(function, client, endpoint)
            line = {
                "name": function.__name__,
                "ok": ok,
                "detail": detail,
                "seconds": round(time.monotonic() - began_s, 2),
            }
            print(json.dumps(line, default=str), flush=True)  # noqa: T201 - the script's answer


def main(opening):
    """Run the script."""
    asyncio.run(run_all(opening))
