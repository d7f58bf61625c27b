from bnml.core.clock import NS_PER_S, ManualClock
from bnml.venues.binance.budget import Lane, WeightBudget

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


def test_headers_without_weight_change_nothing():
    _, budget = used(5999)
    budget.observe({})
    assert budget.delay_s(Lane.EXIT) > 0
