"""The daemon's own parts joined over a loopback venue: sockets, inbox, pump, engine, journal, executor."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec
import structlog

from bnml.app.afterwards import Afterwards
from bnml.app.alertness import Alertness, rehearse
from bnml.app.connecting import connect_venue
from bnml.app.deployment import Deployment
from bnml.app.executor import Executor
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.app.links import Links
from bnml.app.logs import opening
from bnml.app.narrator import Narrator
from bnml.app.picture import Picture
from bnml.app.pump import Pump
from bnml.app.rhythm import Rhythm
from bnml.app.streams import MarketStreams
from bnml.bench.latency_venue import SYMBOL
from bnml.config import Settings
from bnml.core.clock import NS_PER_HOUR, NS_PER_MS, Clock, LiveClock
from bnml.core.events import Balances, InstrumentUpdate, ModelPublished, UniverseUpdate
from bnml.core.ids import IdSource
from bnml.core.instrument import E8, Instrument
from bnml.journal.recover import code_version
from bnml.journal.schema import SessionHeader
from bnml.journal.writer import JournalWriter
from bnml.kernels import KERNEL_HASH
from bnml.trading.bars import BarGate
from bnml.trading.compile import compile_engine
from bnml.trading.engine import Engine
from bnml.trading.freeing import fills_once_now
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.sim.klines import bar_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bnml.app.compose import Parts
    from bnml.core.ports import Predictor
    from bnml.journal.file_work import Durability

FRAME_NS = NS_PER_HOUR // 4
CONNECT_TIMEOUT_S = 30
CONFLATE_NS = 100 * NS_PER_MS  # as the daemon's


class _Parts(msgspec.Struct, frozen=True):
    """Those of the daemon's parts that its rhythm and its market sockets use."""

    settings: Settings
    deployment: Deployment
    clock: Clock
    inbox: LiveInbox
    links: Links
    guards: Guards
    venue: BinanceVenue
    instruments: dict[str, Instrument]
    journal: JournalWriter


class NoBarrier(JournalWriter):
    """Writes all that it is given, and lets orders leave before."""

    async def barrier(self) -> None:
        """Nothing is waited for."""


class OneModel:
    """A source whose every bundle is the same model."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predictor(self, bundle_id: str) -> Predictor:
        """Whatever it is called."""
        del bundle_id
        return self._predictor


@asynccontextmanager
async def trading(
    settings: Settings,
    port: int,
    predictor: Predictor,
    history: NDArray[Any],
    folder: Path,
    *,
    durability: Durability,
    waits: bool = True,
) -> AsyncIterator[Engine]:
    """Joined and fed with history; `waits`: whether orders wait until the journal is safe."""
    kind = JournalWriter if waits else NoBarrier
    async with AsyncExitStack() as stack:
        journal = await kind.open(folder / "journal.sqlite", durability)
        stack.push_async_callback(journal.close)
        parts = await _parts(settings, port, journal, stack)
        config = compile_engine(settings, IdSource("bnch", 1))
        engine = Engine(config, OneModel(predictor))
        await journal.begin_session(_header(settings), parts.clock.now_ns())
        pump, executor, gate = _join(parts, engine)
        _teach(parts, pump, history)
        gate.skip_to(pump.last_close_ns(SYMBOL))
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(one) for one in (journal.run(), parts.venue.api.run(), executor.run())
            ]
            streams = MarketStreams(cast("Parts", parts))
            streams.open(group)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await parts.links.wait_up(len(streams.tasks))
            for status in parts.links.announce():
                pump.feed(status)
            gc.collect()
            gc.freeze()  # as the daemon does
            stop = asyncio.Event()
            alertness = _alertness(parts, engine, pump)
            rhythm = Rhythm(
                cast("Parts", parts),
                pump,
                gate,
                executor,
                stop,
                lambda: False,
                lambda: alertness.heard(pump.now_ns),
                _nothing_before,
            )
            living = group.create_task(rhythm.live())
            try:
                yield engine
            finally:
                alertness.rest()
                gc.unfreeze()
                stop.set()
                await living
                for task in (*running, *streams.tasks, *streams.helpers):
                    task.cancel()


def _alertness(parts: _Parts, engine: Engine, pump: Pump) -> Alertness:
    lead_ns = parts.settings.app.awake_before_close_ms * NS_PER_MS
    return Alertness(
        parts.clock, FRAME_NS, lead_ns, lambda: pump.last_scan_ns, lambda: rehearse(engine, parts.venue)
    )


async def _nothing_before() -> bool:
    return False


async def _parts(settings: Settings, port: int, journal: JournalWriter, stack: AsyncExitStack) -> _Parts:
    clock, inbox, links = LiveClock(), LiveInbox(), Links()
    links.inbox = inbox
    guards = Guards(inbox, lambda: links.now_ns)
    deployment = Deployment(
        f"http://127.0.0.1:{port}",
        f"ws://127.0.0.1:{port}/stream",
        f"ws://127.0.0.1:{port}/ws-api/v3?returnRateLimits=false",
        "k" * 64,
        "s" * 64,
    )
    venue = await connect_venue(settings, deployment, clock, inbox, links, guards, stack)
    await venue.rest.synchronise_clock()
    instruments = await venue.load_instruments((SYMBOL,), settings.universe.quote)
    return _Parts(settings, deployment, clock, inbox, links, guards, venue, instruments, journal)


def _join(parts: _Parts, engine: Engine) -> tuple[Pump, Executor, BarGate]:
    settings = parts.settings
    gate = BarGate((SYMBOL,), settings.scanner.grace_ms * NS_PER_MS, engine.at_stake, conflate_ns=CONFLATE_NS)
    executor = Executor(
        parts.venue,
        parts.journal,
        parts.inbox,
        now_ns=lambda: pump.now_ns,
        request_training=lambda *_: None,
        sequential=False,
        patience_s=settings.venue.doubt_after_s,
        heard=engine.book.is_heard_of,
        fills_once=partial(fills_once_now, engine.state, engine.book, engine.portfolio),
    )
    pump = Pump(
        engine,
        gate,
        parts.journal,
        submit=executor.submit,
        follower=Afterwards(
            Narrator(engine, Picture(engine, "timed", settings.venue.kind, parts.journal.session))
        ),
        fill_gap=None,
        snapshot_every=settings.journal.snapshot_every_events,
        snapshot_version="bench",
        frame_ns=FRAME_NS,
    )
    return pump, executor, gate


def _teach(parts: _Parts, pump: Pump, history: NDArray[Any]) -> None:
    first_ns = int(history["ts_open_ns"][0])
    pump.feed(InstrumentUpdate(parts.instruments[SYMBOL], first_ns))
    pump.feed(UniverseUpdate((SYMBOL,), first_ns))
    pump.feed(Balances(first_ns, {parts.settings.universe.quote: (10_000 * E8, 0)}))
    pump.in_history = True
    for bar in bar_events(SYMBOL, history, FRAME_NS):
        pump.feed(bar)
    pump.in_history = False
    pump.now_ns = pump.last_close_ns(SYMBOL)
    pump.feed(ModelPublished(SYMBOL, f"{SYMBOL}/bench", pump.now_ns))


def _header(settings: Settings) -> SessionHeader:
    return SessionHeader(
        venue=settings.venue.kind,
        mode="timed",
        symbols=(SYMBOL,),
        base_frame=settings.features.base_frame,
        higher_frames=settings.features.frames_above_base,
        instance="bnch",
        epoch=1,
        config_hash=settings.content_hash(),
        kernel_hash=KERNEL_HASH,
        code_version=code_version(),
        tier=settings.costs.tier,
        seed=settings.venue.sim.seed,
        config=settings.model_dump_json(),
    )


@contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """The log's lines cost what they cost a daemon without a terminal, and are not seen."""
    before = structlog.get_config()
    with file.open("a", encoding="utf-8", buffering=1) as stream:
        structlog.configure(
            processors=[
                *opening(),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.PrintLoggerFactory(stream),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**before)
