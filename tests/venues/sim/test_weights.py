"""Rate limits count in windows: of the wall while the market waits, of market time once it moves."""

import pytest

from bnml.core.clock import NS_PER_DAY, NS_PER_S, ManualClock
from bnml.venues.sim.weights import MINUTE_NS, RateLimits, TooMany, WindowTime

NOW_NS = 1_000 * MINUTE_NS + 50 * NS_PER_S


def test_weight_is_refused_beyond_the_limit_until_the_next_minute():
    limits = RateLimits()
    limits.charge(6_000, NOW_NS)
    with pytest.raises(TooMany) as caught:
        limits.charge(1, NOW_NS)
    assert (caught.value.reject_code, caught.value.retry_after_ns) == (-1003, 10 * NS_PER_S)
    assert limits.used_weight(NOW_NS) == 6_000
    limits.charge(1, NOW_NS + 10 * NS_PER_S)
    assert limits.used_weight(NOW_NS + 10 * NS_PER_S) == 1


def test_orders_are_counted_per_account_and_given_back_by_fills():
    limits = RateLimits()
    limits.charge_orders("main", 100, NOW_NS)
    with pytest.raises(TooMany) as caught:
        limits.charge_orders("main", 1, NOW_NS)
    assert caught.value.reject_code == -1015
    limits.charge_orders("other", 1, NOW_NS)
    limits.credit_fill("main", is_maker=False, now_ns=NOW_NS)
    limits.charge_orders("main", 1, NOW_NS)
    limits.credit_fill("main", is_maker=True, now_ns=NOW_NS)
    assert [count for _, count in limits.order_counts("main", NOW_NS)] == [95, 95]


def test_a_credit_never_makes_a_count_negative():
    limits = RateLimits()
    limits.credit_fill("main", is_maker=True, now_ns=NOW_NS)
    assert [count for _, count in limits.order_counts("main", NOW_NS)] == [0, 0]


@pytest.mark.parametrize("market_hour", [1, 23])
@pytest.mark.parametrize("wall_hour", [0, 12, 23])
@pytest.mark.parametrize("waits_h", [0, 2, 30])
def test_windows_follow_the_wall_and_then_the_market_and_never_go_back(market_hour, wall_hour, waits_h):
    hour_ns = 60 * MINUTE_NS
    clock = ManualClock(20_000 * NS_PER_DAY + wall_hour * hour_ns + 7 * NS_PER_S)
    market_ns = 19_000 * NS_PER_DAY + market_hour * hour_ns + 31 * NS_PER_S
    time = WindowTime(clock)
    seen = [time.now_ns(market_ns)]
    for _ in range(waits_h * 60):
        clock.advance(MINUTE_NS)
        seen.append(time.now_ns(market_ns))
        assert seen[-1] - seen[-2] == MINUTE_NS
        assert seen[-1] % MINUTE_NS == clock.now_ns() % MINUTE_NS, "together with the minutes of the clients"
    time.begin(market_ns)
    seen.append(time.now_ns(market_ns))
    assert (seen[-1] - market_ns) % NS_PER_DAY == 0, "the windows of market time"
    assert seen[-1] > seen[-2], "no window comes back"
    clock.advance(MINUTE_NS)
    time.begin(market_ns)
    assert time.now_ns(market_ns) == seen[-1], "the wall counts no more"
    assert time.now_ns(market_ns + 5) == seen[-1] + 5


def test_weight_used_while_the_market_waited_is_no_burden_once_it_moves():
    clock = ManualClock(20_000 * NS_PER_DAY + 50 * NS_PER_S)
    limits, time = RateLimits(), WindowTime(clock)
    limits.charge(6_000, time.now_ns(NOW_NS))
    time.begin(NOW_NS)
    assert limits.used_weight(time.now_ns(NOW_NS)) == 0
    limits.charge(6_000, time.now_ns(NOW_NS))
    with pytest.raises(TooMany):
        limits.charge(1, time.now_ns(NOW_NS + 9 * NS_PER_S))
    limits.charge(1, time.now_ns(NOW_NS + 10 * NS_PER_S))
