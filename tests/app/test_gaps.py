"""Candles that are missing are read beside the pump: the symbol waits for them, nothing else does."""

import asyncio

import pytest
from structlog.testing import capture_logs

from bnml.app.gaps import Filled, Gaps
from bnml.app.inbox import LiveInbox
from bnml.core.errors import Retryable
from bnml.core.events import Bar, Guard, Scan
from bnml.venues.binance.codec import Beat
from tests.app.test_common_clock import GRACE_NS, MINUTE_NS, Engine, bar, make_pump
from tests.virtual_time import in_virtual_time

SYMBOLS = ("ADAUSDT", "BTCUSDT")


class Case:
    """A pump whose missing candles take `delay_s` to read; ADAUSDT has been fed up to its first minute."""

    def __init__(self, delay_s=10.0, found=None):
        self.engine, self.inbox, self.asked = Engine(), LiveInbox(), []
        self.delay_s, self.found = delay_s, found
        self.gaps = Gaps(self.read, lambda one: self.inbox.complete(0, (one,)))
        self.pump = make_pump(self.engine, self.engine, SYMBOLS, fill_gap=self.gaps.ask)

    async def read(self, symbol, start_ns, end_ns):
        self.asked.append((symbol, start_ns // MINUTE_NS, end_ns // MINUTE_NS))
        await asyncio.sleep(self.delay_s)
        if isinstance(self.found, Exception):
            raise self.found
        every = [bar(symbol, minute) for minute in range(start_ns // MINUTE_NS + 1, end_ns // MINUTE_NS + 1)]
        return (
            every
            if self.found is None
            else [one for one in every if one.ts_close_ns // MINUTE_NS in self.found]
        )

    async def take(self, *items):
        began = asyncio.get_running_loop().time()
        for item in items:
            await self.pump.take(item)
        assert asyncio.get_running_loop().time() == began, "the pump has waited"

    async def come(self):
        """What was read arrives."""
        for item in await self.inbox.batch():
            await self.pump.take(item)

    def minutes(self, symbol="ADAUSDT"):
        seen = [one for one in self.engine.seen if isinstance(one, Bar) and one.symbol == symbol]
        return [one.ts_close_ns // MINUTE_NS for one in seen]

    def scans(self):
        return [one.ts_close_ns // MINUTE_NS for one in self.engine.seen if isinstance(one, Scan)]


@in_virtual_time
async def test_everything_else_goes_on_while_a_gap_is_read():
    case = Case()
    await case.take(bar("ADAUSDT"), bar("BTCUSDT"), bar("ADAUSDT", 4), bar("BTCUSDT", 2))
    guard = Guard("disk", "REDUCING", 1, "")
    await case.take(guard, Beat(2 * MINUTE_NS + GRACE_NS))
    assert guard in case.engine.seen
    assert case.minutes("BTCUSDT") == [1, 2]
    assert case.minutes() == [1], "no decision about a symbol with a hole in its bars"
    assert case.scans() == [1, 2]
    await case.take(bar("ADAUSDT", 5), bar("ADAUSDT", 5))
    await case.come()
    assert case.minutes() == [1, 2, 3, 4, 5]
    assert case.asked == [("ADAUSDT", 1, 3)]


@in_virtual_time
async def test_a_second_gap_behind_the_first_is_read_too():
    case = Case()
    await case.take(bar("ADAUSDT"), bar("ADAUSDT", 3), bar("ADAUSDT", 6), bar("ADAUSDT", 7))
    await case.come()
    assert case.minutes() == [1, 2, 3]
    await case.come()
    assert case.minutes() == [1, 2, 3, 4, 5, 6, 7]
    assert case.asked == [("ADAUSDT", 1, 2), ("ADAUSDT", 3, 5)]


@in_virtual_time
@pytest.mark.parametrize(
    ("found", "minutes"), [(Retryable("busy"), [1, 4]), ((), [1, 4]), ((3,), [1, 3, 4]), ((2,), [1, 2, 4])]
)
async def test_what_the_venue_does_not_show_stays_missing_and_is_told(found, minutes):
    case = Case(found=found)
    await case.take(bar("ADAUSDT"), bar("ADAUSDT", 4))
    with capture_logs() as logs:
        await case.come()
    assert case.minutes() == minutes
    told = {one["event"] for one in logs}
    assert ("bars_missing" in told) == (minutes != [1, 3, 4])
    assert case.inbox.ready() == []


@in_virtual_time
async def test_bars_that_came_another_way_meanwhile_count_once():
    case = Case()
    await case.take(bar("ADAUSDT"), bar("ADAUSDT", 4))
    await case.take(bar("ADAUSDT", 2), bar("ADAUSDT", 3), bar("ADAUSDT", 4))
    await case.come()
    assert case.minutes() == [1, 2, 3, 4]


@in_virtual_time
async def test_of_a_bar_that_waits_and_is_read_as_well_the_one_that_waits_is_scanned():
    case = Case()
    await case.take(*(bar("BTCUSDT", minute) for minute in (1, 2, 3)), bar("ADAUSDT"), bar("ADAUSDT", 3))
    await case.take(Filled("ADAUSDT", (bar("ADAUSDT", 2), bar("ADAUSDT", 3))))
    assert case.minutes() == [1, 2, 3]
    assert case.scans()[-1] == 3


@in_virtual_time
async def test_a_reader_that_breaks_is_told_and_what_waited_goes_on():
    case = Case(delay_s=1.0, found=ValueError("bug"))
    with capture_logs() as logs:
        await case.take(bar("ADAUSDT"), bar("ADAUSDT", 4))
        await case.come()
        await asyncio.sleep(0)
    assert case.minutes() == [1, 4]
    assert "gap_reader_failed" in [one["event"] for one in logs]


@in_virtual_time
async def test_nothing_is_left_behind_when_the_session_ends():
    case = Case()
    await case.take(bar("ADAUSDT"), bar("ADAUSDT", 4))
    await asyncio.sleep(0)
    case.gaps.cancel()
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) == 1
    assert case.inbox.ready() in ([], [Filled("ADAUSDT", ())])
