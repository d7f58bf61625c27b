"""The three rhythms in which the pump is fed: as things come, step by step, or once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.app.inbox import SteppedInbox
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bnml.app.compose import Parts
    from bnml.app.executor import Executor
    from bnml.app.inbox import Item
    from bnml.app.pump import Pump
    from bnml.trading.bars import BarGate

STEP_PAUSE_S = 0.002
BREATH_NS = 2 * NS_PER_MS  # the pump holds the loop at most about this long


class Rhythm:
    """Feeds the pump until `is_over`, `stop`, or the end of the market; `after_batch` makes timers due.

    `before_step` does what is due while a stepped market stands still, and says whether there was anything.
    """

    def __init__(
        self,
        parts: Parts,
        pump: Pump,
        gate: BarGate,
        executor: Executor,
        stop: asyncio.Event,
        is_over: Callable[[], bool],
        after_batch: Callable[[], None],
        before_step: Callable[[], Awaitable[bool]],
    ) -> None:
        self._parts = parts
        self._pump = pump
        self._gate = gate
        self._executor = executor
        self._stop = stop
        self._is_over = is_over
        self._after_batch = after_batch
        self._before_step = before_step
        self.market_ended = False

    async def live(self) -> None:
        """Take what comes until told to stop."""
        waiter = asyncio.create_task(self._stop.wait())
        waiter.add_done_callback(lambda _: self._parts.inbox.poke())
        try:
            while not (self._stop.is_set() or self._is_over()):
                await self._take_all(await self._parts.inbox.batch())
        finally:
            waiter.cancel()

    async def stepped(self) -> None:
        """Process by number; let the market step when nothing is left to process, to execute or to commit."""
        inbox, stepper, sent = self._parts.inbox, self._parts.deployment.stepper, 0
        if not isinstance(inbox, SteppedInbox) or stepper is None:
            raise Fatal("a stepped session needs a stepped inbox and a stepper")
        while True:
            items = inbox.ready()
            if items:
                for item in items:
                    await self._pump.take(item)
                self._parts.links.now_ns = self._pump.now_ns
                continue
            if await self._settling(inbox, sent):
                continue
            if self._is_over():
                return
            if await self._before_step():
                continue
            answer = await stepper.step(inbox.processed)
            sent = max(sent, answer.sent)
            if not answer.advanced and answer.sent == inbox.processed:
                if answer.done:
                    self.market_ended = True
                    return
                await asyncio.sleep(STEP_PAUSE_S)

    async def _settling(self, inbox: SteppedInbox, sent: int) -> bool:
        """Whether something is still under way; then wait for a part of it."""
        if inbox.processed < sent or not self._executor.idle:
            await inbox.changed()
            return True
        if not self._parts.journal.committed:
            await self._parts.journal.barrier()
            return True
        return False

    async def once(self, look: Callable[[], Awaitable[None]] | None) -> None:
        """Decide on the last closed bar with the books as they are, act, and wait for the outcome.

        With `look` everything that speaks against entries is looked at before, and known when it is decided.
        """
        parts = self._parts
        if look is not None:
            await look()
            for item in parts.inbox.ready():
                await self._pump.take(item)
        closes = [self._pump.last_close_ns(symbol) for symbol in parts.symbols]
        for symbol in parts.symbols:
            book = await parts.venue.book(symbol)
            if book is not None:
                await self._pump.take(book)
        for event in self._gate.scan_now(max(closes, default=0), self._pump.now_ns):
            self._pump.feed(event)
        deadline = asyncio.get_running_loop().time() + self._parts.settings.venue.request_timeout_s
        quiet_s = 0.0
        while quiet_s < 0.5 and asyncio.get_running_loop().time() < deadline:
            await self._take_all(parts.inbox.ready())
            await asyncio.sleep(0.05)
            quiet_s = quiet_s + 0.05 if self._executor.idle and not len(parts.inbox) else 0.0

    async def _take_all(self, items: list[Item]) -> None:
        started_ns = self._parts.clock.monotonic_ns()
        for item in items:
            await self._pump.take(item)
            if self._parts.clock.monotonic_ns() - started_ns > BREATH_NS:
                await asyncio.sleep(0)
                started_ns = self._parts.clock.monotonic_ns()
        self._parts.links.now_ns = self._pump.now_ns
        self._after_batch()
