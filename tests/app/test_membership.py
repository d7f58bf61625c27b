"""Newcomers are ready before they are members, leavers stay followed while they hold, a mute venue changes nothing."""

from types import SimpleNamespace

import pytest

from bnml.app import membership
from bnml.app.membership import DAY_ROLL, Membership
from bnml.config import load
from bnml.core.clock import NS_PER_DAY
from bnml.core.errors import Retryable
from bnml.core.events import Bar, InstrumentUpdate, Timer, UniverseUpdate
from bnml.options import RunOptions
from tests.trading.kit import HOUR_NS, instrument

E8 = 10**8
NOW_NS = 20_000 * NS_PER_DAY + 5


class Venue:
    """Trades what it was told, or does not answer."""

    def __init__(self, turnover):
        self.volumes = turnover
        self.instruments = {}
        self.failures = 0

    async def tradable(self, quote):
        if self.failures:
            self.failures -= 1
            raise Retryable("no answer")
        return {symbol: instrument(symbol) for symbol in self.volumes}

    async def turnover(self):
        return {symbol: volume * E8 for symbol, volume in self.volumes.items()}

    async def bars(self, symbol, frame, length_ns, start_ns, end_ns):
        return [Bar(symbol, end_ns - length_ns, end_ns, 1, 1, 1, 1, 1)]


class World:
    """All that a membership touches, in the order in which it is touched."""

    def __init__(self, members, turnover, held=(), **universe):
        settings = load(None, {}, {"features.base_frame": ("1h", ""), "universe.symbols": (["*/USDT"], "")})
        chosen = settings.universe.model_copy(update=universe)
        self.steps = []
        self.missing = set()
        self.venue = Venue(turnover)
        self.held = set(held)
        self.now_ns = NOW_NS
        self.in_history = False
        self.parts = SimpleNamespace(
            settings=settings.model_copy(update={"universe": chosen}),
            options=RunOptions(),
            universe=UniverseUpdate(tuple(members), 0),
            symbols=tuple(members),
            followed=tuple(members),
            instruments={symbol: instrument(symbol) for symbol in members},
            venue=self.venue,
            engine=SimpleNamespace(
                at_stake=self.held.__contains__, state=SimpleNamespace(symbols={}), portfolio=None
            ),
            frame_ns=HOUR_NS,
            market_now_ns=0,
            header=SimpleNamespace(anchors={}),
            journal=SimpleNamespace(update_session=self.nothing, room=self.nothing),
        )
        self.membership = Membership(self.parts, self, self, self, self)

    async def nothing(self, *_):
        pass

    def feed(self, event):
        self.steps.append(event)

    def photograph(self):
        pass

    def subscribe(self, symbols):
        self.steps.append(("gate", symbols))

    async def load_all(self, symbols):
        self.steps.append(("load", tuple(symbols)))

    def due(self, symbols):
        return dict.fromkeys(self.missing & set(symbols), "missing")

    def request(self, symbols, _):
        self.steps.append(("train", tuple(symbols)))

    async def follow(self, instruments):
        self.steps.append(("follow", tuple(one.symbol for one in instruments)))

    async def forget(self, symbols):
        self.steps.append(("forget", tuple(symbols)))

    @property
    def universe(self):
        return [step for step in self.steps if isinstance(step, UniverseUpdate)][-1]


async def test_a_newcomer_has_history_model_and_streams_before_it_is_a_member():
    one = World(("AUSDT",), {"AUSDT": 2 * 10**6, "BUSDT": 3 * 10**6})
    one.missing.add("BUSDT")
    await one.membership.renew()
    bar = Bar("BUSDT", NOW_NS // HOUR_NS * HOUR_NS - HOUR_NS, NOW_NS // HOUR_NS * HOUR_NS, 1, 1, 1, 1, 1)
    assert one.steps == [
        InstrumentUpdate(instrument("BUSDT"), NOW_NS),
        bar,
        ("load", ("BUSDT",)),
        ("train", ("BUSDT",)),
        ("follow", ("BUSDT",)),
        UniverseUpdate(("BUSDT", "AUSDT"), NOW_NS, (3 * 10**6 * E8, 2 * 10**6 * E8)),
        ("gate", ("BUSDT", "AUSDT")),
        ("forget", ()),
    ]
    assert one.venue.instruments.keys() == {"BUSDT"}
    assert one.parts.header.anchors == {"BUSDT": bar.ts_open_ns}


async def test_who_leaves_with_a_position_is_followed_until_it_is_flat():
    one = World(("AUSDT", "BUSDT", "CUSDT"), {"AUSDT": 2 * 10**6}, held={"BUSDT"})
    await one.membership.renew()
    assert one.universe.symbols == ("AUSDT",)
    assert one.steps[-2:] == [("gate", ("AUSDT", "BUSDT")), ("forget", ("CUSDT",))]
    assert one.parts.instruments.keys() == {"AUSDT", "BUSDT"}
    one.held.clear()
    one.parts.symbols = one.parts.universe.symbols
    await one.membership.renew()
    assert one.steps[-2:] == [("gate", ("AUSDT",)), ("forget", ("BUSDT",))]


async def test_who_returns_while_held_is_a_member_without_a_second_history():
    one = World(("AUSDT",), {"AUSDT": 2 * 10**6, "BUSDT": 10**6}, held={"BUSDT"})
    one.parts.followed = ("AUSDT", "BUSDT")
    one.parts.instruments["BUSDT"] = instrument("BUSDT")
    await one.membership.renew()
    assert [type(step) for step in one.steps] == [UniverseUpdate, tuple, tuple]
    assert one.universe.symbols == ("AUSDT", "BUSDT")


async def test_a_written_list_is_journaled_as_it_is():
    one = World(("BUSDT", "AUSDT"), {}, dynamic=False)
    await one.membership.renew()
    assert one.steps == [UniverseUpdate(("BUSDT", "AUSDT"), NOW_NS)]


async def test_a_mute_venue_is_asked_again_and_changes_nothing_meanwhile(monkeypatch):
    one = World(("AUSDT",), {"BUSDT": 10**6})
    one.venue.failures = 2
    seen = []

    async def rest(_):
        seen.append(list(one.steps))

    monkeypatch.setattr(membership.asyncio, "sleep", rest)
    await one.membership.renew_until_done()
    assert seen == [[], []]
    assert one.universe.symbols == ("BUSDT",)


@pytest.mark.parametrize(("passed_ns", "is_new"), [(NS_PER_DAY - 6, False), (NS_PER_DAY - 5, True)])
def test_a_day_rolls_once_with_event_time(passed_ns, is_new):
    one = World(("AUSDT",), {})
    assert not one.membership.roll()
    one.now_ns += passed_ns
    assert one.membership.roll() is is_new
    assert not one.membership.roll()
    assert one.steps == ([Timer(DAY_ROLL, one.now_ns)] if is_new else [])
