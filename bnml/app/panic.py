"""`bnml panic`: cancel, sell what is ours, stay out; by the daemon while it lives, else straight at the venue."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from bnml.app.abreast import abreast
from bnml.app.aftermath import HALT_FILE, HaltNote, write_note
from bnml.app.direct import check_venue, direct
from bnml.app.folder import IDENTITY, LOCK, Identity, StateFolder, is_locked
from bnml.app.rescue import LOOK_S, Booked, Rescue, VenueOrder, booked_fills, instance_of
from bnml.app.spool import Word, ask
from bnml.app.strangers import name_of
from bnml.core.clock import NS_PER_MS, LiveClock
from bnml.core.errors import BnmlError, Misconfigured, Rejected, Retryable
from bnml.core.ids import LEG_PANIC, IdSource
from bnml.core.instrument import plain
from bnml.core.orders import Side
from bnml.journal.reader import JournalReader
from bnml.journal.reserve import with_room
from bnml.journal.schema import JOURNAL_FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from bnml.app.spool import Answer
    from bnml.config import Settings
    from bnml.core.instrument import Instrument
    from bnml.journal.schema import Health
    from bnml.options import PanicOptions
    from bnml.venues.binance.rest import RestClient

ASK_S: Final = 3.0  # as long as a daemon that lives needs to take a word, and then some
FLAT_S: Final = 30.0  # until a living daemon has sold
KILL_S: Final = 5.0
ATTEMPTS: Final = 5  # of each step at the venue
AT_ONCE: Final = 5
"""Symbols: one whose coins are not free keeps no other waiting, and few are bare while requests have to wait."""
PAUSE_S: Final = 0.5
FILTER_FAILURE: Final = -1013

STAY_OUT: Final = (
    "start no daemon, and let systemd start none, until there is room and `bnml panic` was repeated"
)

T = TypeVar("T")


class Left(msgspec.Struct):
    """What panic could not end, in words."""

    words: list[str] = []

    def tell(self, words: str) -> None:
        """Say it at once too: whatever fails after it must not keep it from the operator."""
        _say(words)
        self.words.append(words)


def panic(settings: Settings, options: PanicOptions) -> int:
    """Sell everything of ours (or one symbol); 0 when nothing is left, 4 when the venue left something undone.

    With a symbol all that happens is about it alone: the others keep their orders, and are entered.
    """
    _confirm(options)
    check_venue(settings)
    state_dir = settings.app.state_dir
    if is_locked(state_dir):
        answer, silence = _ask(state_dir, options)
        if answer is not None and answer.exit_code:
            raise Misconfigured(answer.text)
        if answer is not None:
            return _watch(settings, options)
        if not options.force:
            raise Rejected(
                f"a daemon holds {state_dir} and {silence}; repeat with --force, which kills it, or stop it yourself"
            )
        _kill(state_dir)
    left = Left()
    with StateFolder(state_dir, must_write=False):  # no daemon may start meanwhile
        _halt(state_dir, options, left)
        asyncio.run(_at_venue(settings, options, left))
    for words in left.words:
        _say(f"LEFT: {words}")
    _say(
        f"done, nothing of ours is left{_of(options)}"
        if not left.words
        else "repeat `bnml panic` to try again what is left"
    )
    return Retryable.exit_code if left.words else 0


def _ask(state_dir: Path, options: PanicOptions) -> tuple[Answer | None, str]:
    """What the daemon answers; else why it did not: on a full disk it cannot even be asked."""
    try:
        answer = ask(state_dir, Word("panic", options.symbol), ASK_S)
    except Misconfigured as error:
        return None, f"cannot be asked: {error}"
    return answer, "" if answer is not None else f"did not answer within {ASK_S:.0f} s"


def _halt(state_dir: Path, options: PanicOptions, left: Left) -> None:
    """Keep the next start from entering; a disk that does not take that keeps nobody from selling."""
    note = HaltNote("panic without the daemon", (options.symbol,) if options.symbol else ())
    try:
        with_room(state_dir / JOURNAL_FILE, lambda: write_note(state_dir, note))
    except OSError as error:
        left.tell(
            f"the halt cannot be written to {state_dir / HALT_FILE} ({error.strerror}), so the next start would make "
            f"entries; {STAY_OUT}"
        )
        return
    _say(f"halt written: the next start makes no entries{_of(options)} until `bnml resume`")


async def _at_venue(settings: Settings, options: PanicOptions, left: Left) -> None:
    state_dir = settings.app.state_dir
    instance = options.instance or instance_of(state_dir)
    booked = booked_fills(state_dir / JOURNAL_FILE)
    if booked is None:
        _say(
            "the journal cannot be read, or was begun anew: what is ours is counted from the venue's orders alone"
        )
    async with direct(settings) as rest:
        await Clearance(settings, options, rest, instance, booked, left).run()


class Clearance:
    """The steps at the venue; each is tried again, and each may have been done before."""

    def __init__(
        self,
        settings: Settings,
        options: PanicOptions,
        rest: RestClient,
        instance: str,
        booked: dict[str, Booked] | None,
        left: Left,
    ) -> None:
        self._settings = settings
        self._only = options.symbol
        self._instance = instance
        self._booked = booked
        self._rescue = Rescue(rest, instance, booked)
        self._left = left
        self._began_ms = LiveClock().now_ns() // NS_PER_MS

    async def run(self) -> None:
        """Entries first, then a few symbols at a time: withdraw its protection, sell at once."""
        orders = await self._steady(self._rescue.open_orders)
        for order in orders:
            if order.side is Side.BUY and self._is_meant(order.symbol):
                await self._cancel(order)
        quote = self._settings.universe.quote
        known = await self._steady(lambda: self._rescue.symbols(orders, quote))
        symbols = [symbol for symbol in known if self._is_meant(symbol)]
        if not symbols and self._only:
            ours = ", ".join(known) or "none"
            self._left.words.append(f"nothing of ours was ever in {self._only}; what may be ours: {ours}")
        await self._steady(lambda: self._rescue.learn(symbols))
        ids = self._begin_epoch(orders)
        few = asyncio.Semaphore(AT_ONCE)

        async def end(number: int, symbol: str) -> None:
            async with few:
                try:
                    await self._end(symbol, number, ids, orders)
                except BnmlError as error:
                    self._left.words.append(f"{symbol}: {error}")

        await abreast(*(end(number, symbol) for number, symbol in enumerate(symbols)))

    async def _end(self, symbol: str, number: int, ids: IdSource, orders: Iterable[VenueOrder]) -> None:
        instrument = self._rescue.instruments.get(symbol)
        if instrument is None:
            self._left.words.append(f"{symbol}: the venue does not know it any more")
            return
        if instrument.status != "TRADING":
            self._left.words.append(f"{symbol} is in {instrument.status}: its protection is left as it is")
            return
        for order in orders:
            if order.symbol == symbol and order.side is Side.SELL:
                await self._cancel(order)
        await self._sell_all(instrument, number, ids)

    async def _sell_all(self, instrument: Instrument, number: int, ids: IdSource) -> None:
        symbol, why = instrument.symbol, ""
        for attempt in range(ATTEMPTS):
            held = await self._held_lots(instrument)
            if held < instrument.min_lots:
                return
            lots = min(held, await self._free_lots(instrument), instrument.market_max_lots)
            if lots < instrument.min_lots:
                if await self._stays_as_dust(instrument, held):
                    return
                why = (
                    f"{instrument.quantity_text(held)} of ours is not free; another order holds it, or it was "
                    "moved or sold by hand"
                )
                await asyncio.sleep(LOOK_S)  # what a withdrawn stop held may be shown as free a little later
                continue
            name = ids.client_order_id(self._began_ms, number * ATTEMPTS + attempt, LEG_PANIC)
            try:
                sold = await self._steady(partial(self._rescue.sell, symbol, lots, name))
            except Rejected as error:
                if error.code == FILTER_FAILURE and await self._stays_as_dust(instrument, lots):
                    return
                self._left.words.append(f"{symbol}: {instrument.quantity_text(lots)} cannot be sold: {error}")
                return
            _say(f"{symbol}: sold {sold.executed_qty} of {instrument.quantity_text(lots)} ({name})")
            why = "the book was too thin to sell all"
        if await self._held_lots(instrument) >= instrument.min_lots:
            self._left.words.append(f"{symbol}: {why}")

    async def _stays_as_dust(self, instrument: Instrument, lots: int) -> bool:
        is_dust = await self._steady(partial(self._rescue.is_dust, instrument, lots))
        if is_dust:
            _say(
                f"{instrument.symbol}: {instrument.quantity_text(lots)} is less than the venue sells; it stays"
            )
        return is_dust

    async def _held_lots(self, instrument: Instrument) -> int:
        """What our orders brought in and have not sold; a rest that is no lot is told."""
        held_e8 = await self._steady(lambda: self._rescue.held_e8(instrument.symbol))
        lots = held_e8 // instrument.lot_e8
        if held_e8 and lots < instrument.min_lots:
            _say(f"{instrument.symbol}: {plain(held_e8)} {instrument.base} of ours is too little to sell")
        return lots

    async def _free_lots(self, instrument: Instrument) -> int:
        """What the account could sell, ours or not: more than is ours is never sold."""
        free_e8 = (await self._steady(self._rescue.free_e8)).get(instrument.base, 0)
        return free_e8 // instrument.lot_e8

    async def _cancel(self, order: VenueOrder) -> None:
        try:
            ended = await self._steady(lambda: self._rescue.cancel(order))
        except BnmlError as error:
            self._left.words.append(f"{order.symbol}: {order.client_order_id} is not cancelled: {error}")
            return
        _say(f"{order.symbol}: {order.client_order_id} {'cancelled' if ended else 'had ended already'}")

    def _begin_epoch(self, orders: Iterable[VenueOrder]) -> IdSource:
        """Names that no session has used or will use: the epoch is counted on, durably, before anything is sold.

        Where the disk does not take it another panic may count the same, but it begins at another time.
        """
        folder = StateFolder(self._settings.app.state_dir)
        try:
            identity = folder.identity(self._settings.venue.kind)
        except (BnmlError, OSError):
            identity = Identity(self._instance)
        identity.instance = self._instance
        seen = [*(order.client_order_id for order in orders), *(self._booked or {})]
        names = (name_of(client_order_id) for client_order_id in seen)
        least = max((one.epoch for one in names if one and one.instance == self._instance), default=0)
        try:
            epoch = with_room(folder.journal, lambda: folder.begin_epoch(identity, least)).epoch
        except OSError as error:
            epoch = max(identity.epoch, least) + 1
            self._left.tell(
                f"the epoch of what is sold now, {epoch}, cannot be written to {folder.path / IDENTITY} "
                f"({error.strerror}), so the next start would take this for another daemon's; {STAY_OUT}"
            )
        return IdSource(self._instance, epoch)

    def _is_meant(self, symbol: str) -> bool:
        return self._only in {"", symbol}

    @staticmethod
    async def _steady(step: Callable[[], Awaitable[T]]) -> T:
        """Do it again while the venue is not ready, or has not said whether it did."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await step()
            except Retryable as error:
                if attempt == ATTEMPTS:
                    raise
                pause_s = error.retry_after_s or PAUSE_S * attempt
                _say(f"again in {pause_s:.1f} s: {error}")
                await asyncio.sleep(pause_s)
        raise Retryable("unreachable: the last attempt raises")


def _kill(state_dir: Path) -> None:
    """End the process that holds the state folder, and wait until it has let go."""
    holder = (state_dir / LOCK).read_text("ascii", "replace").strip()
    if not _may_hold(holder, state_dir / LOCK):
        raise Rejected(
            f"{state_dir / LOCK} is held by a process whose number is not in it (another `bnml panic` on a full disk?); "
            f"wait for its end, or end it yourself: `fuser {state_dir / LOCK}` names it"
        )
    _say(f"the daemon (process {holder}) does not answer and is killed")
    if holder.isdigit():
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(int(holder), signal.SIGKILL)
    clock, pause = LiveClock(), threading.Event()
    deadline_ns = clock.monotonic_ns() + int(KILL_S * 1e9)
    while is_locked(state_dir) and clock.monotonic_ns() < deadline_ns:
        pause.wait(0.05)


def _may_hold(process: str, file: Path) -> bool:
    """False when this process certainly has no such file open: a number that was not written over names a stranger.

    A daemon lets nobody look into it, not even its own user, so that what cannot be read is no reason to spare it.
    """
    lock = file.resolve()
    try:
        for one in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if one.readlink() == lock:
                    return True
    except FileNotFoundError:
        return False  # there is no such process
    except OSError:
        return True
    return False


def _confirm(options: PanicOptions) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise Rejected("panic cancels orders and sells at market; add --yes to mean it")
    sys.stderr.write(
        f"This cancels our orders{_of(options)} and sells what is ours at market. Type panic to go on: "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "panic":
        raise Rejected("nothing was done")


def _watch(settings: Settings, options: PanicOptions) -> int:
    """Follow what a living daemon does about it, from its journal."""
    _say(f"the daemon has taken it: entries withdrawn, selling at market, no new entries{_of(options)}")
    clock, pause = LiveClock(), threading.Event()
    deadline_ns = clock.monotonic_ns() + int(FLAT_S * 1e9)
    open_now: tuple[str, ...] = ("unknown",)
    health: Health | None = None
    while clock.monotonic_ns() < deadline_ns:
        pause.wait(1.2)  # health is written each second
        with suppress(Misconfigured), JournalReader(settings.app.state_dir / JOURNAL_FILE) as journal:
            health = journal.status() or health
        if health is not None:
            open_now = tuple(one.symbol for one in health.positions if options.symbol in {"", one.symbol})
            if not open_now:
                _say(f"done, no position is open{_of(options)}")
                return 0
    _say(f"LEFT: still open after {FLAT_S:.0f} s: {', '.join(open_now)}; see `bnml status`")
    return Retryable.exit_code


def _of(options: PanicOptions) -> str:
    return f" of {options.symbol}" if options.symbol else ""


def _say(words: str) -> None:
    # A log on a full disk, a terminal that is gone: what cannot be told is done all the same.
    with suppress(OSError):
        sys.stdout.write(f"{words}\n")
        sys.stdout.flush()
