"""Orders that others place on the same account: ours are held back before the venue has to refuse them."""

import asyncio
import contextlib

import pytest
from structlog.testing import capture_logs

from bnml.app.deployment import deploy
from bnml.app.order_counts import LOOK_S, OrderCounts
from bnml.config import load
from bnml.core.clock import NS_PER_MS, LiveClock, ManualClock
from bnml.core.errors import Retryable
from bnml.options import RunOptions
from bnml.venues.binance.budget import Lane, OrderLimit, WeightBudget
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue_clock import VenueClock
from bnml.venues.binance.weights import weight_of
from bnml.venues.binance.wsapi import ApiConnection
from bnml.venues.settings import Credentials
from tests.venues.binance.web import Sink, running
from tests.venues.sim.faults.faulty import FAR
from tests.venues.sim.served import KEY, served
from tests.virtual_time import in_virtual_time

BY_OTHERS = (
    71  # of the 100 orders that the embedded exchange takes in 10 s; 30 of them are reserved for exits
)
WINDOW_MS = 10_000


def clock_within_a_window():
    """This moment for ever, a little later if a window of orders has just begun: none begins in a test."""
    now_ms = LiveClock().now_ns() // NS_PER_MS
    return ManualClock((now_ms + max(0, 500 - now_ms % WINDOW_MS)) * NS_PER_MS)


@contextlib.asynccontextmanager
async def shared_account():
    """An exchange where somebody else has just traded on our account, and our REST client: (exchange, rest)."""
    clock = clock_within_a_window()
    venue_clock = VenueClock(clock)
    budget = WeightBudget(clock, venue_ms=venue_clock.now_ms)
    async with (
        served(stepped=False) as it,
        RestClient(
            it.base, Signer(KEY.api_key, KEY.secret), clock, timeout_s=2, receive_window_ms=60_000,
            budget=budget, venue_clock=venue_clock,
        ) as rest,
    ):  # fmt: skip
        budget.order_limits = (OrderLimit("10S", WINDOW_MS, 100),)
        for number in range(BY_OTHERS):
            await it.order(**FAR, newClientOrderId=f"hand-{number}")
        yield it, rest


def waits(rest):
    """Whether an entry and whether an exit has to wait."""
    return [rest.budget.delay_s(lane, orders=1) > 0 for lane in (Lane.ENTRY, Lane.EXIT)]


async def test_f08_orders_that_others_place_hold_ours_back_before_the_venue_refuses():
    """Nothing but the answers to orders told the counts, and those of REST alone: the reserve was gone unseen."""
    async with shared_account() as (_, rest):
        assert waits(rest) == [False, False]
        await OrderCounts(rest).look()
        assert waits(rest) == [True, False], "the reserve is left to exits"


async def test_f08_answers_to_our_own_orders_tell_what_others_have_placed():
    """On the test and live networks the connection was told to leave the counts out."""
    async with shared_account() as (it, rest), contextlib.AsyncExitStack() as stack:
        settings = load(None, {}, {
            "venue.kind": ("testnet", ""), "venue.testnet.rest_url": (it.base, ""),
            "venue.testnet.stream_url": (it.sockets, ""),
            "venue.testnet.api_url": (f"{it.sockets}/ws-api/v3", ""),
        })  # fmt: skip
        credentials = Credentials(api_key=KEY.api_key, api_secret=KEY.secret)
        deployment = await deploy(settings, RunOptions(), credentials, None, stack)
        sink = Sink()
        api = ApiConnection(
            deployment.api_url, rest.signer, LiveClock(), timestamp_ms=rest.timestamp_ms, on_event=sink.event,
            on_link=sink.link, on_number=lambda _: None, timeout_s=2, receive_window_ms=60_000, rest=rest,
        )  # fmt: skip
        async with running(api.run()):
            await sink.until(lambda: api.up)
            order = {**FAR, "newClientOrderId": "bna1-1"}
            await api.request("order.place", order, order=True, lane=Lane.ENTRY)
            assert waits(rest) == [True, False]


class Rest:
    """Counts what is asked, and fails as often as it is told to."""

    def __init__(self, failures=0):
        self.signer = self.budget = self
        self.failures = failures
        self.looks = 0
        self.observed = []

    async def usable(self):
        pass

    def timestamp_ms(self):
        return 5

    async def read(self, path, params):
        self.looks += 1
        if self.failures:
            self.failures -= 1
            raise Retryable("503")
        return b"[]"

    def observe_rows(self, rows, asked_ms):
        self.observed.append(asked_ms)


@pytest.mark.parametrize("asked_for", [False, True])
def test_f08_the_counts_are_read_at_once_each_minute_and_when_the_connection_is_back(asked_for):
    @in_virtual_time
    async def looks_of_some_minutes():
        rest = Rest()
        counts = OrderCounts(rest)
        task = asyncio.create_task(counts.run())
        await asyncio.sleep(0.1)
        looks = [rest.looks]
        if asked_for:
            counts.look_soon()
        await asyncio.sleep(LOOK_S / 2)
        looks.append(rest.looks)
        await asyncio.sleep(LOOK_S * 2)
        looks.append(rest.looks)
        task.cancel()
        return looks

    assert looks_of_some_minutes() == ([1, 2, 4] if asked_for else [1, 1, 3])


async def test_a_venue_that_does_not_tell_is_asked_again_and_spoken_of_once():
    rest = Rest(failures=2)
    counts = OrderCounts(rest)
    with capture_logs() as logs:
        for _ in range(3):
            await counts.look()
    assert [one["event"] for one in logs] == ["order_counts_not_told"]
    assert rest.observed == [5]


def test_its_weight_is_that_of_the_documentation():
    assert weight_of("GET", "/api/v3/rateLimit/order", {}) == 40
