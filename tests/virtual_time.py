"""An event loop whose time passes at once when nothing is ready: hours of waiting in milliseconds, in the same order always."""

import asyncio
import functools
import selectors


class _Selector(selectors.DefaultSelector):
    def __init__(self):
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout=None):
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` stands still while anything runs and jumps to the next timer when nothing does."""

    def __init__(self):
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-6

    def time(self):
        return self._virtual.now_s

    async def shutdown_default_executor(self, *_):
        """Its threads are real, and the five minutes for them would be over at once."""
        await super().shutdown_default_executor()


def in_virtual_time(test):
    """An async test that runs on such a loop."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return run
