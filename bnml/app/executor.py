"""Carries commands to the venue after the journal has them, and brings back what happened: exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from bnml.app.logs import logger
from bnml.app.spool import way_out
from bnml.core.commands import (
    Alert,
    CancelList,
    CancelOrder,
    Halt,
    QueryOrder,
    ReplaceOrder,
    RequestTrain,
    Submit,
)
from bnml.core.errors import BnmlError, Fatal, Retryable, UnknownOutcome
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.orders import ListTicket, OrderState, OrderTicket
from bnml.venues.binance.errors import ReplacementFailed
from bnml.venues.binance.venue import Executed, is_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bnml.app.inbox import Inbox
    from bnml.core.commands import Command
    from bnml.core.events import Event
    from bnml.journal.writer import JournalWriter
    from bnml.venues.binance.requests import VenueCommand

MOST_WAITING = 10_000
AT_ONCE = 16
ATTEMPTS = 4  # of a request that was refused for the moment and certainly not executed
LONGEST_PAUSE_S = 5.0
UNKNOWN_ORDER = -2011
PROVE_ABSENCE_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # together longer than any receive window in use


class Venue(Protocol):
    """The part of a venue that executes."""

    async def execute(self, command: VenueCommand, cancel_id: str = "") -> Executed: ...

    async def order_reports(self, symbol: str, client_order_id: str) -> list[OrderReport]: ...


class Executor:
    """Executes in the order of the engine; `sequential` waits for each answer before the next request (stepped).

    Nothing is ever sent twice blindly: a request whose outcome is unknown becomes a query by its client
    order ids, repeated until the venue shows the order or its absence is certain; then the engine decides.
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
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._inbox = inbox
        self._now_ns = now_ns
        self._request_training = request_training
        self._at_once = asyncio.Semaphore(1 if sequential else AT_ONCE)
        self._sequential = sequential
        self._waiting: deque[tuple[int, Sequence[Command]]] = deque()
        self._wake = asyncio.Event()
        self._in_flight = 0
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
                    for command in commands:
                        await self._start(group, command)
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
        else:
            group.create_task(self._carry_out(command))
            await asyncio.sleep(0)  # requests leave in the engine's order

    def _finished(self) -> None:
        self._in_flight -= 1
        self._inbox.complete(0)

    async def _carry_out(self, command: VenueCommand) -> None:
        try:
            executed = await self._execute(command)
        finally:
            self._at_once.release()
        for number in executed.numbers[:-1]:
            self._inbox.complete(number)
        self._inbox.complete(executed.numbers[-1] if executed.numbers else 0, executed.events)
        self._finished()

    async def _execute(self, command: VenueCommand) -> _Done:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                done = await self._venue.execute(command)
            except UnknownOutcome as error:
                self._log.warning("outcome_unknown", command=type(command).__name__, error=str(error))
                self._inbox.complete(0, self._unknown_reports(command))
                return _Done(await self._resolve(command, error))
            except Retryable as error:
                if attempt == ATTEMPTS or (isinstance(command, Submit) and is_entry(command)):
                    return _Done(self._refused(command, error))
                await asyncio.sleep(min(error.retry_after_s or 0.2 * 2**attempt, LONGEST_PAUSE_S))
            except BnmlError as error:
                if getattr(error, "code", None) == UNKNOWN_ORDER and not isinstance(command, Submit):
                    # It filled or ended while the request was on its way; its report tells the engine.
                    self._log.info("cancel_came_late", command=type(command).__name__, error=str(error))
                else:
                    self._log.warning("command_refused", command=type(command).__name__, error=str(error))
                return _Done(self._refused(command, error))
            else:
                return _Done(done.reports, done.numbers)
        raise Fatal("unreachable: the last attempt returns")

    async def _resolve(self, command: VenueCommand, error: UnknownOutcome) -> Sequence[Event]:
        """Find out what became of a request without a clear answer; never send it again."""
        symbol, names = _names(command)
        for pause_s in PROVE_ABSENCE_S:
            await asyncio.sleep(pause_s)
            try:
                found = [report for name in names for report in await self._venue.order_reports(symbol, name)]
            except Retryable as refusal:
                self._log.warning(
                    "outcome_still_unknown", symbol=symbol, orders=list(names), error=str(refusal)
                )
                continue
            if found:
                return found if isinstance(command, Submit) else [*found, *self._still_open(command, found)]
        return self._refused(command, Retryable(f"never arrived at the venue ({error})", code=error.code))

    def _still_open(self, command: VenueCommand, found: Sequence[OrderReport]) -> Sequence[Event]:
        """A cancel that did not happen has to be reported as such, so that the engine can ask again."""
        name = _cancelled_name(command)
        alive = {OrderState.OPEN, OrderState.PARTLY_FILLED, OrderState.SLEEPING}
        last = [report for report in found if report.client_order_id == name][-1:]
        if name and last and last[0].state in alive:
            return [CancelFailed(last[0].symbol, name, self._now_ns(), 0, "the cancel did not arrive")]
        return []

    def _refused(self, command: VenueCommand, error: BnmlError) -> tuple[Event, ...]:
        """What the engine is told when the venue did not execute a command."""
        code = getattr(error, "code", None) or 0
        events: list[Event] = []
        name = _cancelled_name(command)
        cancelled = isinstance(error, ReplacementFailed) and error.cancelled
        if name and not cancelled:
            events.append(CancelFailed(_names(command)[0], name, self._now_ns(), code, str(error)))
        events += self._reports(command, OrderState.REJECTED, code, str(error))
        return tuple(events)

    def _unknown_reports(self, command: VenueCommand) -> list[Event]:
        return [*self._reports(command, OrderState.UNKNOWN, 0, "outcome unknown")]

    def _reports(self, command: VenueCommand, state: OrderState, code: int, text: str) -> list[OrderReport]:
        return [
            OrderReport(
                ticket.symbol,
                ticket.client_order_id,
                self._now_ns(),
                state,
                ticket.side,
                code=code,
                text=text,
            )
            for ticket in _tickets(command)
        ]


class _Done:
    """Consequences of one command, and the places of its answers in a stepped session."""

    __slots__ = ("events", "numbers")

    def __init__(self, events: Sequence[Event], numbers: Sequence[int] = ()) -> None:
        self.events = events
        self.numbers = numbers


_LEVELS = {"info": 20, "warning": 30, "critical": 50}


def _tickets(command: VenueCommand) -> list[OrderTicket]:
    """The new orders that a command would make."""
    if isinstance(command, ReplaceOrder):
        return [command.ticket]
    if not isinstance(command, Submit):
        return []
    ticket = command.order.ticket
    if isinstance(ticket, ListTicket):
        return [*([ticket.working] if ticket.working is not None else []), *ticket.pending]
    return [ticket]


def _cancelled_name(command: VenueCommand) -> str:
    """The order (or list) that a command wanted to end."""
    match command:
        case ReplaceOrder():
            return command.cancel_client_order_id
        case CancelOrder():
            return command.client_order_id
        case CancelList():
            return command.list_client_order_id
        case _:
            return ""


def _names(command: VenueCommand) -> tuple[str, list[str]]:
    """Symbol, and the client order ids that a query can ask for."""
    tickets = _tickets(command)
    names = [ticket.client_order_id for ticket in tickets]
    if isinstance(command, CancelOrder | QueryOrder):
        return command.symbol, [command.client_order_id]
    if isinstance(command, CancelList):
        return command.symbol, []
    if isinstance(command, ReplaceOrder):
        return command.ticket.symbol, [command.cancel_client_order_id, *names]
    return tickets[0].symbol, names
