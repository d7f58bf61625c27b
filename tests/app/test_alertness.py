"""Around a bar's close the loop does not sleep, orders are rehearsed, and nothing of that goes on for long."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.app.alertness import LONGEST_NS, REHEARSE_NS, TO_WARM_UP, Alertness, rehearse
from bnml.core.clock import NS_PER_MS, NS_PER_S, LiveClock, ManualClock
from bnml.core.commands import Alert, Submit
from bnml.core.orders import ApprovedOrder, OrderTicket, OrderType, Side
from bnml.venues.binance.budget import WeightBudget
from tests.trading.kit import instrument
from tests.virtual_time import in_virtual_time

MINUTE_NS = 60 * NS_PER_S
LEAD_NS = 20 * NS_PER_MS
CLOSE_NS = 100 * MINUTE_NS


class LoopClock:
    """The clock of a loop whose time passes at once; a turn takes a tenth of a millisecond."""

    def __init__(self):
        self.turned_ns = 0

    def monotonic_ns(self):
        self.turned_ns += NS_PER_MS // 10
        return int(asyncio.get_running_loop().time() * NS_PER_S) + self.turned_ns


def made(scanned, lead_ns=LEAD_NS, clock=None):
    rehearsals = []
    one = Alertness(
        clock or LoopClock(), MINUTE_NS, lead_ns, lambda: scanned[0], lambda: rehearsals.append(1)
    )
    return one, rehearsals


async def slept_s(one):
    """How long until it woke."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not one.is_awake:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.001)
    return loop.time() - began_s


@in_virtual_time
async def test_it_wakes_shortly_before_the_close_and_rests_after_the_scan():
    scanned = [CLOSE_NS - MINUTE_NS]
    one, rehearsals = made(scanned)
    one.heard(CLOSE_NS - NS_PER_S)
    assert await slept_s(one) == pytest.approx(0.98, abs=0.002)
    for _ in range(200):
        await asyncio.sleep(0)
    assert one.turns >= 200
    due = 200 * NS_PER_MS // 10 // REHEARSE_NS
    assert due <= len(rehearsals) - TO_WARM_UP + 1 <= due + 2
    scanned[0] = CLOSE_NS
    await asyncio.sleep(0)
    assert not one.is_awake
    turns = one.turns
    await asyncio.sleep(1)
    assert one.turns == turns


@in_virtual_time
async def test_a_scan_that_does_not_come_is_not_waited_for_without_sleep():
    one, _ = made([0])
    one.heard(CLOSE_NS - NS_PER_MS)
    await asyncio.sleep(1)
    assert not one.is_awake
    assert 0 < one.turns < 2 * (LONGEST_NS + LEAD_NS) // (NS_PER_MS // 10)


@in_virtual_time
async def test_the_last_word_on_the_time_counts_and_far_closes_are_not_waited_for():
    one, _ = made([0])
    one.heard(CLOSE_NS - 30 * NS_PER_S)
    one.heard(CLOSE_NS - 2 * NS_PER_S)
    one.heard(CLOSE_NS - NS_PER_S)  # a second has not passed here
    assert await slept_s(one) == pytest.approx(0.98, abs=0.002)
    one.rest()
    await asyncio.sleep(0)
    assert not one.is_awake


@in_virtual_time
async def test_without_a_lead_it_never_wakes():
    one, _ = made([0], lead_ns=0)
    one.heard(CLOSE_NS - NS_PER_MS)
    await asyncio.sleep(1)
    assert one.turns == 0


async def test_it_stops_by_the_clock_of_the_machine():
    one, rehearsals = made([0], clock=LiveClock())
    one.heard(CLOSE_NS - NS_PER_MS)
    await asyncio.sleep(0.02)
    assert one.is_awake
    await asyncio.sleep(LONGEST_NS / NS_PER_S + 0.2)
    assert not one.is_awake
    assert len(rehearsals) > 3


class Engine:
    def rehearse(self):
        exits = OrderTicket("BTCUSDT", "x", Side.SELL, OrderType.MARKET, 100)
        return [Alert("info", "name", "text"), Submit(ApprovedOrder(exits, "exit"))]


def test_orders_are_rehearsed_up_to_their_signature_while_there_is_a_key():
    signed, clock = [], ManualClock(10**18)
    signer = SimpleNamespace(lost="")
    venue = SimpleNamespace(
        api=SimpleNamespace(signed=signed.append),
        rest=SimpleNamespace(signer=signer, budget=WeightBudget(clock)),
        instruments={"BTCUSDT": instrument()},
    )
    rehearse(Engine(), venue)
    assert [one["newClientOrderId"] for one in signed] == ["x"]
    assert venue.rest.budget.used_weight == 0  # nothing left
    signer.lost = "the venue refused it"
    rehearse(Engine(), venue)
    assert len(signed) == 1
