"""One connection after the other: the next one stands before the last one goes, wherever the end is known before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from bnml.core.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bnml.core.clock import Clock
    from bnml.venues.binance.endpoints import Endpoints

FIRST_BACKOFF_S: Final = 0.25
LEAST_BACKOFF_S: Final = 0.02
LONGEST_BACKOFF_S: Final = 30.0
STEADY_NS: Final = (
    10 * NS_PER_S
)  # a connection that stood so long was a good one: the next pause is short again
READY_S: Final = 10.0  # a new connection that is not subscribed by then is given up
NEVER_S: Final = 1e12

LinkSink = Callable[[bool, str], Awaitable[None]]


T = TypeVar("T")
L = TypeVar("L", bound="Leg")


class Leg(Protocol):
    """One connection from its opening to its end."""

    stands: asyncio.Event
    """Connected, and all that is wanted has been asked for."""
    ready: asyncio.Event
    """The venue has agreed to all of it: what happens from now on will be told here."""
    must_go: asyncio.Event
    """The venue has said that it will end this connection, or it brings less than it should."""

    async def run(self) -> str:
        """Serve until the connection breaks; returns why."""
        ...

    def open_up(self) -> None:
        """Nobody else tells what this connection tells: let it through."""
        ...

    def watched_by(self, successor: Any, /) -> None:
        """`successor`, of the same kind, hears from now on what is heard here."""
        ...

    async def take_over(self, other: Any, /) -> None:
        """Let through what `other`, which is over, has not told already."""
        ...

    async def finish(self) -> None:
        """End in order: all that was sent to us before the end is still taken."""
        ...


class Succession(Generic[L]):
    """Keeps one leg standing until cancelled; `rotate_after_s` is drawn anew for each leg, before its life ends.

    `on_link` is told when there is a connection and when there is none; a replacement in time is neither.
    Where connections live `time_scale` times as fast as they should (a rehearsal), pauses are as much shorter.
    `admit` is awaited before each attempt (bans). `announce` gets each leg that requests may use from now on.
    """

    def __init__(
        self,
        make: Callable[[], L],
        clock: Clock,
        *,
        on_link: LinkSink,
        announce: Callable[[L | None], None] = lambda _: None,
        rotate_after_s: Callable[[], float] = lambda: NEVER_S,
        admit: Callable[[], Awaitable[None]] | None = None,
        time_scale: float = 1.0,
        addresses: Endpoints | None = None,
    ) -> None:
        self._addresses = addresses
        self._make = make
        self._clock = clock
        self._on_link = on_link
        self._announce = announce
        self._rotate_after_s = rotate_after_s
        self._admit = admit
        self._time_scale = time_scale
        self._tasks: set[asyncio.Task[Any]] = set()
        self.rotations = 0
        self.breaks = 0

    async def run(self) -> None:
        """Connect, and again after each break with growing pauses."""
        backoff_s = FIRST_BACKOFF_S
        try:
            while True:
                began_ns = self._clock.monotonic_ns()
                await self._one_reign()
                if (self._clock.monotonic_ns() - began_ns) * self._time_scale > STEADY_NS:
                    backoff_s = FIRST_BACKOFF_S
                    self._answered()
                else:
                    self._failed()
                await asyncio.sleep(max(backoff_s / self._time_scale, min(backoff_s, LEAST_BACKOFF_S)))
                backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
        finally:
            self._announce(None)
            await self._end_all()

    async def _one_reign(self) -> None:
        """From a first connection through all that replace it in time, to a break."""
        if self._admit is not None:
            await self._admit()
        leg = self._make()
        leg.open_up()
        task = self._start(leg.run())
        await self._either(task, leg.stands)
        if not leg.stands.is_set():
            self._result(task)
            return
        self._announce(leg)
        await self._on_link(True, "")
        try:
            detail = await self._reign(leg, task)
        finally:
            self._announce(None)
        self.breaks += 1
        await self._on_link(False, detail)

    async def _reign(self, leg: L, task: asyncio.Task[str]) -> str:
        due_s: float | None = self._rotate_after_s()
        backoff_s = FIRST_BACKOFF_S
        while True:
            await self._either(task, leg.must_go, timeout_s=due_s)
            if task.done():
                return self._result(task)
            successor, heir = await self._raise_up(leg, task)
            if successor is None or heir is None:
                if task.done():
                    return self._result(task)
                due_s = 0.0
                await asyncio.wait({task}, timeout=backoff_s)
                backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
                continue
            self._announce(successor)
            await leg.finish()
            await asyncio.wait({task})
            self._result(task)
            self._answered()
            await successor.take_over(leg)
            self.rotations += 1
            leg, task = successor, heir
            due_s, backoff_s = self._rotate_after_s(), FIRST_BACKOFF_S

    async def _raise_up(self, leg: L, task: asyncio.Task[str]) -> tuple[L | None, asyncio.Task[str] | None]:
        """A new connection that stands and is subscribed, while the old one goes on; None when it did not come up."""
        if not await self._admitted_before(task):
            return None, None
        successor = self._make()
        leg.watched_by(successor)
        heir = self._start(successor.run())
        await self._either(heir, successor.ready, task, timeout_s=READY_S)
        if successor.ready.is_set() and not heir.done():
            return successor, heir
        self._failed()
        heir.cancel()
        await asyncio.wait({heir})
        self._tasks.discard(heir)
        if not heir.cancelled():
            heir.result()
        return None, None

    async def _admitted_before(self, task: asyncio.Task[str]) -> bool:
        """Whether a successor may connect; a break of the old connection is not kept waiting by what holds it back."""
        if self._admit is None:
            return True
        admission = asyncio.ensure_future(self._admit())
        self._tasks.add(admission)
        await asyncio.wait({admission, task}, return_when=asyncio.FIRST_COMPLETED)
        self._tasks.discard(admission)
        if not admission.done():
            admission.cancel()
            await asyncio.wait({admission})
            return False
        admission.result()
        return not task.done()

    async def _either(
        self,
        task: asyncio.Task[str],
        event: asyncio.Event,
        *others: asyncio.Task[str],
        timeout_s: float | None = None,
    ) -> None:
        """Until the task is over, the event is set, or the time is."""
        waiter = self._start(event.wait())
        try:
            await asyncio.wait(
                {task, waiter, *others}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiter.cancel()
            self._tasks.discard(waiter)

    def _answered(self) -> None:
        if self._addresses is not None:
            self._addresses.answered()

    def _failed(self) -> None:
        """No connection came up, or none that lasted: after the third in a row the next address is tried."""
        if self._addresses is not None:
            self._addresses.failed()

    def _start(self, coroutine: Coroutine[object, object, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        return task

    def _result(self, task: asyncio.Task[str]) -> str:
        self._tasks.discard(task)
        return task.result()

    async def _end_all(self) -> None:
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
