"""A small served exchange for tests: random bars, one account, one server on a free port."""

import contextlib
import hashlib
import hmac
import json
import time
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import aiohttp
import numpy as np
from yarl import URL

from bnml.core.clock import LiveClock
from bnml.core.instrument import E8, Instrument
from bnml.kernels.records import BAR
from bnml.trading.filling import compile_costs
from bnml.trading.settings import CostSettings
from bnml.venues.sim.control import Control
from bnml.venues.sim.driver import Pacing, Stepping, steps_of
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.market import Market
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.server import Server
from bnml.venues.sim.signatures import sign_ed25519
from bnml.venues.sim.signing import ApiKey, KeyRing
from bnml.venues.sim.venue import Venue

HOUR_NS = 3600 * 10**9
START_NS = 1_700_000_000 * 10**9 // HOUR_NS * HOUR_NS
KEY = ApiKey("k" * 64, "s" * 64, "main")
TOKEN = "token"


def random_bars(seed, count, first_ns, frame_ns=HOUR_NS):
    """Random walks with a missing bar now and then."""
    random = np.random.default_rng(seed)
    rows = np.zeros(count, dtype=BAR)
    rows["ts_open_ns"] = first_ns + np.arange(count) * frame_ns
    close = 10_000 + np.cumsum(random.integers(-40, 41, count))
    rows["open"] = np.concatenate([[10_000], close[:-1]]) + random.integers(-2, 3, count)
    rows["close"] = close
    rows["high"] = np.maximum(rows["open"], close) + random.integers(0, 30, count)
    rows["low"] = np.minimum(rows["open"], close) - random.integers(0, 30, count)
    rows["volume_lots"] = random.integers(10_000_000, 100_000_000, count)
    return rows


def make_feed(pricing, symbols=("BTCUSDT", "ETHUSDT"), history=48, length=200, frame_ns=HOUR_NS):
    """Bars before START_NS are history, the rest are printed."""
    instruments = {
        name: Instrument(name, name.removesuffix("USDT"), "USDT", tick_e8=E8 // 100, lot_e8=1000)
        for name in symbols
    }
    bars = {
        name: random_bars(index, history + length, START_NS - history * frame_ns, frame_ns)
        for index, name in enumerate(symbols)
    }
    return BarFeed(instruments, bars, frame_ns, pricing, START_NS)


@contextlib.asynccontextmanager
async def served(*, stepped=True, speed=3600.0, clock=None, tier=None, **feed_options):
    """A running server with its venue and driver; the driver of a timed market is not started."""
    clock = clock or LiveClock()
    pricing = Pricing(compile_costs(CostSettings()), tier=tier)
    feed = make_feed(pricing, **feed_options)
    exchange = Exchange(Market(feed.instruments, feed.frame_ns, pricing, feed.history(0)))
    exchange.open_account("main", {"USDT": 10_000 * E8})
    venue = Venue(exchange, KeyRing([KEY]), clock, live=not stepped)
    steps = steps_of(feed, 0)
    driver = Stepping(venue, steps) if stepped else Pacing(venue, steps, speed, clock)
    venue.market_time = driver
    server = Server(venue, Control(venue, driver, TOKEN))
    port = await server.start(0)
    async with aiohttp.ClientSession() as session:
        try:
            client = Client(session, port, venue, driver)
            client.server = server
            yield client
        finally:
            await server.stop()


def sign_as(key, payload):
    """What the owner of a key signs with."""
    if key.kind == "ED25519":
        return sign_ed25519(key.secret, payload.encode())
    return signature(key.secret, payload)


def signature(secret, payload):
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


class Client:
    """Raw requests with nothing between the test and the wire."""

    def __init__(self, session, port, venue, driver):
        self.session = session
        self.base = f"http://127.0.0.1:{port}"
        self.sockets = f"ws://127.0.0.1:{port}"
        self.venue = venue
        self.driver = driver

    async def send(self, method, path, headers=None, **params):
        """(status, body, headers) of an unsigned request."""
        url = f"{self.base}{path}" + (f"?{urlencode(params)}" if params else "")
        async with self.session.request(method, url, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None, response.headers

    async def get(self, path, **params):
        return (await self.send("GET", path, **params))[1]

    async def signed(self, method, path, headers=None, key=KEY, **params):
        """(status, body, headers) of a request signed as it should be; `key` is anything with a secret."""
        params = {"timestamp": int(time.time() * 1000), **params}
        payload = urlencode(params)
        signed = quote(sign_as(key, payload), safe="")
        url = URL(f"{self.base}{path}?{payload}&signature={signed}", encoded=True)
        async with self.session.request(
            method, url, headers={"X-MBX-APIKEY": key.api_key, **(headers or {})}
        ) as r:
            return r.status, await r.json(), r.headers

    async def order(self, **params):
        """Place a signed order and return its body."""
        return (await self.signed("POST", "/api/v3/order", **{"symbol": "BTCUSDT", "side": "BUY", **params}))[
            1
        ]

    async def new_key(self, **wanted):
        """A key made by the controls, with what its owner needs to sign."""
        status, body = await self.control("POST", "/sim/keys", wanted)
        assert status == 200, body
        secret = body.get("secret") or body.get("privateKey", "")
        return SimpleNamespace(api_key=body["apiKey"], secret=secret, kind=body["kind"])

    async def new_account(self, name, **balances):
        """The first key of a new account."""
        status, body = await self.control("POST", "/sim/accounts", {"account": name, "balances": balances})
        assert status == 200, body
        return SimpleNamespace(api_key=body["apiKey"], secret=body["secret"], kind="HMAC")

    async def control(self, method, path, body=None):
        async with self.session.request(
            method, self.base + path, json=body, headers={"X-SIM-TOKEN": TOKEN}
        ) as response:
            return response.status, await response.json()

    def steps(self, count):
        """Advance a stepped market without any stepper."""
        for _ in range(count):
            self.driver.step()

    async def api(self, stepper=None):
        """A WebSocket API connection."""
        query = f"?stepper={stepper}" if stepper else ""
        return Api(await self.session.ws_connect(f"{self.sockets}/ws-api/v3{query}"))


class Api:
    """One WebSocket API connection."""

    def __init__(self, socket):
        self.socket = socket
        self.last_id = 0

    async def post(self, method, *, is_signed=False, key=KEY, **params):
        """Send a request and return its id."""
        self.last_id += 1
        if is_signed:
            params = {"apiKey": key.api_key, "timestamp": int(time.time() * 1000), **params}
            payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
            params["signature"] = sign_as(key, payload)
        await self.socket.send_json({"id": self.last_id, "method": method, "params": params})
        return self.last_id

    async def ask(self, method, *, is_signed=False, key=KEY, **params):
        """The answer, and the frames that came before it."""
        wanted = await self.post(method, is_signed=is_signed, key=key, **params)
        before = []
        while (frame := await self.next()).get("id") != wanted:
            before.append(frame)
        return frame, before

    async def next(self):
        return json.loads(await self.socket.receive_str(timeout=30))
