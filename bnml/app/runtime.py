"""The running daemon: every task with its owner, the pump's two rhythms, and the order of stopping."""

from __future__ import annotations

import asyncio
import gc
import os
from functools import partial
from typing import TYPE_CHECKING

from bnml.app import schedule, warmup
from bnml.app.access import keep_proving
from bnml.app.accounting import make_accountant
from bnml.app.aftermath import Aftermath
from bnml.app.afterwards import Afterwards
from bnml.app.alertness import Alertness, rehearse
from bnml.app.backfill import Backfill
from bnml.app.desk import Desk
from bnml.app.executor import Executor
from bnml.app.free_coins import read_free
from bnml.app.gaps import Gaps
from bnml.app.health import LoopLag, Notifier, watch_space
from bnml.app.life import Life
from bnml.app.membership import Membership
from bnml.app.narrator import Narrator
from bnml.app.order_counts import OrderCounts
from bnml.app.outlook import Outlook
from bnml.app.parting import Parting
from bnml.app.picture import Picture
from bnml.app.pump import Pump
from bnml.app.rechecking import Comparisons
from bnml.app.reconcile import recheck
from bnml.app.refusals import after_steps
from bnml.app.retrain import make_trainer
from bnml.app.rhythm import Rhythm
from bnml.app.silence import Silence
from bnml.app.single_look import look_once
from bnml.app.spool import Spool
from bnml.app.streams import MarketStreams
from bnml.app.timers import Timers
from bnml.app.vigil import Vigil, hear
from bnml.app.weather import make_weather
from bnml.app.words import market_of
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Retryable
from bnml.core.events import ModelPublished
from bnml.trading.bars import BarGate
from bnml.trading.freeing import fills_once_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.app.compose import Parts
    from bnml.app.weather import Weather
    from bnml.core.commands import Command
    from bnml.core.events import Bar
    from bnml.journal.schema import Health

CONNECT_TIMEOUT_S = 30.0
HEALTH_S = 1.0
CONFLATE_NS = 100 * NS_PER_MS
MODEL_CHECK_S = 30


class Daemon:
    """One session over composed parts; `run` ends when `stop` is set, the market ends, or a task fails."""

    def __init__(self, parts: Parts, stop: asyncio.Event, started: asyncio.Event) -> None:
        settings, engine = parts.settings, parts.engine
        self._parts = parts
        self._stop, self._started, self._settings = stop, started, settings
        self._lag = LoopLag(parts.clock, lambda: self.picture.scans, settings.guards.loop_lag_ms)
        self._notifier = Notifier(os.environ)
        self._streams = MarketStreams(parts)
        self._stepped = parts.deployment.stepper is not None
        self._life = Life(parts, self._lag, stop)
        mode = parts.header.mode
        self.picture = Picture(engine, mode, settings.venue.kind, parts.journal.session, market_of(settings))
        self.trainer = make_trainer(parts, self._publish, self._now_ns)
        narrator = Narrator(engine, self.picture)
        self._afterwards = None if self._stepped else Afterwards(narrator)
        self._gate = BarGate(
            parts.followed,
            settings.scanner.grace_ms * NS_PER_MS,
            engine.at_stake,
            after_ns=engine.state.scanned_ns,
            conflate_ns=0 if self._stepped else CONFLATE_NS,
        )
        self._gaps = Gaps(self._bars_since, lambda found: parts.inbox.complete(0, (found,)))
        self._pump = Pump(
            engine,
            self._gate,
            parts.journal,
            submit=self._submit,
            follower=self._afterwards or narrator,
            fill_gap=None if self._stepped else self._gaps.ask,
            snapshot_every=settings.journal.snapshot_every_events,
            snapshot_version=parts.snapshot_version,
            frame_ns=parts.frame_ns,
            compare=None if self._stepped else self._recheck_soon,
        )
        self._outlook = _outlook(parts, self._now_ns, self._pump)
        self._alertness = _alertness(parts, self._pump)
        self._executor = _executor(
            parts, self._now_ns, self.trainer.request, self._recheck_soon, self._outlook
        )
        parts.guards.recall(engine.state.activity.guards)
        self._pump.now_ns = max(parts.market_now_ns, engine.state.now_ns)
        self._pump.remember_bars(
            {name: one.bar.ts_close_ns for name, one in engine.state.symbols.items() if one.bar is not None}
        )
        self._rhythm = Rhythm(
            parts, self._pump, self._gate, self._executor, stop, self._is_over, self._timers, self._between
        )
        self._clockwork = Timers(
            engine, self._pump, settings.app.reconcile_interval_s, sells_dust=not self._stepped
        )
        self._membership = Membership(parts, self._pump, self._gate, self.trainer, self._streams)
        self._renewing: asyncio.Task[None] | None = None
        self._spool = Spool(
            parts.folder.path, self._pump.feed, parts.journal.barrier, Desk(parts, self._life).act
        )
        self._comparisons = self._make_comparisons()
        self._vigil = Vigil(parts.venue, engine.book, parts.links, parts.inbox)
        self._order_counts = OrderCounts(parts.venue.rest)
        self._group: asyncio.TaskGroup | None = None

    def health(self) -> Health:
        """Everything about now, for status and view."""
        if self._afterwards is not None:
            self._afterwards.tell()
        return self.picture.health(
            self._parts.clock.now_ns(), self._lag, len(self._parts.inbox), self._pump.cross_check
        )

    async def run(self) -> None:
        """Start everything, trade, and stop in order."""
        failed = True
        async with asyncio.TaskGroup() as group, self._life:
            self._group = group
            tasks = [
                group.create_task(coroutine)
                for coroutine in (
                    self._parts.journal.run(),
                    self._parts.venue.api.run(),
                    self._executor.run(),
                    self._lag.run(),
                    self._notifier.run(self._life.is_well),
                    self._keep_health(),
                    *(() if self._stepped else (self._life.alerts.run(),)),  # a start may last
                )
            ]
            try:
                await self._trade(group, tasks)
                failed = False
            finally:
                self._gaps.cancel()
                self.picture.state = self._life.ending(failed=failed)
                health = self.health()
                self._parts.journal.append_health(health)
                self._life.beat(health)
                for task in (
                    *self._streams.tasks,
                    *self._streams.helpers,
                    *self._comparisons.tasks,
                    self._renewing,
                    *tasks,
                ):
                    if task is not None:
                        task.cancel()

    async def _trade(self, group: asyncio.TaskGroup, tasks: list[asyncio.Task[None]]) -> None:
        parts = self._parts
        await Aftermath(parts.folder.path, self._pump.feed, parts.journal.barrier).take(self._now_ns())
        truth = await warmup.feed_state(parts, self._pump)
        settling = warmup.settle_absent(parts, self._pump, truth)
        attending = None
        if self._stepped or parts.options.once:
            await settling
        else:
            attending = group.create_task(warmup.attend(parts, self._pump))
            tasks += [attending, group.create_task(settling)]
        prices = await warmup.feed_history(parts, self._pump, parts.followed)
        await warmup.prepare_models(parts, self._pump, self.trainer)
        if attending is not None:
            attending.cancel()
        if not parts.options.once:
            self._streams.open(group)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await parts.links.wait_up(len(self._streams.tasks))
        except TimeoutError as error:
            raise Retryable(
                f"the venue's streams did not come up within {CONNECT_TIMEOUT_S:.0f} s"
            ) from error
        warmup.check_capital(parts, truth.balances, prices)
        tasks.append(group.create_task(self.trainer.run()))
        self._gate_after_history()
        for status in parts.links.announce():
            self._pump.feed(status)
        hear(parts.links, self._vigil, self._recheck_soon)
        checks = None if self._stepped or not self._settings.app.retrain else self._check_models
        scheduler = schedule.start(
            parts.journal, parts.clock, parts.folder.path, checks, MODEL_CHECK_S, is_stepped=self._stepped
        )
        # What lives from here on is not looked through again: with hundreds of models that took 0.1 s each time.
        gc.collect()
        gc.freeze()
        if not parts.options.once:
            tasks += self._watch(group)
        self.picture.state = "running"
        parts.venue.rest.signer.waits = True  # for the operator, whose words are taken from here on
        self._started.set()
        self._notifier.send("READY=1")
        try:
            if parts.options.once:
                await self._rhythm.once(
                    None if self._stepped else partial(look_once, parts, self._life, self._outlook)
                )
            elif self._stepped:
                await self._rhythm.stepped()
            else:
                await self._rhythm.live()
        finally:
            self.picture.state = "stopping"
            gc.unfreeze()  # libraries that count what is left at the end would complain
            scheduler.shutdown(wait=False)
            self._notifier.send("STOPPING=1")
        await self._wind_down()

    def _watch(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """What looks after a session that lasts; in stepped time nothing may follow the machine's clock."""
        tasks = [group.create_task(self._spool.run(self._now_ns))]
        if not self._stepped:
            tasks.append(group.create_task(keep_proving(self._parts.venue, self._parts.followed[0])))
            tasks += [group.create_task(one.run()) for one in self._watchers()]
            tasks += [group.create_task(watch) for watch in self._life.watches()]
            if self._settings.venue.kind != "sim":  # whose windows are those of no clock here
                tasks.append(group.create_task(self._order_counts.run()))
        return tasks

    def _watchers(self) -> tuple[Vigil, Weather, Outlook, Backfill, Silence]:
        """What looks after the world around a session that follows the wall clock."""
        parts, control = self._parts, self._parts.deployment.control
        return (
            self._vigil,
            make_weather(parts),
            self._outlook,
            Backfill(
                lambda: parts.followed,
                self._pump.last_close_ns,
                self._now_ns,
                parts.frame_ns,
                read=self._bars_since,
                give=lambda bars: parts.inbox.complete(0, bars),
            ),
            Silence(
                self._now_ns,
                lambda tick: parts.inbox.complete(0, (tick,)),
                None if control is None else control.market_now_ns,
            ),
        )

    async def _bars_since(self, symbol: str, start_ns: int, end_ns: int | None = None) -> list[Bar]:
        frame = self._settings.features.base_frame
        return await self._parts.venue.bars(symbol, frame, self._parts.frame_ns, start_ns, end_ns)

    def _gate_after_history(self) -> None:
        """Nothing that closed before the streams came up is scanned; bars read now only teach the features."""
        closes = [self._pump.last_close_ns(symbol) for symbol in self._parts.followed]
        scanned_ns = self._parts.engine.state.scanned_ns
        self._gate.skip_to(max([scanned_ns, *closes]))

    def _timers(self) -> None:
        """What event time makes due."""
        self._alertness.heard(self._pump.now_ns)
        if self._clockwork.feed_due():
            self._recheck_soon()
        is_renewing = self._renewing is not None and not self._renewing.done()
        if self._membership.roll() and self._group is not None and not is_renewing:
            self._renewing = self._group.create_task(self._membership.renew_until_done())

    async def _between(self) -> bool:
        """A stepped market waits until the day's universe is settled, and what was closed is looked at."""
        if not self._membership.roll():
            return await self._outlook.look_at_closed()
        await self._membership.renew()
        return True

    def _make_comparisons(self) -> Comparisons:
        parts = self._parts
        accountant = make_accountant(parts, lambda: self.picture.trade_count, self._now_ns)
        see = partial(self.picture.see_orders, parts.identity.instance)
        see(parts.standing)
        orders = partial(recheck, parts.venue, parts.engine, see)
        free = partial(read_free, parts.venue, parts.engine, self._now_ns)
        return Comparisons(orders, accountant.look, free, partial(parts.inbox.complete, 0))

    def _recheck_soon(self) -> None:
        if self._group is None or self._stepped:
            return
        self._order_counts.look_soon()
        self._comparisons.soon(self._group)

    async def _wind_down(self) -> None:
        """No new data; let what is under way end; photograph the engine after the last event."""
        self._alertness.rest()
        for task in (*self._streams.tasks, *self._streams.helpers, self._renewing):
            if task is not None:
                task.cancel()
        due = None if self._stepped else self._clockwork.feed_due
        parting = Parting(self._parts.engine, self._pump, self._parts.inbox, self._executor, due)
        await parting.end(self._settings.app.stop_timeout_s / 2)
        self._pump.photograph()
        await self._parts.journal.barrier()
        over = self._rhythm.market_ended or self._parts.options.once or not self._stop.is_set()
        ending = "done" if over else "stopped"
        await self._parts.journal.end_session(self._parts.clock.now_ns(), ending)

    async def _keep_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            health = self.health()
            self._parts.journal.append_health(health)
            self._life.beat(health)
            watch_space(self._parts.journal, self._parts.guards)

    def _is_over(self) -> bool:
        limit = self._parts.options.stop_after
        if limit is not None and self._afterwards is not None:
            self._afterwards.tell()
        return self._stop.is_set() or (limit is not None and self.picture.scans >= limit)

    def _check_models(self) -> None:
        due = self.trainer.due(self._parts.symbols)
        self.trainer.request(sorted(due), "missing or old")

    def _now_ns(self) -> int:
        return self._pump.now_ns

    def _submit(self, seq: int, commands: list[Command]) -> None:
        self._executor.submit(seq, commands)

    def _publish(self, event: ModelPublished) -> None:
        if self.picture.state == "starting":
            self._pump.feed(event)
        else:
            self._parts.inbox.complete(0, (event,))


def _alertness(parts: Parts, pump: Pump) -> Alertness:
    """Only where the market goes as the clock does, and orders go far."""
    is_far = parts.settings.venue.kind in {"testnet", "live"}
    lead_ns = parts.settings.app.awake_before_close_ms * NS_PER_MS if is_far else 0
    return Alertness(
        parts.clock,
        parts.frame_ns,
        lead_ns,
        lambda: pump.last_scan_ns,
        lambda: rehearse(parts.engine, parts.venue),
    )


def _outlook(parts: Parts, now_ns: Callable[[], int], pump: Pump) -> Outlook:
    return Outlook(
        parts.venue,
        parts.engine,
        parts.guards,
        parts.settings.capital,
        now_ns=now_ns,
        followed=lambda: parts.followed,
        feed=pump.feed,
        looks_once=parts.options.once,
    )


def _executor(
    parts: Parts,
    now_ns: Callable[[], int],
    request_training: Callable[[Sequence[str], str], None],
    recheck_soon: Callable[[], None],
    outlook: Outlook,
) -> Executor:
    is_stepped = parts.deployment.stepper is not None
    return Executor(
        parts.venue,
        parts.journal,
        parts.inbox,
        now_ns=now_ns,
        request_training=request_training,
        sequential=is_stepped,
        patience_s=None if is_stepped else parts.settings.venue.doubt_after_s,
        heard=parts.engine.book.is_heard_of,
        fills_once=partial(fills_once_now, parts.engine.state, parts.engine.book, parts.engine.portfolio),
        on_step=after_steps(
            recheck_soon, None if is_stepped or parts.options.once else parts.guards, outlook.look_soon
        ),
    )
