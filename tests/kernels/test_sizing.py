import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bnml.kernels import exits, records, sizing
from tests.twins import random_market as market

E8 = 10**8
RULES = market.filled(records.RULES, market.RULES)[0]
LIMITS = market.filled(records.LIMITS, market.LIMITS)[0]
ADA = market.instrument_record(market.ADA)[0]
REFERENCE = 4_000


def limits(**changes):
    return market.filled(records.LIMITS, {**market.LIMITS, **changes})[0]


def size(stop, equity=10_000 * E8, free=10_000 * E8, exposure=0, limit_record=LIMITS, cost=0):
    cap = exits.entry_cap(REFERENCE, RULES)
    return tuple(
        map(int, sizing.size_lots(equity, free, exposure, cost, REFERENCE, stop, cap, limit_record, ADA))
    )


def test_risk_over_the_stop_distance_decides_for_far_stops():
    lots = 50 * E8 // (120 * ADA["notional_num"])  # 0.5 % of 10,000 over 120 ticks of 0.0001 x 0.1
    assert size(3_880, limit_record=limits(max_position_ppm=1_000_000)) == (lots, lots)


def test_a_share_of_the_active_capital_caps_near_stops():
    cap = exits.entry_cap(REFERENCE, RULES)
    lots = 1_200 * E8 // (cap * ADA["notional_num"])
    assert size(3_990) == (lots, lots)


def test_exposure_left_and_the_free_quote_cut_further():
    cap = exits.entry_cap(REFERENCE, RULES)
    left = 100 * E8 // (cap * ADA["notional_num"])
    assert size(3_990, exposure=4_100 * E8) == (left, left)
    assert size(3_990, exposure=4_300 * E8) == (0, 0)
    wanted, affordable = size(3_990, free=50 * E8)
    assert wanted > affordable == 50 * E8 // (cap * ADA["notional_num"])


def test_capital_in_use_is_capped_whatever_the_account_holds():
    assert sizing.active_capital_e8(10**6 * E8, limits(max_quote_e8=500 * E8)) == 500 * E8
    assert sizing.active_capital_e8(100 * E8, limits(max_quote_e8=500 * E8)) == 60 * E8
    assert sizing.active_capital_e8(-5, LIMITS) == 0


def test_what_was_paid_counts_and_not_what_is_left_of_it():
    capped = limits(max_cost_e8=1_000 * E8, max_exposure_ppm=1_000_000)
    cap = exits.entry_cap(REFERENCE, RULES)
    left = 100 * E8 // (cap * ADA["notional_num"])
    assert size(3_990, exposure=600 * E8, cost=900 * E8, limit_record=capped) == (left, left)
    assert size(3_990, exposure=600 * E8, cost=1_000 * E8, limit_record=capped) == (0, 0)
    assert size(3_990, exposure=600 * E8, cost=1_100 * E8, limit_record=capped) == (0, 0)
    assert size(3_990, exposure=600 * E8, cost=1_000 * E8) == size(3_990, exposure=600 * E8)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 20_000))
def test_more_volatile_is_never_larger(atr, more, equity):
    (stop, _), (farther, _) = (exits.initial_stop(REFERENCE, a, RULES) for a in (atr, atr + more))
    assert size(farther, equity * E8) <= size(stop, equity * E8)


@given(st.integers(1, 3_999), st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**5))
def test_size_is_never_negative_and_never_more_than_what_is_free(stop, equity, free, exposure):
    wanted, lots = size(stop, equity * E8, free * E8, exposure * E8)
    assert 0 <= lots <= wanted
    assert market.ADA.notional_e8(exits.entry_cap(REFERENCE, RULES), lots) <= free * E8


def sellable(instrument, lots, stop, ppm):
    base_e8 = lots * instrument.lot_e8
    kept = (base_e8 - base_e8 * ppm // 1_000_000) // instrument.lot_e8
    return kept >= instrument.min_lots and instrument.notional_e8(stop, kept) >= instrument.min_notional_e8


@given(
    st.sampled_from([market.BTC, market.ADA, market.DOGE]), st.integers(200, 10**7), st.integers(0, 20_000)
)
def test_the_minimum_is_the_smallest_lot_count_that_can_be_sold_at_its_stop(instrument, stop, ppm):
    lots = int(sizing.minimum_lots(stop, ppm, market.instrument_record(instrument)[0]))
    assert sellable(instrument, lots, stop, ppm)
    assert not sellable(instrument, lots - 1, stop, ppm)


@given(st.integers(1, 10**6), st.integers(100, 10**5), st.integers(0, 600_000), st.integers(0, 400_000))
def test_a_split_keeps_every_lot_and_every_tranche_sellable(lots, stop, share1, share2):
    rules = market.filled(records.RULES, {**market.RULES, "share1_ppm": share1, "share2_ppm": share2})[0]
    assume(sellable(market.ADA, lots, stop, 1_000))
    parts = tuple(map(int, sizing.split_lots(lots, stop, 1_000, rules, ADA)))
    assert sum(parts) == lots
    assert all(part == 0 or sellable(market.ADA, part, stop, 1_000) for part in parts)
    floored = (lots * share1 // 1_000_000, lots * share2 // 1_000_000)
    whole = (*floored, lots - sum(floored))
    if all(part == 0 or sellable(market.ADA, part, stop, 1_000) for part in whole):
        assert parts == whole
    else:
        assert parts == (lots, 0, 0)


@pytest.mark.parametrize(("lots", "parts"), [(1_001, (500, 300, 201)), (124, (124, 0, 0))])
def test_the_remainder_goes_to_the_runner_and_little_money_is_one_tranche(lots, parts):
    assert sizing.split_lots(lots, REFERENCE, 1_000, RULES, ADA) == parts
