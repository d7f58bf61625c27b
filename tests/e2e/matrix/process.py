"""A daemon that can die at any named point: the real journal, engine, pump, executor and start, on a virtual loop."""

import asyncio
from functools import cache, partial
from types import SimpleNamespace

from bnml.app import reconcile, strangers
from bnml.app.accounting import Accountant
from bnml.app.executor import Executor
from bnml.app.free_coins import read_free
from bnml.app.gaps import Gaps
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.app.links import Links
from bnml.app.outlook import Outlook
from bnml.app.parting import Parting
from bnml.app.pump import Pump
from bnml.app.rechecking import Comparisons
from bnml.app.refusals import after_steps
from bnml.app.silence import Silence
from bnml.app.timers import DUST_NS
from bnml.app.vigil import Vigil, hear
from bnml.app.warmup import settle_absent
from bnml.bench.eager import EAGER_RISK
from bnml.core.clock import NS_PER_S
from bnml.core.errors import UnknownOutcome
from bnml.core.events import InstrumentUpdate, ModelPublished, Timer, UniverseUpdate
from bnml.core.ids import IdSource
from bnml.journal.recover import code_version, recover, snapshot_version
from bnml.journal.schema import SessionHeader
from bnml.kernels import KERNEL_HASH
from bnml.trading.bars import BarGate
from bnml.trading.compile import compile_engine
from bnml.trading.dusting import DUST
from bnml.trading.engine import Engine
from bnml.trading.freeing import fills_once_now
from bnml.trading.reference import keep_units
from bnml.trading.watching import WATCH
from bnml.venues.binance.codec import Beat, Print
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.sim.klines import bar_events
from tests.e2e.matrix.disk import Killed
from tests.e2e.matrix.market import HISTORY, SYMBOLS, history
from tests.e2e.matrix.network import WINDOW_MS, Rest, Socket
from tests.e2e.matrix.units import Units
from tests.trading.kit import Predictors, RandomPredictor, settings

INSTANCE = "t35t"
CONFIG_HASH = "matrix"
PAST_SEED = 5
STOP_S = 4.0
CONFLATE_NS = 100_000_000
POINTS = (
    "before_intent",
    "before_commit",
    "after_commit",
    "before_send_order",
    "after_send_order",
    "acked_order",
    "before_send_chain",
    "after_send_chain",
    "during_cancel",
    "before_report",
    "before_event",
    "during_snapshot",
    "before_send_read",
    "acked_read",
    "recovered",
    "reconciled",
)
"""Where a process may be killed; `recovered` and `reconciled` are reached once a start."""


@cache
def chosen():
    """Settings under which every second bar is bought and nothing refuses for long."""
    return settings(
        features={"base_frame": "1m", "higher_frames": ["5m"], "history_bars": HISTORY},
        universe={"symbols": list(SYMBOLS)},
        scanner={"min_global_score": 0},
        exits={"time_stop_h": 0.1, "time_stop_band_pct": 50, "exit_on_sell": True},
        risk={
            **EAGER_RISK,
            "max_correlation": 1.0,
            "max_exposure_pct": 100,
            "max_drawdown_pct": 100,
            "max_daily_loss_pct": 100,
            "daily_budget_pct": 100,
            "weekly_budget_pct": 100,
            "max_losses_in_row": 100,
            "market_mood": "off",
        },
    )


@cache
def predictors():
    layout = compile_engine(chosen(), IdSource(INSTANCE, 1)).layout
    return Predictors(RandomPredictor(layout, cut=0.0, warmup=490))


@cache
def past():
    return history(PAST_SEED)


class Life:
    """One life of the process; `plan` is (point, which visit) at which it ends, or None.

    With `stop` it is told to stop there instead.
    """

    def __init__(self, loop, plan=None, stop=None):
        self.loop = loop
        self.plan = plan
        self.stop = stop
        self.visits = {}
        self.is_dead = False
        self.where = ""
        self.ended = loop.create_future()
        self.tasks = []

    def point(self, name):
        self.check()
        self.visits[name] = self.visits.get(name, 0) + 1
        if self.plan is not None and self.plan[0] == name and self.visits[name] >= self.plan[1]:
            if self.stop is not None:
                self.where = name
                self.stop()
                return
            self.die(name)
            raise Killed(name)

    def check(self):
        if self.is_dead:
            raise Killed(self.where)

    def die(self, where):
        if not self.is_dead:
            self.is_dead, self.where = True, where
            if not self.ended.done():
                self.ended.set_result(where)

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.append(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task):
        if self.is_dead or task.cancelled() or task.exception() is None:
            return
        if not self.ended.done():
            self.ended.set_exception(task.exception())

    async def bury(self, outside):
        """Nothing of the process runs any more; the tasks `outside` are the world's."""
        self.is_dead = True
        while running := [task for task in asyncio.all_tasks() if task not in outside]:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        for task in self.tasks:
            if not task.cancelled():
                task.exception()


class Process:
    """One start of the daemon on a disk and a world."""

    def __init__(self, disk, world, network, life, defect="", instance=INSTANCE):
        self.disk = disk
        self.world = world
        self.network = network
        self.life = life
        self.defect = defect
        self.instance = instance
        self.fills = 0
        self.inbox = LiveInbox()
        self.links = Links()
        self.links.inbox = self.inbox
        self.symbols = world.symbols
        self.instruments = world.shown_instruments()
        self.units = None if world.grids is None else Units(world.instruments, self.instruments)
        self.guards = Guards(self.inbox, world.market_now_ns)
        rest, api = self._clients()
        self.venue = BinanceVenue(
            rest,
            api,
            self.instruments,
            receive_window_ms=WINDOW_MS,
            protective_window_ms=WINDOW_MS // 2,
        )
        self.started = life.loop.create_future()
        self.stopped = life.loop.create_future()
        self.is_stopping = False
        self.comparisons = None
        self.watched_ns = self.dusted_ns = 0
        self.alerts = []
        self.began_s = life.loop.time()

    def _clients(self):
        """What speaks REST, and what speaks the WebSocket API."""
        self.socket = Socket(self.network, self.life, self.inbox, self.links, self.instruments)
        return Rest(self.socket), self.socket

    async def _connect(self):
        """Return when the account's connection stands."""
        self._watch_account()
        await self.socket.connect()
        vigil = Vigil(self.venue, self.engine.book, self.links, self.inbox)
        hear(self.links, vigil, self._recheck_soon)
        self.life.spawn(vigil.run())
        self.life.spawn(self.outlook.run())

    def _watch_account(self):
        """Both ledgers are compared, as the daemon does."""
        self.guards.recall(self.engine.state.activity.guards)
        accountant = Accountant(
            self.venue,
            self.engine,
            self.guards,
            ids=self.engine.config.ids,
            changes=lambda: self.fills,
            now_ns=lambda: self.pump.now_ns,
            is_journaled=partial(strangers.is_known, (), self.disk.reader()),
            clock=self.world.clock,
        )
        orders = partial(reconcile.recheck, self.venue, self.engine)
        free = partial(read_free, self.venue, self.engine, lambda: self.pump.now_ns)
        self.comparisons = Comparisons(orders, accountant.look, free, partial(self.inbox.complete, 0))

    def _disconnect(self):
        self.socket.drop()

    def _doubts(self):
        """What else the executor is given."""
        self.outlook = Outlook(
            self.venue,
            self.engine,
            self.guards,
            self._settings().capital,
            now_ns=lambda: self.pump.now_ns,
            followed=lambda: self.symbols,
            feed=self.pump.feed,
        )
        on_step = after_steps(self._recheck_soon, self.guards, self.outlook.look_soon)
        return {"patience_s": 1.0, "on_step": on_step}

    def _settings(self):
        return chosen()

    def _predictors(self):
        return predictors()

    async def main(self):
        """From the first byte read to the last one written."""
        life, world = self.life, self.world
        self.journal = journal = await self.disk.writer(life)
        self.standing = await strangers.read_history(self.venue, self.symbols)
        now_ns = world.market_now_ns()
        strangers.refuse_second_daemon(
            self.standing, self.instance, self.disk.epoch, now_ns, self.disk.acknowledged_ns
        )
        self.disk.epoch = max(self.disk.epoch, strangers.newest_epoch(self.standing, self.instance)) + 1
        config = compile_engine(self._settings(), IdSource(self.instance, self.disk.epoch))
        found = (
            recover(self.disk.reader(), config, self._predictors(), CONFIG_HASH) if journal.last_seq else None
        )
        assert found is None or not found.differences, found.differences
        self.engine = engine = found.engine if found is not None else Engine(config, self._predictors())
        if self.defect == "no dedupe":
            engine.book.apply = partial(_apply_always, engine.book)
        if self.defect == "over is settled":  # nobody asks for what an order lacks that has ended
            engine.book.untold = list
        keep_units(engine.state, self.instruments)
        self.since_ns = strangers.since_ns(engine)
        life.point("recovered")
        await journal.begin_session(
            header(self.disk.epoch, self.instance, self._settings().features, self.symbols),
            world.clock.now_ns(),
        )
        self._join(engine)
        life.spawn(journal.run())
        life.spawn(self.executor.run())
        self.pump.now_ns = max(world.market_now_ns(), engine.state.now_ns)
        await self._start()
        life.point("reconciled")
        await self._connect()
        for status in self.links.announce():
            self.pump.feed(status)
        self._recheck_soon()
        world.listeners.append(self._hear)
        self.started.set_result(None)
        life.spawn(self._keep_time())
        silence = Silence(
            lambda: self.pump.now_ns, lambda one: self.inbox.complete(0, (one,)), self._ask_time
        )
        life.spawn(silence.run())
        await self._take_all()
        await self._wind_down()

    def stop(self):
        """As a signal does."""
        self.is_stopping = True
        self.inbox.poke()

    async def _take_all(self):
        while not self.is_stopping:
            for item in await self.inbox.batch():
                self.life.point("before_report" if type(item).__name__ == "OrderReport" else "before_event")
                await self.pump.take(item)
            self._pass_time()

    def _pass_time(self):
        """What event time makes due."""
        pump, engine = self.pump, self.engine
        if pump.now_ns >= self.watched_ns + NS_PER_S and engine.needs_seconds:
            self.watched_ns = pump.now_ns
            pump.feed(Timer(WATCH, self.watched_ns))
        if pump.now_ns >= self.dusted_ns + DUST_NS:
            self.dusted_ns = pump.now_ns
            if engine.needs_dusting:
                pump.feed(Timer(DUST, self.dusted_ns))
        self.links.now_ns = pump.now_ns

    async def _wind_down(self):
        """As the runtime does."""
        self.world.listeners.remove(self._hear)
        await Parting(self.engine, self.pump, self.inbox, self.executor, self._pass_time).end(STOP_S)
        self.pump.photograph()
        await self.journal.barrier()
        self.stopped.set_result(None)

    def _join(self, engine):
        journal = self.journal
        gate = BarGate(
            self.symbols,
            3 * NS_PER_S,
            engine.at_stake,
            after_ns=engine.state.scanned_ns,
            conflate_ns=CONFLATE_NS,
        )
        self.pump = Pump(
            engine,
            gate,
            journal,
            submit=self._submit,
            follower=self,
            fill_gap=Gaps(self._fill_gap, lambda found: self.inbox.complete(0, (found,))).ask,
            snapshot_every=60,
            snapshot_version=snapshot_version(CONFIG_HASH),
            frame_ns=self.world.frame_ns,
            compare=self._recheck_soon,
        )
        self.gate = gate
        self.executor = Executor(
            self.venue if self.defect != "resend" else _Resending(self.venue),
            journal if self.defect != "unjournaled" else _Hasty(journal),
            self.inbox,
            now_ns=lambda: self.pump.now_ns,
            request_training=lambda *_: None,
            sequential=False,
            fills_once=partial(fills_once_now, engine.state, engine.book, engine.portfolio),
            **self._doubts(),
        )

    async def _start(self):
        engine, world, pump = self.engine, self.world, self.pump
        now_ns = world.market_now_ns()
        for symbol in self.symbols:
            pump.feed(InstrumentUpdate(self.instruments[symbol], now_ns))
        pump.feed(UniverseUpdate(self.symbols, now_ns))
        truth = await reconcile.bring_truth(
            self.venue, engine, pump.feed, now_ns, self._adoptions, is_compared_again=True
        )
        self.life.spawn(settle_absent(self._parts(), pump, truth))
        self._read_history(now_ns)

    async def _adoptions(self):
        engine = self.engine
        is_known = partial(strangers.is_known, engine.state.orders, self.disk.reader())
        since_ns, now_ns = self.since_ns, self.world.market_now_ns()
        return await strangers.adoptions(self.venue, self.standing, self.instance, is_known, since_ns, now_ns)

    def _parts(self):
        """What the start of the daemon knows of itself."""
        windows = SimpleNamespace(receive_window_ms=WINDOW_MS, protective_window_ms=WINDOW_MS // 2)
        return SimpleNamespace(
            settings=SimpleNamespace(venue=windows),
            engine=self.engine,
            venue=self.venue,
            deployment=SimpleNamespace(stepper=None),
            clock=self.world.clock,
            began_ns=round(self.began_s * NS_PER_S),
        )

    def _read_history(self, now_ns):
        self.pump.in_history = True
        for symbol in self.symbols:
            state = self.engine.state.symbols.get(symbol)
            known = state.bar.ts_close_ns if state.bar is not None else 0
            for bar in self._bars(symbol, known, now_ns - self.world.frame_ns + 1):
                self.pump.feed(bar)
            if symbol not in self.engine.state.models:
                self.pump.feed(ModelPublished(symbol, "random", now_ns))
        self.pump.in_history = False
        self.pump.photograph()
        closes = [self.pump.last_close_ns(symbol) for symbol in self.symbols]
        self.gate.skip_to(max([self.engine.state.scanned_ns, *closes]))

    async def _fill_gap(self, symbol, start_ns, end_ns):
        return self._bars(symbol, start_ns, end_ns)

    def _bars(self, symbol, start_ns, end_ns):
        """Closed bars that opened in [start, end)."""
        rows = self.world.exchange.market[symbol].klines.bars
        first, last = rows["ts_open_ns"].searchsorted((start_ns, end_ns))
        found = bar_events(symbol, rows[first:last], self.world.frame_ns)
        return found if self.units is None else [self.units.bar(one) for one in found]

    def _submit(self, seq, commands):
        self.life.point("before_intent")
        self.alerts += [one for one in commands if type(one).__name__ in {"Alert", "Halt"}]
        self.executor.submit(seq, commands)

    def follow(self, event, outcomes):
        self.fills += type(event).__name__ == "OrderReport" and event.trade_id > 0
        if self.units is not None:  # coarse lots leave more than crumbs
            known = self.engine.state.ledger.dust
            self.world.cover.dust = {
                name: one.base_e8 // self.world.instruments[name].lot_e8 for name, one in known.items()
            }

    def _hear(self, prints, books, bars, ts_ns):
        items = [Print(one.symbol, one.ts_ns, one.price_ticks, one.quantity_lots, 0) for one in prints]
        if self.units is not None:
            items = [self.units.printed(one) for one in items]
            books, bars = map(self.units.book, books), map(self.units.bar, bars)
        items += [*books, *bars, Beat(ts_ns)]
        self.inbox.complete(0, items)

    async def _ask_time(self):
        return self.world.market_now_ns() if self.world.is_moving else self.pump.now_ns

    async def _keep_time(self):
        while True:
            await asyncio.sleep(self.world.look_s)
            self.inbox.complete(0, (Timer("reconcile", self.pump.now_ns),))
            self._recheck_soon()

    def _recheck_soon(self):
        if self.comparisons is not None:  # else a start still reads everything
            self.comparisons.soon(SimpleNamespace(create_task=self.life.spawn))

    def leave(self):
        """The world goes on without it."""
        self._disconnect()
        if self._hear in self.world.listeners:
            self.world.listeners.remove(self._hear)


def _apply_always(book, report):
    """A planted defect: a fill counts as often as it is told."""
    order = book.orders[report.client_order_id]
    order.trade_ids = [one for one in order.trade_ids if one != report.trade_id]
    return type(book).apply(book, report)


class _Hasty:
    """A planted defect: requests leave before their intent is safe."""

    def __init__(self, journal):
        self._journal = journal

    async def barrier(self):
        return None


class _Resending:
    """A planted defect: what has no answer is sent again."""

    def __init__(self, venue):
        self._venue = venue

    def __getattr__(self, name):
        return getattr(self._venue, name)

    async def execute(self, command, **options):
        try:
            return await self._venue.execute(command, **options)
        except UnknownOutcome:
            return await self._venue.execute(command, **options)


def header(epoch, instance, features, symbols):
    return SessionHeader(
        venue="sim",
        mode="timed",
        symbols=symbols,
        base_frame=features.base_frame,
        higher_frames=features.higher_frames,
        instance=instance,
        epoch=epoch,
        config_hash=CONFIG_HASH,
        kernel_hash=KERNEL_HASH,
        code_version=code_version(),
        tier="F1",
        seed=1,
        config="{}",
    )
