"""The world outside of the process: a random market on the real exchange core, and who is protected in it."""

import asyncio
import os
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_S
from bnml.core.events import Bar, Book
from bnml.core.instrument import E8, Instrument
from bnml.core.orders import OrderType, Side
from bnml.kernels.records import BAR
from bnml.venues.sim.commissions import DISCOUNT_ASSET
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import Print, Step
from bnml.venues.sim.signing import ApiKey, KeyRing
from bnml.venues.sim.venue import Venue
from tests.e2e.matrix.causes import ALONE, BESIDE, GROWN, SINGLE, TOO_LONG_S, TOOK, cause_of
from tests.e2e.matrix.grids import Grids
from tests.e2e.matrix.lagging import Lags
from tests.e2e.matrix.liquidity import PARTS_SEED, Liquidity, fill_in_parts
from tests.e2e.matrix.oddities import THIN, USUAL
from tests.e2e.matrix.owner import OWNERS, VENUES, Others, is_ours
from tests.e2e.matrix.units import above, below, shown, whole
from tests.e2e.matrix.virtual import START_NS, VirtualClock

BLIND = os.environ.get("BLIND", "")
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
FEES_LIKE = SYMBOLS[-1]  # BNB costs what this does
MOST_RESERVE_E8 = E8 // 4  # of BNB: enough for some trials, and not for others
FRAME_NS = 60 * NS_PER_S
HISTORY = 700
LOOK_S = 5.0
PRINT_S = 0.5  # of wall time
SPEED = 6  # market seconds in a second
PRINT_NS = round(PRINT_S * SPEED * NS_PER_S)
API_KEY = "k" * 64
BEFORE_S = 3.0  # before a span begins, in which its causes are looked for
QUOTE_E8 = 10_000 * E8
_MANY_NOTES = 10_000  # of some minutes; of older ones nothing is asked any more
STOPS = {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}


def instruments(random, odd, oddities):
    """The trials see symbols with and without each kind of order list, and of some other things."""
    kinds = [(True, True), (False, True), (False, False)]
    made = {}
    for name in SYMBOLS:
        opo, oto = kinds[random.integers(0, 3)] if random.random() < 0.5 else (True, True)
        has_stops, has_replace, has_pairs = (
            odd.random() >= chance
            for chance in (oddities.no_stop_loss, oddities.no_replace, oddities.no_pairs)
        )
        made[name] = Instrument(
            name,
            name.removesuffix("USDT"),
            "USDT",
            10_000,
            10_000,
            opo_allowed=opo,
            oto_allowed=oto,
            oco_allowed=bool(has_pairs),
            cancel_replace_allowed=bool(has_replace),
            stop_loss_allowed=bool(has_stops),
        )
    if odd.random() < oddities.trades_fees:  # what fees are paid in is traded, too
        made[FEES_LIKE] = msgspec.structs.replace(made[FEES_LIKE], base=DISCOUNT_ASSET)
    return made


def history(seed):
    """Closed bars before the start, the same for every trial: features are warm from the first scan on."""
    random = np.random.default_rng(seed)
    found = {}
    for name in SYMBOLS:
        closes = (1_000_000 * np.exp(np.cumsum(random.normal(0, 0.008, HISTORY)))).astype(np.int64)
        bars = np.zeros(HISTORY, dtype=BAR)
        bars["ts_open_ns"] = START_NS - FRAME_NS * np.arange(HISTORY, 0, -1)
        bars["open"] = np.concatenate([closes[:1], closes[:-1]])
        bars["close"] = closes
        bars["high"] = np.maximum(bars["open"], closes) + random.integers(1, 4_000, HISTORY)
        bars["low"] = np.minimum(bars["open"], closes) - random.integers(1, 4_000, HISTORY)
        bars["volume_lots"] = random.integers(10**9, 10**10, HISTORY)
        found[name] = bars
    return found


class World:
    """Exchange, market and time; it goes on whatever becomes of the process. `listeners` hear what is public."""

    speed = float(SPEED)
    frame_ns = FRAME_NS
    others = None  # who acts beside the daemon, if anybody does
    lags = None  # of what is read, where it does
    look_s = LOOK_S  # between two looks of the daemon at the account
    grids = None  # what changes ticks and lots, where it does

    def __init__(self, loop, random, past, pricing, *, owned=0.0, oddities=USUAL):
        """`owned`: how likely the account holds coins of its owner, too."""
        self.random = random
        owner, odd, late, grid, patience = (*random.spawn(1), *random.spawn(1), *random.spawn(3))
        listed = instruments(random, odd, oddities)
        owners_e8 = {}
        if owner.random() < owned:
            owners_e8 = {
                listed[name].base: int(owner.integers(E8, 100 * E8))
                for name in SYMBOLS
                if owner.random() < 0.7
            }
        pays_in_bnb = odd.random() < oddities.bnb
        if pays_in_bnb:
            reserve_e8 = int(odd.integers(1, MOST_RESERVE_E8))
            owners_e8[DISCOUNT_ASSET] = owners_e8.get(DISCOUNT_ASSET, 0) + reserve_e8
        self._open(loop, Market(listed, FRAME_NS, pricing, past), START_NS, owners_e8)
        if pays_in_bnb:
            self.exchange.market.symbols.setdefault(
                f"{DISCOUNT_ASSET}USDT", self.exchange.market.symbols[FEES_LIKE]
            )
            self.exchange.manage.set_discount(ACCOUNT, is_on=True)
        is_thin, self.turns = odd.random() < oddities.thin, odd.random() < oddities.turns
        self.liquidity = Liquidity(self, odd, THIN if is_thin else 0.0)
        kinds = OWNERS if odd.random() < oddities.owner else ()
        self.others = Others(self, odd, kinds + (VENUES if odd.random() < oddities.venue else ()))
        if late.random() < oddities.lagging:
            self.lags = Lags(self, late)
        if patience.random() < oddities.patient:
            self.look_s = 60.0
        if grid.random() < oddities.grids:
            self.grids = Grids(self, grid)
        self.prices = {name: int(rows["close"][-1]) for name, rows in past.items()}
        self.running = {}
        self.printed = set(SYMBOLS)  # in the last step: the others are halted
        self.last_bar = {
            name: Bar(name, *(int(rows[-1][0]), START_NS), *(int(one) for one in list(rows[-1])[1:6]))
            for name, rows in past.items()
        }
        self._step(START_NS, jump=True)

    def _open(self, loop, market, start_ns, owners_e8=None):
        """The exchange with one account of ours; some of its coins may be nobody's business."""
        self.loop = loop
        self.owners_e8, self.overdrawn_e8 = owners_e8 or {}, Counter()
        self.clock = VirtualClock(loop, start_ns)
        self.exchange = Exchange(market)
        fill_in_parts(self.exchange, np.random.default_rng(PARTS_SEED))
        self.instruments = self.exchange.instruments
        self.symbols = tuple(self.instruments)
        self.exchange.set_time(start_ns)
        self.exchange.open_account(ACCOUNT, {"USDT": QUOTE_E8, **self.owners_e8})
        self._follow_fees()
        keys = KeyRing([ApiKey(API_KEY, "secret", ACCOUNT)])
        self.venue = Venue(self.exchange, keys, self.clock, live=True)
        self.venue.market_time = self
        # Nobody has a market stream here: what is public is told to `listeners`.
        self.venue._publisher.publish = self.venue._publisher.publish_request = lambda *_: None
        self.listeners = []
        self.prices = {}
        self.cover = Cover(self)
        self.is_moving = True

    def _follow_fees(self):
        """Commissions in BNB are of the owner's, but for those of what brings BNB; so is what orders not of ours move."""
        trades, account = self.exchange._matcher.trades, self.exchange._desk.account(ACCOUNT)
        whole = trades.fill

        def fill(order, *how, **more):
            before_e8 = account.commissions.get(DISCOUNT_ASSET, 0)
            held_e8 = sum(account.balances.get(self.instruments[order.symbol].base, (0, 0)))
            whole(order, *how, **more)
            paid_e8 = account.commissions.get(DISCOUNT_ASSET, 0) - before_e8
            base, brings = self.instruments[order.symbol].base, order.side is Side.BUY
            is_of_base = brings and base == DISCOUNT_ASSET
            if paid_e8 and not is_of_base and DISCOUNT_ASSET in self.owners_e8:
                self.owners_e8[DISCOUNT_ASSET] = max(0, self.owners_e8[DISCOUNT_ASSET] - paid_e8)
            if not is_ours(order.client_order_id):
                if paid_e8:
                    self.cover.note("", TOOK)
                spent_e8 = 0 if is_of_base or base != DISCOUNT_ASSET else paid_e8
                moved_e8 = sum(account.balances[base]) - held_e8 + spent_e8
                left_e8 = self.owners_e8.get(base, 0) + moved_e8
                self.owners_e8[base] = max(0, left_e8)
                self.overdrawn_e8[base] += max(
                    0, -left_e8
                )  # an order of the owner's rested, and its coins went twice

        trades.fill = fill

    def reading(self, operation):
        """What a request is answered in: the present, or what was when it reads."""
        return nullcontext() if self.lags is None else self.lags.reading(operation)

    def rest(self):
        """Nobody does anything more, but for the market."""
        self.others.rest()
        self.liquidity.calm()
        if self.grids is not None:
            self.grids.rest()

    def shown_instruments(self):
        """What a daemon counts in that starts now."""
        if self.grids is None:
            return dict(self.instruments)
        return {name: shown(one) for name, one in self.instruments.items()}

    def market_now_ns(self):
        """Market time; it follows the prints while they come, and never overtakes the next one."""
        return START_NS + SPEED * (self.clock.now_ns() - START_NS)

    async def run(self):
        """Prints of all symbols; with each minute of the market closed candles and books."""
        count = 0
        while self.is_moving:
            count += 1
            await asyncio.sleep(max(0.0, count * PRINT_S - self.loop.time()))
            self._step(START_NS + count * PRINT_NS, jump=False)

    def _step(self, ts_ns, *, jump):
        self.others.look()
        if self.grids is not None:
            self.grids.look()
        closing = ts_ns % FRAME_NS == 0 and bool(self.running)
        bars = tuple(self._closed(name, ts_ns) for name in SYMBOLS) if closing else ()
        prints = []
        for name in SYMBOLS:
            if name in self.others.halted:
                self._note(name, self.prices[name], 0, ts_ns)
                continue
            gap = jump or self.random.random() < 0.01 or name not in self.printed
            move = self.random.normal(0, 0.02 if gap and not jump else 0.003)
            price = below(max(10_000, round(self.prices[name] * float(np.exp(move)))), self.instruments[name])
            self.prices[name] = self.liquidity.turn(name, price) if self.turns else price
            lots = int(self.random.integers(10**7, 10**8))
            prints.append(Print(name, self.prices[name], lots, ts_ns, jump=bool(gap)))
            self._note(name, self.prices[name], lots, ts_ns)
        self.printed = {one.symbol for one in prints}
        step = Step(
            self.exchange.ordinal,
            ts_ns,
            prints=tuple(prints),
            closed_bars=bars,
            basis=tuple(self.last_bar.values()) if jump else (),
        )
        self.venue.advance(step)
        self.liquidity.settle()
        self.cover.look()
        books = [self._book(name) for name in SYMBOLS]
        self.tell(prints, books if bars else (), bars, ts_ns)

    def _book(self, name):
        instrument, price = self.instruments[name], self.prices[name]
        return Book(name, below(price - 10, instrument), above(price + 10, instrument), 10**16)

    def tell(self, prints, books, bars, ts_ns):
        """What is public."""
        for listener in list(self.listeners):
            listener(prints, books, bars, ts_ns)

    def _note(self, name, price, lots, ts_ns):
        opened = ts_ns // FRAME_NS * FRAME_NS
        bar = self.running.get(name)
        if bar is None:
            self.running[name] = [opened, price, price, price, price, lots]
        else:
            bar[2], bar[3], bar[4] = max(bar[2], price), min(bar[3], price), price
            bar[5] += lots

    def _closed(self, name, ts_ns):
        opened, first, high, low, close, lots = self.running.pop(name)
        bar = Bar(name, opened, opened + FRAME_NS, first, high, low, close, lots)
        self.last_bar[name] = bar
        return bar


@dataclass
class Span:
    """A time in which some of what was held had no resting stop; `notes` and `cause` only where it was too long."""

    symbol: str
    since_s: float
    until_s: float
    lived: bool  # the process, all the time
    look_s: float = LOOK_S  # of its looks at the account
    cause: str = ""  # of one that was too long
    notes: list = field(default_factory=list)
    shuts: list = field(default_factory=list)  # times in which the venue took no orders

    @property
    def seconds(self):
        return self.until_s - self.since_s


class Cover:
    """How long what is held was without a resting stop; looked at after everything that can change it."""

    def __init__(self, world):
        self._world = world
        self._since = {}
        self.spans = []
        self.notes = []  # (time, symbol or "", what happened)
        self.alive = True
        self.dust = {}  # lots of each symbol that rounds have left over: too little to sell when they came
        self._was_dead = {}
        self._bare_lots = {}  # at the last look
        self.shuts = []  # (since, until, symbol or "", cause): when the venue took no orders

    def shut(self, symbol, cause, seconds):
        """From now on the venue takes no orders (of the symbol), for so long."""
        now = self._world.loop.time()
        self.shuts.append((now, now + seconds, symbol, cause))

    def reopen(self):
        """Nothing stands in the way of orders any more."""
        now = self._world.loop.time()
        self.shuts = [(since, min(until, now), *rest) for since, until, *rest in self.shuts]

    def note(self, symbol, text):
        """Remember what happened on the way to the exchange, or to the process: causes of spans are found in it."""
        if len(self.notes) > _MANY_NOTES and not self._since:
            del self.notes[: -_MANY_NOTES // 2]
        self.notes.append((self._world.loop.time(), symbol, text))

    def look_soon(self):
        """When what is just happening has happened."""
        self._world.loop.call_soon(self.look)

    def look(self):
        world, now = self._world, self._world.loop.time()
        read = world.exchange.read
        balances = read.account(ACCOUNT).balances
        stops = dict.fromkeys(world.symbols, 0)
        for order in read.open_orders(ACCOUNT):
            if order.side is Side.SELL and order.type in STOPS and order.status != "PENDING_NEW":
                stops[order.symbol] += order.quantity_lots - order.executed_lots
        for name in world.symbols:
            instrument = world.instruments[name]
            held = (
                sum(balances.get(instrument.base, (0, 0))) - world.owners_e8.get(instrument.base, 0)
            ) // instrument.lot_e8
            bare = whole(held - stops[name] - self.dust.get(name, 0), instrument)
            if (
                bare >= instrument.min_lots
                and instrument.notional_e8(world.prices[name], bare) > instrument.min_notional_e8
            ):
                if name not in self._since and bare == self._bare_lots.get(name):
                    self.note(name, GROWN)
                self._since.setdefault(name, now)
                self._was_dead[name] = self._was_dead.get(name, False) or not self.alive
            elif name in self._since:
                since, lived = self._since.pop(name), not self._was_dead.pop(name, False)
                span = Span(name, since, now, lived, world.look_s)
                if span.seconds > TOO_LONG_S:
                    from_s = since - BEFORE_S
                    span.notes = [one for one in self.notes if one[0] >= from_s and one[1] in {name, ""}]
                    span.shuts = [one for one in self.shuts if one[1] >= from_s and one[2] in {name, ""}]
                    if any(text == TOOK for _, _, text in self.notes):
                        span.notes.append((since, name, TOOK))  # however long ago, if nobody has looked since
                    if world.owners_e8.get(instrument.base):
                        span.notes.append((since, name, BESIDE))
                        kinds = {ALONE: instrument.oto_allowed, SINGLE: instrument.cancel_replace_allowed}
                        span.notes += [(since, name, text) for text, has in kinds.items() if not has]
                    span.cause = cause_of(span)
                self.spans.append(span)
            self._bare_lots[name] = bare

    def died(self, where):
        self.note("", f"died {where}")
        self.alive = False
        self.look()

    def born(self):
        self.note("", "born")
        self.look()
        self.alive = True

    def bare_lots(self, symbol):
        """At the last look."""
        return self._bare_lots.get(symbol, 0)

    def still_bare(self, symbol):
        """Seconds so far that a symbol is bare now."""
        since = self._since.get(symbol)
        return 0.0 if since is None else self._world.loop.time() - since

    def all_bare(self):
        """Symbols that are bare now."""
        return sorted(self._since)
