"""Several market sockets: time is what all of them have reached, so that no scan overtakes bars under way."""

import pytest

from bnml.app.pump import Pump
from bnml.app.streams import CommonClock
from bnml.core.events import Bar, Scan
from bnml.trading.bars import BarGate
from bnml.venues.binance.codec import Beat, Print

MINUTE_NS = 60_000_000_000
GRACE_NS = 2_000_000_000


def test_time_is_that_of_the_slowest_socket_that_stands():
    clock = CommonClock()
    for socket in (0, 1):
        clock.stands(socket)
    assert clock.beat(0, 5) is None, "the other has not spoken yet"
    assert clock.beat(1, 3) == 3
    assert clock.beat(0, 9) is None
    assert clock.beat(1, 8) == 8
    clock.lost(1)
    assert clock.beat(0, 10) == 10
    clock.stands(1)
    assert clock.beat(0, 11) is None
    assert clock.beat(1, 7) is None, "time never goes back"
    assert clock.beat(1, 12) == 11


class Journal:
    last_seq = 0

    def append_event(self, event):
        self.last_seq += 1
        return self.last_seq

    def append_commands(self, sequence, commands):
        pass

    async def room(self):
        pass


class Engine:
    """Remembers what it is told."""

    def __init__(self):
        self.seen = []

    def process(self, event, sequence):
        self.seen.append(event)
        return []

    def drain(self):
        return []

    def follow(self, event, outcomes):
        pass


@pytest.fixture
def engine():
    return Engine()


def make_pump(engine, follower, symbols=("ADAUSDT", "BTCUSDT"), journal=None, **options):
    """One whose journal, if none is given, keeps nothing."""
    return Pump(
        engine,
        BarGate(symbols, GRACE_NS, lambda _: True),
        journal or Journal(),
        submit=lambda *_: None,
        follower=follower,
        snapshot_version="",
        frame_ns=MINUTE_NS,
        **{"fill_gap": None, "snapshot_every": 10**9, **options},
    )


@pytest.fixture
def pump(engine):
    return make_pump(engine, engine)


def bar(symbol, minute=1):
    return Bar(symbol, (minute - 1) * MINUTE_NS, minute * MINUTE_NS, 1, 1, 1, 1, 1)


async def scans_after(pump, engine, *items):
    for item in items:
        await pump.take(item)
    return [one.ts_close_ns for one in engine.seen if isinstance(one, Scan)]


LATE_NS = MINUTE_NS + GRACE_NS + 1


async def test_with_several_sockets_only_their_common_beat_makes_a_scan_overdue(pump, engine):
    ahead = (Print("ADAUSDT", LATE_NS, 1, 1, 7), bar("ADAUSDT", 2))
    common = Beat(MINUTE_NS - 1, is_common=True)
    assert await scans_after(pump, engine, common, bar("ADAUSDT"), *ahead) == []
    assert await scans_after(pump, engine, bar("BTCUSDT")) == [MINUTE_NS], "all have delivered"
    assert await scans_after(pump, engine, Beat(2 * MINUTE_NS + GRACE_NS - 1, is_common=True)) == [MINUTE_NS]
    overdue = Beat(2 * MINUTE_NS + GRACE_NS, is_common=True)
    assert await scans_after(pump, engine, overdue) == [MINUTE_NS, 2 * MINUTE_NS]


@pytest.mark.parametrize("item", [Beat(LATE_NS), Print("ADAUSDT", LATE_NS, 1, 1, 7)])
async def test_with_one_socket_everything_it_tells_does(pump, engine, item):
    assert await scans_after(pump, engine, Beat(MINUTE_NS - 1), bar("ADAUSDT"), item) == [MINUTE_NS]
