"""Carries commands to the venue after the journal has them, and brings back what happened: exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from bnml.app.asking import buys, is_spare, new_names, once_more, refusal, reports_of, symbol_of
from bnml.app.chains import Chain, Link, steps
from bnml.app.leaving import Done, Sent, Slot, Venue, send
from bnml.app.logs import logger
from bnml.app.resolving import LAG_LOOKS, NEVER_ARRIVED, PAUSES_S, Doubt, Fate, Resolved
from bnml.app.spool import way_out
from bnml.core.commands import Alert, Halt, QueryOrder, RequestTrain, Submit
from bnml.core.errors import BnmlError, Fatal, Retryable, UnknownOutcome
from bnml.core.orders import OrderState
from bnml.venues.binance.errors import UNKNOWN_ORDER, ReplacementFailed, step_of
from bnml.venues.binance.outcomes import Step
from bnml.venues.binance.venue import Executed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.app.inbox import Inbox
    from bnml.core.commands import Command
    from bnml.core.events import Event
    from bnml.journal.writer import JournalWriter
    from bnml.venues.binance.departures import Departure
    from bnml.venues.binance.requests import VenueCommand

MOST_WAITING = 10_000
AT_ONCE = 16
TURNS_TO_LEAVE = 2
"""Of the loop: a request is written in the first, and goes to the system at its end, before anything else is done."""
ATTEMPTS = 5  # of a request that was certainly not executed
FIRST_PAUSE_S = 0.2
"""Before the second of them, twice as long before each further one: four fit into the two seconds of a bare position."""
SETTLE_MARGIN_S = 0.4
"""Added to the age at which the venue refuses a request: the error of the measured clock, and what is on its way."""
HURRIED = 0.4
"""The part of their patience that orders get which protect or sell: one may then be asked for beside them.

Two seconds have room for what must be proven absent first (its window, the margin), and such a wait after it.
"""
ACCESS_PAUSE_S = 30.0
"""Between two requests with a key that the venue refuses."""


class Executor:
    """Executes in the order of the engine; `sequential` waits for each answer before the next request (stepped).

    Nothing is ever sent twice blindly: a request whose outcome is unknown, or that was not answered within
    `patience_s` (None: the venue's own limit), becomes reads until the venue has shown what it did, or that it
    never came (`bnml.app.resolving`). `heard` says whether the engine has been told of an order by the venue,
    `fills_once` whether the venue would refuse a sale at market that it has taken already; `on_step` learns what
    an answer asks of others, with the symbol and the venue's words.
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalWriter,
        inbox: Inbox,
        *,
        now_ns: Callable[[], int],
        request_training: Callable[[Sequence[str], str], None],
        sequential: bool,
        patience_s: float | None = None,
        heard: Callable[[str], bool] = lambda _: False,
        fills_once: Callable[[str], bool] = lambda _: False,
        on_step: Callable[[Step, str, str], None] = lambda *_: None,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._inbox = inbox
        self._now_ns = now_ns
        self._request_training = request_training
        self._at_once = asyncio.Semaphore(1 if sequential else AT_ONCE)
        self._reads_at_once = asyncio.Semaphore(AT_ONCE)
        self._asked: set[str] = set()  # orders that a query under way will tell of
        self._sequential = sequential
        self._patience_s = patience_s
        self._heard = heard
        self._fills_once = fills_once
        self._on_step = on_step
        self._waiting: deque[tuple[int, Sequence[Command]]] = deque()
        self._wake = asyncio.Event()
        self._in_flight = 0
        self._owned: set[str] = set()  # new orders whose outcome a command under way will tell
        # Of these, those for whose coins another order has been asked for since.
        self._doubled: set[str] = set()
        self._log = logger()

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self._waiting and not self._in_flight

    def submit(self, seq: int, commands: Sequence[Command]) -> None:
        """Accept the commands of event `seq`; a queue this full means that the venue has not answered for long."""
        if len(self._waiting) >= MOST_WAITING:
            raise Fatal(f"{MOST_WAITING} batches of commands wait for the venue; it does not answer any more")
        self._waiting.append((seq, commands))
        self._wake.set()

    async def run(self) -> None:
        """Execute until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    self._in_flight += 1
                    _, commands = self._waiting.popleft()
                    await self._journal.barrier()
                    for step in steps(commands):
                        if isinstance(step, tuple):
                            await self._start_chain(group, step)
                        else:
                            await self._start(group, step)
                    self._finished()

    async def _start(self, group: asyncio.TaskGroup, command: Command) -> None:
        if isinstance(command, RequestTrain):
            self._request_training(command.symbols, command.reason)
            return
        if isinstance(command, Alert):
            self._log.log(_LEVELS.get(command.severity, 30), command.name, text=command.text)
            return
        if isinstance(command, Halt):
            self._log.critical("trading_halted", reason=command.reason, way_out=way_out("halted"))
            return
        await self._at_once.acquire()
        self._in_flight += 1
        if self._sequential:
            await self._carry_out(command)
            return
        if isinstance(command, QueryOrder):
            group.create_task(self._carry_out(command))
            return
        request = send(self._venue, command, 1)
        try:
            # It leaves before anybody waits for its answer, and requests leave in the engine's order.
            for _ in range(TURNS_TO_LEAVE):
                await asyncio.sleep(0)
            carrying = group.create_task(self._carry_out(command, request))
        except BaseException:
            request.task.cancel()
            raise
        carrying.add_done_callback(lambda _: request.task.cancel())  # also where it never began

    async def _start_chain(self, group: asyncio.TaskGroup, parts: Sequence[VenueCommand]) -> None:
        """Cancels or a purchase and their followers: in one write where the venue can, else one after the other.

        Spares leave in that write, while the venue's limits have room for them, or not at all.
        """
        # Each holds a place until all have left: more than there are places would wait for themselves.
        is_possible = self._venue.writes_together() and not self._sequential and len(parts) <= AT_ONCE
        spares = [part for part in parts if is_spare(part)]
        if spares and not (is_possible and self._venue.writes_together(len(spares))):
            parts = [part for part in parts if part not in spares]
            for spare in spares:
                self._inbox.complete(0, refusal(spare, Retryable("it did not leave"), self._now_ns()))
        followers = [isinstance(part, Submit) and bool(part.after) for part in parts]
        chain = Chain(len(parts), followers.count(False), together=is_possible)
        for place, part in enumerate(parts):
            await self._at_once.acquire()
            self._in_flight += 1
            carrying = self._carry_out(part, link=Link(chain, place, part, is_follower=followers[place]))
            if self._sequential:
                await carrying
            else:
                group.create_task(carrying)
        await asyncio.sleep(0)

    def _finished(self) -> None:
        self._in_flight -= 1
        self._inbox.complete(0)

    async def _carry_out(
        self, command: VenueCommand, request: Sent | None = None, link: Link | None = None
    ) -> None:
        slot = Slot(self._at_once)
        if isinstance(command, QueryOrder):
            slot.free()  # doubts wait for their answers for seconds: no order may stand behind them
        names = new_names(command)
        self._owned.update(names)
        if isinstance(command, Submit):
            self._doubled.update(self._owned.intersection(command.beside))
        done = None
        try:
            done = await (
                self._query(command)
                if isinstance(command, QueryOrder)
                else self._carry(command, slot, request, link)
            )
        finally:
            if link is not None:
                link.ended(None if done is None else done.events)
            self._owned.difference_update(names)
            self._doubled.difference_update(names)
            slot.free()
        for number in done.numbers[:-1]:
            self._inbox.complete(number)
        self._inbox.complete(done.numbers[-1] if done.numbers else 0, done.events)
        self._finished()

    async def _carry(
        self, command: VenueCommand, slot: Slot, request: Sent | None, link: Link | None
    ) -> Done:
        """Bring one command to its end: done, refused, or shown by the venue after a doubt."""
        asked, fitted, lease = command, False, 1
        for attempt in range(1, ATTEMPTS + 1):
            if link is not None and not await link.may_leave(attempt):
                break  # what it would sell is held by an order whose cancel failed, or was not bought
            sent, request = request or send(self._venue, asked, lease), None
            try:
                found = await self._outcome(asked, lease, slot, sent, link)
            except Retryable as error:
                lease += step_of(error) is Step.RESYNC  # it was too old: not so short a life again
                self._let_others_go(slot)
                if attempt == ATTEMPTS or not await self._may_repeat(asked, error, attempt):
                    # The venue has judged nothing: no refusal that protection would count.
                    return self._refused(asked, error)
            except BnmlError as error:
                again = None if fitted else await self._refit(asked, error)
                if again is None:
                    return self._refused(asked, error)
                asked, fitted = again, True
            else:
                if isinstance(found, Executed):
                    return Done(found.reports, found.numbers)
                following = self._after(asked, found)
                if isinstance(following, Done):
                    return following
                asked = following
        return Done(refusal(asked, Retryable("it never arrived", code=NEVER_ARRIVED), self._now_ns()))

    async def _outcome(
        self, command: VenueCommand, attempt: int, slot: Slot, sent: Sent, link: Link | None
    ) -> Executed | Resolved:
        """The answer, or the end of the doubt. Raises what the venue clearly said."""
        request, departure = sent
        try:
            if await self._is_unclear(command, request, departure):
                self._let_others_go(slot)
                resolved = await self._doubt(command, request, departure, attempt)
                if resolved.fate is not Fate.TOLD:
                    return resolved
            return await request
        finally:
            request.cancel()
            if link is not None:
                link.attempted()

    async def _is_unclear(
        self, command: VenueCommand, request: asyncio.Task[Executed], departure: Departure
    ) -> bool:
        """Wait for the answer; True when it says nothing, or has not come so long after the request left."""
        patience_s = _patience_s(command, self._patience_s)
        left_s = patience_s
        while not request.done():
            await asyncio.wait({request}, timeout=left_s)
            if patience_s is None or departure.at_s is None or request.done():
                continue
            left_s = departure.at_s + patience_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                return True
        return not request.cancelled() and isinstance(request.exception(), UnknownOutcome)

    async def _doubt(
        self, command: VenueCommand, request: asyncio.Task[Executed], departure: Departure, attempt: int
    ) -> Resolved:
        error = (
            request.exception()
            if request.done()
            else f"no answer within {_patience_s(command, self._patience_s)} s"
        )
        self._log.warning("outcome_unknown", command=type(command).__name__, error=str(error))
        self._inbox.complete(0, reports_of(command, OrderState.UNKNOWN, self._now_ns(), 0, "outcome unknown"))
        settle_s = self._venue.window_ms(command, attempt) / 1000 + SETTLE_MARGIN_S
        doubt = Doubt(
            self._venue,
            command,
            departure,
            settle_s=settle_s,
            answer=None if request.done() else request,
            heard=self._heard,
            is_doubled=lambda: not self._doubled.isdisjoint(new_names(command)),
            fills_once=lambda: all(self._fills_once(name) for name in new_names(command)),
            now_ns=self._now_ns,
        )
        return await doubt.end()

    def _after(self, command: VenueCommand, resolved: Resolved) -> Done | VenueCommand:
        """What follows the end of a doubt: its events, or the same orders once more because they never arrived.

        Not those for whose coins another order has been asked for: the engine sees what that one left to do.
        """
        self._log.info("outcome_resolved", command=type(command).__name__, fate=resolved.fate.value)
        if resolved.fate is Fate.FOUND:
            return Done(resolved.events)
        again = None if self._doubled.intersection(new_names(command)) else once_more(command)
        is_cancel = again is None or not isinstance(command, type(again))
        if again is not None and (resolved.fate is Fate.HALF or not is_cancel):
            self._inbox.complete(0, resolved.events)
            self._log.warning("order_resent", orders=new_names(again))
            return again
        lost = reports_of(command, OrderState.REJECTED, self._now_ns(), NEVER_ARRIVED, "it never arrived")
        return Done((*resolved.events, *lost))

    def _let_others_go(self, slot: Slot) -> None:
        if not self._sequential:
            slot.free()

    async def _may_repeat(self, command: VenueCommand, error: Retryable, attempt: int) -> bool:
        """Prepare one more attempt at what was certainly not executed; False when the command is to be given up."""
        step = self._tell(command, error)
        if is_spare(command):
            return False
        if step is Step.RESYNC:
            try:
                await self._venue.resynchronise()
            except BnmlError as failure:
                self._log.warning("clock_not_measured", error=str(failure))
            return attempt == 1 or not buys(command)
        if buys(command):
            return False
        # Limits and bans are waited for where they are known, in front of every request.
        await asyncio.sleep(ACCESS_PAUSE_S if step is Step.ACCESS else FIRST_PAUSE_S * 2 ** (attempt - 1))
        return True

    async def _refit(self, command: VenueCommand, error: BnmlError) -> VenueCommand | None:
        """Filters are read anew after a refusal by one of them; None unless that changes the request."""
        if self._tell(command, error) is not Step.REFILTER or is_spare(command):
            return None
        try:
            fitted = await self._venue.fitted(symbol_of(command), command)
        except BnmlError as failure:
            self._log.warning("filters_not_read", symbol=symbol_of(command), error=str(failure))
            return None
        if fitted is None or not isinstance(error, ReplacementFailed) or not error.cancelled:
            return fitted
        self._inbox.complete(0, error.reports)  # nothing is left to be replaced
        return once_more(fitted)

    async def _query(self, command: QueryOrder) -> Done:
        """Read one order; an order that is not shown may only be shown late, and nothing is concluded from it."""
        name = command.client_order_id
        if name in self._asked:
            return Done(())
        self._asked.add(name)
        try:
            for pause_s in (0.0, *PAUSES_S[2 : 2 + LAG_LOOKS]):
                if name in self._owned:
                    break  # what is under way will tell
                await asyncio.sleep(pause_s)
                if found := await self._read(command):
                    return Done(found)
        finally:
            self._asked.discard(name)
        return Done(())

    async def _read(self, command: QueryOrder) -> Sequence[Event]:
        try:
            async with self._reads_at_once:
                return await self._venue.order_reports(command.symbol, command.client_order_id)
        except Fatal:
            raise
        except BnmlError as error:
            self._log.warning("order_not_read", order=command.client_order_id, error=str(error))
            return ()

    def _tell(self, command: VenueCommand, error: BnmlError) -> Step:
        step = step_of(error)
        if step and not is_spare(command):
            self._on_step(step, symbol_of(command), str(error))
        return step

    def _refused(self, command: VenueCommand, error: BnmlError) -> Done:
        if isinstance(error, Fatal):
            raise error
        if getattr(error, "code", None) == UNKNOWN_ORDER and not new_names(command):
            # It filled or ended while the request was on its way; its report tells the engine.
            self._log.info("cancel_came_late", command=type(command).__name__, error=str(error))
        elif isinstance(command, Submit) and command.beside and step_of(error) is Step.BALANCES:
            log = self._log.debug if command.is_spare else self._log.info  # nearly all spares are refused
            log("not_needed_beside", order=new_names(command)[0], beside=command.beside, error=str(error))
        else:
            self._log.warning("command_refused", command=type(command).__name__, error=str(error))
        return Done(refusal(command, error, self._now_ns()))


def _patience_s(command: VenueCommand, patience_s: float | None) -> float | None:
    """What protects or sells is in doubt sooner: something may be bare until then."""
    return patience_s if patience_s is None or buys(command) else patience_s * HURRIED


_LEVELS = {"info": 20, "warning": 30, "critical": 50}
