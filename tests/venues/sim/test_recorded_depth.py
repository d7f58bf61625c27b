"""Recorded depth and trades over real sockets: what an ordinary client rebuilds equals the recording."""

import itertools
import json

import aiohttp
import pytest

from bnml.core.clock import LiveClock
from bnml.venues.sim.control import Control
from bnml.venues.sim.driver import Stepping, steps_of
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.market import Market
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.recorded import RecordedStreamFeed, infer_instruments, read_frames
from bnml.venues.sim.server import Server
from bnml.venues.sim.signing import KeyRing
from bnml.venues.sim.venue import Venue
from tests.venues.sim.bench import costs
from tests.venues.sim.public_side import LocalBook, PublicSide, e8
from tests.venues.sim.served import KEY, TOKEN

STEPS = 600  # a minute
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def files(data_dir):
    return sorted((data_dir / "fixtures" / "binance_ws_recorded").glob("*.jsonl.gz"))


@pytest.fixture(scope="module")
def feed(files):
    return RecordedStreamFeed(files, infer_instruments(files))


@pytest.fixture(scope="module")
def recording(files):
    """Frames of the recording by symbol and stream, and each symbol's snapshot."""
    found = {name: {"trade": [], "depth@100ms": [], "bookTicker": [], "snapshot": []} for name in SYMBOLS}
    for path in files:
        for frame in read_frames(path):
            found[frame.symbol.upper()][frame.stream].append(frame.data)
    return found


def venue_of(feed, *, live):
    pricing = Pricing(costs(), takes_recorded_books=True)
    market = Market(feed.instruments, feed.frame_ns, pricing, feed.history(0))
    for change in feed.depth(0):
        market.change_depth(change)
    return Venue(Exchange(market), KeyRing([KEY]), LiveClock(), live=live)


async def test_a_client_that_follows_the_documented_procedure_rebuilds_the_recording(feed, recording):
    venue = venue_of(feed, live=False)
    driver = Stepping(venue, steps_of(feed, 0))
    venue.market_time = driver
    server = Server(venue, Control(venue, driver, TOKEN))
    port = await server.start(0)
    try:
        async with aiohttp.ClientSession() as session:
            names = "/".join(
                f"{name.lower()}@{kind}" for name in SYMBOLS for kind in ("depth@100ms", "trade")
            )
            socket = await session.ws_connect(f"ws://127.0.0.1:{port}/stream?streams={names}")
            for _ in range(20):
                driver.step()
            books = {}
            for name in SYMBOLS:
                url = f"http://127.0.0.1:{port}/api/v3/depth?symbol={name}&limit=5000"
                async with session.get(url) as response:
                    books[name] = LocalBook(await response.json())
            for _ in range(STEPS):
                driver.step()
            end = {}
            for name in SYMBOLS:
                url = f"http://127.0.0.1:{port}/api/v3/depth?symbol={name}&limit=5000"
                async with session.get(url) as response:
                    end[name] = await response.json()
            heard = await until(socket, {name: end[name]["lastUpdateId"] for name in SYMBOLS})
    finally:
        await server.stop()
    for name in SYMBOLS:
        served = heard[f"{name.lower()}@depth@100ms"]
        recorded = recording[name]["depth@100ms"][: len(served)]
        assert len(served) > 550
        assert [ids(one) for one in served] == [ids(one) for one in recorded]
        assert [levels(one) for one in served] == [levels(one) for one in recorded]
        original = LocalBook(recording[name]["snapshot"][0])
        for ours, theirs in zip(served, recorded, strict=True):
            books[name].apply(ours)
            original.apply(theirs)
        assert books[name].equals(end[name])
        assert amounts(books[name]) == amounts(original)
        trades = heard[f"{name.lower()}@trade"]
        shown = recording[name]["trade"][: len(trades)]
        assert [trade_of(one) for one in trades] == [trade_of(one) for one in shown]
        assert len(trades) > 300


async def until(socket, last_ids):
    """Frames by stream, until the differences of each symbol have reached their last id."""
    heard = {}
    while last_ids:
        frame = json.loads(await socket.receive_str(timeout=30))
        heard.setdefault(frame["stream"], []).append(frame["data"])
        data = frame["data"]
        if data["e"] == "depthUpdate" and data["u"] >= last_ids.get(data["s"], 2**63):
            del last_ids[data["s"]]
    return heard


def ids(event):
    return event["U"], event["u"]


def levels(event):
    return [[(e8(price), e8(quantity)) for price, quantity in event[side]] for side in "ba"]


def amounts(book):
    return {
        side: {e8(price): e8(quantity) for price, quantity in levels.items()}
        for side, levels in book.sides.items()
    }, book.last


def trade_of(one):
    return one["t"], e8(one["p"]), e8(one["q"]), one["T"], one["m"]


@pytest.mark.parametrize("live", [True, False])
def test_quotes_levels_and_differences_agree_at_any_moment(feed, live):
    pricing = Pricing(costs(), takes_recorded_books=True)
    streams = ("depth@100ms", "depth", "depth20", "bookTicker", "trade", "aggTrade")
    side = PublicSide(feed, pricing, streams, live=live, depth=feed.depth(0))
    kept = {name: LocalBook(side.get("depth", symbol=name, limit=5000)) for name in SYMBOLS}
    done = dict.fromkeys(SYMBOLS, 0)
    for number in range(400):
        side.step()
        for name in SYMBOLS if number % 7 == 6 else ():
            lower = name.lower()
            events = side.ear.heard[f"{lower}@depth@100ms"]
            for event in events[done[name] :]:
                kept[name].apply(event)
            done[name] = len(events)
            snapshot = side.get("depth", symbol=name, limit=5000)
            assert kept[name].equals(snapshot)
            top = side.get("ticker/bookTicker", symbol=name)
            assert [top["bidPrice"], top["bidQty"]] == snapshot["bids"][0]
            quote = side.ear.heard[f"{lower}@bookTicker"][-1]
            assert [quote["a"], quote["A"]] == snapshot["asks"][0]
    for name in SYMBOLS:
        slow = side.ear.heard[f"{name.lower()}@depth"]
        fast = side.ear.heard[f"{name.lower()}@depth@100ms"]
        assert all(later["U"] == earlier["u"] + 1 for earlier, later in itertools.pairwise(slow))
        assert len(slow) < len(fast) / 5 if live else len(slow) > len(fast) * 0.9
        gathered = LocalBook(json.loads(json.dumps(side.get("depth", symbol=name, limit=5000))))
        assert gathered.equals(side.get("depth", symbol=name, limit=5000))
        parts = side.ear.heard[f"{name.lower()}@aggTrade"]
        trades = side.trades(name)
        assert sum(one["l"] - one["f"] + 1 for one in parts) == len(trades)


def test_a_market_that_is_entered_later_stands_where_it_would(feed):
    venue = venue_of(feed, live=False)
    for number in range(250):
        venue.advance(feed.step(number))
    market = Market(
        feed.instruments, feed.frame_ns, Pricing(costs(), takes_recorded_books=True), feed.history(250)
    )
    for change in feed.depth(250):
        market.change_depth(change)
    for name in SYMBOLS:
        assert market.depths[name].top(5000) == venue.market.depths[name].top(5000)
        assert market.depths[name].update_id == venue.market.depths[name].update_id
