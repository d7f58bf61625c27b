import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bnml.kernels import exits, records
from bnml.kernels.records import ExitReason
from tests.twins import random_market as market

RULES = market.filled(records.RULES, market.RULES)[0]
prices = st.integers(1, 150_000_000)


def rules(**changes):
    return market.filled(records.RULES, {**market.RULES, **changes})[0]


@given(prices, st.integers(0, 10**7))
def test_the_initial_stop_is_the_higher_bound_and_below_the_reference(reference, atr):
    stop, kind = exits.initial_stop(reference, atr, RULES)
    by_atr = reference - atr * 3 // 2
    hard = -(-reference * 97 // 100)
    assert stop == max(1, min(reference - 1, max(by_atr, hard)))
    assert kind == (ExitReason.HARD_STOP if hard > by_atr else ExitReason.STOP)


@given(prices, st.integers(0, 10**7))
def test_either_stop_may_be_missing_and_both(reference, atr):
    by_atr, kind = exits.initial_stop(reference, atr, rules(hard_stop_ppm=0))
    assert (by_atr, kind) == (max(1, min(reference - 1, reference - atr * 3 // 2)), ExitReason.STOP)
    hard, kind = exits.initial_stop(reference, atr, rules(stop_atr_ppm=0))
    assert (hard, kind) == (max(1, min(reference - 1, -(-reference * 97 // 100))), ExitReason.HARD_STOP)
    assert exits.initial_stop(reference, atr, rules(stop_atr_ppm=0, hard_stop_ppm=0))[0] == 0


@given(prices)
def test_targets_and_activation_round_up_and_the_cap_down(reference):
    assert exits.entry_cap(reference, RULES) == reference * 1_005_000 // 1_000_000
    assert exits.trail_activation(reference, RULES) == -(-reference * 102 // 100)
    target = exits.target_level(reference, reference // 2, 40_000, 0, RULES)
    assert target == max(-(-reference * 104 // 100), reference * 1_005_000 // 1_000_000 + 1)


def test_a_target_within_the_entry_cap_moves_above_it():
    assert exits.target_level(10_000, 9_000, 1_000, 0, RULES) == 10_051
    assert exits.target_level(10_000, 9_000, 1, 0, rules(from_fill=1)) == 10_001


def test_a_target_in_multiples_of_the_risk_needs_a_stop():
    assert exits.target_level(10_000, 9_799, 40_000, 1_500_000, RULES) == 10_302  # 10,000 + ceil(1.5 * 201)
    assert exits.target_level(10_000, 0, 40_000, 1_500_000, RULES) == 10_400
    assert exits.target_level(10_000, 0, 0, 1_500_000, RULES) == 0
    assert exits.target_level(10_000, 9_799, 0, 0, RULES) == 0


@given(prices, prices, prices, st.integers(0, 10**6))
def test_trailing_only_ever_raises_the_stop_and_stays_below_the_print(stop, price, activation, atr):
    raised = exits.trail_stop(stop, price, activation, atr, RULES)
    candidate = min(price - atr, price - 1)
    is_due = price >= activation and candidate >= stop + -(-stop // 1_000)
    assert raised == (candidate if is_due else stop)
    assert raised >= stop
    assert raised == stop or raised < price


TRAILING = (
    RULES,
    rules(trail_step_ppm=0),
    rules(trail_ppm=7_654),
    rules(trail_ppm=999_999, trail_step_ppm=0),
    rules(trail_ppm=1, trail_atr_ppm=0),
)


@given(st.sampled_from(TRAILING), prices, prices, st.integers(0, 10**6))
def test_the_trigger_is_the_lowest_print_that_raises_the_stop(chosen, stop, activation, atr):
    trigger = exits.trail_trigger(stop, activation, atr, chosen)
    assume(trigger < 9 * 10**12)  # a hundred times the highest print
    assert exits.trail_stop(stop, trigger, activation, atr, chosen) > stop
    assert exits.trail_stop(stop, trigger - 1, activation, atr, chosen) == stop


@given(prices, prices, st.integers(0, 10**6))
def test_without_a_distance_nothing_trails(stop, price, atr):
    still = rules(trail_atr_ppm=0)
    assert exits.trail_stop(stop, price, 1, atr, still) == stop
    assert exits.trail_trigger(stop, 1, atr, still) > 2**60


def test_trailing_by_share_is_measured_from_the_print():
    assert exits.trail_stop(9_000, 10_300, 10_200, 50, rules(trail_ppm=12_345)) == 10_300 - 127


def test_a_fill_worse_than_at_the_level_is_a_gap():
    assert exits.stop_reason(ExitReason.TRAILING, 99, 100) == ExitReason.GAP
    assert exits.stop_reason(ExitReason.TRAILING, 100, 100) == ExitReason.TRAILING
    assert exits.stop_reason(ExitReason.STOP, 101, 100) == ExitReason.STOP


@pytest.mark.parametrize(
    ("age_h", "value", "expected"),
    [
        (48, 100_499, True),
        (47.999, 100_000, False),
        (48, 100_500, False),
        (48, 99_501, True),
        (48, 99_500, False),
    ],
)
def test_the_time_stop_closes_what_is_old_and_goes_nowhere(age_h, value, expected):
    assert exits.time_stop(int(age_h * market.HOUR_NS), value, 100_000, RULES) == expected


def test_no_time_stop_and_one_without_a_band():
    assert not exits.time_stop(10**18, 100_000, 100_000, rules(time_stop_ns=0))
    assert exits.time_stop(48 * market.HOUR_NS, 900_000, 100_000, rules(time_stop_band_ppm=10**9))


def test_dust_is_a_rest_not_a_small_entry():
    assert exits.dust(99, 10_000, True, RULES)
    assert not exits.dust(100, 10_000, True, RULES)
    assert not exits.dust(99, 10_000, False, RULES)


def test_a_scan_asks_time_then_signal_then_dust():
    old, young = 48 * market.HOUR_NS, 0
    selling = rules(exit_on_sell=1)
    assert exits.scan_exit(old, 100, 100_000, 10**6, True, True, selling) == ExitReason.SIGNAL
    assert exits.scan_exit(old, 100_000, 100_000, 10**9, True, True, selling) == ExitReason.TIME
    assert exits.scan_exit(young, 100, 100, 10**6, True, False, selling) == ExitReason.DUST
    assert exits.scan_exit(young, 100, 100, 10**6, False, True, RULES) == ExitReason.NONE


@given(st.floats(0, 1), prices)
def test_atr_in_ticks_is_cut(ratio, close):
    assert exits.atr_ticks(ratio, close) == int(ratio * close)
