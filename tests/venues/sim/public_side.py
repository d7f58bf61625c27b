"""A listener that keeps all that a market says, and naive sums of its trades to compare everything with."""

import json
from collections import defaultdict

from bnml.core.clock import LiveClock
from bnml.core.instrument import E8
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.hub import Listener
from bnml.venues.sim.intervals import interval_of
from bnml.venues.sim.market import Market
from bnml.venues.sim.operations import Call
from bnml.venues.sim.params import Params
from bnml.venues.sim.rest import ROUTES
from bnml.venues.sim.signing import KeyRing
from bnml.venues.sim.venue import Venue
from tests.venues.sim.served import KEY

NS_PER_MS = 1_000_000


class Ear:
    """Takes the place of a connection and keeps frames by stream."""

    stepper = None
    unit_ns = NS_PER_MS

    def __init__(self):
        self.heard = defaultdict(list)
        self.order = []

    def send(self, frame):
        shown = json.loads(frame)
        self.heard[shown["stream"]].append(shown["data"])
        self.order.append(shown)


class PublicSide:
    """A venue without sockets, and somebody who listens to all its streams."""

    def __init__(self, feed, pricing, streams, *, live=True, depth=()):
        market = Market(feed.instruments, feed.frame_ns, pricing, feed.history(0))
        for change in depth:
            market.change_depth(change)
        self.feed = feed
        self.venue = Venue(Exchange(market), KeyRing([KEY]), LiveClock(), live=live)
        self.market = market
        self.ear = Ear()
        self._trades = defaultdict(list)
        self._listener = Listener(self.ear, combined=True)
        for symbol in feed.instruments:
            for stream in streams:
                self.venue.hub.subscribe(self._listener, f"{symbol.lower()}@{stream}")

    def get(self, path, **params):
        """The answer to GET `path`, as JSON gives it."""
        call = Call(self.venue, Params({name: str(value) for name, value in params.items()}))
        return ROUTES["GET", f"/api/v3/{path}"].handler(call)

    def step(self):
        """Advance by one step; False at the end."""
        step = self.feed.step(self.venue.exchange.ordinal)
        if step is None:
            return False
        self.venue.advance(step)
        return True

    def trades(self, symbol):
        """All trades of the symbol that were streamed, in integers of 1e-8."""
        known, heard = self._trades[symbol], self.ear.heard[f"{symbol.lower()}@trade"]
        known.extend(Trade(one) for one in heard[len(known) :])
        return known


class Trade:
    """One streamed trade."""

    def __init__(self, data):
        self.id, self.ms, self.maker = data["t"], data["T"], data["m"]
        self.price, self.quantity = e8(data["p"]), e8(data["q"])
        self.quote = self.price * self.quantity // E8


def e8(text):
    """A wire decimal in 1e-8."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(8, "0"))


def statistics(trades):
    """open, high, low, close, volume, quote volume, count, bought by takers, its quote, first and last id."""
    bought = [one for one in trades if not one.maker]
    return (
        trades[0].price,
        max(one.price for one in trades),
        min(one.price for one in trades),
        trades[-1].price,
        sum(one.quantity for one in trades),
        sum(one.quote for one in trades),
        len(trades),
        sum(one.quantity for one in bought),
        sum(one.quote for one in bought),
        trades[0].id,
        trades[-1].id,
    )


def candles_of(trades, name):
    """Candles that the trades make, by open time in ms."""
    interval = interval_of(name)
    groups = defaultdict(list)
    for one in trades:
        groups[interval.start(one.ms * NS_PER_MS) // NS_PER_MS].append(one)
    return {open_ms: statistics(group) for open_ms, group in groups.items()}


def of_row(row):
    """A REST candle in the same shape, without ids."""
    return (*(e8(row[column]) for column in (1, 2, 3, 4, 5, 7)), row[8], e8(row[9]), e8(row[10]))


def of_event(kline):
    """A streamed candle in the same shape."""
    amounts = [e8(kline[name]) for name in "ohlcvq"]
    return (*amounts, kline["n"], e8(kline["V"]), e8(kline["Q"]), kline["f"], kline["L"])


class LocalBook:
    """A book kept by the documented procedure."""

    def __init__(self, snapshot):
        self.sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        self.last = snapshot["lastUpdateId"]

    def apply(self, event):
        """Take one difference; old ones are dropped, a hole is an error."""
        if event["u"] <= self.last:
            return
        assert event["U"] <= self.last + 1, "a hole in the differences"
        self.last = event["u"]
        for side, levels in self.sides.items():
            for price, quantity in event[side]:
                if e8(quantity):
                    levels[price] = quantity
                else:
                    levels.pop(price, None)

    def equals(self, snapshot):
        """Whether a snapshot shows the same book."""
        return (self.sides["b"], self.sides["a"], self.last) == (
            dict(snapshot["bids"]),
            dict(snapshot["asks"]),
            snapshot["lastUpdateId"],
        )
