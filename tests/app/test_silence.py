"""Time without a market: it goes on in the daemon, by the monotonic clock or by what the exchange says."""

import asyncio
from itertools import pairwise

import pytest

from bnml.app.inbox import LiveInbox
from bnml.app.silence import Silence, Tick
from bnml.core.clock import NS_PER_S
from bnml.core.errors import Retryable
from bnml.core.events import Scan
from bnml.venues.binance.codec import Beat
from tests.app.test_common_clock import GRACE_NS, MINUTE_NS, Engine, bar, pump  # noqa: F401 - a fixture
from tests.virtual_time import in_virtual_time

START_NS = 1_700_000_000 * NS_PER_S


class Case:
    def __init__(self, ask=None):
        self.now_ns, self.ticks = START_NS, []
        self.silence = Silence(lambda: self.now_ns, self.take, ask)

    def take(self, tick):
        self.ticks.append(((tick.ts_ns - START_NS) / NS_PER_S, asyncio.get_running_loop().time()))
        self.now_ns = max(self.now_ns, tick.ts_ns)


@in_virtual_time
async def test_a_market_that_speaks_gets_no_ticks_and_a_silent_one_each_half_second():
    case = Case()
    task = asyncio.create_task(case.silence.run())
    for _ in range(20):
        await asyncio.sleep(0.9)
        case.now_ns += 9 * NS_PER_S // 10
    assert case.ticks == []
    quiet_s, quiet_ns = asyncio.get_running_loop().time(), case.now_ns
    await asyncio.sleep(10)
    times = [at for _, at in case.ticks]
    assert times[0] - quiet_s <= 1.5
    assert max(later - earlier for earlier, later in pairwise(times)) <= 0.5
    assert abs(case.now_ns - quiet_ns - 10 * NS_PER_S) < NS_PER_S
    case.now_ns += NS_PER_S  # it speaks again
    count = len(case.ticks)
    await asyncio.sleep(0.75)
    assert len(case.ticks) == count
    task.cancel()


@in_virtual_time
async def test_what_speaks_again_a_little_behind_the_ticks_ends_them():
    case = Case()
    task = asyncio.create_task(case.silence.run())
    await asyncio.sleep(5)
    count = len(case.ticks)
    for step in range(100):
        await asyncio.sleep(0.1)
        case.now_ns = max(case.now_ns, START_NS + 5 * NS_PER_S + step * NS_PER_S // 10 - NS_PER_S // 20)
    assert len(case.ticks) <= count + 1
    task.cancel()


@in_virtual_time
async def test_an_exchange_that_knows_its_time_is_asked_and_one_that_stands_still_stays_so():
    said = [START_NS + 60 * NS_PER_S, Retryable("gone"), START_NS + 60 * NS_PER_S, START_NS + 90 * NS_PER_S]

    async def ask():
        one = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(one, Exception):
            raise one
        return one

    case = Case(ask)
    task = asyncio.create_task(case.silence.run())
    await asyncio.sleep(6)
    assert [at for at, _ in case.ticks] == [60, 90]
    task.cancel()


async def test_a_tick_moves_time_and_makes_no_scan_due(pump):  # noqa: F811
    engine = pump._engine
    await pump.take(Beat(MINUTE_NS))
    await pump.take(bar("ADAUSDT"))
    await pump.take(Tick(2 * MINUTE_NS + GRACE_NS))
    assert pump.now_ns == 2 * MINUTE_NS + GRACE_NS
    assert [one for one in engine.seen if isinstance(one, Scan)] == []
    await pump.take(Tick(MINUTE_NS))
    assert pump.now_ns == 2 * MINUTE_NS + GRACE_NS


async def test_ticks_go_before_what_the_market_said():
    inbox = LiveInbox()
    await inbox.put(0, Beat(1))
    inbox.complete(0, (Tick(2),))
    assert inbox.ready() == [Tick(2), Beat(1)]


@pytest.fixture
def engine():
    return Engine()
