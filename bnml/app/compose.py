"""The composition root: the one place that makes the daemon's parts and joins them."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bnml.app.connecting import connect_venue
from bnml.app.deployment import Deployment, deploy
from bnml.app.exchange_feed import fill_tier
from bnml.app.fees import fee_symbol
from bnml.app.folder import Identity, StateFolder
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox, SteppedInbox
from bnml.app.links import Links
from bnml.app.logs import logger
from bnml.app.models import Bundles, make_bundles
from bnml.app.patience import patiently
from bnml.app.preflight import within_live_capital
from bnml.app.recovering import doubt_of, kept_aside, set_aside, set_aside_if_damaged
from bnml.app.sim_process import SimProcess, exchange_folder
from bnml.app.strangers import (
    MARGIN_NS,
    newest_epoch,
    read_history,
    refuse_second_daemon,
    since_ns,
    touched_symbols,
)
from bnml.app.threads import in_thread
from bnml.app.warm_kernels import warm_kernels
from bnml.config import Settings
from bnml.core.clock import NS_PER_MS, Clock, frame_ns
from bnml.core.errors import BnmlError, Misconfigured, RecoveryNeeded, Rejected
from bnml.core.events import UniverseUpdate
from bnml.core.ids import IdSource
from bnml.core.instrument import DELISTED, Instrument
from bnml.journal.reader import JournalReader
from bnml.journal.recover import Recovered, code_version, recover, snapshot_version
from bnml.journal.schema import SessionHeader
from bnml.journal.writer import JournalWriter
from bnml.kernels import KERNEL_HASH
from bnml.options import RunOptions
from bnml.trading import universe
from bnml.trading.compile import EngineConfig, compile_engine
from bnml.trading.engine import Engine
from bnml.trading.reference import keep_units
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.binance.wire import OrderAnswer

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from bnml.core.ports import PredictorSource
    from bnml.venues.settings import Credentials


READERS = 24
"""Symbols whose orders are read at the same time: nothing is protected before, and a hundred of them are five answers one
after the other. The most that are read weigh a third of what an address has in a minute, however many at a time."""
UNITS = "its tick or lot has changed; it is counted in the old ones until a start without a position in it"
BY_HAND = "orders of ours were there, of which this journal knows nothing: look at the venue, cancel or sell by hand"


class Parts(msgspec.Struct):
    """Everything that lives as long as a session, ready to be set going by the runtime."""

    settings: Settings
    options: RunOptions
    clock: Clock
    folder: StateFolder
    deployment: Deployment
    inbox: LiveInbox | SteppedInbox
    venue: BinanceVenue
    links: Links
    guards: Guards
    universe: UniverseUpdate
    followed: tuple[str, ...]  # the universe, and symbols that left it with a position
    instruments: dict[str, Instrument]  # of those that are followed
    bundles: Bundles
    identity: Identity
    config: EngineConfig
    engine: Engine
    standing: list[OrderAnswer]  # orders of the account as the start found them
    journaled_ns: int  # up to then the journal knew of all that happened
    recovered: Recovered | None
    journal: JournalWriter
    header: SessionHeader
    market_now_ns: int
    skew_ms: int
    began_ns: int  # by the monotonic clock: nothing of an earlier process was sent later

    @property
    def symbols(self) -> tuple[str, ...]:
        """Who may be entered."""
        return self.universe.symbols

    @property
    def frame_ns(self) -> int:
        return frame_ns(self.settings.features.base_frame)

    @property
    def snapshot_version(self) -> str:
        return snapshot_version(self.settings.content_hash())


async def compose(
    settings: Settings,
    options: RunOptions,
    credentials: Credentials,
    folder: StateFolder,
    clock: Clock,
    links: Links,
    stack: AsyncExitStack,
) -> Parts:
    """Open the journal, the exchange and the account, and bring the engine back."""
    began_ns = clock.monotonic_ns()
    settings = within_live_capital(settings)
    await asyncio.to_thread(set_aside_if_damaged, folder, settings.venue.kind, clock.now_ns())
    journal = await _open_journal(settings, folder, stack)
    _refuse_another_venue(settings, folder, journal)
    warming = in_thread(lambda: warm_kernels(settings))
    deployment = await deploy(settings, options, credentials, SimProcess(exchange_folder(settings)), stack)
    await warming
    bundles = make_bundles(settings)
    journal, recovered = await _bring_back(settings, folder, clock, journal, bundles, stack)
    inbox, guards = _inbox(deployment, links)
    venue = await connect_venue(settings, deployment, clock, inbox, links, guards, stack)
    skew_ms, market_now_ns = await _time(venue, deployment, clock)
    links.now_ns = market_now_ns
    found = await patiently(partial(_universe, settings, venue, market_now_ns, folder))
    standing = await _standing(settings, options, folder, venue, found)
    identity = _begin_epoch(settings, folder, standing, market_now_ns)
    config = compile_engine(settings, IdSource(identity.instance, identity.epoch))
    engine = Engine(config, bundles, None if recovered is None else recovered.engine.state)
    followed = _followed(found, engine, standing, identity, await _fee_symbols(settings, venue))
    instruments = await _instruments(venue, engine, followed, settings.universe.quote)
    header = _header(settings, options, found.symbols, identity, recovered)
    await journal.begin_session(header, clock.now_ns())
    return Parts(
        settings=settings,
        options=options,
        clock=clock,
        folder=folder,
        deployment=deployment,
        inbox=inbox,
        venue=venue,
        links=links,
        guards=guards,
        universe=found,
        followed=tuple(instruments),
        instruments=instruments,
        bundles=bundles,
        identity=identity,
        config=config,
        engine=engine,
        standing=standing,
        journaled_ns=since_ns(engine),
        recovered=recovered,
        journal=journal,
        header=header,
        market_now_ns=market_now_ns,
        skew_ms=skew_ms,
        began_ns=began_ns,
    )


async def _time(venue: BinanceVenue, deployment: Deployment, clock: Clock) -> tuple[int, int]:
    """How far the venue's clock is ahead of ours in ms, and market time in ns."""
    skew_ms = await patiently(venue.rest.synchronise_clock)
    if deployment.control is not None:
        return skew_ms, await patiently(deployment.control.market_now_ns)
    return skew_ms, clock.now_ns() + skew_ms * NS_PER_MS


def _followed(
    found: UniverseUpdate, engine: Engine, standing: list[OrderAnswer], identity: Identity, fees: list[str]
) -> tuple[str, ...]:
    """The universe, then what is held, was traded, is asked for or pays fees beside it."""
    touched = touched_symbols(standing, identity.instance, since_ns(engine))
    asked = [order.symbol for order in engine.book.unsettled()]
    return (
        *found.symbols,
        *sorted({*engine.portfolio.positions, *touched, *asked, *fees}.difference(found.symbols)),
    )


async def _fee_symbols(settings: Settings, venue: BinanceVenue) -> list[str]:
    """What the fee reserve is bought by, if it is; refused where the venue has no such symbol."""
    symbol = fee_symbol(settings)
    if symbol and symbol not in venue.instruments:
        try:
            await patiently(partial(venue.load_instruments, (symbol,), settings.universe.quote))
        except Misconfigured as error:
            raise Misconfigured(
                f"capital.fee_top_up buys {symbol}, which the venue does not trade, or not for this account; write false"
            ) from error
    return [symbol] if symbol else []


async def _standing(
    settings: Settings,
    options: RunOptions,
    folder: StateFolder,
    venue: BinanceVenue,
    found: UniverseUpdate,
) -> list[OrderAnswer]:
    """Orders of the account in all symbols that may be ours: what the journal ends with comes first, and all since."""
    symbols, known, last_ns = found.symbols, [], 0
    if folder.journal.is_file():
        with JournalReader(folder.journal) as reader:
            known, last_ns = reader.traded_symbols(), reader.last_event_ns()
    if not last_ns and not folder.identity(settings.venue.kind).epoch:
        last_ns = found.ts_ns  # nobody has traded under this name before
    assets = (await patiently(venue.balances)).assets
    quote = settings.universe.quote
    held = [f"{asset}{quote}" for asset in sorted(assets) if asset != quote]
    wanted = [symbol for symbol in (*known, *held) if symbol not in symbols]
    return await read_history(
        venue,
        (*(one for one in (*known, *held) if one not in wanted), *wanted, *symbols),
        max(0, last_ns - MARGIN_NS),
        1 if options.stepped else READERS,
    )


def _begin_epoch(
    settings: Settings, folder: StateFolder, standing: list[OrderAnswer], now_ns: int
) -> Identity:
    """Who we are, in an epoch that the venue has not seen; Rejected where somebody else may be us."""
    identity = folder.identity(settings.venue.kind)
    acknowledged_ns = folder.acknowledged_ns()
    refuse_second_daemon(standing, identity.instance, identity.epoch, now_ns, acknowledged_ns)
    return folder.begin_epoch(identity, newest_epoch(standing, identity.instance))


async def _open_journal(settings: Settings, folder: StateFolder, stack: AsyncExitStack) -> JournalWriter:
    journal = await JournalWriter.open(folder.journal, settings.journal.durability)
    stack.push_async_callback(journal.close)
    return journal


async def _bring_back(
    settings: Settings,
    folder: StateFolder,
    clock: Clock,
    journal: JournalWriter,
    predictors: PredictorSource,
    stack: AsyncExitStack,
) -> tuple[JournalWriter, Recovered | None]:
    """The journal and its engine; None for a new one.

    One that cannot be replayed, or tells another story than its commands, makes room for a new one, to be filled
    from the venue: what is held needs its daemon, and a start that ends would leave it to itself.
    """
    if not journal.last_seq:
        return journal, None
    identity = folder.identity(settings.venue.kind)
    config = compile_engine(settings, IdSource(identity.instance, identity.epoch))
    try:
        with JournalReader(folder.journal) as reader:
            recovered = recover(reader, config, predictors, settings.content_hash())
        doubt = doubt_of(recovered)
    except RecoveryNeeded as error:
        doubt = str(error)
    if not doubt:
        return journal, recovered
    await journal.close()
    set_aside(folder, doubt, clock.now_ns())
    return await _open_journal(settings, folder, stack), None


def _inbox(deployment: Deployment, links: Links) -> tuple[LiveInbox | SteppedInbox, Guards]:
    """The one inbox, and who post to it on their own."""
    inbox: LiveInbox | SteppedInbox = SteppedInbox() if deployment.stepper is not None else LiveInbox()
    links.inbox, links.is_stepped = inbox, deployment.stepper is not None
    return inbox, Guards(inbox, lambda: links.now_ns)


def _refuse_another_venue(settings: Settings, folder: StateFolder, journal: JournalWriter) -> None:
    """A journal continues on the venue it was begun on: positions of one are not those of another."""
    if not journal.last_seq:
        return
    before: str = settings.venue.kind  # a header that cannot be read has its journal set aside
    with JournalReader(folder.journal) as reader, suppress(ValueError):
        before = reader.session().header.venue
    if before != settings.venue.kind:
        raise Rejected(
            f"the state folder {folder.path} belongs to --venue {before}, this run wants {settings.venue.kind}; "
            "name another folder with --state-dir"
        )


def _traded_before(folder: StateFolder) -> frozenset[str]:
    """Symbols that any session of this journal was begun with, or of those that were set aside, as far as they can be read."""
    found: set[str] = set()
    for journal in (folder.journal, *kept_aside(folder)):
        with suppress(BnmlError, sqlite3.Error, ValueError), JournalReader(journal) as reader:
            found.update(symbol for one in reader.sessions() for symbol in one.header.symbols)
    return frozenset(found)


async def _universe(
    settings: Settings, venue: BinanceVenue, now_ns: int, folder: StateFolder
) -> UniverseUpdate:
    """Who may be entered. A name that was traded and is gone is left out: others may be held, and need a daemon."""
    await venue.balances()  # tells which symbols the account may trade
    wanted = settings.universe
    try:
        every = await venue.load_instruments(() if wanted.dynamic else wanted.symbols, wanted.quote)
    except Misconfigured as error:
        every = await venue.read_instruments(wanted.symbols)
        gone = sorted(set(wanted.symbols) - every.keys())
        if not every or not _traded_before(folder).issuperset(gone):
            raise
        logger().error("symbols_gone", symbols=gone, error=str(error), note="left out of the universe")
        venue.instruments.update(every)
        kept = tuple(symbol for symbol in wanted.symbols if symbol in every)
        wanted = wanted.model_copy(update={"symbols": kept})
    volumes = await venue.turnover() if wanted.dynamic else {}
    return universe.resolve(wanted, every, volumes, now_ns)


async def _instruments(
    venue: BinanceVenue, engine: Engine, followed: tuple[str, ...], quote: str
) -> dict[str, Instrument]:
    """Filters of all that is followed, in the units that what is held was bought in.

    A held symbol that the venue no longer names keeps those it was bought with. What no journal knows and the
    venue does not name, or not for this account, is left out: nothing is known of it, and nothing can be sent.
    """
    unknown = [symbol for symbol in followed if symbol not in venue.instruments]
    for symbol in unknown:
        try:
            await patiently(partial(venue.load_instruments, (symbol,), quote))
        except Misconfigured as error:
            state = engine.state.symbols.get(symbol)
            if state is None:
                logger().error("traded_symbol_unknown", symbol=symbol, error=str(error), way_out=BY_HAND)
                continue
            logger().error(
                "held_symbol_unknown", symbol=symbol, error=str(error), note="parked: shown, and left alone"
            )
            venue.instruments[symbol] = msgspec.structs.replace(state.instrument, status=DELISTED)
    for symbol in keep_units(engine.state, venue.instruments):
        logger().warning("units_kept", symbol=symbol, note=UNITS)
    return {symbol: venue.instruments[symbol] for symbol in followed if symbol in venue.instruments}


def _header(
    settings: Settings,
    options: RunOptions,
    symbols: tuple[str, ...],
    identity: Identity,
    recovered: Recovered | None,
) -> SessionHeader:
    mode = "stepped" if options.stepped else "once" if options.once else "timed"
    return SessionHeader(
        venue=settings.venue.kind,
        mode=mode,
        symbols=symbols,
        base_frame=settings.features.base_frame,
        higher_frames=settings.features.frames_above_base,
        instance=identity.instance,
        epoch=identity.epoch,
        config_hash=settings.content_hash(),
        kernel_hash=KERNEL_HASH,
        code_version=code_version(),
        tier=fill_tier(settings) if settings.venue.kind in {"sim", "paper"} else settings.costs.tier,
        seed=settings.venue.sim.seed,
        config=settings.to_be_shown().model_dump_json(),
        arguments=tuple(sys.argv[1:]),
        data_dir="" if options.replay is None else str(options.replay.resolve()),
        from_ns=options.from_ns,
        to_ns=options.to_ns,
        resumed_seq=recovered.last_seq if recovered is not None else 0,
    )
