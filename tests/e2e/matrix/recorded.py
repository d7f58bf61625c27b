"""Recorded bars as the market of the simulated world, and a daemon in it that speaks through its own clients."""

import asyncio
import contextlib
from functools import cache
from pathlib import Path

import yaml

from bnml.app.access import ACCESS, keep_proving, try_again, watch_access
from bnml.app.connecting import _events
from bnml.app.vigil import Vigil, make_return
from bnml.core.clock import NS_PER_S
from bnml.core.events import Book, OperatorCommand
from bnml.core.ids import IdSource
from bnml.trading.compile import compile_engine
from bnml.trading.guarding import ACTIVE
from bnml.venues.binance.budget import WeightBudget
from bnml.venues.binance.oddities import Oddities
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue_clock import VenueClock
from bnml.venues.binance.wsapi import ApiConnection
from bnml.venues.history import load_history
from bnml.venues.sim.feed import STEPS_PER_BOUNDARY, BarFeed
from bnml.venues.sim.market import Market
from tests.e2e.matrix.disk import Killed
from tests.e2e.matrix.market import API_KEY, HISTORY, World
from tests.e2e.matrix.network import TIMEOUT_S, WINDOW_MS
from tests.e2e.matrix.process import INSTANCE, Process
from tests.e2e.matrix.wire import Http
from tests.trading.kit import HOUR_NS, Predictors, RandomPredictor, settings

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "ADAUSDT", "SOLUSDT", "DOGEUSDT")
SPEED = 180.0  # market seconds in a second: an hour is 20 s
ROTATE_S = 4_000.0
CONFIG = Path(__file__).parents[2] / "acceptance" / "ten_months.yaml"


@cache
def traded():
    """What the parity run trades by, without an end to losses."""
    tree = yaml.safe_load(CONFIG.read_text("utf-8"))
    tree.setdefault("features", {})["history_bars"] = HISTORY
    tree["risk"]["max_drawdown_pct"] = 100  # random opinions lose, and are to go on doing so
    return settings(universe={"symbols": list(SYMBOLS)}, **tree)


@cache
def opinions():
    layout = compile_engine(traded(), IdSource(INSTANCE, 1)).layout
    return Predictors(RandomPredictor(layout, cut=0.0, warmup=490))


def recorded_feed(folder, from_ns, to_ns, pricing):
    """Hours from `from_ns` on, with a history before them."""
    found = load_history(folder, SYMBOLS, frame_ns=HOUR_NS, from_ns=from_ns - HISTORY * HOUR_NS, to_ns=to_ns)
    instruments = {name: one.instrument for name, one in found.items()}
    return BarFeed(instruments, {name: one.bars for name, one in found.items()}, HOUR_NS, pricing, from_ns)


class RecordedWorld(World):
    """Moves by the hour; between two hours its time stands still, so that both ledgers can be compared."""

    speed = SPEED
    frame_ns = HOUR_NS

    def __init__(self, loop, feed, pricing):
        start_ns = int(feed.boundaries[0])
        self._last_ns = self._next_ns = start_ns
        self._moved_s = loop.time()
        self.feed = feed
        self.ear = "whole"
        self.applied = None
        self._open(loop, Market(feed.instruments, feed.frame_ns, pricing, feed.history(0)), start_ns)
        self._apply, self.exchange.apply = self.exchange.apply, self._noted

    def market_now_ns(self):
        passed_ns = int(self.speed * (self.loop.time() - self._moved_s) * NS_PER_S)
        return min(self._next_ns, self._last_ns + passed_ns)

    async def hour(self, boundary):
        """The steps of one hour, each in its time."""
        first = boundary * STEPS_PER_BOUNDARY
        for ordinal in range(first, first + STEPS_PER_BOUNDARY):
            step = self.feed.step(ordinal)
            self._next_ns = step.ts_ns
            await asyncio.sleep((step.ts_ns - self._last_ns) / self.speed / NS_PER_S)
            self._last_ns, self._moved_s = step.ts_ns, self.loop.time()
            self.venue.advance(step)
            self.prices.update((one.symbol, one.price_ticks) for one in self.applied.prints)
            self.cover.look()
            self._announce(boundary, step)

    def _noted(self, step):
        """The step as faults have made it."""
        self.applied = step
        self._apply(step)

    def _announce(self, boundary, step):
        quotes = self.feed.openings(boundary) if step.books else ()
        books = [Book(one.symbol, one.quote[0], one.quote[1], one.quote[4]) for one in quotes if one.quote]
        prints, bars = self.applied.prints, self.applied.closed_bars
        if self.ear == "no candles":
            bars = ()
        elif self.ear == "no prints":
            prints = ()
        for _ in range(2 if self.ear == "twice" else 1):
            self.tell(prints, books, bars, step.ts_ns)


class WiredProcess(Process):
    """The daemon with its own REST and WebSocket clients and everything that watches over the account."""

    def _settings(self):
        return traded()

    def _predictors(self):
        return opinions()

    def _clients(self):
        wires, clock = self.network, self.world.clock
        wires.life = self.life
        signer = Signer(API_KEY, "secret")
        watch_access(signer, self.guards)
        venue_clock = VenueClock(clock)
        rest = RestClient(
            "https://exchange",
            signer,
            clock,
            timeout_s=TIMEOUT_S,
            receive_window_ms=WINDOW_MS,
            budget=WeightBudget(clock, venue_ms=venue_clock.now_ms, is_scaled=True),
            venue_clock=venue_clock,
        )
        rest._session = Http(wires)
        oddities = Oddities()
        self.api = ApiConnection(
            "wss://exchange",
            signer,
            clock,
            timestamp_ms=rest.timestamp_ms,
            on_event=_events(self.inbox, self.links, self.instruments, oddities),
            on_link=self._on_link,
            on_number=lambda _: None,
            timeout_s=TIMEOUT_S,
            receive_window_ms=WINDOW_MS,
            rest=rest,
            rotate_after_s=lambda: ROTATE_S,
            probe_s=0.5,
            oddities=oddities,
        )
        return rest, self.api

    async def _on_link(self, up, detail):
        if up:
            self.guards.report(ACCESS, ACTIVE)
        await self.links.account(up, detail)

    def _doubts(self):
        return {**super()._doubts(), "heard": self.engine.book.is_heard_of}

    async def _connect(self):
        engine, spawn = self.engine, self.life.spawn
        self._watch_account()
        vigil = Vigil(self.venue, engine.book, self.links, self.inbox)
        self.links.on_return = make_return(vigil, self._recheck_soon)
        spawn(self.api.run())
        await self.links.wait_up(0)
        self.venue.rest.signer.waits = True
        spawn(vigil.run())
        spawn(keep_proving(self.venue, self.symbols[0]))
        spawn(self.outlook.run())

    def _disconnect(self):
        self.network.hang_up()

    async def tend(self):
        """What an operator does now and then: a key that was refused is tried again, a halt is looked at and ended."""
        if self.started.done():
            with contextlib.suppress(Killed):  # in the middle of it
                await try_again(self.venue, self.guards)
            self.inbox.complete(0, (OperatorCommand("resume", self.pump.now_ns),))
