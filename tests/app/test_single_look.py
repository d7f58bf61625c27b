"""A session of one scan looks at the world before it decides: what holds is raised, what is over ends."""

import json
import shutil
from types import SimpleNamespace

import pytest

from bnml.app.guards import Guards
from bnml.app.health import LoopLag
from bnml.app.inbox import LiveInbox
from bnml.app.order_counts import ORDER_COUNTS
from bnml.app.outlook import SCHEDULE, Outlook
from bnml.app.planned import PlannedMaintenance
from bnml.app.settings import GuardSettings
from bnml.app.single_look import look_once
from bnml.app.vitals import MIB, Vitals
from bnml.core.clock import NS_PER_S, LiveClock, format_utc
from bnml.core.errors import Retryable
from bnml.trading.engine import Engine
from bnml.trading.settings import CapitalSettings
from tests.app.test_outlook import DAY_MS, Venue
from tests.trading.kit import config

MINUTE_MS = 60_000


class Rest:
    """What the looks ask of a REST client, in front of the venue that knows the answers."""

    def __init__(self, venue):
        self.venue = venue
        self.clock = SimpleNamespace(skew_ms=0, now_ms=lambda: 0)
        self.budget = SimpleNamespace(banned_s=0)
        self.penalties = SimpleNamespace(obstacle="", is_offline=False)
        self.shut, self.candles, self.measured_ms, self.timestamp_ms, self.counted = 0, [], 0, int, []
        self.budget.observe_rows = lambda rows, _: self.counted.extend(rows)

    async def public(self, path, params, *_):
        if path.endswith("system/status"):
            return json.dumps({"status": self.shut, "msg": "upgrade"}).encode()
        if path.endswith("klines"):
            self.asked = params
            return json.dumps(self.candles).encode()
        return b"{}" if path.endswith("ping") else await Venue.public(self.venue, path, params)

    async def read(self, path, *lane):
        if path == SCHEDULE:
            return await Venue.read(self.venue, path, *lane)
        assert path == ORDER_COUNTS
        return b'[{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":9,"count":7}]'

    async def synchronise_clock(self):
        self.clock.skew_ms = self.measured_ms


class World(Venue):
    """A live venue, and a session on it that makes one scan."""

    def __init__(self, folder, **guards):
        super().__init__()
        self.rest = Rest(self)
        self.can_trade = self.may_trade = True
        self.inbox = LiveInbox()
        clock, self.guards = LiveClock(), Guards(self.inbox, lambda: 1)
        journal = SimpleNamespace(commits=1, committed=True, is_full=False, reserve=None)
        limits = GuardSettings(**{"least_free_mib": 16, **guards})
        self.parts = SimpleNamespace(
            venue=self, guards=self.guards, clock=clock, journal=journal,
            settings=SimpleNamespace(venue=SimpleNamespace(kind="live")),
        )  # fmt: skip
        lag = LoopLag(clock, lambda: 0)
        self.life = SimpleNamespace(
            vitals=Vitals(limits, self.guards, clock, journal, lag, folder, print),
            planned=PlannedMaintenance(limits, self.guards, clock.now_ns),
        )

    async def balances(self):
        self.can_trade = self.may_trade

    async def look(self, **capital):
        """What stands after it."""
        outlook = Outlook(
            self, Engine(config(), None), self.guards, CapitalSettings(**capital),
            now_ns=lambda: 0, followed=lambda: ("BTCUSDT", "ETHUSDT"), feed=print, looks_once=True,
        )  # fmt: skip
        await look_once(self.parts, self.life, outlook)
        return self.guards.standing("")


async def test_what_an_earlier_session_left_ends_when_it_does_not_hold_any_more(tmp_path):
    world = World(tmp_path)
    left = ["ban", "clock", "delist:BTCUSDT", "depeg", "disk", "journal", "loop", "maintenance", "memory"]
    left += ["planned", "stale:BTCUSDT", "status:LEFTUSDT"]
    world.guards.recall(dict.fromkeys(left, ("REDUCING", "was so")))
    assert await world.look() == []
    assert [one.count for one in world.rest.counted] == [7], "and what the account has placed is known"
    assert sorted(one.name for one in world.inbox.ready()) == left, "the engine is told"


async def test_what_the_operator_or_the_books_hold_stays(tmp_path):
    world = World(tmp_path)
    kept = ["account", "capital", "key", "panic:BTCUSDT", "recovery"]
    world.guards.recall(dict.fromkeys(kept, ("REDUCING", "was so")))
    assert await world.look() == kept


async def test_a_venue_that_is_shut_a_delisting_and_a_clock_far_off_are_seen(tmp_path):
    world = World(tmp_path)
    world.rest.shut, world.rest.measured_ms = 1, -9_000
    world.schedule = [{"delistTime": 10 * DAY_MS, "symbols": ["BTCUSDT"]}]
    del world.now["ETHUSDT"]
    assert sorted(await world.look()) == ["clock", "delist:BTCUSDT", "maintenance", "status:ETHUSDT"]


async def test_an_account_that_may_not_trade_since_the_start_is_seen(tmp_path):
    world = World(tmp_path)
    world.may_trade = False
    assert await world.look() == ["maintenance"]


async def test_little_room_and_planned_maintenance_are_seen(tmp_path):
    now_ns, free_mib = LiveClock().now_ns(), shutil.disk_usage(tmp_path).free // MIB
    window = f"{format_utc(now_ns)}/{format_utc(now_ns + 3600 * NS_PER_S)}"
    world = World(tmp_path, least_free_mib=2 * free_mib, maintenance=(window,))
    assert sorted(await world.look()) == ["disk", "planned"]


async def test_a_banned_address_is_told_and_asks_for_nothing(tmp_path):
    world = World(tmp_path)
    world.rest.budget.banned_s = 60
    assert await world.look() == ["ban"]
    assert world.asked == []


def candles(*closes):
    return [
        [at * MINUTE_MS, "1", "1", "1", close, "0", (at + 1) * MINUTE_MS - 1, "0", 0, "0", "0", "0"]
        for at, close in enumerate(closes)
    ]


@pytest.mark.parametrize(
    ("closes", "before", "stands"),
    [
        (["1.02"] * 11, "ACTIVE", ["depeg"]),
        (["1.02"] * 10 + ["1.0"], "ACTIVE", []),
        (["1.0"] * 11, "REDUCING", []),
        (["1.0"] * 10 + ["1.02"], "REDUCING", ["depeg"]),
        (["1.02"] * 5, "ACTIVE", []),
        ([], "REDUCING", ["depeg"]),
    ],
)
async def test_whether_the_peg_is_off_is_read_from_its_last_minutes(tmp_path, closes, before, stands):
    """One look never changes anything, so a session that looks once needs the looks that others would have made."""
    world = World(tmp_path)
    world.rest.candles = candles(*closes)
    world.guards.recall({"depeg": (before, "")})
    assert await world.look(depeg_symbol="USDCUSDT", depeg_minutes=10) == stands
    assert world.rest.asked == {"symbol": "USDCUSDT", "interval": "1m", "limit": "11"}


async def test_a_long_window_of_the_peg_takes_longer_candles(tmp_path):
    world = World(tmp_path)
    await world.look(depeg_symbol="USDCUSDT", depeg_minutes=1_440)
    assert world.rest.asked == {"symbol": "USDCUSDT", "interval": "5m", "limit": "289"}


async def test_a_venue_that_does_not_answer_leaves_what_was_told_before(tmp_path):
    world = World(tmp_path)
    world.schedule = Retryable("503")
    world.guards.recall({"delist:BTCUSDT": ("REDUCING", "")})
    assert await world.look() == ["delist:BTCUSDT"]
