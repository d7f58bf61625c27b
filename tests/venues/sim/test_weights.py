"""Rate limits count in windows that are aligned to market time."""

import pytest

from bnml.core.clock import NS_PER_S
from bnml.venues.sim.weights import MINUTE_NS, RateLimits, TooMany

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
