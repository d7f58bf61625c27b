"""The one writer of the engine: what it photographs, what it waits for, and what never reaches the engine."""

import asyncio

from bnml.core.events import Balances, Guard
from bnml.venues.binance.codec import Beat
from tests.app.test_common_clock import Engine, Journal, make_pump

EVENT = Guard("disk", "REDUCING", 1, "")


class Kept(Journal):
    """Remembers after which events the engine was photographed; has room when it is said."""

    def __init__(self):
        self.photographs, self.has_room = [], asyncio.Event()

    def append_snapshot(self, version, engine):
        self.photographs.append(self.last_seq)

    async def room(self):
        await self.has_room.wait()


class Camera(Engine):
    def snapshot(self):
        return b""


async def test_the_engine_is_photographed_every_so_many_events_and_not_while_history_is_read():
    engine, journal = Camera(), Kept()
    pump = make_pump(engine, engine, journal=journal, snapshot_every=3)
    for _ in range(7):
        pump.feed(EVENT)
    assert journal.photographs == [3, 6]
    pump.in_history = True
    for _ in range(7):
        pump.feed(EVENT)
    assert journal.photographs == [3, 6]
    pump.in_history = False
    pump.feed(EVENT)
    assert journal.photographs == [3, 6, 15]


async def test_what_a_start_replayed_counts_towards_the_next_photograph():
    """Lives that end before it would make each start longer than the last."""
    engine, journal = Camera(), Kept()
    pump = make_pump(engine, engine, journal=journal, snapshot_every=3)
    pump.remember_replay(2)
    for _ in range(4):
        pump.feed(EVENT)
    assert journal.photographs == [1, 4]


async def test_a_journal_that_cannot_follow_holds_up_what_comes_next():
    engine, journal = Engine(), Kept()
    taking = asyncio.create_task(make_pump(engine, engine, journal=journal).take(EVENT))
    await asyncio.sleep(0)
    assert engine.seen == [EVENT]
    assert not taking.done()
    journal.has_room.set()
    await taking


async def test_balances_of_the_user_stream_which_name_only_some_assets_are_no_account():
    engine = Engine()
    await make_pump(engine, engine).take(Balances(1, {"BTC": (0, 0)}))
    assert engine.seen == []


async def test_market_time_never_goes_back():
    engine = Engine()
    pump = make_pump(engine, engine)
    for ts_ns in (7, 5):
        await pump.take(Beat(ts_ns))
    assert pump.now_ns == 7
