"""A market that is told to wait lets no step pass before somebody listens."""

from __future__ import annotations

import asyncio

from bnml.core.clock import NS_PER_S, ManualClock
from bnml.venues.sim.driver import Pacing
from bnml.venues.sim.messages import Step


class Market:
    """What a driver needs of a venue."""

    def __init__(self):
        self.now_ns = 0
        self.exchange = self
        self.taken = []

    def set_time(self, ts_ns):
        self.now_ns = ts_ns

    def advance(self, step):
        self.now_ns = step.ts_ns
        self.taken.append(step.ordinal)


def step(ordinal: int) -> Step:
    return Step(ordinal=ordinal, ts_ns=(10 + ordinal) * NS_PER_S, prints=(), books=(), closed_bars=())


async def test_time_that_passes_before_the_first_listener_is_no_market_time():
    market, clock, begin = Market(), ManualClock(), asyncio.Event()
    driver = Pacing(market, iter([step(n) for n in range(5)]), 1.0, clock, begin)
    moving = asyncio.create_task(driver.run())
    clock.advance(100 * NS_PER_S)
    for _ in range(5):
        await asyncio.sleep(0)
    assert market.taken == []
    begin.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert market.taken == [0]  # the first step is due at once, the second a second later
    assert driver.market_now_ns() == 10 * NS_PER_S
    moving.cancel()
