"""An event loop whose time jumps to the next thing that is due: hours of a market pass in milliseconds."""

import asyncio
import selectors

from bnml.core.clock import NS_PER_S

NS_S = 1e-9
START_NS = 1_690_848_000 * NS_PER_S  # 2023-08-01, a whole day


class _Jump(selectors.SelectSelector):
    """A selector that never waits: nothing comes from outside, so the loop's time is moved instead."""

    loop = None

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("every task waits and nothing is due: the trial would stand still for ever")
        if timeout > 0:
            self.loop.virtual_s += (
                timeout + NS_S
            )  # never short of what is due: a wait of nothing would be endless
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """One trial's time line."""

    def __init__(self):
        self.virtual_s = 0.0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = NS_S / 10

    def time(self):
        return self.virtual_s


class VirtualClock:
    """`core.clock.Clock` of a virtual loop; wall time and market time are one."""

    def __init__(self, loop, start_ns=START_NS):
        self._loop = loop
        self._start_ns = start_ns

    def now_ns(self):
        return self._start_ns + round(self._loop.virtual_s * NS_PER_S)

    def monotonic_ns(self):
        return round(self._loop.virtual_s * NS_PER_S)


def run_virtually(make):
    """Run the coroutine that `make(loop)` gives to its end on a loop of its own; a callback that failed spoils it."""
    loop, broken = VirtualLoop(), []

    def note(loop, context):
        if "handle" in context:
            broken.append(context["exception"])
        loop.default_exception_handler(context)

    loop.set_exception_handler(note)
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(make(loop))
        for error in broken:
            raise error
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()
