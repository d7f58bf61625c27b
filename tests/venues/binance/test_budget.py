import asyncio
from types import SimpleNamespace

from bnml.core.clock import NS_PER_S, ManualClock
from bnml.core.errors import Rejected
from bnml.venues.binance.budget import Lane, WeightBudget
from bnml.venues.binance.holds import Hold
from bnml.venues.binance.shared_numbers import SharedNumbers
from bnml.venues.binance.venue import BinanceVenue

MINUTE = 60 * NS_PER_S


def used(weight):
    clock = ManualClock(10 * MINUTE)
    budget = WeightBudget(clock, limit=6000)
    budget.observe({"X-MBX-USED-WEIGHT-1M": str(weight)})
    return clock, budget


def test_data_waits_first_and_cancels_last():
    _, budget = used(5000)
    waiting = [lane for lane in Lane if budget.delay_s(lane) > 0]
    assert waiting == [Lane.ENTRY, Lane.RECONCILE, Lane.DATA]


async def test_what_tells_of_an_order_does_not_wait_with_other_reads_for_the_next_minute():
    """Found in the ten-month run: a stop was bare for 23 s until doubts could be read."""
    _, budget = used(4700)
    rest = SimpleNamespace(read=budget_only(budget))
    assert budget.delay_s(Lane.RECONCILE) > 0
    venue = BinanceVenue(rest, None, {}, receive_window_ms=5000, protective_window_ms=1000)
    async with asyncio.timeout(1):
        assert await venue.order_reports("BTCUSDT", "x") == []
        assert await venue.list_members("l") == []
        assert await venue.shows_none_of("BTCUSDT", {"x"})


def budget_only(budget):
    """Reads of an account without any orders that have to pass the budget."""

    async def read(path, _params, lane=Lane.RECONCILE):
        await budget.wait(lane, weight=20)
        if path in {"/api/v3/order", "/api/v3/orderList"}:
            raise Rejected("no such order", code=-2013)
        return b"[]"

    return read


def test_the_next_minute_starts_anew():
    clock, budget = used(6000)
    assert 0 < budget.delay_s(Lane.DATA) <= 60.1
    clock.advance(MINUTE)
    assert budget.delay_s(Lane.DATA) == 0


def test_a_ban_stops_every_lane_until_it_ends():
    clock, budget = used(0)
    budget.pause(120)
    assert budget.delay_s(Lane.CANCEL) == 120
    clock.advance(121 * NS_PER_S)
    assert budget.delay_s(Lane.CANCEL) == 0


def test_a_shorter_ban_ends_no_longer_one_here_or_for_other_processes():
    clock, numbers = ManualClock(10 * MINUTE), SharedNumbers(None, 1)
    hold = Hold(clock, numbers, 0)
    hold.extend(600)
    hold.extend(1)
    assert hold.left_s == Hold(clock, numbers, 0).left_s == 600


async def test_an_answer_that_counts_less_than_has_left_says_nothing_of_what_is_on_its_way():
    _, budget = used(100)
    await budget.wait(Lane.EXIT, weight=50)
    await asyncio.sleep(0)  # what left is written down
    budget.observe({"X-MBX-USED-WEIGHT-1M": "101"})
    assert budget.used_weight == 150


def test_where_windows_are_those_of_no_clock_here_the_venue_alone_says_what_is_used():
    budget = WeightBudget(ManualClock(10 * MINUTE), is_scaled=True)
    for weight in ("500", "20"):
        budget.observe({"X-MBX-USED-WEIGHT-1M": weight})
    assert budget.used_weight == 20


def test_headers_without_weight_change_nothing():
    _, budget = used(5999)
    budget.observe({})
    assert budget.delay_s(Lane.EXIT) > 0


async def test_who_waits_for_the_turn_of_a_sleeper_does_not_spin():
    """A pause that ends early leaves a more important request asleep; the one behind it must not eat the processor."""
    clock, budget = used(0)
    budget.pause(0.3)
    first = asyncio.create_task(budget.wait(Lane.CANCEL))
    await asyncio.sleep(0)
    clock.advance(NS_PER_S)
    looks, delay_s = [], budget.delay_s
    budget.delay_s = lambda *where, **what: looks.append(1) or delay_s(*where, **what)
    await budget.wait(Lane.DATA)
    assert first.done()
    assert len(looks) < 2_000, "a spin looks ten thousands of times"


def test_spares_leave_only_while_entries_need_not_wait():
    """They are nearly always refused: they must not hold up what they leave with, nor use up its reserve."""
    _, budget = used(0)
    venue = BinanceVenue(SimpleNamespace(budget=budget), SimpleNamespace(up=True), {})
    (window, *_) = budget.order_limits
    assert venue.writes_together()
    assert venue.writes_together(3)
    budget.observe({f"X-MBX-ORDER-COUNT-{window.letter}": str(window.limit * 70 // 100 - 1)})
    assert venue.writes_together(1)
    assert not venue.writes_together(3)
    assert venue.writes_together()
    venue.api.up = False
    assert not venue.writes_together()
