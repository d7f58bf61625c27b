"""One seed: lives and deaths of the process in a faulty world, and the comparison of both ledgers in the end."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from operator import eq

import numpy as np

from bnml.app.strangers import intended
from bnml.core.orders import Side
from bnml.trading.filling import compile_costs
from bnml.trading.refusals import NEAR_MINIMUM
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.pricing import Pricing
from tests.e2e.matrix.disk import Disk
from tests.e2e.matrix.market import World
from tests.e2e.matrix.network import Faults, Network
from tests.e2e.matrix.oddities import NONE, USUAL
from tests.e2e.matrix.owner import is_ours
from tests.e2e.matrix.process import POINTS, Life, Process, chosen, past
from tests.e2e.matrix.units import are_alike, in_units_of
from tests.e2e.matrix.virtual import run_virtually

SETTLE_S = 15.0
LONGEST_LIFE_S = 32.0
ALL = 10**9


@dataclass
class Outcome:
    """What one trial did and found."""

    seed: int
    kills: list = field(default_factory=list)
    orders: int = 0
    fills: int = 0
    faults: list = field(default_factory=list)
    bare: list = field(default_factory=list)
    bare_at_stop: list = field(default_factory=list)


def try_seed(seed, *, kills=2, defect="", faults=True, at=None, catches=False, stops=False):
    """Run a trial to its end; `faults` of the outcome is empty when both ledgers agree.

    With `stops` every life but the last is told to stop where it would have been killed. `faults`: true, false, or
    the chances of each.

    `at` is (point, visit) at which every life but the last ends; None: drawn. With `catches` a daemon that ends
    by itself is a fault of the outcome instead of an exception.
    """
    begun_disk()
    try:
        return run_virtually(lambda loop: Trial(loop, seed, defect, faults, at=at, stops=stops).run(kills))
    except Exception as error:
        if not catches:
            raise
        return Outcome(seed, faults=[f"ended: {type(error).__name__} {error}"])


OWNED = 0.3  # of the accounts hold coins of their owner in what is traded
ODDITIES = USUAL


@cache
def begun_disk():
    """A disk on which one start has read the history: what every trial goes on from."""

    async def begin(trial):
        trial.outside.add(asyncio.current_task())
        life, process = trial.begin(None)
        await process.started
        await process.journal.barrier()
        await trial.end(life, process, "end")
        return trial.disk.content()

    return run_virtually(lambda loop: begin(Trial(loop, 0, "", False, begun=False)))


class Trial:
    process = Process
    names = None  # by symbol and the venue's id, of orders that the exchange may have forgotten since
    told = None  # so are its fills, by symbol and execution

    def __init__(self, loop, seed, defect, faults, *, begun=True, at=None, stops=False):
        self.loop = loop
        self.random = np.random.default_rng([seed, 77])
        pricing = Pricing(compile_costs(chosen().costs))
        owned = OWNED if begun else 0.0
        odd = ODDITIES if begun else NONE
        random = np.random.default_rng([seed, 1])
        self.world = World(loop, random, past(), pricing, owned=owned, oddities=odd)
        self.faults = faults if isinstance(faults, Faults) else Faults()
        if not faults:
            self.faults.calm()
        self.network = Network(self.world, np.random.default_rng([seed, 2]), self.faults)
        self.disk = Disk(begun_disk() if begun else None)
        self.disk.epoch = 1
        self.defect = defect
        self.at = at
        self.stops = stops
        self.outcome = Outcome(seed)
        self.outside = set()

    async def run(self, kills):
        moving = self.loop.create_task(self.world.run())
        self.outside = {moving, asyncio.current_task()}
        life = process = None
        try:
            for _ in range(kills):
                life, process = self.begin(self._plan())
                await self._until_death(life, process)
                await asyncio.sleep(self._time_dead())
            self.faults.calm()
            self.world.rest()
            life, process = self.begin(None)
            await self.settle(life, process)
            moving.result()  # a world that has ended by itself proves nothing
            self.compare(process)
        finally:
            moving.cancel()
            if life is not None:
                await self.end(life, process, "end")
        self.outcome.bare = self.world.cover.spans
        return self.outcome

    def _plan(self):
        """Where the next life ends: at a named point, or at any moment."""
        if self.at is not None:
            return self.at
        if self.random.random() < 0.3:
            return None
        name = POINTS[self.random.integers(0, len(POINTS))]
        return name, int(self.random.integers(1, _MOST_VISITS.get(name, 8) + 1))

    def _time_dead(self):
        return float(self.random.choice([0.0, 0.3, 2.0, 20.0, 60.0]) * self.random.random())

    def begin(self, plan=None, disk=None, **how):
        """Start the daemon on this trial's disk, or another one."""
        life = Life(self.loop, plan)
        process = self.process(disk or self.disk, self.world, self.network, life, self.defect, **how)
        if self.stops:
            life.stop = process.stop
        self.world.cover.born()
        life.spawn(process.main())
        return life, process

    async def _until_death(self, life, process):
        over = {life.ended, process.stopped}
        lasts_s = float(self.random.uniform(1.0, LONGEST_LIFE_S))
        await asyncio.wait(over, timeout=lasts_s, return_when=asyncio.FIRST_COMPLETED)
        if self.stops:
            process.stop()
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            self.outcome.bare_at_stop += self.world.cover.all_bare()
        where = life.ended.result() if life.ended.done() else life.where or "any moment"
        await self.end(life, process, where)

    async def end(self, life, process, where="end"):
        """The process is gone, in one moment."""
        life.die(where)
        self.world.cover.died(where)
        process.leave()
        await life.bury(self.outside)
        self.disk.power_off()
        self.outcome.kills.append(where)

    async def settle(self, life, process):
        """A calm life; then the market stands still until nothing is under way."""
        await asyncio.wait({life.ended}, timeout=SETTLE_S)
        self.world.is_moving = False
        await asyncio.wait({life.ended}, timeout=15.0 + self.world.look_s)
        if life.ended.done():
            life.ended.result()

    def compare(self, process, *, has_intents=True):
        """Note every difference between the exchange's ledger and that of the process."""
        read, engine, found = self.world.exchange.read, process.engine, self.outcome.faults
        symbols = self.world.symbols
        orders = [
            one
            for symbol in symbols
            for one in read.all_orders(ACCOUNT, symbol, limit=ALL)
            if is_ours(one.client_order_id)
        ]
        names = Counter(one.client_order_id for one in orders)
        found += [f"doubled: {name} {count} times" for name, count in names.items() if count > 1]
        reader = self.disk.reader()
        intents = {name for _, command in reader.commands() for name in intended(command)}
        if has_intents:
            found += [f"without intent: {name}" for name in names if name not in intents]
        theirs = {one.client_order_id for one in read.open_orders(ACCOUNT) if is_ours(one.client_order_id)}
        ours = {one.client_order_id for one in engine.book.open()}
        found += [f"open there only: {name}" for name in sorted(theirs - ours)]
        found += [f"open here only: {name}" for name in sorted(ours - theirs)]
        found += self._differing_fills(orders, reader)
        balances = {name: sum(both) for name, both in read.account(ACCOUNT).balances.items() if sum(both)}
        totals = {name: total for name, total in engine.state.ledger.totals.items() if total}
        if balances != totals:
            found.append(f"balances: {balances} there, {totals} here")
        for symbol in symbols:
            self._compare_position(symbol, balances, engine)
        self.outcome.orders, self.outcome.fills = len(orders), sum(one.executed_lots > 0 for one in orders)

    def _is_locked(self, symbol):
        """Whether orders of the owner lock what is held, and too little is free to be protected."""
        read, instrument = self.world.exchange.read, self.world.instruments[symbol]
        locked = sum(
            one.quantity_lots - one.executed_lots
            for one in read.open_orders(ACCOUNT, symbol)
            if one.side is Side.SELL and not is_ours(one.client_order_id)
        )
        free_e8, _ = read.account(ACCOUNT).balances.get(instrument.base, (0, 0))
        free = instrument.notional_e8(self.world.prices[symbol], free_e8 // instrument.lot_e8)
        is_little = free < NEAR_MINIMUM * instrument.min_notional_e8
        return is_little and locked >= self.world.cover.bare_lots(symbol)

    def _differing_fills(self, orders, reader):
        """Every fill with its price and commission, order by order."""
        read, there, here = self.world.exchange.read, {}, {}
        self.names, self.told = self.names or {}, self.told or {}
        self.names.update({(one.symbol, one.order_id): one.client_order_id for one in orders})
        for symbol in self.world.symbols:
            for one in read.trades(ACCOUNT, symbol, limit=ALL):
                fill = one.quantity_lots, one.price_ticks, one.commission_e8, one.commission_asset
                self.told[symbol, one.order_id, one.execution_id] = fill
        for (symbol, order_id, _), fill in self.told.items():
            if (symbol, order_id) in self.names:  # else its owner's
                there.setdefault(self.names[symbol, order_id], Counter())[fill] += 1
        is_one_grid = self.world.grids is None
        for _, one in reader.trades() if is_one_grid else in_units_of(self.world.instruments, reader):
            fill = one.quantity_lots, one.price_ticks, one.commission_e8, one.commission_asset
            here.setdefault(one.client_order_id, Counter())[fill] += 1
        is_same = eq if is_one_grid else are_alike
        return [
            f"filled: {name} {dict(there.get(name, {}))} there, {dict(here.get(name, {}))} here"
            for name in sorted(there.keys() | here.keys())
            if not is_same(there.get(name, {}), here.get(name, {}))
        ]

    def _compare_position(self, symbol, balances, engine):
        instrument = self.world.instruments[symbol]
        position = engine.portfolio.positions.get(symbol)
        dust = engine.state.ledger.dust.get(symbol)  # what rounds left over, known and told
        known_e8 = 0 if dust is None else dust.base_e8
        ours = 0 if position is None else position.lots(instrument.lot_e8)
        owners = self.world.owners_e8.get(instrument.base, 0)
        gone = self.world.overdrawn_e8[instrument.base]  # of ours, taken by their owner while they were free
        theirs = (balances.get(instrument.base, 0) - owners + gone) // instrument.lot_e8
        smallest = instrument.min_notional_e8
        strange = (balances.get(instrument.base, 0) - owners - known_e8) // instrument.lot_e8 - ours
        short = max(0, ours - theirs)
        others = self.world.others
        # Which coins left, of those that are alike, is not told; nor what a session sold that counts coarser lots.
        is_untold = (others is not None and others.has_acted) or self.world.grids is not None
        if is_untold and instrument.notional_e8(self.world.prices[symbol], short) < smallest:
            short = 0
        if short or instrument.notional_e8(self.world.prices[symbol], strange) > smallest:
            self.outcome.faults.append(f"held: {symbol} {theirs} there, {ours} here")
        bare_s = self.world.cover.still_bare(symbol)
        rests_e8 = known_e8 + sum(
            one.base_e8 % instrument.lot_e8 for one in (position.tranches if position else ())
        )
        is_rest = self.world.cover.bare_lots(symbol) <= -(-rests_e8 // instrument.lot_e8)
        if bare_s and position is not None and not is_rest and not self._is_locked(symbol):
            self.outcome.faults.append(f"bare at the end: {symbol} for {bare_s:.1f} s")


_MOST_VISITS = {
    "recovered": 1,
    "reconciled": 1,
    "during_snapshot": 4,
    "before_event": 120,
    "before_commit": 30,
    "after_commit": 30,
}
