"""From nothing or a journal to a session that may trade: filters, history, models, truth of the venue, capital."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from bnml.app import preflight, ramping, reconcile, strangers
from bnml.app.logs import logger
from bnml.app.patience import patiently
from bnml.app.recovering import hold_entries
from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.core.errors import Rejected
from bnml.core.events import Adoption, Bar, InstrumentUpdate, ModelPublished, Timer
from bnml.core.instrument import DELISTED
from bnml.journal.reader import JournalReader
from bnml.trading.engine import RECONCILE
from bnml.trading.guarding import ACTIVE, REDUCING
from bnml.trading.state import STATUS
from bnml.trading.universe import TRADING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.app.compose import Parts
    from bnml.app.guards import Guards
    from bnml.app.pump import Pump
    from bnml.app.retrain import Trainer
    from bnml.core.events import Balances
    from bnml.core.instrument import Instrument
    from bnml.journal.recover import Recovered

MARGIN_NS = 250 * NS_PER_MS  # by which a request may be judged later than its window
AT_ONCE = 500  # bars fed before the loop may breathe
CAPITAL = "capital"
"""Of the guard that stands while what would refuse a start without positions has not been mended."""
READERS = 6  # symbols whose history is read at the same time


async def feed_state(parts: Parts, pump: Pump) -> reconcile.Truth:
    """Filters, universe, then the venue's truth of our orders and balances."""
    recovered, engine = parts.recovered, parts.engine
    if recovered is not None:
        _say_recovered(recovered)
        if not recovered.same_arithmetic:
            engine.state.symbols.clear()  # running values of other kernels; the bars are read again
        else:
            pump.remember_replay(recovered.replayed)
    for symbol in sorted(parts.instruments):
        instrument = parts.instruments[symbol]
        pump.feed(InstrumentUpdate(instrument, parts.market_now_ns))
        report_status(parts.guards, instrument)
    pump.feed(parts.universe)
    is_stepped = parts.deployment.stepper is not None
    ramping.begin(parts.settings, engine, pump.feed, parts.market_now_ns, is_stepped=is_stepped)
    for order in strangers.foreign(parts.standing, parts.identity.instance):
        logger().info("foreign_order", symbol=order.symbol, client_order_id=order.client_order_id)

    async def find_adoptions() -> list[Adoption]:
        with JournalReader(parts.folder.journal) as journal:
            return await strangers.adoptions(
                parts.venue,
                parts.standing,
                parts.identity.instance,
                partial(strangers.is_known, engine.state.orders, journal),
                parts.journaled_ns,
                parts.market_now_ns,
            )

    with JournalReader(parts.folder.journal) as journal:
        instance, known = parts.identity.instance, engine.state.orders
        is_same_account = strangers.shows_ours(parts.standing, instance, known, journal)
    now_ns = parts.market_now_ns
    truth = await reconcile.bring_truth(
        parts.venue,
        engine,
        pump.feed,
        now_ns,
        find_adoptions,
        is_compared_again=not is_stepped and not parts.options.once,
        is_same_account=is_same_account,
    )
    if recovered is not None:
        logger().info(
            "account_reconciled",
            missed_reports=truth.missed_reports,
            unresolved=len(truth.absent),
            difference_e8=truth.difference_e8,
        )
    parts.header.initial_balances = truth.balances.assets
    await hold_entries(parts.folder, pump, parts.journal)
    return truth


def report_status(guards: Guards, instrument: Instrument) -> None:
    """What an earlier session left ends here: until it does, no stop of the symbol moves, and stepped looks are rare."""
    name = f"{STATUS}{instrument.symbol}"
    if instrument.status != TRADING:
        guards.report(name, REDUCING, f"is {instrument.status} at the venue")
    elif guards.level(name) != ACTIVE:
        guards.report(name, ACTIVE)


async def attend(parts: Parts, pump: Pump) -> None:
    """Take what the venue says of our orders while history is read; ends by cancellation only."""
    while True:
        for item in await parts.inbox.batch():
            await pump.take(item)


async def settle_absent(parts: Parts, pump: Pump, truth: reconcile.Truth) -> None:
    """Tell the engine what became of requests that were under way when the last process ended.

    They can arrive until the venue refuses them for their age, what protects or sells much earlier than what
    buys, with its legs; a stepped market stands still, so nothing is.
    """
    venue, book = parts.settings.venue, parts.engine.book
    others = [order for order in truth.absent if reconcile.left_with_purchase(order, book)]
    urgent = [order for order in truth.absent if order not in others]
    for orders, window_ms in ((urgent, venue.protective_window_ms), (others, venue.receive_window_ms)):
        is_waited_for = orders is urgent and _waits_for_cancels(parts)
        if not orders and not is_waited_for:
            continue
        if parts.deployment.stepper is None:
            over_ns = parts.began_ns + window_ms * NS_PER_MS + MARGIN_NS
            await asyncio.sleep(max(0, over_ns - parts.clock.monotonic_ns()) / NS_PER_S)
        for event in await reconcile.prove_absence(parts.venue, orders, lambda: pump.now_ns):
            pump.feed(event)
        if is_waited_for:  # the second since the start: it asks for what the first has found waiting
            pump.feed(Timer(RECONCILE, pump.now_ns))


def _waits_for_cancels(parts: Parts) -> bool:
    """Whether a cancel of the last process may have died with it: what it was for is not moved or sold before."""
    return any(order.cancel_sent for order in parts.engine.book.open())


async def feed_history(parts: Parts, pump: Pump, symbols: Sequence[str]) -> dict[str, int]:
    """Bars of these symbols that closed before now; returns the last close of each in ticks."""
    now_ns = max(parts.market_now_ns, pump.now_ns)
    wanted = asyncio.Semaphore(1 if parts.options.stepped else READERS)

    async def read(symbol: str) -> list[Bar]:
        async with wanted:
            return await _history(parts, symbol, now_ns)

    async with asyncio.TaskGroup() as group:
        tasks = {symbol: group.create_task(read(symbol)) for symbol in symbols}
    pump.in_history = True
    for symbol, task in tasks.items():
        bars = task.result()
        if bars and symbol not in parts.header.anchors:
            parts.header.anchors[symbol] = bars[0].ts_open_ns
        _say_gaps(symbol, bars, parts.frame_ns)
        for count, bar in enumerate(bars, start=1):
            pump.feed(bar)
            if count % AT_ONCE == 0:
                await parts.journal.room()
                await asyncio.sleep(0)
    pump.in_history = False
    if any(task.result() for task in tasks.values()):
        pump.photograph()
    await parts.journal.update_session(parts.header)
    logger().info(
        "history_fed", symbols=len(symbols), bars=sum(len(task.result()) for task in tasks.values())
    )
    states = parts.engine.state.symbols
    return {
        symbol: state.bar.close
        for symbol in symbols
        if (state := states.get(symbol)) is not None and state.bar is not None
    }


async def prepare_models(parts: Parts, pump: Pump, trainer: Trainer) -> None:
    """Load what there is; without time passing (stepped, once) also train what is missing before the start."""
    await trainer.load_all(parts.followed)
    for symbol, bundle_id in sorted(parts.engine.state.models.items()):
        try:
            await asyncio.to_thread(parts.bundles.predictor, bundle_id)
        except Rejected as error:  # in use before the stop, and damaged or gone since
            logger().warning("model_withdrawn", symbol=symbol, reason=str(error))
            pump.feed(ModelPublished(symbol, "", parts.market_now_ns))
    due = trainer.due(parts.symbols)
    if due and parts.settings.app.retrain:
        if not (parts.options.stepped or parts.options.once):
            trainer.request(sorted(due), "missing or old at start")
        else:
            await trainer.train(sorted(due))
    parts.header.bundles = dict(sorted(parts.engine.state.models.items()))
    await parts.journal.update_session(parts.header)


def check_capital(parts: Parts, balances: Balances, prices: dict[str, int]) -> None:
    """Refuse to start with too little, and live without everything in order.

    What is held needs its daemon all the same: with positions there are only no entries, until a start passes.
    """
    try:
        _must_suffice(parts, balances, prices)
    except Rejected as error:
        if not parts.engine.portfolio.positions:
            raise
        parts.guards.report(CAPITAL, REDUCING, f"{error}; start again when that is mended")
    else:
        parts.guards.report(CAPITAL, ACTIVE)


def _must_suffice(parts: Parts, balances: Balances, prices: dict[str, int]) -> None:
    settings, engine = parts.settings, parts.engine
    quote = settings.universe.quote
    free_e8, locked_e8 = balances.assets.get(quote, (0, 0))
    held_e8 = sum(one.cost_e8 for one in engine.portfolio.positions.values())
    if not prices and settings.venue.kind == "sim":
        logger().warning("capital_not_checked", note="no symbol has a price yet")
        return
    preflight.check_capital(settings, parts.instruments, prices, free_e8 + locked_e8 + held_e8)
    if settings.venue.kind == "live":
        facts = preflight.LiveFacts(
            has_credentials=True,
            api_up=parts.venue.api.up,
            skew_ms=parts.skew_ms,
            free_bytes=shutil.disk_usage(parts.folder.path).free,
            quote_free_e8=free_e8,
            prices={symbol: prices.get(symbol, 0) for symbol in parts.symbols},
        )
        preflight.check_live(settings, facts)


async def _history(parts: Parts, symbol: str, now_ns: int) -> list[Bar]:
    """Closed bars that the engine has not seen, oldest first."""
    length_ns = parts.frame_ns
    state = parts.engine.state.symbols.get(symbol)
    if state is not None and state.bar is not None:
        start_ns = state.bar.ts_close_ns
    else:
        start_ns = (now_ns // length_ns - parts.settings.features.history_bars) * length_ns
    if parts.instruments[symbol].status == DELISTED:
        return []
    frame = parts.settings.features.base_frame
    end_ns = now_ns // length_ns * length_ns
    found = await patiently(partial(parts.venue.bars, symbol, frame, length_ns, start_ns, end_ns))
    bars = [bar for bar in found if bar.ts_close_ns <= now_ns]
    if not bars and state is None:
        logger().warning(
            "history_missing", symbol=symbol, frame=frame, note="its features begin with the next bar"
        )
    return bars


def _say_gaps(symbol: str, bars: list[Bar], length_ns: int) -> None:
    """Holes in the history: outages of the venue, or of a recording. They are not filled."""
    holes = [
        (later.ts_open_ns - bar.ts_close_ns) // length_ns
        for bar, later in pairwise(bars)
        if later.ts_open_ns > bar.ts_close_ns
    ]
    if holes:
        logger().warning(
            "history_has_gaps", symbol=symbol, gaps=len(holes), bars=sum(holes), largest=max(holes)
        )


def _say_recovered(recovered: Recovered) -> None:
    logger().info(
        "engine_recovered",
        last_event=recovered.last_seq,
        replayed=recovered.replayed,
        compared=recovered.compared,
        same_arithmetic=recovered.same_arithmetic,
    )
